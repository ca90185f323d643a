"""A decoder or an encoder as one C99 file without dependencies but <math.h>: for microcontrollers, firmware, other languages.

Weights are constants, so they can stay in flash; values between layers lie in static memory, or in the caller's with -DNAME_WORK.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import errors
from ._lib import Array
from ._version import __version__
from .graph import Graph, Model, Step, _size

ACTIVATIONS = {
    "linear": "x",
    "logistic": "1 / (1 + expf(-x))",
    "loggy": "2 / (1 + expf(-x)) - 1",
    "relu": "x > 0 ? x : 0",
    "elu": "x >= 0 ? x : expm1f(x)",
    "selu": "x >= 0 ? 1.0507f * x : 1.0507f * 1.6732f * expm1f(x)",
    "relie": "x > 0 ? x : 0.01f * x",
    "ramp": "x > 0 ? 1.1f * x : 0.1f * x",
    "leaky": "x > 0 ? x : 0.1f * x",
    "tanh": "tanhf(x)",
    "plse": "x < -4 ? 0.01f * (x + 4) : x > 4 ? 0.01f * (x - 4) + 1 : 0.125f * x + 0.5f",
    "hardtan": "x < -1 ? -1 : x > 1 ? 1 : x",
    "lhtan": "x < 0 ? 0.001f * x : x > 1 ? 0.001f * (x - 1) + 1 : x",
}

HELPERS = {
    "dense": """
/* y = W x + b, W (outputs, inputs) */
static void dense(int inputs, int outputs, const float *x, const float *w, const float *b, float *y) {
    for (int o = 0; o < outputs; o++, w += inputs) {
        float sum = b[o];
        for (int i = 0; i < inputs; i++) sum += w[i] * x[i];
        y[o] = sum;
    }
}
""",
    "conv": """
/* Convolution of x (channels, h, w) with W (filters, channels / groups, size, size) to y (filters, oh, ow) */
static void conv(int channels, int h, int w, int filters, int oh, int ow, int size, int stride, int padding, int groups,
                 const float *x, const float *weights, const float *b, float *y) {
    int part = channels / groups;
    for (int f = 0; f < filters; f++)
        for (int r = 0; r < oh; r++)
            for (int c = 0; c < ow; c++) {
                float sum = b[f];
                for (int k = 0; k < part; k++)
                    for (int i = 0; i < size; i++)
                        for (int j = 0; j < size; j++) {
                            int row = r * stride + i - padding, column = c * stride + j - padding;
                            if (row < 0 || row >= h || column < 0 || column >= w) continue;
                            sum += weights[((f * part + k) * size + i) * size + j] *
                                   x[((f / (filters / groups) * part + k) * h + row) * w + column];
                        }
                y[(f * oh + r) * ow + c] = sum;
            }
}
""",
    "deconv": """
/* Transposed convolution of x (channels, h, w) with W (channels, filters, size, size) to y (filters, oh, ow) */
static void deconv(int channels, int h, int w, int filters, int oh, int ow, int size, int stride, int padding,
                   const float *x, const float *weights, const float *b, float *y) {
    for (int f = 0; f < filters; f++)
        for (int i = 0; i < oh * ow; i++) y[f * oh * ow + i] = b[f];
    for (int k = 0; k < channels; k++)
        for (int r = 0; r < h; r++)
            for (int c = 0; c < w; c++)
                for (int f = 0; f < filters; f++)
                    for (int i = 0; i < size; i++)
                        for (int j = 0; j < size; j++) {
                            int row = r * stride + i - padding, column = c * stride + j - padding;
                            if (row < 0 || row >= oh || column < 0 || column >= ow) continue;
                            y[(f * oh + row) * ow + column] +=
                                weights[((k * filters + f) * size + i) * size + j] * x[(k * h + r) * w + c];
                        }
}
""",
    "maxpool": """
/* The largest of windows; `padding` is that of both sides together */
static void maxpool(int channels, int h, int w, int oh, int ow, int size, int stride, int padding, const float *x,
                    float *y) {
    for (int k = 0; k < channels; k++)
        for (int r = 0; r < oh; r++)
            for (int c = 0; c < ow; c++) {
                float most = -INFINITY;
                for (int i = 0; i < size; i++)
                    for (int j = 0; j < size; j++) {
                        int row = r * stride + i - padding / 2, column = c * stride + j - padding / 2;
                        if (row < 0 || row >= h || column < 0 || column >= w) continue;
                        if (x[(k * h + row) * w + column] > most) most = x[(k * h + row) * w + column];
                    }
                y[(k * oh + r) * ow + c] = most;
            }
}
""",
    "upsample": """
/* Every pixel stride x stride times, multiplied by a factor */
static void upsample(int channels, int h, int w, int stride, float factor, const float *x, float *y) {
    for (int k = 0; k < channels; k++)
        for (int r = 0; r < h * stride; r++)
            for (int c = 0; c < w * stride; c++)
                y[(k * h * stride + r) * w * stride + c] = factor * x[(k * h + r / stride) * w + c / stride];
}
""",
    "scale": """
