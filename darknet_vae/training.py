"""A training: what it tells meanwhile, what is left of it, and its steps in the core."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import errors
from ._display import progress_display
from ._lib import Path, check, dn_rows, ffi, lib, real, report_values, text, to_bytes, whole
from .row_weights import RowWeight, named_only, rows_and_weights, weights_of

if TYPE_CHECKING:
    from .network import Network

_LOSSES = ("image_loss", "latent_loss", "total_loss")
SLICE_MS = 50  # of work in C between checks for Ctrl-C


@dataclass
class Progress:
    """The progress of a training. Losses are means per row, so far in this epoch."""

    epoch: int
    """Finished epochs."""
    epochs: int
    """Planned epochs."""
    epoch_done: bool
    """The values are those of a whole epoch."""
    finished: bool
    rows_done: int
    rows_total: int
    image_loss: float
    latent_loss: float
    total_loss: float
    rows_per_second: float
    seconds: float
    eta_seconds: float
    """NaN: not known, as the training has an open end."""
    learning_rate: float
    line: str
    """All of it as one line, as the command line shows it."""
    values: dict[str, float] = field(default_factory=dict)
    """The losses and scores in the line, by name; those of held-out rows begin with `valid_`."""
    warning: str | None = None
    """A problem that did not end the training, reported once; `train` also passes it to `warnings.warn`."""
    stopped: str | None = None
    """Once finished, why: "epochs", "max_batches", "patience" or "max_seconds"."""
    kept_epoch: int = 0
    """The epoch whose weights remain if the training ends now; 0: none is finished."""
    record: dict[str, float] = field(default_factory=dict)
    """Everything as numbers by name, as in a line of the log: epoch, batch, rows, epoch_done, losses, valid_loss and its parts,
    learning_rate, beta, kl_cost, seconds, rows_per_second."""


class History(Mapping[str, list[float]]):
    """One value per finished epoch, by name: means per row, taken while training, and the scores of the progress line. The usual
    ones are attributes too."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {name: [] for name in _LOSSES}
        self.seconds = 0.0
        self.stopped: str | None = None
        """Why the last training ended: "epochs", "max_batches", "patience", "max_seconds", "callback", "interrupted" or
        "failed"; None: it has not."""
        self.kept_epoch = 0
        """The epoch whose weights the network holds, counted from 1 over all trainings in this history; 0: none."""
        self.records: list[dict[str, float]] = []
        """For every epoch what its line in a log holds: losses, valid_loss and its parts, learning_rate, beta, seconds, ..."""
        self.outcome = ""
        """One sentence on both, unless the training ended as planned with its last epoch."""

    def __getitem__(self, name: str) -> list[float]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """One line: all values are in the mapping, and a notebook shows what `train` returns."""
        epochs = len(self.total_loss)
        last = ", ".join(f"{name} {values[-1]:.5g}" for name, values in self._values.items() if values)
        why = f", stopped by {self.stopped}" if self.stopped not in (None, "epochs", "max_batches") else ""
        kept = f", kept epoch {self.kept_epoch}" if self.kept_epoch != epochs else ""
        return f"<History: {epochs} epochs, {self.seconds:.3g} s{why}{kept}{'; last: ' * bool(last)}{last}>"

    def _repr_html_(self) -> str:
        """In notebooks: first, lowest and last values, and their course."""
        from . import _html

        return _html.history(self)

    def _of(self, *names: str) -> list[float]:
        return next((self._values[name] for name in names if name in self._values), [])

    @property
    def image_loss(self) -> list[float]:
        """What the losses of [cost] come to: the reconstruction, per row."""
        return self._values["image_loss"]

    @property
    def latent_loss(self) -> list[float]:
        """The KL to the prior per row, before beta; 0 without a sampling layer."""
        return self._values["latent_loss"]

    @property
    def total_loss(self) -> list[float]:
        """What training descends, per row: image_loss + kl_cost."""
        return self._values["total_loss"]

    @property
    def kl_cost(self) -> list[float]:
        """What the latent terms added to the total, with the beta of every batch: image_loss + kl_cost = total_loss. Empty
        without a sampling layer."""
        return self._of("kl_cost")

    @property
    def beta(self) -> list[float]:
        """The weight of the latent loss in the last batch of every epoch; empty without a sampling layer."""
        return [record["beta"] for record in self.records if "beta" in record]

    @property
    def accuracy(self) -> list[float]:
        """For classes, after every epoch: on held-out rows if there are any, otherwise on the training rows."""
        return self._of("valid_accuracy", "accuracy")

    @property
    def mse(self) -> list[float]:
        """Likewise, for other truths."""
        return self._of("valid_mse", "mse")

    @property
    def valid_loss(self) -> list[float]:
        """Loss of held-out rows after every epoch."""
        return self._of("valid_loss")

    def add(self, progress: Progress) -> None:
        """Take over the values of a finished epoch."""
        losses = {name: getattr(progress, name) for name in _LOSSES}
        for name, value in {**progress.values, **losses}.items():
            self._values.setdefault(name, []).append(value)
        self.records.append(dict(progress.record))
        self.seconds = progress.seconds


