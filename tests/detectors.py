"""The detector heads once more, in plain numpy and double precision, straight from their published descriptions.

Every head's delta is scale * (target - output). Which targets belong to which outputs depends on the outputs themselves; with
the assignment held fixed, the delta is minus the derivative, by the head's input, of a sum over its outputs:

    linear     1/2 scale (target - x)^2
    bce        scale (log(1 + e^x) - target x)                     the output is logistic(x)
    squared    1/2 scale (target - logistic(x))^2
    softmax    scale (sum of targets * log-sum-exp(x) - target x)  over the outputs of one distribution
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import darknet_vae as dv

LINEAR, BCE, SQUARED, SOFTMAX = range(4)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes x, y (centre), w, h."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    both = np.prod(np.maximum(high - low, 0))
    either = np.prod(a[2:]) + np.prod(b[2:]) - both
    return float(both / either) if either > 0 else 0.0


def shape_iou(a: np.ndarray, b: np.ndarray) -> float:
    return iou(np.array([0, 0, *a]), np.array([0, 0, *b]))


@dataclass
class Head:
    """A head of a network: its section, and what its kind makes of it."""

    kind: str
    keys: dict[str, str]
    index: int
    net_size: tuple[int, int]  # height, width
    shape: tuple[int, ...]  # of its output
    tree: list[int] = field(default_factory=list)  # parents

    def number(self, key: str, default: float) -> Any:
        value = float(self.keys.get(key, default))
        return int(value) if value == int(value) else value

    def numbers(self, key: str) -> np.ndarray:
        return np.array([float(value) for value in self.keys[key].split(",")])

    def siblings(self, node: int) -> list[int]:
        return [other for other, parent in enumerate(self.tree) if parent == self.tree[node]]


@dataclass
class Targets:
    """Of the outputs of one row."""

    kinds: np.ndarray
    groups: list[np.ndarray]  # (softmaxes, outputs of each)
    scale: np.ndarray
    target: np.ndarray

    def objective(self, x: np.ndarray) -> float:
        scale, target, kinds = self.scale.ravel(), self.target.ravel(), self.kinds.ravel()
        terms = np.select(
            [kinds == LINEAR, kinds == BCE, kinds == SQUARED],
            [(target - x) ** 2 / 2, np.logaddexp(0, x) - target * x, (target - logistic(x)) ** 2 / 2],
        )
        total = float((scale * terms).sum())
        for group in self.groups:
            top = x[group].max(1, keepdims=True)
            log_sum = top + np.log(np.exp(x[group] - top).sum(1, keepdims=True))
            total += float((scale[group] * target[group] * (log_sum - x[group])).sum())
        return total


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    found = re.findall(r"^\[(\w+)\]([^\[]*)", text, flags=re.M)
    return [(name, dict(re.findall(r"^(\w+)=(.*)$", body, flags=re.M))) for name, body in found]


def heads(net: dv.Network) -> list[Head]:
    _, *layers = sections(Path(net.cfg).read_text())
    size = net.input_shape[1:] if net.input_shape else (0, 0)
    found = []
    for i, (kind, keys) in enumerate(layers):
        if kind in KINDS:
            parents = Path(keys["tree"]).read_text().split()[1::2] if "tree" in keys else []
            found.append(Head(kind, keys, i, size, net.layers[i].shape, [int(parent) for parent in parents]))
    return found


# ---- grids of anchors: [yolo], [region]


def grid(head: Head) -> tuple[int, int, int, int, int]:
    """anchors of the head, coordinates, classes, height, width"""
    n = head.number("num", 1)
    if head.kind == "yolo" and "mask" in head.keys:
        n = len(head.numbers("mask"))
    return n, head.number("coords", 4), head.number("classes", 20), *head.shape[1:]


def anchors(head: Head) -> np.ndarray:
    """(num, 2): width and height, relative to the image."""
    height, width = head.net_size if head.kind == "yolo" else head.shape[1:]
    return head.numbers("anchors").reshape(-1, 2) / [width, height]


def grid_layout(head: Head) -> tuple[np.ndarray, list[np.ndarray]]:
    n, coords, classes, h, w = grid(head)
    kinds = np.full((n, coords + 1 + classes, h, w), LINEAR)
    number = np.arange(kinds.size).reshape(kinds.shape)
    groups: list[np.ndarray] = []
    if head.kind == "yolo":
        kinds[:, [0, 1, *range(4, 5 + classes)]] = BCE
        return kinds, groups
    kinds[:, [0, 1, *range(4, coords + 1)]] = SQUARED
    kinds[:, coords + 1 :] = BCE
    background = head.number("background", 0)
    sets = [list(range(coords + 1 - background, coords + 1 + classes))] if head.number("softmax", 0) else []
    if head.tree:
        sets = [[coords + 1 + node for node in head.siblings(k)] for k in range(classes) if head.siblings(k)[0] == k]
    for members in sets:
        kinds[:, members] = SOFTMAX
        groups.append(np.moveaxis(number[:, members], 1, -1).reshape(-1, len(members)))
    return kinds, groups


def grid_box(y: np.ndarray, a: int, anchor: np.ndarray, i: int, j: int) -> np.ndarray:
    h, w = y.shape[2:]
    v = y[a, :4, i, j]
    return np.array([(j + v[0]) / w, (i + v[1]) / h, *np.exp(v[2:]) * anchor])


def objects(head: Head, truth: np.ndarray) -> list[np.ndarray]:
    rows = truth.reshape(-1, head.number("coords", 4) + 1)
    found = []
    for row in rows:
        if row[0] == 0:
            break
        if "map" in head.keys:
            row = row.copy()
            row[-1] = float(Path(head.keys["map"]).read_text().split()[int(row[-1])])
        found.append(row)
    return found


def pull_box(s: np.ndarray, t: np.ndarray, a: int, anchor: np.ndarray, i: int, j: int, box: np.ndarray, scale: float) -> None:
    h, w = s.shape[2:]
    s[a, :4, i, j] = scale
    t[a, :4, i, j] = [box[0] * w - j, box[1] * h - i, *np.log(box[2:] / anchor)]


def pull_classes(head: Head, s: np.ndarray, t: np.ndarray, a: int, i: int, j: int, chosen: int, scale: float, many: bool) -> None:
    first = head.number("coords", 4) + 1
    if head.tree:
        while chosen >= 0:
            for node in head.siblings(chosen):
                s[a, first + node, i, j], t[a, first + node, i, j] = scale, node == chosen
            chosen = head.tree[chosen]
    elif many and s[a, first, i, j]:
        s[a, first + chosen, i, j], t[a, first + chosen, i, j] = scale, 1
    else:
        s[a, first:, i, j], t[a, first:, i, j] = scale, 0
        t[a, first + chosen, i, j] = 1


def yolo(head: Head, y: np.ndarray, truth: np.ndarray, seen: int) -> tuple[np.ndarray, np.ndarray]:
    n, _, classes, h, w = grid(head)
    y = y.reshape(n, 5 + classes, h, w)
    s, t = np.zeros_like(y), np.zeros_like(y)
    every = anchors(head)
    mask = head.numbers("mask").astype(int) if "mask" in head.keys else np.arange(n)
    boxes = objects(head, truth)

    def pull(a: int, i: int, j: int, box: np.ndarray) -> None:
        pull_box(s, t, a, every[mask[a]], i, j, box[:4], 2 - box[2] * box[3])
        s[a, 4, i, j] = t[a, 4, i, j] = 1
        pull_classes(head, s, t, a, i, j, int(box[4]), 1, many=True)

    for a, i, j in np.ndindex(n, h, w):
        overlaps = [iou(grid_box(y, a, every[mask[a]], i, j), box[:4]) for box in boxes] or [0.0]
        s[a, 4, i, j] = max(overlaps) <= head.number("ignore_thresh", 0.5)
        if max(overlaps) > head.number("truth_thresh", 1):
            pull(a, i, j, boxes[int(np.argmax(overlaps))])
    for box in boxes:
        nearest = int(np.argmax([shape_iou(anchor, box[2:4]) for anchor in every]))
        if nearest in mask:
            pull(list(mask).index(nearest), min(int(box[1] * h), h - 1), min(int(box[0] * w), w - 1), box)
    return s, t


def region(head: Head, y: np.ndarray, truth: np.ndarray, seen: int) -> tuple[np.ndarray, np.ndarray]:
    n, coords, classes, h, w = grid(head)
    y = y.reshape(n, coords + 1 + classes, h, w)
    s, t = np.zeros_like(y), np.zeros_like(y)
    every = anchors(head)
    boxes = objects(head, truth)
    background = head.number("background", 0)
    noobject, class_scale = head.number("noobject_scale", 1), head.number("class_scale", 1)
    many = not head.number("softmax", 0)
    alone = [box for box in boxes if box[0] > 100000 and box[1] > 100000]
    if alone:
        s[:, coords] = noobject
        chosen = node = int(alone[0][-1])
        p = y[:, coords].copy()
        while node >= 0:
            p *= y[:, coords + 1 + node]
            node = head.tree[node]
        a, i, j = np.unravel_index(np.argmax(p), p.shape)
        s[a, coords, i, j] = 0
        pull_classes(head, s, t, int(a), int(i), int(j), chosen, class_scale, many)
        return s, t
    for a, i, j in np.ndindex(n, h, w):
        overlaps = [iou(grid_box(y, a, every[a], i, j), box[:4]) for box in boxes] or [0.0]
        if max(overlaps) <= head.number("thresh", 0.5):
            s[a, coords, i, j], t[a, coords, i, j] = noobject, background
        if seen < 12800:
            pull_box(s, t, a, every[a], i, j, np.array([(j + 0.5) / w, (i + 0.5) / h, *every[a]]), 0.01)
    for box in boxes:
        i, j = min(int(box[1] * h), h - 1), min(int(box[0] * w), w - 1)
        own = every if head.number("bias_match", 0) else [grid_box(y, a, every[a], i, j)[2:] for a in range(n)]
        a = int(np.argmax([shape_iou(size, box[2:4]) for size in own]))
        pull_box(s, t, a, every[a], i, j, box[:4], head.number("coord_scale", 1) * (2 - box[2] * box[3]))
        s[a, 4:coords, i, j], t[a, 4:coords, i, j] = head.number("mask_scale", 1), box[4:-1]
        overlap = iou(grid_box(y, a, every[a], i, j), box[:4])
        s[a, coords, i, j] = head.number("object_scale", 1)
        t[a, coords, i, j] = 0 if background else overlap if head.number("rescore", 0) else 1
        pull_classes(head, s, t, a, i, j, int(box[-1]), class_scale, many)
    return s, t


def grid_truth(head: Head, random: np.random.Generator) -> np.ndarray:
    coords, classes = head.number("coords", 4), head.number("classes", 20)
    rows = np.zeros((head.number("max", 90 if head.kind == "yolo" else 30), coords + 1))
    n = min(random.integers(0, 5), len(rows))
    rows[:n, :2], rows[:n, 2:4] = random.uniform(0.05, 0.95, (n, 2)), random.uniform(0.1, 0.6, (n, 2))
    rows[:n, 4:-1] = random.uniform(size=(n, coords - 4))
    rows[:n, -1] = random.integers(0, classes, n)
    if n > 2:
        rows[1, :4] = rows[0, :4]  # two classes of one box
    return rows.ravel()


# ---- [detection]


def cells(head: Head) -> tuple[int, int, int, int]:
    """cells, boxes, classes, coordinates"""
    return head.number("side", 7) ** 2, head.number("num", 1), head.number("classes", 1), head.number("coords", 4)


def detection_layout(head: Head) -> tuple[np.ndarray, list[np.ndarray]]:
    n, boxes, classes, coords = cells(head)
    kinds = np.full(n * (classes + boxes * (1 + coords)), LINEAR)
    if not head.number("softmax", 0):
        return kinds, []
    kinds[: n * classes] = SOFTMAX
    return kinds, [np.arange(n * classes).reshape(n, classes)]


def detection(head: Head, y: np.ndarray, truth: np.ndarray, seen: int) -> tuple[np.ndarray, np.ndarray]:
    n, boxes, classes, coords = cells(head)
    side, root = head.number("side", 7), head.number("sqrt", 0)
    s, t = np.zeros_like(y), np.zeros_like(y)

    def parts(v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b = n * classes, n * (classes + boxes)
        return v[:a].reshape(n, classes), v[a:b].reshape(n, boxes), v[b:].reshape(n, boxes, coords)

    (_, _, place), (s_class, s_confidence, s_place), (t_class, t_confidence, t_place) = parts(y), parts(s), parts(t)
    s_confidence[:] = head.number("noobject_scale", 1)
    for cell, row in enumerate(truth.reshape(n, -1)):
        if not int(row[0]):
            continue
        s_class[cell], t_class[cell] = head.number("class_scale", 1), row[1 : 1 + classes]
        box = row[1 + classes : 5 + classes]
        within = np.array([side, side, 1, 1])
        mine = [v[:4] / within if not root else np.array([v[0] / side, v[1] / side, v[2] ** 2, v[3] ** 2]) for v in place[cell]]
        overlaps = [iou(m, box / within) for m in mine]
        best = int(np.argmax(overlaps) if max(overlaps) > 0 else np.argmin([((m - box / within) ** 2).sum() for m in mine]))
        if head.number("forced", 0):
            best = int(box[2] * box[3] < 0.1)
        s_confidence[cell, best] = head.number("object_scale", 1)
        t_confidence[cell, best] = overlaps[best] if head.number("rescore", 0) else 1
        s_place[cell, best, :4] = head.number("coord_scale", 1)
        t_place[cell, best, :4] = [*box[:2], *(np.sqrt(box[2:]) if root else box[2:])]
    return s, t


def detection_truth(head: Head, random: np.random.Generator) -> np.ndarray:
    n, _, classes, coords = cells(head)
    rows = np.zeros((n, 1 + classes + coords))
    chosen = random.uniform(size=n) < 0.6
    rows[chosen, 0] = 1
    rows[np.arange(n)[chosen], 1 + random.integers(0, classes, chosen.sum())] = 1
    rows[chosen, 1 + classes :] = random.uniform(0.05, 0.6, (chosen.sum(), coords))
    return rows.ravel()


# ---- [iseg]


def iseg_layout(head: Head) -> tuple[np.ndarray, list[np.ndarray]]:
    kinds = np.full(head.shape, LINEAR)
    kinds[: head.number("classes", 20)] = BCE
    return kinds, []


def iseg(head: Head, y: np.ndarray, truth: np.ndarray, seen: int) -> tuple[np.ndarray, np.ndarray]:
    y = y.reshape(head.shape)
    classes = head.number("classes", 20)
    s, t = np.ones_like(y), np.zeros_like(y)
    s[classes:] = 0.001
    found = []
    for row in truth.reshape(90, -1):
        if row[0] < 0:
            break
        mask = row[1:].reshape(head.shape[1:])
        t[int(row[0])][mask != 0] = mask[mask != 0]
        found.append((mask != 0, y[classes:, mask != 0].mean(1) if mask.any() else None))
    for own, (mask, _) in enumerate(found):
        for other, (_, mean) in enumerate(found):
            if mean is None:
                continue
            for i, j in np.argwhere(mask):
                towards = np.where(mean - y[classes:, i, j] < 0, -1, 1)  # scale 0.001, so 0.01 * 0.1 of the sign
                t[classes:, i, j] += towards if other == own else -towards
    return s, t


def iseg_truth(head: Head, random: np.random.Generator) -> np.ndarray:
    plane = head.shape[1] * head.shape[2]
    rows = np.zeros((90, 1 + plane))
    n = random.integers(0, 4)
    rows[:n, 0] = random.integers(0, head.number("classes", 20), n)
    rows[n, 0] = -1
    rows[:n, 1:] = random.uniform(size=(n, plane)) < 0.4
    return rows.ravel()


KINDS = {
    "yolo": (grid_layout, yolo, grid_truth),
    "region": (grid_layout, region, grid_truth),
    "detection": (detection_layout, detection, detection_truth),
    "iseg": (iseg_layout, iseg, iseg_truth),
}


def truth_of(head: Head, rows: int, random: np.random.Generator) -> np.ndarray:
    return np.stack([KINDS[head.kind][2](head, random) for _ in range(rows)]).astype(np.float32)


def output_of(head: Head, x: np.ndarray) -> np.ndarray:
    """(outputs,) of one row."""
    kinds, groups = KINDS[head.kind][0](head)
    y = np.where((kinds.ravel() == BCE) | (kinds.ravel() == SQUARED), logistic(x), x)
    for group in groups:
        e = np.exp(x[group] - x[group].max(1, keepdims=True))
        y[group] = e / e.sum(1, keepdims=True)
    return y


def targets_of(head: Head, x: np.ndarray, truth: np.ndarray, seen: int) -> Targets:
    """Of one row; `seen`: rows of training with this pass."""
    kinds, groups = KINDS[head.kind][0](head)
    scale, target = KINDS[head.kind][1](head, output_of(head, x), truth.astype(np.float64), seen)
    return Targets(kinds, groups, scale, target)


class Objective:
    """The sum of what all heads of a network descend, with assignments as they were when it was made."""

    def __init__(self, net: dv.Network, truth: np.ndarray) -> None:
        self.net = net
        self.heads = [
            (head, [targets_of(head, x, t, net.seen) for x, t in zip(self.input_of(head), truth, strict=True)])
            for head in heads(net)
        ]

    def input_of(self, head: Head) -> np.ndarray:
        return self.net.layers[head.index - 1].output.astype(np.float64)

    def __call__(self) -> float:
        return sum(t.objective(x) for head, rows in self.heads for t, x in zip(rows, self.input_of(head), strict=True))