static void scale(int channels, int n, const float *x, const float *factors, const float *b, float *y) {
    for (int k = 0; k < channels; k++)
        for (int i = 0; i < n; i++) y[k * n + i] = factors[k] * x[k * n + i] + b[k];
}
""",
    "concat": """
static void copy(int n, const float *x, float *y) {
    for (int i = 0; i < n; i++) y[i] = x[i];
}
""",
    "expand": """
/* A coded row for the layers: numbers, 1 where a number is missing (-2), yes or no as -1 or 1, a 1 at a category's code;
 * what is missing (NAN) is 0 */
static void expand(int n, const short *column, const short *how, const float *x, float *y) {
    for (int i = 0; i < n; i++) {
        float v = x[column[i]];
        int missing = v != v;
        y[i] = how[i] == -2 ? (float)missing : missing ? 0 : how[i] == -3 ? v : how[i] == -1 ? 2 * v - 1 : v == how[i];
    }
}
""",
    "columns_mean": """
/* The row that a table's network means: numbers, the probability of yes, the most probable code */
static void columns_mean(int n, const short *classes, const float *x, float *y) {
    for (int i = 0; i < n; x += classes[i] > 1 ? classes[i] : 1, i++) {
        int most = 0;
        for (int k = 1; k < classes[i]; k++)
            if (x[k] > x[most]) most = k;
        y[i] = classes[i] == 0 ? x[0] : classes[i] == 1 ? 1 / (1 + expf(-x[0])) : (float)most;
    }
}
""",
    "bound_log_variance": """
/* Log-variances up to `limit` as they are, larger ones bounded softly */
static void bound_log_variance(int n, float limit, float *x) {
    for (int i = 0; i < n; i++) {
        float size = fabsf(x[i]);
        if (size > limit) x[i] = copysignf(limit + 0.5f * logf(1 + 2 * (size - limit)), x[i]);
    }
}
""",
}


def _rows(values: Array) -> Iterator[str]:
    words = [f"{value:.9g}" for value in values.ravel().tolist()]
    words = [word if re.search(r"[.e]", word) else f"{word}." for word in words]
    for i in range(0, len(words), 10):
        yield "    " + " ".join(f"{word}f," for word in words[i : i + 10])


def _shorts(name: str, values: Array) -> str:
    words = [f"{value}," for value in values.astype(int).tolist()]
    lines = "\n".join("    " + " ".join(words[i : i + 20]) for i in range(0, len(words), 20))
    return f"static const short {name}[{values.size}] = {{\n{lines}\n}};\n"


def _array(name: str, values: Array) -> str:
    return f"static const float {name}[{values.size}] = {{\n" + "\n".join(_rows(values)) + "\n};\n"


class _Writer:
    """Values lie one after another in `work`; a dense layer's output takes no place that a later step needs."""

    def __init__(self, graph: Graph, part: str) -> None:
        self.graph, self.part = graph, part
        self.constants: list[str] = []
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.activations: set[str] = set()
        self.room = 0
        self.place = {0: "x"}
        for number, step in enumerate(graph.steps, 1):
            self.step(number, step)

    def constant(self, number: int, kind: str, values: Array) -> str:
        name = f"{self.part}_{number}_{kind}"
        self.constants.append(_array(name, values))
        return name

    def shorts(self, number: int, kind: str, values: Array) -> str:
        name = f"{self.part}_{number}_{kind}"
        self.constants.append(_shorts(name, values))
        return name

    def step(self, number: int, step: Step) -> None:
        source, shape = self.place[step.inputs[0]], step.shape
        before = self.graph.inputs if step.inputs[0] == 0 else self.graph.steps[step.inputs[0] - 1].shape
        n = _size(shape)
        if step.op == "reshape":
            self.place[number] = source
            return
        to = self.place[number] = f"work + {self.room}" if self.room else "work"
        self.room += n
        numbers = {key: int(value) for key, value in step.numbers.items()}
        if step.op == "concat":
            at = 0
            for i in step.inputs:
                size = _size(self.graph.inputs if i == 0 else self.graph.steps[i - 1].shape)
                self.call("concat", f"copy({size}, {self.place[i]}, {to}{f' + {at}' if at else ''})")
                at += size
        elif step.op == "activate":
            self.call("concat", f"copy({n}, {source}, {to})")
        elif step.op == "bound_log_variance":
            self.call("concat", f"copy({n}, {source}, {to})")
            self.call(
                "bound_log_variance", f"bound_log_variance({n // 2}, {step.numbers['limit']:g}f, {to})".replace("0f,", "0.f,")
            )
        elif step.op == "expand":
            assert step.weights is not None and step.biases is not None
            column, how = self.shorts(number, "column", step.weights), self.shorts(number, "how", step.biases)
            self.call("expand", f"expand({n}, {column}, {how}, {source}, {to})")
        elif step.op == "columns_mean":
            assert step.weights is not None
            self.call("columns_mean", f"columns_mean({n}, {self.shorts(number, 'classes', step.weights)}, {source}, {to})")
        elif step.op == "upsample":
            c, h, w = before
            factor = f"(float){step.numbers['scale']!r}"
            self.call("upsample", f"upsample({c}, {h}, {w}, {numbers['stride']}, {factor}, {source}, {to})")
        elif step.op == "maxpool":
            (c, h, w), (_, oh, ow) = before, shape
            sizes = f"{numbers['size']}, {numbers['stride']}, {numbers['padding']}"
            self.call("maxpool", f"maxpool({c}, {h}, {w}, {oh}, {ow}, {sizes}, {source}, {to})")
        else:
            assert step.weights is not None and step.biases is not None
            weights, biases = self.constant(number, "weights", step.weights), self.constant(number, "biases", step.biases)
            if step.op == "dense":
                call = f"dense({_size(before)}, {n}, {source}, {weights}, {biases}, {to})"
            elif step.op == "scale":
                channels = step.weights.size
                call = f"scale({channels}, {n // channels}, {source}, {weights}, {biases}, {to})"
            else:
                (c, h, w), (f, oh, ow) = (*before, 1, 1)[:3], (*shape, 1, 1)[:3]
                window = [c, h, w, f, oh, ow, step.weights.shape[2], numbers["stride"], numbers["padding"]]
                window += [numbers["groups"]] if step.op == "conv" else []
                call = f"{step.op}({', '.join(map(str, window))}, {source}, {weights}, {biases}, {to})"
            self.call(step.op, call)
        if step.activation != "linear":
            if step.activation not in ACTIVATIONS:
                raise errors.UsageError(f"export does not know activation={step.activation}")
            self.activations.add(step.activation)
            self.lines.append(f"    activate_{step.activation}({n}, {to});")

    def call(self, helper: str, line: str) -> None:
        self.used.add(helper)
        self.lines.append(f"    {line};")