Callback = Callable[[Progress], "bool | None"]


# ---- what `train` is told ----

_KEEP = {None: "DN_KEEP_DEFAULT", "last": "DN_KEEP_LAST", "best": "DN_KEEP_BEST"}


def rules_of(
    patience: Any, min_delta: Any, keep: Any, max_seconds: Any, log_every: int | None, checkpoint_keep: int | None
) -> dict[str, Any]:  # fmt: skip
    """The fields of dn_train_options that say when a training ends, which epoch remains, and what is written how often."""
    if keep not in _KEEP:
        raise errors.UsageError(f'keep={keep!r} is neither "last" nor "best"')
    if max_seconds is not None and not real("max_seconds", max_seconds) > 0:
        raise errors.UsageError(f"max_seconds={max_seconds} is not above 0")
    return {
        "patience": 0 if patience is None else whole("patience", patience, 1, 2**31 - 1),
        "min_delta": real("min_delta", min_delta),
        "keep": getattr(lib, _KEEP[keep]),
        "max_seconds": 0.0 if max_seconds is None else float(max_seconds),
        "log_every": 0 if log_every is None else whole("log_every", log_every, 1, 2**31 - 1),
        "checkpoint_keep": 0 if checkpoint_keep is None else whole("checkpoint_keep", checkpoint_keep, 1, 1 << 20),
    }


def files_of(
    log: Path | None, checkpoint: Path | None, checkpoint_every: str | None, resume: Path | None
) -> dict[str, Path | None]:  # fmt: skip
    """Its texts: files, and how often a checkpoint is written."""
    if checkpoint_every is not None and not isinstance(checkpoint_every, str):
        raise errors.UsageError(f'checkpoint_every={checkpoint_every!r}: give seconds or epochs as text: "60s", "1e"')
    files = {"log": log, "checkpoint": checkpoint, "checkpoint_every": checkpoint_every, "resume": resume}
    for name, path in files.items():
        if path is not None and not path:  # such as a variable that is not set: not a training from the beginning
            raise errors.UsageError(f"{name}={path!r} is empty")
    return files


# ---- the training ----


def _shown(report: Any) -> dict[str, float]:
    """What programs print of it."""
    shown = ffi.new("dn_report *")
    lib.dn_report_shown(ffi.addressof(report), shown)
    return report_values(shown)


