"""Trainings in TensorBoard, by tensorboardX."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from .training import Progress

_PLACE = ("epoch", "batch", "rows", "epoch_done")  # where a record is, not what was measured
_RATES = ("learning_rate", "beta", "seconds", "rows_per_second")


class TensorBoard:
    """A callback that writes every epoch's record for TensorBoard into a folder:

        net.train(X, epochs=50, holdout=0.1, callback=dv.TensorBoard("runs/one"))

    Losses and scores are under train/ and valid/, rates and times under rate/; steps are epochs. Several trainings with one
    callback continue its curves. Needs tensorboardX: pip install 'darknet-vae[tensorboard]'."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise errors.MissingPackageError("TensorBoard needs tensorboardX: pip install 'darknet-vae[tensorboard]'") from None
        self._make: Any = tensorboardX.SummaryWriter
        self._folder, self._files, self._writer = os.fspath(folder), 0, None
        self._before = self._last = 0
        self._open()
        atexit.register(self.close)  # it writes in a thread of its own, which would lose the last second

    def _open(self) -> Any:
        """The writer; names of files have the second they were opened in, and a number of ours."""
        if self._writer is None:
            self._files += 1
            suffix = f".{os.getpid()}.{self._files}"
            self._writer = self._make(self._folder, flush_secs=1, filename_suffix=suffix)
        return self._writer

    def __call__(self, progress: Progress) -> None:
        if progress.epoch <= self._last:  # another training
            self._before += self._last
        self._last = progress.epoch
        writer = self._open()
        for name, value in progress.record.items():
            if name not in _PLACE:
                writer.add_scalar(_tag(name), value, self._before + progress.epoch)
        if progress.finished:
            self.close()

    def close(self) -> None:
        """Write what is waiting, which is otherwise done within a second, at the end of a training and at that of the program.
        Another training opens another file in the folder."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(name: str) -> str:
    if name.startswith("valid_"):
        return "valid/" + name.removeprefix("valid_")
    rate = name in _RATES or name.startswith("beta_")
    return ("rate/" if rate else "train/") + name