def _activation(name: str) -> str:
    return f"""
static void activate_{name}(int n, float *values) {{
    for (int i = 0; i < n; i++) {{
        float x = values[i];
        values[i] = {ACTIVATIONS[name]};
    }}
}}
"""


def source(model: Model, part: str, name: str = "model") -> str:
    """The text of the C file. part: "encoder", "decoder" or "both"; name: a prefix of the functions, a name of C."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise errors.UsageError(f"'{name}' is no name of C")
    parts = ["encoder", "decoder"] if part == "both" else [part]
    writers = {which: _Writer(getattr(model, which), which) for which in parts}
    room = max(writer.room for writer in writers.values()) or 1
    width, latent, outputs = _size(model.encoder.inputs), model.latent, model.outputs
    about = [f"/* Written by darknet-vae {__version__}. C99, no dependency but the functions of <math.h>.", " *"]
    if "encoder" in parts:
        log = ", float log_variance" if model.variational else ""
        about.append(f" *   void {name}_encode(const float x[{width}], float mean[{latent}]{f'{log}[{latent}]' if log else ''});")
    if "decoder" in parts:
        about.append(f" *   void {name}_decode(const float z[{latent}], float out[{outputs}]);")
    scaled = f", divided by {model.data_scale:g}" if model.data_scale != 1 else ""
    about.append(" *")
    if "encoder" in parts:
        about.append(f" * x is data{scaled}.")
    if "decoder" in parts:
        about.append(f" * out is the mean of the data{scaled} ([cost] type={model.likelihood}).")
    about.append(" * Not for several threads at once: values between layers lie in static memory. */")
    text = "\n".join(about) + "\n#include <math.h>\n\n"
    text += f"static float work[{room}];\n"
    used = set[str]().union(*(writer.used for writer in writers.values()))
    text += "".join(body for helper, body in HELPERS.items() if helper in used)
    text += "".join(_activation(a) for a in ACTIVATIONS if any(a in writer.activations for writer in writers.values()))
    for which, writer in writers.items():
        text += "\n" + "".join(writer.constants)
        n = len(writer.graph.steps)
        result = writer.place[n]
        body = "\n".join(writer.lines)
        if which == "decoder":
            text += f"\nvoid {name}_decode(const float *x, float *out) {{\n{body}\n    const float *y = {result};\n"
            text += f"    for (int i = 0; i < {outputs}; i++) out[i] = y[i];\n}}\n"
        elif model.variational:
            text += f"\nvoid {name}_encode(const float *x, float *mean, float *log_variance) {{\n{body}\n"
            text += f"    const float *y = {result};\n    for (int i = 0; i < {latent}; i++) {{\n"
            text += f"        log_variance[i] = y[i];\n        mean[i] = y[{latent} + i];\n    }}\n}}\n"
        else:
            text += f"\nvoid {name}_encode(const float *x, float *mean) {{\n{body}\n    const float *y = {result};\n"
            text += f"    for (int i = 0; i < {latent}; i++) mean[i] = y[i];\n}}\n"
    return text


def header(model: Model, part: str, name: str = "model") -> str:
    """The declarations for it."""
    lines = [f"#ifndef {name.upper()}_H\n#define {name.upper()}_H"]
    if part != "decoder":
        log = ", float *log_variance" if model.variational else ""
        lines.append(f"void {name}_encode(const float *x, float *mean{log});")
    if part != "encoder":
        lines.append(f"void {name}_decode(const float *z, float *out);")
    return "\n".join([*lines, "#endif\n"])
