"""A decoder or an encoder as one C99 file without dependencies but <math.h>: for microcontrollers, firmware, other languages.

Weights are constants, so they can stay in flash; values between layers lie in one static array, in which a value's place is used
again when nothing reads it any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import errors
from ._lib import Array
from ._version import __version__
from .graph import CONDITION, LOG_RATE_LIMIT, Graph, Model, Step, Table, size_of

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
    "copy": """
static void copy(int n, const float *x, float *y) {
    for (int i = 0; i < n; i++) y[i] = x[i];
}
""",
    "add": """
static void add(int n, float alpha, const float *a, float beta, const float *b, float *y) {
    for (int i = 0; i < n; i++) y[i] = alpha * a[i] + beta * b[i];
}
""",
    "avgpool": """
/* The mean of every channel */
static void avgpool(int channels, int n, const float *x, float *y) {
    for (int k = 0; k < channels; k++) {
        float sum = 0;
        for (int i = 0; i < n; i++) sum += x[k * n + i];
        y[k] = sum / (float)n;
    }
}
""",
    "expand": """
/* A coded row for the layers: numbers, 1 where a number is missing (-2), yes or no as -1 or 1, a 1 at a category's code;
 * what is missing (NAN) is 0 */
static void expand(int n, const int *column, const int *how, const float *x, float *y) {
    for (int i = 0; i < n; i++) {
        float v = x[column[i]];
        int missing = v != v;
        y[i] = how[i] == -2 ? (float)missing : missing ? 0 : how[i] == -3 ? v : how[i] == -1 ? 2 * v - 1 : v == how[i];
    }
}
""",
    "mean": """
/* The mean of a distribution by its parameters x. A part: kind, place in x, place in y, count, size. Kinds: 0 as they are;
 * 1 logistic; 2 exponential; 3 the code of the largest of `size` values; 4 softmax of `size` values; 5 of the condition */
static void mean(int parts, const int part[][5], const float *x, const float *condition, float *y) {
    for (int p = 0; p < parts; p++) {
        const int kind = part[p][0], count = part[p][3], size = part[p][4];
        const float *v = (kind == 5 ? condition : x) + part[p][1];
        float *to = y + part[p][2];
        for (int i = 0; i < count; i++, v += size) {
            if (kind == 1) {
                to[i] = 1 / (1 + expf(-v[0]));
            } else if (kind == 2) {
                to[i] = expf(bounded(v[0], LOG_RATE_LIMIT));
            } else if (kind == 3 || kind == 4) {
                int most = 0;
                float sum = 0;
                for (int k = 1; k < size; k++)
                    if (v[k] > v[most]) most = k;
                for (int k = 0; kind == 4 && k < size; k++) sum += to[i * size + k] = expf(v[k] - v[most]);
                for (int k = 0; kind == 4 && k < size; k++) to[i * size + k] /= sum;
                if (kind == 3) to[i] = (float)most;
            } else {
                to[i] = v[0];
            }
        }
    }
}
""".replace("LOG_RATE_LIMIT", f"{LOG_RATE_LIMIT}f"),
    "bound_log_variance": """
