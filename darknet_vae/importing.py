"""`import_weights`: the weights of an autoencoder of PyTorch or ONNX in a network of ours with the same layers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors
from .foreign_weights import Found, Norm, Unit, Values, found_in, joined
from .graph import sections

if TYPE_CHECKING:
    from .layer import Layer
    from .network import Network

KINDS = ("connected", "convolutional", "deconvolutional")
PASSING = ("dropout", "reshape", "activation", "batchnorm")
"""Layers between those with weights and the latents."""


@dataclass
class Slot:
    """A layer that takes weights, or the half of one that gives means and log-variances."""

    layer: Layer
    role: str = ""
    rows: slice = field(default_factory=lambda: slice(None))
    """Of the layer's outputs."""
    norm: Layer | None = None
    """Where its batch normalisation is: here, or in the [batchnorm] after it."""

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.layer.params["rolling_mean" if self.layer.type == "batchnorm" else "weights"].shape
        if self.layer.type in ("deconvolutional", "batchnorm"):
            return shape
        return (len(range(*self.rows.indices(shape[0]))), *shape[1:])

    @property
    def wants(self) -> str:
        return f"{'statistics' if self.layer.type == 'batchnorm' else 'weights'} {self.shape}"

    def __str__(self) -> str:
        part = f" ({self.role.replace('_', '-')}s)" if self.role else ""
        return f"layer {self.layer.index} [{self.layer.type}]{part}"


def import_weights(
    net: Network | str | os.PathLike[str],
    source: Any,
    mapping: Mapping[int | str, str | Sequence[str]] | None = None,
    **options: Any,
) -> Network:
    """Give a network the weights of an autoencoder that another program has trained, and return it.

        net = dv.import_weights("vae.cfg", "vae.pt")
        net = dv.import_weights(net, model.state_dict())
        net = dv.import_weights("vae.cfg", ["encoder.onnx", "decoder.onnx"])

    net: a network, or a cfg with `options` as in Network. source: the path of a .pt (read by torch, weights_only), .npz,
    .safetensors or .onnx (extra: export), a state dictionary or a module of PyTorch, or a list of them. mapping: {layer: name},
    where the file has the weights of a layer, by its number or name=; of two names the first has the means, the second the
    log-variances; only these layers are changed then.

    Layers are taken in their order, the encoder's first where names say so (enc..., dec...), means before log-variances unless
    names say otherwise (mu, logvar, ...). A single layer for both has the means first. Batch normalisation comes with its running
    statistics; where only one side has it, it is computed into the weights, or made to change nothing. Activations are those of
    the cfg.

    UsageError names every layer that does not fit; the network is then as before."""
    from .network import Network

    made = net if isinstance(net, Network) else Network(net, **options)
    if made is net and options:
        raise errors.UsageError(f"import_weights: {', '.join(options)} is for a network that is made here, from a cfg")
    place(made, source, mapping)
    return made


def place(net: Network, source: Any, mapping: Mapping[int | str, str | Sequence[str]] | None = None) -> list[str]:
    """What import_weights does; a line for each layer."""
    sources = list(source) if isinstance(source, list | tuple) else [source]
    if not sources:
        raise errors.UsageError("import_weights: nothing to import from")
    about = ", ".join(os.fspath(one) if isinstance(one, str | os.PathLike) else "the state dictionary" for one in sources)
    found = [found_in(one) for one in sources]
    named = [one for one in found if isinstance(one, dict)]
    if named and len(named) == len(found) and not mapping:
        return put_by_name(net, {key: value for one in named for key, value in one.items()}, about)
    if named:
        raise errors.UsageError(f"{about}: names such as 0.weights say their layers themselves, without a mapping or other files")
    whole = joined([one for one in found if isinstance(one, Found)])
    units = with_norms(whole.units)
    if mapping:
        pairs = list(mapped(net, units, mapping, about))
    elif units and all(unit.layer is not None for unit in units):
        pairs = list(numbered(net, units))
    else:
        slots = slots_of(net)
        pairs = in_order(slots, units)
        if not whole.ordered and problems(pairs):
            pairs = by_shape(slots, units, int(net._info().latent_layer)) or pairs
    wrong = problems(pairs) + ([] if mapping else [f"{name} is of a layer that import does not know" for name in whole.unknown])
    if wrong:
        raise misfit(net, about, wrong)
    changes = Changes(net)
    lines = [changes.take(slot, unit) for slot, unit in pairs if slot and unit]
    changes.apply(about)
    return lines


def misfit(net: Network, about: str, wrong: Sequence[str]) -> errors.UsageError:
    return errors.UsageError(
        f"{about} does not fit {net.cfg}: {'; '.join(wrong)} (-map LAYER=NAME, mapping= in Python, says what goes where)"
    )


