"""Pictures as arrays (height, width, channels): checking them, resizing them, fitting them into a network's input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import errors
from ._lib import Array, ffi, lib

GREY = 0.5  # fills the rest when a picture's aspect ratio is not the input's


def picture(values: npt.ArrayLike, channels: int) -> Array:
    """An image as float32 (height, width, channels); (height, width) has one channel. uint8 becomes value / 255."""
    array = np.asarray(values)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape or array.shape[2] != channels:
        raise errors.UsageError(f"an image of shape {np.shape(values)}; wanted is (height, width, {channels})")
    if array.dtype.kind not in "uifb":
        raise errors.UsageError(f"an image of type {array.dtype}; wanted are numbers")
    result = array.astype(np.float32)
    if not np.isfinite(result).all():
        raise errors.UsageError("an image with values that are not finite numbers")
    return result / np.float32(255) if array.dtype == np.uint8 else result


def _along(image: Array, axis: int, size: int) -> Array:
    """Linear interpolation along an axis; the first and last values stay in place."""
    old = image.shape[axis]
    at = np.linspace(0, old - 1, size) if size > 1 else np.zeros(1)
    near = np.minimum(at.astype(np.intp), max(old - 2, 0))
    far = np.minimum(near + 1, old - 1)
    part = (at - near).astype(np.float32).reshape((size,) + (1,) * (image.ndim - 1 - axis))
    out: Array = np.take(image, near, axis) * (1 - part) + np.take(image, far, axis) * part
    return out


def resize(image: Array, height: int, width: int) -> Array:
    """(height, width, channels): bilinear, corner to corner."""
    return _along(_along(image, 1, width), 0, height)


def letterbox(image: Array, height: int, width: int) -> Array:
    """(height, width, channels): the image centred with its aspect ratio kept, grey around it."""
    fitted = ffi.new("int[2]")
    lib.dn_letterbox_size(width, height, image.shape[1], image.shape[0], fitted, fitted + 1)
    top, left = (height - fitted[1]) // 2, (width - fitted[0]) // 2
    out = np.full((height, width, image.shape[2]), GREY, np.float32)
    out[top : top + fitted[1], left : left + fitted[0]] = resize(image, fitted[1], fitted[0])
    return out