static void bound_log_variance(int n, float limit, float *x) {
    for (int i = 0; i < n; i++) x[i] = bounded(x[i], limit);
}
""",
}
BOUNDED = """
/* A logarithm of a size up to `limit` as it is, a larger one softly bounded */
static float bounded(float x, float limit) {
    float size = fabsf(x);
    return size > limit ? copysignf(limit + 0.5f * logf(1 + 2 * (size - limit)), x) : x;
}
"""


def _rows(values: Array) -> Iterator[str]:
    words = [f"{value:.9g}" for value in values.ravel().tolist()]
    words = [word if re.search(r"[.e]", word) else f"{word}." for word in words]
    for i in range(0, len(words), 10):
        yield "    " + " ".join(f"{word}f," for word in words[i : i + 10])


def _table(name: str, values: Table) -> str:
    """Whole numbers; parts of five are rows of two dimensions."""
    if values.ndim == 2:
        rows = ["{" + ", ".join(map(str, row)) + "}," for row in values.tolist()]
        lines = "\n".join("    " + " ".join(rows[i : i + 5]) for i in range(0, len(rows), 5))
        return f"static const int {name}[{len(values)}][{values.shape[1]}] = {{\n{lines}\n}};\n"
    words = [f"{value}," for value in values.tolist()]
    lines = "\n".join("    " + " ".join(words[i : i + 20]) for i in range(0, len(words), 20))
    return f"static const int {name}[{values.size}] = {{\n{lines}\n}};\n"


def _array(name: str, values: Array) -> str:
    return f"static const float {name}[{values.size}] = {{\n" + "\n".join(_rows(values)) + "\n};\n"


def _float(value: float) -> str:
    word = f"{value:.9g}"
    return f"{word}f" if re.search(r"[.en]", word) else f"{word}.f"


class _Memory:
    """Places in an array, given and taken back: the first gap that is large enough."""

    def __init__(self) -> None:
        self.taken: dict[int, tuple[int, int]] = {}
        self.size = 0

    def take(self, owner: int, n: int) -> int:
        at = 0
        for begin, end in sorted(self.taken.values()):
            if begin - at >= n:
                break
            at = max(at, end)
        self.taken[owner] = (at, at + n)
        self.size = max(self.size, at + n)
        return at


class _Writer:
    """The lines that compute a graph, and the constants that they read."""

    def __init__(self, graph: Graph, part: str) -> None:
        self.graph, self.part = graph, part
        self.constants: list[str] = []
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.activations: set[str] = set()
        self.memory = _Memory()
        self.place = {0: "z" if part == "decoder" else "x", CONDITION: "condition"}
        self.owner: dict[int, int] = {}  # of a value: the one whose memory it lies in
        for number, step in enumerate(graph.steps, 1):
            if step.op == "reshape":
                self.owner[number] = self.owner.get(step.inputs[0], step.inputs[0])
        self.last = dict[int, int]()  # of an owner: the last step that reads it
        for number, step in enumerate(graph.steps, 1):
            for i in step.inputs:
                self.last[self.owner.get(i, i)] = number
        for number, step in enumerate(graph.steps, 1):
            self.step(number, step)
            for owner in [owner for owner in self.memory.taken if self.last.get(owner, number + 1) <= number]:
                del self.memory.taken[owner]

    def constant(self, number: int, kind: str, values: Array) -> str:
        name = f"{self.part}_{number}_{kind}"
        self.constants.append(_array(name, values))
        return name

    def table(self, number: int, kind: str, values: Table) -> str:
        name = f"{self.part}_{number}_{kind}"
        self.constants.append(_table(name, values))
        return name

    def step(self, number: int, step: Step) -> None:
        source, shape = self.place[step.inputs[0]], step.shape
        before, n = self.graph.shape_of(step.inputs[0]), size_of(shape)
        if step.op == "reshape":
            self.place[number] = source
            return
        at = self.memory.take(number, n)
        to = self.place[number] = f"work + {at}" if at else "work"
        numbers = {key: int(value) for key, value in step.numbers.items()}
        if step.op == "concat":
            done = 0
            for i in step.inputs:
                values = size_of(self.graph.shape_of(i))
                self.call("copy", f"copy({values}, {self.place[i]}, {to}{f' + {done}' if done else ''})")
                done += values
        elif step.op == "activate":
            self.call("copy", f"copy({n}, {source}, {to})")
        elif step.op == "add":
            alpha, beta = _float(step.numbers["alpha"]), _float(step.numbers["beta"])
            self.call("add", f"add({n}, {alpha}, {source}, {beta}, {self.place[step.inputs[1]]}, {to})")
        elif step.op == "bound_log_variance":
            self.call("copy", f"copy({n}, {source}, {to})")
            self.call("bound_log_variance", f"bound_log_variance({n // 2}, {_float(step.numbers['limit'])}, {to})")
        elif step.op == "expand":
            assert step.table is not None
            column, how = self.table(number, "column", step.table[0]), self.table(number, "how", step.table[1])
            self.call("expand", f"expand({n}, {column}, {how}, {source}, {to})")
        elif step.op == "mean":
            assert step.table is not None
            condition = "condition" if self.graph.condition else "0"
            parts = self.table(number, "parts", step.table)
            self.call("mean", f"mean({len(step.table)}, {parts}, {source}, {condition}, {to})")
        elif step.op == "upsample":
            c, h, w = before
            factor = _float(step.numbers["scale"])
            self.call("upsample", f"upsample({c}, {h}, {w}, {numbers['stride']}, {factor}, {source}, {to})")
        elif step.op == "avgpool":
            self.call("avgpool", f"avgpool({n}, {size_of(before) // n}, {source}, {to})")
        elif step.op == "maxpool":
            (c, h, w), (_, oh, ow) = before, (*shape, 1, 1)[:3]
            sizes = f"{numbers['size']}, {numbers['stride']}, {numbers['padding']}"
            self.call("maxpool", f"maxpool({c}, {h}, {w}, {oh}, {ow}, {sizes}, {source}, {to})")
        else:
            self.weighted(number, step, source, to)
        if step.activation != "linear":
            if step.activation not in ACTIVATIONS:
                raise errors.UsageError(f"export does not know activation={step.activation}")
            self.activations.add(step.activation)
            self.lines.append(f"    activate_{step.activation}({n}, {to});")

    def weighted(self, number: int, step: Step, source: str, to: str) -> None:
        assert step.weights is not None and step.biases is not None
        before, n = self.graph.shape_of(step.inputs[0]), size_of(step.shape)
        weights, biases = self.constant(number, "weights", step.weights), self.constant(number, "biases", step.biases)
        if step.op == "dense":
            call = f"dense({size_of(before)}, {n}, {source}, {weights}, {biases}, {to})"
        elif step.op == "scale":
            channels = step.weights.size
            call = f"scale({channels}, {n // channels}, {source}, {weights}, {biases}, {to})"
        else:
            (c, h, w), (f, oh, ow) = (*before, 1, 1)[:3], (*step.shape, 1, 1)[:3]
            window = [c, h, w, f, oh, ow, step.weights.shape[2], int(step.numbers["stride"]), int(step.numbers["padding"])]
            window += [int(step.numbers["groups"])] if step.op == "conv" else []
            call = f"{step.op}({', '.join(map(str, window))}, {source}, {weights}, {biases}, {to})"
        self.call(step.op, call)

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


def _functions(model: Model, part: str, name: str) -> dict[str, tuple[str, str]]:
    """Of each half: the declaration of its function, and what it does."""
    scaled = f", divided by {model.data_scale:g}" if model.data_scale != 1 else ""
    log = f", float log_variance[{model.latent}]" if model.variational else ""
    given = f", const float condition[{size_of(model.decoder.condition)}]" if model.decoder.condition else ""
    found = {
        "encoder": (
            f"void {name}_encode(const float x[{size_of(model.encoder.inputs)}], float mean[{model.latent}]{log})",
            "x is a coded row of the table; NAN is a missing value" if model.columns else f"x is data{scaled}",
        ),
        "decoder": (
            f"void {name}_decode(const float z[{model.latent}]{given}, float out[{model.outputs}])",
            f"out is the mean of {'the coded row' if model.columns else f'the data{scaled}'} ([cost] type={model.likelihood})"
            + ("; condition is a coded row, of which only the columns that are given are read" if given else ""),
        ),
    }
    return {which: found[which] for which in ("encoder", "decoder") if part in (which, "both")}


def source(model: Model, part: str, name: str = "model") -> str:
    """The text of the C file. part: "encoder", "decoder" or "both"; name: a prefix of the functions, a name of C."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise errors.UsageError(f"'{name}' is no name of C")
    functions = _functions(model, part, name)
    writers = {which: _Writer(getattr(model, which), which) for which in functions}
    room = max(writer.memory.size for writer in writers.values()) or 1
    weights = sum(step.weights.nbytes + step.biases.nbytes for writer in writers.values() for step in writer.graph.steps
                  if step.weights is not None and step.biases is not None)  # fmt: skip
    text = f"/* Written by darknet-vae {__version__}. C99, no dependency but the functions of <math.h>.\n *\n"
    text += "".join(f" *   {declaration}\n" for declaration, _ in functions.values()) + " *\n"
    text += "".join(f" * {about}.\n" for _, about in functions.values())
    text += f" * {weights} bytes of weights; {4 * room} bytes of static memory, so not for several threads at once. */\n"
    text += f"#include <math.h>\n\nstatic float work[{room}];\n"
    used = set[str]().union(*(writer.used for writer in writers.values()))
    exponentials = [step.table for writer in writers.values() for step in writer.graph.steps if step.op == "mean"]
    if "bound_log_variance" in used or exponentials:
        text += BOUNDED
    text += "".join(body for helper, body in HELPERS.items() if helper in used)
    text += "".join(_activation(a) for a in ACTIVATIONS if any(a in writer.activations for writer in writers.values()))
    for which, writer in writers.items():
        text += "\n" + "".join(writer.constants)
        result, body = writer.place[len(writer.graph.steps)], "\n".join(writer.lines)
        text += f"\n{_parameters(functions[which][0])} {{\n{body}\n    const float *y = {result};\n"
        if which == "decoder":
            text += f"    for (int i = 0; i < {model.outputs}; i++) out[i] = y[i];\n}}\n"
        elif model.variational:
            text += f"    for (int i = 0; i < {model.latent}; i++) {{\n"
            text += f"        log_variance[i] = y[i];\n        mean[i] = y[{model.latent} + i];\n    }}\n}}\n"
        else:
            text += f"    for (int i = 0; i < {model.latent}; i++) mean[i] = y[i];\n}}\n"
    return text