# ---- the network's side ----


def roles_of(net: Network) -> dict[int, list[tuple[str, slice]]]:
    """Of the layers that [sampling] reads, as [log-variance | mean]: what they give, with which of their outputs."""
    latent = int(net._info().latent_layer)
    if latent < 1 or net.layers[latent].type != "sampling":
        return {}

    def back(i: int) -> int:
        while i > 0 and net.layers[i].type in PASSING:
            i -= 1
        return i

    last = back(latent - 1)
    if net.layers[last].type == "route":
        words = sections(net.cfg_text)[last + 1][1].get("layers", "").split(",")
        both = [back(int(word) + last if int(word) < 0 else int(word)) for word in words]
        if len(set(both)) == 2:
            return {both[1]: [("mean", slice(None))], both[0]: [("log_variance", slice(None))]}
    elif net.layers[last].type in ("connected", "convolutional"):
        n = net.layers[last].params["weights"].shape[0]
        if n % 2 == 0:
            return {last: [("mean", slice(n // 2, n)), ("log_variance", slice(0, n // 2))]}
    return {}


def slots_of(net: Network) -> list[Slot]:
    """In the order of layers, means before log-variances."""
    roles, slots = roles_of(net), list[Slot]()
    for layer in net.layers:
        inside = layer if "rolling_mean" in layer.params else None
        if layer.type in KINDS:
            for role, rows in roles.get(layer.index, [("", slice(None))]):
                slots.append(Slot(layer, role, rows, inside))
        elif layer.type == "batchnorm":
            of = [slot for slot in slots if slot.layer is slots[-1].layer and not slot.norm and follows(net, slot, layer)]
            for slot in of:
                slot.norm = layer
            if not of:
                slots.append(Slot(layer, norm=layer))
        elif layer.params and layer.type not in ("cost", "sampling"):
            raise errors.UsageError(
                f"import knows [connected], [convolutional], [deconvolutional] and [batchnorm]; {net.cfg} has layer "
                f"{layer.index} [{layer.type}]: say which layers are imported by a mapping"
            )
    at = [slot.role for slot in slots]
    if "mean" in at and "log_variance" in at and at.index("log_variance") < at.index("mean"):
        slots.insert(at.index("log_variance"), slots.pop(at.index("mean")))
    return slots


def follows(net: Network, slot: Slot, norm: Layer) -> bool:
    """Is there nothing between a layer and its [batchnorm] that changes the number of channels?"""
    between = net.layers[slot.layer.index + 1 : norm.index]
    return all(layer.type in ("activation", "dropout") for layer in between)


# ---- which layer of the file goes where ----

Pair = tuple[Slot | None, Unit | None]


def with_norms(units: Sequence[Unit]) -> list[Unit]:
    """A batch normalisation joins the layer before it, if that has as many outputs."""
    joined = list[Unit]()
    for unit in units:
        of = joined[-1].weights if joined and not joined[-1].norm else None
        if unit.weights is None and unit.norm and unit.layer is None and of is not None:
            outputs = (of.shape[0], of.shape[1]) if of.ndim == 4 else (of.shape[0],)
            if unit.norm.mean.size in outputs:
                joined[-1].norm = unit.norm
                continue
        joined.append(unit)
    return joined


def halves(unit: Unit) -> list[Unit]:
    """Of a layer for both, means first."""
    assert unit.weights is not None
    n = len(unit.weights) // 2
    found = []
    for role, rows in (("mean", slice(0, n)), ("log_variance", slice(n, 2 * n))):
        norm = unit.norm
        if norm:
            parts = [values[rows] for values in (norm.mean, norm.variance, norm.scales, norm.biases)]
            norm = Norm(norm.name, parts[0], parts[1], parts[2], parts[3], norm.epsilon)
        biases = None if unit.biases is None else unit.biases[rows]
        found.append(Unit(unit.name, unit.weights[rows], biases, norm, role=role))
    return found


def is_both(slots: Sequence[Slot], unit: Unit) -> bool:
    """Does a layer give the means and log-variances of two slots?"""
    return unit.weights is not None and len(slots) == 2 and len(unit.weights) == sum(slot.shape[0] for slot in slots)


def in_order(slots: Sequence[Slot], units: Sequence[Unit]) -> list[Pair]:
    units = list(units)
    for i, (slot, unit) in enumerate(zip(slots, units, strict=False)):
        after = units[i + 1] if i + 1 < len(units) else None
        if slot.role == "mean" and is_both(slots[i : i + 2], unit):
            units[i : i + 1] = halves(unit)
            break
        if slot.role == "mean" and after and (unit.role, after.role) == ("log_variance", "mean"):
            units[i : i + 2] = [after, unit]
    return list(zip_longest(slots, units))


def by_shape(slots: Sequence[Slot], units: Sequence[Unit], latent: int) -> list[Pair] | None:
    """Where only names order a file: each layer takes the first one that fits. None: not all do."""
    from .foreign_weights import half_of

    left, pairs, i = list(units), list[Pair](), 0
    while i < len(slots):
        slot, half = slots[i], 0 if slots[i].layer.index <= latent else 2
        able = [unit for unit in left if half_of(unit.name) in (1, half)]
        both = [unit for unit in able if slot.role == "mean" and is_both(slots[i : i + 2], unit)
                and not problems(list(zip(slots[i : i + 2], halves(unit), strict=True)))]  # fmt: skip
        fit = [unit for unit in able if unit.role in ("", slot.role) and not problems([(slot, unit)])]
        fit.sort(key=lambda unit: unit.role != slot.role)
        if both:
            pairs += zip(slots[i : i + 2], halves(both[0]), strict=True)
        elif fit:
            pairs.append((slot, fit[0]))
        else:
            return None
        left.remove((both or fit)[0])
        i += 2 if both else 1
    return None if left else pairs


def numbered(net: Network, units: Sequence[Unit]) -> Iterator[Pair]:
    """As this package exports: whole layers by their numbers, with [log-variance | mean] as they are."""
    seen = set[int]()
    for unit in units:
        layer = net.layers[unit.layer] if unit.layer is not None and unit.layer < len(net.layers) else None
        if layer is None or layer.type not in (*KINDS, "batchnorm"):
            yield None, unit
        else:
            seen.add(layer.index)
            yield Slot(layer, norm=layer if "rolling_mean" in layer.params else None), unit
    for layer in net.layers:
        if layer.type in (*KINDS, "batchnorm") and layer.index not in seen:
            yield Slot(layer), None


def mapped(net: Network, units: Sequence[Unit], mapping: Mapping[int | str, str | Sequence[str]], about: str) -> Iterator[Pair]:
    import difflib

    known, layers = {unit.name: unit for unit in units}, {layer.name: layer for layer in net.layers if layer.name}
    roles = roles_of(net)
    for key, value in mapping.items():
        number = int(key) if str(key).isdecimal() else -1
        layer = net.layers[number] if 0 <= number < len(net.layers) else layers.get(str(key))
        if layer is None or layer.type not in (*KINDS, "batchnorm"):
            raise errors.UsageError(
                f"mapping: {net.cfg} has no layer {key!r} that takes weights: a number as in inspect, or its name="
            )
        found = []
        for name in [value] if isinstance(value, str) else list(value):
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise errors.UsageError(
                    f"mapping: {about} has no layer {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
                )
            found.append(known[name])
        norm = layer if "rolling_mean" in layer.params else None
        slots = [Slot(layer, role, rows, norm) for role, rows in roles.get(layer.index, [("", slice(None))])]
        if len(found) == 1 and is_both(slots, found[0]):
            found = halves(found[0])
        yield from zip_longest(slots, found)


def problems(pairs: Sequence[Pair]) -> list[str]:
    """Of layers that do not fit: which, the shape that is wanted and the one that was found."""
    wrong = []
    for slot, unit in pairs:
        if slot and not unit:
            wrong.append(f"{slot} wants {slot.wants}, found none")
        elif unit and not slot:
            wrong.append(f"{unit.name} {unit.shape} is left over")
        elif slot and unit:
            wrong += misfits(slot, unit)
    return wrong


def misfits(slot: Slot, unit: Unit) -> list[str]:
    has, wants = unit.shape, slot.shape
    if (unit.weights is None) != (slot.layer.type == "batchnorm"):
        kind = ", a batch normalisation" if unit.weights is None else ""
        return [f"{slot} wants {slot.wants}, found {unit.name} {has}{kind}"]
    flat = (has[0], int(np.prod(has[1:])))
    if has != wants and not (slot.layer.type == "connected" and flat == wants):
        return [f"{slot} wants {slot.wants}, found {unit.name} {has}"]
    outputs = wants[1] if slot.layer.type == "deconvolutional" else wants[0]
    wrong = []
    if unit.biases is not None and unit.biases.shape != (outputs,):
        wrong.append(f"{slot} wants biases {(outputs,)}, found {unit.name} {unit.biases.shape}")
    if unit.norm and unit.norm.mean.shape != (outputs,):
        wrong.append(f"{slot} wants {(outputs,)} of a batch normalisation, found {unit.norm.name} {unit.norm.mean.shape}")
    return wrong


# ---- values ----


class Changes:
    """New parameters, put into the network when all of them are known."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.values: dict[tuple[int, str], Values] = {}
        word = sections(net.cfg_text)[0][1].get("bn_epsilon") or "1e-5"
        self.epsilon = None if word == "legacy" else float(word)

    def put(self, layer: Layer, name: str, rows: slice, values: Values) -> None:
        key = (layer.index, name)
        if key not in self.values:
            self.values[key] = np.array(layer.params[name], np.float64)
        self.values[key][rows] = values.reshape(self.values[key][rows].shape)

    def take(self, slot: Slot, unit: Unit) -> str:
        layer, rows, norm = slot.layer, slot.rows, unit.norm
        line = line_of(layer) + f"{unit.name} {unit.shape}"
        line += f"  {slot.role.replace('_', '-')}s" if slot.role else ""
        if unit.weights is None:
            assert norm
            self.put_norm(layer, rows, norm)
            return line
        weights = unit.weights.astype(np.float64)
        outputs = weights.shape[1] if layer.type == "deconvolutional" else weights.shape[0]
        biases = np.zeros(outputs) if unit.biases is None else unit.biases.astype(np.float64)
        if slot.role == "log_variance" and is_log_deviation(unit.name):
            line += ", twice: of log sigma"
            if norm:
                norm = Norm(norm.name, norm.mean, norm.variance, 2 * norm.scales, 2 * norm.biases, norm.epsilon)
            else:
                weights, biases = 2 * weights, 2 * biases
        if norm and not slot.norm:
            line += f", with {norm.name} computed into it"
            scale = norm.scales / np.sqrt(norm.variance.astype(np.float64) + norm.epsilon)
            weights = weights * scale.reshape((-1, 1, 1) if layer.type == "deconvolutional" else (-1, *[1] * (weights.ndim - 1)))
            biases = scale * (biases - norm.mean) + norm.biases
        elif norm:
            line += f", {norm.name}"
        if slot.norm:
            ones = np.ones(outputs)
            norm = norm or Norm("", 0 * ones, ones, ones, 0 * ones, 0)
            if slot.norm is layer:  # whose biases come after it
                norm = Norm(norm.name, norm.mean - biases, norm.variance, norm.scales, norm.biases, norm.epsilon)
            self.put_norm(slot.norm, rows, norm)
        self.put(layer, "weights", rows, weights)
        if slot.norm is not layer:
            self.put(layer, "biases", rows, biases)
        return line

    def put_norm(self, layer: Layer, rows: slice, norm: Norm) -> None:
        """With the layer's own epsilon: the variance moves, and where it would be negative the scales do."""
        root = np.sqrt(norm.variance.astype(np.float64) + norm.epsilon)
        if self.epsilon is None:
            variance = np.maximum(root - 1e-6, 0) ** 2
            ours = np.sqrt(variance) + 1e-6
        else:
            variance = np.maximum(root**2 - self.epsilon, 0)
            ours = np.sqrt(variance + self.epsilon)
        self.put(layer, "scales", rows, norm.scales * ours / root)
        self.put(layer, "rolling_mean", rows, norm.mean)
        self.put(layer, "rolling_variance", rows, variance)
        self.put(layer, "biases", rows, norm.biases)

    def apply(self, about: str) -> None:
        for (i, name), values in self.values.items():
            with np.errstate(over="ignore"):
                if not np.isfinite(values.astype(np.float32)).all():
                    raise errors.FormatError(f"{about}: the {name} of layer {i} [{self.net.layers[i].type}] are not all finite")
        for (i, name), values in self.values.items():
            self.net.layers[i].set(name, values)


def is_log_deviation(name: str) -> bool:
    words = name.lower().replace("_", "").replace(".", "").replace("/", "")
    return "logsigma" in words or "logstd" in words


def put_by_name(net: Network, arrays: Mapping[str, Values], about: str) -> list[str]:
    """Of names such as 0.weights, which export -npz writes."""
    wants = {f"{layer.index}.{name}": (layer, name) for layer in net.layers for name in layer.params}
    wrong = [f"layer {layer.index} [{layer.type}] wants {name} {layer.params[name].shape}, found "
             + (f"{arrays[key].shape}" if key in arrays else "none")
             for key, (layer, name) in wants.items()
             if key not in arrays or arrays[key].shape != layer.params[name].shape]  # fmt: skip
    wrong += [f"{key} {values.shape} is left over" for key, values in arrays.items() if key not in wants]
    if wrong:
        raise misfit(net, about, wrong)
    changes = Changes(net)
    for key, values in arrays.items():
        changes.values[wants[key][0].index, wants[key][1]] = values.astype(np.float64)
    changes.apply(about)
    return [line_of(layer) + f"{key} {arrays[key].shape}" for key, (layer, _) in wants.items()]


def line_of(layer: Layer) -> str:
    return f"layer {layer.index:<3} [{layer.type}]".ljust(28)
