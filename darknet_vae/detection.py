"""Objects in an image: what the detector heads of a network detect, as boxes with classes and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from . import errors, images
from ._lib import Array, check, ffi, lib, pointer

if TYPE_CHECKING:
    from .network import Network


@dataclass
class Detections:
    """n objects, best score first. A box with scores for two classes counts twice."""

    boxes: Array
    """(n, 4): x, y of the centre, width, height, in pixels of the image."""
    classes: npt.NDArray[np.intp]
    """(n,)"""
    scores: Array
    """(n,): objectness times class probability."""
    objectness: Array
    """(n,)"""

    def __len__(self) -> int:
        return len(self.scores)

    def _repr_html_(self) -> str:
        """In notebooks: a row for each object."""
        from . import _html

        return _html.detections(self)

    @property
    def corners(self) -> Array:
        """(n, 4): left, top, right, bottom, in pixels; they may lie outside the image."""
        half = self.boxes[:, 2:] / 2
        return np.concatenate([self.boxes[:, :2] - half, self.boxes[:, :2] + half], axis=1)


def boxes(
    net: Network, row: int, width: int, height: int, threshold: float, letterboxed: bool = False, relative: bool = False
) -> Array:
    """The boxes of a row of the last forward pass, for a picture of width x height pixels: (n, 5 + classes), each x, y, w, h,
    objectness, scores."""
    options = ffi.new("dn_box_options *", {"threshold": threshold, "image_width": width, "image_height": height})
    options.letterboxed, options.relative = letterboxed, relative
    count = ffi.new("size_t *")
    check(lib.dn_net_boxes(net._handle, row, options, ffi.NULL, 0, count))
    out = np.empty((count[0], 5 + lib.dn_net_box_classes(net._handle)), np.float32)
    check(lib.dn_net_boxes(net._handle, row, options, pointer(out), len(out), count))
    return out


def suppress(found: Array, overlap: float, across_classes: bool = False) -> Array:
    """A copy of (n, 5 + classes) boxes after non-maximum suppression; suppressed scores are 0."""
    out = np.array(found, np.float32, order="C")
    check(lib.dn_boxes_suppress(pointer(out), len(out), out.shape[1] - 5, overlap, across_classes))
    return out


def detect(
    net: Network, image: npt.ArrayLike, threshold: float, nms: float | None, letterbox: bool, across_classes: bool
) -> Detections:
    """Implements `Network.detect`."""
    if not 0 <= threshold <= 1:
        raise errors.UsageError(f"threshold={threshold} is not in 0 to 1")
    if nms is not None and not 0 <= nms <= 1:
        raise errors.UsageError(f"nms={nms} is not in 0 to 1")
    if not lib.dn_net_box_classes(net._handle):
        raise errors.UsageError(f"{net.cfg}: no detector head ([yolo], [region], [detection]): nothing to detect with")
    if net.input_shape is None:
        raise errors.UsageError(f"{net.cfg}: its input is no image (height, width, channels)")
    channels, height, width = net.input_shape
    picture = images.picture(image, channels)
    fitted = (images.letterbox if letterbox else images.resize)(picture, height, width)
    net.forward(np.ascontiguousarray(fitted.transpose(2, 0, 1)).reshape(1, -1))
    found = boxes(net, 0, picture.shape[1], picture.shape[0], threshold, letterboxed=letterbox)
    if nms is not None:
        found = suppress(found, nms, across_classes)
    box, classes = np.nonzero(found[:, 5:])
    scores = found[box, 5 + classes]
    order = np.argsort(-scores, kind="stable")
    box, classes, scores = box[order], classes[order], scores[order]
    return Detections(found[box, :4], classes, scores, found[box, 4])