def _parameters(declaration: str) -> str:
    """With pointers in place of arrays."""
    return re.sub(r"float (\w+)\[\d+\]", r"float *\1", declaration)


def _columns(model: Model) -> str:
    """What a row of a table holds, as a comment."""
    if not model.columns:
        return ""
    text = "/* A coded row, as darknet_vae.tables.Schema codes and decodes it (numbers too):\n"
    for i, (name, classes) in enumerate(model.columns):
        what = {0: "number", 1: "0 or 1"}.get(classes) or f"code, 0 to {classes - 1}"
        name = re.sub(r"\s", " ", name).replace("*/", "* /").replace("/*", "/ *")
        text += f" *   [{i}] {name}: {what}\n"
    return text + " */\n"


def header(model: Model, part: str, name: str = "model") -> str:
    """The declarations for it."""
    functions, guard = _functions(model, part, name), name.upper()
    sizes = {"INPUTS": size_of(model.encoder.inputs) if "encoder" in functions else 0, "LATENT": model.latent,
             "OUTPUTS": model.outputs if "decoder" in functions else 0}  # fmt: skip
    lines = [f"/* Written by darknet-vae {__version__}; numbers of floats. */", f"#ifndef {guard}_H", f"#define {guard}_H"]
    lines += [f"#define {guard}_{what} {n}" for what, n in sizes.items() if n]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif"]
    lines += [_columns(model).rstrip("\n")] if model.columns else []
    lines += [f"/* {about}. */\n{_parameters(declaration)};" for declaration, about in functions.values()]
    return "\n".join([*lines, "#ifdef __cplusplus", "}", "#endif", "#endif\n"])