def steps(
    net: Network,
    X: npt.ArrayLike,
    epochs: int | None,
    truth: npt.ArrayLike | None,
    shuffle: bool,
    learning_rate: float | None,
    valid: Any,
    holdout: float,
    preview: Path | None,
    continues: bool,
    rules: dict[str, Any],
    files: dict[str, Path | None],
    history: History,
    row_weight: RowWeight,
) -> Generator[Progress, None, None]:
    """A training, slice by slice. Its arrays live here: the core reads them until the end."""
    X, weights = rows_and_weights(net, X, row_weight, learns=True)
    x, y = net._rows_and_truth(X, truth, learns=True)
    weights = weights_of(weights, len(x))
    pair = valid if isinstance(valid, tuple) else (valid, None)
    if len(pair) not in (2, 3):
        raise errors.UsageError(f"valid is a pair (X, truth), or with the weights of rows three things, not {len(pair)}")
    held_x = held_y = held_weights = None
    if valid is not None:
        held, found = rows_and_weights(net, pair[0], pair[2] if len(pair) > 2 else named_only(row_weight), "valid row_weight")
        held_x, held_y = net._rows_and_truth(held, pair[1], "valid ")
        held_weights = weights_of(found, len(held_x), "valid row_weight")
    if held_x is not None and (held_y is None) != (y is None):
        raise errors.UsageError("valid: training and held-out rows both have a truth, or neither")
    if isinstance(epochs, np.ndarray | list):
        raise errors.UsageError("epochs is an array: a truth is given by name, train(X, truth=Y), and an autoencoder has none")
    if epochs is not None:
        epochs = whole("epochs", epochs, 1, 2**31 - 1)
    if not isinstance(shuffle, bool | np.bool_ | int):
        raise errors.UsageError(f"shuffle={shuffle!r} is neither True nor False")
    holdout = real("holdout", holdout)
    if learning_rate is not None and not real("learning_rate", learning_rate) > 0:
        raise errors.UsageError(f"learning_rate={learning_rate} is not above 0")
    given = {"preview_path": preview, **files}
    paths = {name: ffi.NULL if path is None else ffi.new("char[]", to_bytes(path)) for name, path in given.items()}
    options = ffi.new(
        "dn_train_options *",
        {
            "epochs": epochs or 0, "shuffle": int(shuffle), "learning_rate": learning_rate or 0,
            "holdout": holdout, "score": int(y is not None), "continues": int(continues),
            **rules, **paths,
        },
    )  # fmt: skip
    if held_x is not None:
        options.valid = dn_rows(held_x, held_y, held_weights)[0]
    out = ffi.new("dn_trainer **")
    created = lib.dn_trainer_create(out, net._handle, dn_rows(x, y, weights), options)
    if created == lib.DN_E_IO:
        check(created, files["resume"])
    net._check(created, X=x, truth=y, valid_X=held_x, valid_truth=held_y)
    trainer = ffi.gc(out[0], lib.dn_trainer_destroy)
    net._training = True
    p = ffi.new("dn_progress *")
    line = ffi.new("char[256]")
    status = lib.DN_OK
    try:
        while not p.finished:
            net._rows = 0
            p.warning = ffi.NULL
            status = lib.dn_trainer_run(trainer, SLICE_MS, p)
            if status != lib.DN_OK and p.warning != ffi.NULL:
                for problem in text(p.warning).splitlines():
                    warnings.warn(problem, stacklevel=5)
            check(status, preview)
            lib.dn_progress_line(p, line, 256)
            losses = report_values(p.report)
            yield Progress(
                p.epoch, p.epochs, bool(p.epoch_done), bool(p.finished), p.rows_done, p.rows_total,
                losses["image_loss"],
                losses["latent_loss"], losses["total_loss"], p.rows_per_second, p.seconds, p.eta_seconds, p.learning_rate,
                text(line), _shown(p.report), None if p.warning == ffi.NULL else text(p.warning),
                text(lib.dn_stop_name(p.stopped)) if p.finished else None, p.kept_epoch, report_values(p.record),
            )  # fmt: skip
    finally:
        ended = status in (lib.DN_OK, lib.DN_E_INTERRUPTED)
        if ended and lib.dn_trainer_checkpoint(trainer) != lib.DN_OK:
            warnings.warn(text(lib.dn_error()), stacklevel=5)
        status = lib.dn_trainer_finish(trainer)
        lib.dn_trainer_outcome(trainer, line, 256)
        history.outcome = text(line)
        net._training = False
        ffi.release(trainer)
        if sys.exc_info()[0] in (None, GeneratorExit):  # otherwise that exception is the one to hear of
            check(status)


def follow(
    run: Generator[Progress, None, None], history: History, callback: Callback | Iterable[Callback] | None,
    on_slice: Callable[[Progress], None] | None, shows: bool,
) -> None:  # fmt: skip
    """Go through the steps of a training: show them, call what wants to be called, and write the history."""
    before, why = len(history.total_loss), "failed"
    history.stopped, history.kept_epoch, history.outcome = None, before, ""
    callbacks = [] if callback is None else [callback] if callable(callback) else list(callback)
    shown = progress_display(shows)
    offset: int | None = None
    try:
        for now in run:
            if offset is None:  # a training that goes on counts its epochs from its own beginning
                offset = max(before - (now.epoch - now.epoch_done), 0)
            for line in (now.warning or "").splitlines():
                warnings.warn(line, stacklevel=4)
            shown.show(now)
            if on_slice is not None:
                on_slice(now)
            if now.epoch_done or now.finished:
                history.kept_epoch = offset + now.kept_epoch
                why = now.stopped or "failed"
            if now.epoch_done:
                history.add(now)
                answers = [call(now) for call in callbacks]
                if any(isinstance(answer, bool | np.bool_) and answer for answer in answers):
                    why = now.stopped or "callback"
                    break
    except KeyboardInterrupt:
        why = "interrupted"
        raise
    finally:
        history.stopped = why
        run.close()
        shown.end(history.outcome)
