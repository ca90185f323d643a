"""A network from a cfg file: training it, sampling from it, looking into it."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, Literal, ParamSpec, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from . import errors
from ._display import in_notebook
from ._lib import Array, Path, check, dn_rows, ffi, lib, listen, matrix, pointer, real, report_values, text, to_bytes, whole
from .checking import Check
from .evaluation import Evaluation, Losses, evaluation
from .layer import Layer
from .mixture import GaussianMixture
from .notes import Notes, read_notes, write_notes
from .row_weights import RowWeight, known, rows_and_weights, weights_of, without_known
from .training import Callback, History, Progress, files_of, follow, rules_of, steps
from .typed import coded, decoded, draw_rows, imputed, is_table, schema_of

if TYPE_CHECKING:
    from .detection import Detections
    from .tables import Schema

__all__ = [
    "Callback", "History", "Layer", "Losses", "Network", "Notes", "Progress", "build_info", "is_model_file", "layer_types",
    "sample_prior",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


def _alone(method: Callable[Concatenate[Network, P], R]) -> Callable[Concatenate[Network, P], R]:
    """For methods that ask the core for sizes and then pass it arrays of those sizes: no other thread may come in between."""

    @functools.wraps(method)
    def call(self: Network, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._claimed():
            return method(self, *args, **kwargs)

    return call


def is_model_file(path: Path) -> bool:
    """A model file, by its name or by its first bytes?"""
    return bool(lib.dn_is_model_file(to_bytes(path)))


def _lines(given: Mapping[str, object] | None) -> str:
    """Keys to set, as the core takes them."""

    def word(value: object) -> str:
        if isinstance(value, bool | np.bool_):
            return str(int(value))
        return ",".join(map(word, value)) if isinstance(value, list | tuple) else str(value)

    lines = [f"{key}={word(value)}" for key, value in (given or {}).items()]
    if wrong := [line for line in lines if "\n" in line or "\0" in line]:
        raise errors.UsageError(f"cannot set {wrong[0]!r}: a key is one line")
    return "\n".join(lines)


def _content(model: Any) -> tuple[str, bytes]:
    """Name and content of a model file that is open, or in memory."""
    if isinstance(model, bytes):
        return "bytes", model
    data = model.read()
    if not isinstance(data, bytes):
        raise errors.UsageError(f"a model file is read in binary mode, not as {type(data).__name__}")
    return str(getattr(model, "name", "the file")), data


def _restored(cls: type[Network], name: str, data: bytes, options: Mapping[str, Any]) -> Network:
    """A network from its pickle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cfg: they were reported when it was read
        net = cls._from_model(data, options)
    net.cfg = name
    return net


class Network:
    """A network built from the cfg file `cfg`, or from the text of one, `cfg_text`, with fresh parameters; or from a model file,
    with those in it. `with Network(...) as net:` frees its memory at the end.

    seed: determines initial weights, noise, dropout and shuffling. device: "cpu"; "cuda" or "cuda:N" for a GPU; "auto" for a GPU
    if there is one and the network is large enough to gain from it. batch: rows per pass, instead of the cfg's.
    threads: None means all that this process may use. precision of matrix products: "float32"; "tf32" or "bf16" on GPUs that
    support them, elsewhere a DeviceError. set: keys to set whatever the cfg says, {"net.batch": 8, "3.filters": 4}: of [net], of
    all layers of a type, of the layer with that name= or number. With recurrent layers, tables (train, predict, encode, ...) are
    sequences of time_steps rows, one after the other, and every sequence begins without state. A network is used by one thread
    at a time: a call while another thread's call (a training, say) is running is a UsageError; its properties can be read at
    any time. Different networks are independent.
    """

    def __init__(
        self, cfg: Path | None = None, seed: int = 0, device: str = "auto", batch: int | None = None,
        threads: int | None = None, precision: str | None = None, *, cfg_text: str | None = None,
        set: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        if (cfg is None) == (cfg_text is None):
            raise errors.UsageError("a network is built from a cfg file or from cfg_text: give one of the two")
        if cfg_text is not None and not isinstance(cfg_text, str):
            raise errors.UsageError(f"cfg_text is {type(cfg_text).__name__}, not a string")
        if cfg_text is not None and "\0" in cfg_text:
            raise errors.UsageError("cfg_text holds a zero byte, so it is not text")
        name = "cfg_text" if cfg is None else str(cfg)
        options = {"seed": seed, "device": device, "batch": batch, "threads": threads, "precision": precision, "set": set}
        if cfg_text is not None:
            content = cfg_text.encode()
            self._create(name, options, lambda out, how: lib.dn_net_create_text(out, content, ffi.NULL, how))
        elif cfg is not None:
            path = to_bytes(cfg)
            self._create(name, options, lambda out, how: lib.dn_net_create(out, path, how), cfg)

    def _create(self, name: str, given: Mapping[str, Any], create: Callable[[Any, Any], int], path: Path | None = None) -> None:
        """Build the network with `create(out, options)`."""
        options: dict[str, Any] = {
            "seed": 0, "device": "auto", "batch": None, "threads": None, "precision": None, "set": None,
        }  # fmt: skip
        if unknown := given.keys() - options.keys() - {"clear", "training"}:
            raise TypeError(f"a Network has no option {unknown.pop()!r}")
        options.update(given)
        seed = whole("seed", options["seed"], 0, 2**64 - 1)
        for key in ("batch", "threads"):
            if options[key] is not None:
                whole(key, options[key], 1, 2**31 - 1)
        words = (options["device"], options["precision"] or "", _lines(options["set"]))
        names = [ffi.new("char[]", word.encode()) for word in words]
        how = ffi.new(
            "dn_net_options *",
            {
                "seed": seed, "batch": options["batch"] or 0, "threads": options["threads"] or 0, "device": names[0],
                "precision": names[1], "set": names[2], "clear": int(options.get("clear") or 0),
                "training": int(options.get("training") or 0),
            },
        )  # fmt: skip
        out = ffi.new("dn_net **")
        listen()
        check(create(out, how), path)
        self._pointer: Any = ffi.gc(out[0], lib.dn_net_destroy)
        self._options = {key: options[key] for key in ("device", "threads", "precision")}
        self._rows = 0
        self._no_truth = False  # of the last forward pass, where losses want one
        self._training = False
        self._schema: Schema | None = None
        self._schema_at: Any = None
        self.cfg = name
        for i in range(lib.dn_net_warning_count(self._handle)):
            warnings.warn(text(lib.dn_net_warning(self._handle, i)), stacklevel=3)
        self.layers = [Layer(self, i) for i in range(self._info().n_layers)]

    @classmethod
    def for_table(
        cls, data: Any, latent: int | None = None, *, label_column: str | int | None = None, row_weight: str | None = None,
        drop: str | Iterable[str] | None = None, as_number: str | Iterable[str] | None = None,
        as_category: str | Iterable[str] | None = None, condition: str | Iterable[str] | None = None,
        coding: str = "quantiles", **options: Any,
    ) -> Network:  # fmt: skip
        """A network for a table, not yet trained: a variational autoencoder of its columns, as `darknet init` writes it.

            net = dv.Network.for_table(frame)     # a DataFrame, a dict of arrays, an Arrow table, or the path of a CSV file
            net.train(frame)
            new = net.sample(n=1000)

        latent: latent dimensions; None: by the columns. label_column: a column that is no data; row_weight: one that says how
        much each row counts, no data either; drop: columns that are left out;
        as_number, as_category: what columns are, whatever they look like; condition: columns that `sample(condition=...)` asks
        by; coding of numbers: "quantiles", "robust" or "standard". Options as in the constructor."""
        from .tables import Frame, Schema, cfg_for

        frame = data if isinstance(data, Frame) else Frame(data)
        drop, as_number, as_category, condition = (
            value if value is None or isinstance(value, str) else list(value)
            for value in (drop, as_number, as_category, condition)
        )
        schema = Schema.learn(frame, label_column, drop, as_number, as_category, condition, coding, row_weight=row_weight)
        if not schema.coded:
            raise errors.FormatError(
                f"nothing can be learned from {frame.rows} rows of {len(schema.columns)} columns: each has a single value, is an "
                "identifier or the label, or is dropped"
            )
        if latent is not None:
            whole("latent", latent, 1, 2**20)
        name = os.fspath(data) if isinstance(data, str | os.PathLike) else "the table"
        net = cls._for(name, cfg_for(schema, schema.rows, latent), **options)
        schema.give(net)
        net._schema, net._schema_at = schema, lib.dn_net_schema(net._handle)
        return net

    @classmethod
    def _for(cls, what: str, text: str, **options: Any) -> Network:
        """From a cfg that was made for something, which messages name beside the cfg's lines."""
        net, content, name = cls.__new__(cls), text.encode(), f"the cfg for {what}".encode()
        net._create("cfg_text", options, lambda out, how: lib.dn_net_create_text(out, content, name, how))
        return net

    @classmethod
    def load(
        cls, cfg: Path | BinaryIO | None, weights: Path | BinaryIO | None = None, *, clear: bool = False, **options: Any
    ) -> Network:
        """A trained network: from a model file, load("m.safetensors"), or from a cfg and its parameters in a Darknet .weights
        file or in a model file, load("x.cfg", "x.weights"). Model files may be paths or binary files that are open for
        reading. Options as in the constructor (cfg None: cfg_text=); clear: as in `load_weights`."""
        if weights is None:
            return cls._from_model(cfg, {**options, "clear": clear})
        if hasattr(cfg, "read"):
            raise errors.UsageError("a file object as cfg is a model file, which has its own weights")
        net = cls(cast(Any, cfg), **options)
        net.load_weights(weights, clear)
        return net

    @classmethod
    def _from_model(cls, model: Path | BinaryIO | bytes | None, options: Mapping[str, Any]) -> Network:
        if model is None or "cfg_text" in options:
            raise errors.UsageError("a cfg comes without parameters: load(cfg, weights), or load(model file)")
        net = cls.__new__(cls)
        if isinstance(model, bytes) or hasattr(model, "read"):
            name, data = _content(model)
            net._create(name, options, lambda out, how: lib.dn_net_create_bytes(out, data, len(data), name.encode(), how))
            return net
        path = to_bytes(model)
        if not is_model_file(model) and os.path.exists(model):
            raise errors.UsageError(f"{os.fspath(model)} is no model file: load(cfg, weights) takes a cfg and its weights")
        net._create(str(model), options, lambda out, how: lib.dn_net_create(out, path, how), model)
        return net

    def load_weights(self, path: Path | BinaryIO, clear: bool = False, start: int = 0, cutoff: int | None = None) -> None:
        """Read the parameters of a Darknet .weights file, or of a .safetensors file by their names (`3.weights`); only layers
        start <= i < cutoff if given. `seen` becomes the file's, and the learning rate schedule and max_batches count anew from
        there; clear: `seen` starts at 0. A file object is a .safetensors file."""
        end = -1 if cutoff is None else cutoff
        if hasattr(path, "read"):
            name, data = _content(path)
            check(lib.dn_net_load_bytes(self._handle, data, len(data), name.encode(), int(clear), start, end))
        else:
            check(lib.dn_net_load_range(self._handle, to_bytes(cast(Any, path)), int(clear), start, end), cast(Any, path))

    def save(self, path: Path | BinaryIO, cutoff: int | None = None) -> None:
        """Write the network, completely or not at all: a model file if the name ends in .safetensors or `path` is a file that
        is open for writing, otherwise a Darknet .weights file, which has the parameters only (those of layers i < cutoff if
        given): no columns of a table either, which is a warning. With [net] ema, the file has the averages of the parameters."""
        if hasattr(path, "write"):
            if cutoff is not None:
                raise errors.UsageError("a model file has all layers; only a weights file can end before one")
            path.write(self._bytes(training=False))
        else:
            check(lib.dn_net_save_range(self._handle, to_bytes(path), -1 if cutoff is None else cutoff), path)
            name = os.fsdecode(path)
            if cutoff is None and self._knows_columns and not name.endswith(".safetensors"):
                warnings.warn(
                    f"{name} has the parameters, but not what the columns are: to use the model, save it as F.safetensors",
                    stacklevel=2,
                )

    def _bytes(self, training: bool) -> bytes:
        """A model file; training: with all that an exact copy needs."""
        data, size = ffi.new("char **"), ffi.new("size_t *")
        check(lib.dn_net_save_bytes(self._handle, int(training), data, size))
        content = bytes(ffi.buffer(data[0], size[0]))
        lib.dn_bytes_free(data[0])
        return content

    @property
    def _handle(self) -> Any:
        if self._pointer is None:
            raise errors.UsageError("the network is closed")
        return self._pointer

    def close(self) -> None:
        """Free the network's memory now. Any later use is a UsageError; closing twice is not."""
        if self._pointer is None:
            return
        with self._claimed():
            if self._training:
                raise errors.UsageError("the network is being trained: close it after that")
        pointer, self._pointer = self._pointer, None
        ffi.release(pointer)

    def __enter__(self) -> Network:
        self._handle  # noqa: B018 - an error if it is closed
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cfg_text(self) -> str:
        """The network's cfg, with what `set` and `resize` changed."""
        return self._text(lib.dn_net_cfg_text)

    @property
    @_alone
    def schema(self) -> Schema | None:
        """What the columns are of the table that the network was trained on, or None: rows are plain numbers."""
        return schema_of(self)

    @property
    def columns(self) -> list[str]:
        """Names of the columns as `score_rows(..., contributions=True)` has them; empty: they have none."""
        schema = self.schema
        return self.notes.columns if schema is None else schema.coded

    @property
    def _knows_columns(self) -> bool:
        return bool(lib.dn_net_schema(self._handle))

    def _matrix(self, X: Any, name: str = "X", learns: bool = False) -> Array:
        """Rows as the network takes them: numbers, or a table of the columns that it knows."""
        self._no_series(X, name)
        if self.layers[0].type == "columns" and is_table(X):
            return coded(self, X, name, learns)
        return matrix(without_known(self, X), self.inputs, name)

    def _row(self, row: Any, name: str) -> Array:
        """A single one."""
        self._no_series(row, name)
        x = self._matrix(row if is_table(row) and self._knows_columns else np.reshape(row, (1, -1)), name)
        if len(x) != 1:
            raise errors.UsageError(f"{name} has {len(x)} rows: one is wanted")
        return x

    def _no_series(self, row: Any, name: str) -> None:
        """A row that was taken out of a table has lost what its columns are."""
        if type(row).__name__ == "Series" and self.layers[0].type == "columns":
            raise errors.UsageError(
                f"{name} is a Series, not a table: a row of a DataFrame is frame.iloc[[0]], not frame.iloc[0]"
            )

    def _decoded(self, x: Array, like: Any = None) -> Any:
        """Rows of data: a table if the network knows its columns and `like`, when given, is one."""
        table = self._knows_columns and (like is None or is_table(like))
        return decoded(self, x, like) if table else x

    def _given(self, condition: npt.ArrayLike, n: int) -> Array:
        """Coded rows that tell [condition], one for each of n or one for all."""
        rows = np.asarray(condition, np.float32)
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.inputs or len(rows) not in (1, n):
            raise errors.UsageError(f"condition has shape {np.shape(condition)}; wanted is ({n}, {self.inputs})")
        return np.ascontiguousarray(np.broadcast_to(rows, (n, self.inputs)))

    @staticmethod
    def _into(rows: Array, out: Array) -> Array:
        if not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.shape != rows.shape:
            raise errors.UsageError(f"out is not a float32 array {rows.shape}")
        out[...] = rows
        return out

    @property
    @_alone
    def notes(self) -> Notes:
        """What is known of the data and of the training, as model files keep it."""
        return read_notes(self)

    @_alone
    def note(
        self, *, scale: float | None = None, label_column: str | None = None, columns: Iterable[str] | None = None,
        classes: Iterable[str] | None = None, row_weight: str | None = None,
    ) -> None:  # fmt: skip
        """Have model files say how the data was scaled (divided by `scale`), which column is the label, which one says how much
        rows count, and what columns and classes are called. What is None stays as it is."""
        write_notes(self, scale, label_column, columns, classes, row_weight)

    def resize(self, height: int | None = None, width: int | None = None, batch: int | None = None) -> None:
        """Change the size of the input image, or the rows per pass. Parameters, the optimiser's moments, running statistics
        and `seen` are kept; recurrent state is lost. A layer whose parameters depend on the size (such as a [connected] one
        after an image) is a UsageError, and leaves the network as it was."""
        for name, value in (("height", height), ("width", width), ("batch", batch)):
            if value is not None:
                whole(name, value, 1, 2**31 - 1)
        with self._claimed():
            check(lib.dn_net_resize(self._handle, height or 0, width or 0, batch or 0))
            self._rows = 0
            for layer in self.layers:
                layer._read()

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Keep other threads out."""
        check(lib.dn_net_claim(self._handle))
        try:
            yield
        finally:
            lib.dn_net_release(self._handle)

    # ---- many rows

    @_alone
    def train(
        self,
        X: npt.ArrayLike,
        epochs: int | None = None,
        truth: npt.ArrayLike | None = None,
        shuffle: bool = True,
        callback: Callback | Iterable[Callback] | None = None,
        *,
        learning_rate: float | None = None,
        valid: tuple[npt.ArrayLike, npt.ArrayLike | None] | npt.ArrayLike | None = None,
        holdout: float = 0,
        preview: Path | None = None,
        on_slice: Callable[[Progress], None] | None = None,
        history: History | None = None,
        continues: bool = False,
        progress: bool | None = None,
        patience: int | None = None,
        min_delta: float = 0,
        keep: str | None = None,
        max_seconds: float | None = None,
        log: Path | None = None,
        log_every: int | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: str | None = None,
        checkpoint_keep: int | None = None,
        resume: Path | None = None,
        row_weight: RowWeight = None,
    ) -> History:
        """Train on the rows of X (n, inputs) towards `truth` (default: X itself) and return the losses per epoch.

        What to train, and for how long:

        - epochs: None trains until the cfg's max_batches, or for as many once more if the network has reached them. A training
          continues where the last one stopped, so training in several calls equals training in one.
        - shuffle: a new order of the rows in every epoch, drawn from the seed.
        - learning_rate: instead of the cfg's, for this training.
        - continues: as in Darknet, the learning rate schedule and max_batches count from the first row ever trained, including
          those before the weights were saved and loaded; a UsageError when nothing is left to train.
        - max_seconds: stop at the end of the step in which so many seconds are over.
        - row_weight: how much each row counts, an array (n,) or the name of a column of X, which then is no data: training
          descends the losses of rows times these, brought to a mean of 1 over the rows trained on, and reports weighted means. A
          row with 0 is no part of the training.

        Held-out rows, on which the network is evaluated after every epoch (`valid_loss`):

        - holdout: the fraction of the rows to hold out, such as 0.2: the last ones of an order drawn from the seed.
        - valid: other rows instead, a pair (X, truth), or X alone, or (X, truth, row_weight). With a truth and neither of holdout
          and valid, scores are of the training rows.
        - patience: stop after so many epochs in a row in which valid_loss has not fallen by more than `min_delta`; counting
          begins after warm-ups (burn_in).
        - keep: "last" leaves the weights of the last epoch; "best" those of the lowest valid_loss, the first one of equals, with
          the moments and `seen` of that epoch, from which another training continues. None: "best" with patience, else "last".

        What is shown, called and written meanwhile:

        - progress: show it, as a bar if tqdm is installed, otherwise as a line; None: in notebooks only.
        - callback: callback(progress) is called after every epoch; when it returns True, training ends. A list: all are called.
        - on_slice: on_slice(progress) is called about every 50 ms.
        - history: append to this one.
        - log: a file, .csv or .jsonl, which gets a line for every epoch as it ends (see `Progress.record`); log_every: also one
          after so many batches, whose losses are means since the last line.
        - preview: write ten inputs and outputs per epoch to files named after this one; a failure to write them is a warning.
        - checkpoint: a model file (.safetensors) that holds everything the training needs to continue, written every
          checkpoint_every ("60s", the default, or epochs: "1e") and at the end.
        - checkpoint_keep: how many are kept: F.safetensors, F.1.safetensors, ... (1).
        - resume: continue from such a file, with the same rows and options (another number of epochs is fine). Everything is then
          as if the training had not been stopped; the history has the epochs still to come.

        `history.stopped`, `history.kept_epoch` and `history.outcome` say how it ended. Ctrl-C raises KeyboardInterrupt after the
        current batch; what was learned until then stays in the network. A loss that stops being finite raises NumericError and
        leaves the network as it was after the last good epoch; the epochs until then are in `history` if it was given. After
        both, keep="best" leaves the best epoch, if there is one.
        """
        history = History() if history is None else history
        rules = rules_of(patience, min_delta, keep, max_seconds, log_every, checkpoint_keep)
        files = files_of(log, checkpoint, checkpoint_every, resume)
        run = steps(
            self, X, epochs, truth, shuffle, learning_rate, valid, holdout, preview, continues, rules, files, history, row_weight
        )
        follow(run, history, callback, on_slice, in_notebook() if progress is None else progress)
        return history

    def held_out(self, rows: int, holdout: float) -> npt.NDArray[np.int64]:
        """Which rows of a table of `rows` rows `train(..., holdout=holdout)` holds out: a function of the network's seed.
        `evaluate(X[net.held_out(len(X), 0.2)])` is the valid_loss of a training with holdout=0.2. With row_weight a training has
        only the rows whose weight is above 0."""
        rows = whole("rows", rows, 0, 2**32 - 1)
        held, count = np.empty(rows, np.uint32), ffi.new("size_t *")
        to = ffi.cast("uint32_t *", held.ctypes.data)
        check(lib.dn_net_holdout(self._handle, rows, real("holdout", holdout), to, rows, count))
        return held[: count[0]].astype(np.int64)

    def _rows_and_truth(
        self, X: npt.ArrayLike, truth: npt.ArrayLike | None, what: str = "", learns: bool = False
    ) -> tuple[Array, Array | None]:  # fmt: skip
        x = self._matrix(X, what + "X", learns)
        y = None if truth is None else matrix(truth, self._info().truths, what + "truth")
        if y is not None and len(y) != len(x):
            raise errors.UsageError(f"{what}X has {len(x)} rows, {what}truth has {len(y)}")
        return x, y

    @staticmethod
    def _check(status: int, **arrays: Array | None) -> None:
        """Raise the exception of a status. Positions in arrays are reported as numpy counts them; the core counts from 1."""
        looks = status == lib.DN_E_USAGE and text(lib.dn_error()).endswith("not a finite number")
        for name, array in arrays.items() if looks else ():
            if array is not None and (gone := _not_finite(array)).any():
                row = int(np.argmax(gone))
                column = int(np.argmin(np.isfinite(array[row])))
                what = f"{name.replace('_', ' ')} is {array[row, column]} at row {row}, column {column}"
                raise errors.UsageError(f"{what}: not a finite number")
        check(status)

    def _known(self, missing: str, x: Array, truth: Array | None = None) -> tuple[Array, Array | None, Any]:
        """With missing="nan": rows and truth in which rows that are not finite are replaced by finite ones, and a mask of rows
        without a result (in a sequence, the later ones too). A mask of None: all rows have a result."""
        if missing not in ("error", "nan"):
            raise errors.UsageError(f'missing={missing!r} is not "error" or "nan"')
        if missing == "error" or self.layers[0].type == "columns":  # which takes gaps
            return x, truth, None
        lost = _not_finite(x)
        gone = lost if truth is None else lost | _not_finite(truth)
        if not gone.any():
            return x, truth, None
        info = self._info()
        steps = int(info.time_steps)
        take = np.where(gone, np.argmin(gone), np.arange(len(x)))
        if info.recurrent and len(x) % steps == 0:
            gone = gone | np.logical_or.accumulate(lost.reshape(-1, steps), axis=1).ravel()
        return x[take], None if truth is None else truth[take], gone

    def _fill(self, outs: Iterable[npt.NDArray[Any]], gone: Any, call: Callable[[], int], **arrays: Array | None) -> None:
        """Let `call` compute the arrays `outs` from `arrays`; rows of the mask `gone`, which may be None, become NaN."""
        if gone is None or not gone.all():
            self._check(call(), **arrays)
            self._rows = 0
        for values in outs if gone is not None else ():
            values[gone] = np.nan

    def _apply(
        self, call: Any, X: npt.ArrayLike, columns: int, width: int, name: str = "X", out: Array | None = None,
        missing: str = "error",
    ) -> Array:  # fmt: skip
        x = self._matrix(X) if name == "X" else matrix(X, columns, name)
        if out is None:
            out = np.empty((len(x), width), np.float32)
        elif not isinstance(out, np.ndarray) or out.dtype != np.float32 or out.shape != (len(x), width):
            what = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise errors.UsageError(f"out is {what}, not a float32 array {(len(x), width)}")
        elif not out.flags.c_contiguous or not out.flags.writeable:
            raise errors.UsageError("out is not a writeable C-contiguous array")
        elif np.may_share_memory(out, x):
            raise errors.UsageError(f"out shares memory with {name}")
        x, _, gone = self._known(missing, x)
        self._fill((out,), gone, lambda: call(self._handle, dn_rows(x), pointer(out)), **{name: x})
        return out

    @_alone
    def sample(
        self, z: npt.ArrayLike | None = None, out: Array | None = None, *, n: int | None = None, seed: int = 0,
        prior: str | GaussianMixture | None = None, temperature: float = 1.0, draw: bool | None = None,
        condition: str | Mapping[str, object] | npt.ArrayLike | None = None, codes: bool = False, gaps: bool = False,
    ) -> Any:  # fmt: skip
        """Decode latent vectors (n, latent_size) to data (n, outputs). With a bce loss: probabilities, not logits. The result
        goes to `out` if given, a float32 array of that shape; reusing an array saves the time that allocating one takes.

        With n= instead of z, latents are drawn (`sample_latents`) with `seed`, `prior` and `temperature`. With draw=True the
        rows are drawn from the likelihood, with `seed`, instead of being its mean.

        A network that knows the columns of a table (`schema`) gives a table: a DataFrame if it was trained on one here, else a
        dict of arrays; with codes=True, or `out`, the coded rows. Its rows are drawn from the likelihood unless draw=False.
        condition, with n: only rows of that kind, {"churn": "Yes"} or "churn=Yes,age>=40" (=, !=, <, <=, >, >=). Columns of
        [condition] are given to the network; for others, rows are drawn until enough are as wanted. With z it is coded rows
        (n, inputs), or one for all, of which the columns of [condition] are read. gaps=True, with n: cells are missing as in
        the table that was learned, but none that condition is about; otherwise all cells have values."""
        self._need_latent()
        if (z is None) == (n is None):
            raise errors.UsageError("sample: give z, latent vectors, or n, how many to draw")
        if z is not None and np.ndim(z) == 0:
            raise errors.UsageError(f"sample: z={z!r} is no latent vector; n={z!r} draws so many")
        typed = self._knows_columns
        if gaps and (n is None or not typed):
            raise errors.UsageError("sample: gaps is about n rows of a table, drawn by a network that has learned one")
        words = condition is not None and isinstance(condition, str | Mapping)
        if words and (n is None or not typed):
            raise errors.UsageError("sample: condition is about n rows of a table, drawn by a network that has learned one")
        if n is None and (prior is not None or temperature != 1):
            raise errors.UsageError("sample: prior and temperature are about latents that are drawn: n= in place of z")
        key = whole("seed", seed, 0, 2**64 - 1)
        drawn = typed if draw is None else bool(draw)
        if n is not None and typed and (words or condition is None):
            self._need_prior(prior)
            rows = draw_rows(
                self, whole("n", n, 0, 2**40), key, real("temperature", temperature), prior, cast(Any, condition), not drawn, gaps
            )  # fmt: skip
            if out is not None:
                return self._into(rows, out)
            return rows if codes else self._decoded(rows)
        if n is not None:
            z = self.sample_latents(n, seed, prior, temperature)
        assert z is not None
        given = None if condition is None else self._given(cast(Any, condition), len(cast(Any, z)))

        def decode(handle: Any, rows: Any, to: Any) -> int:
            if given is not None:
                rows.condition = pointer(given)
            return int(lib.dn_net_decode_draw(handle, rows, key, to) if drawn else lib.dn_net_decode(handle, rows, to))

        found = self._apply(decode, z, self.latent_size, int(self._info().data_columns), "z", out)
        return self._decoded(found) if typed and out is None and not codes else found

    @_alone
    def sample_latents(
        self, n: int, seed: int = 0, prior: str | GaussianMixture | None = None, temperature: float = 1.0
    ) -> Array:  # fmt: skip
        """n latent vectors (n, latent_size) from the network's own prior, from N(0, 1) with prior="normal", or from a
        GaussianMixture (`fit_mixture`). temperature: their standard deviation is multiplied by it, about 0, or in a mixture
        about each component's mean; 0 or more."""
        self._need_latent()
        self._need_prior(prior)
        if isinstance(prior, GaussianMixture):
            return prior.sample(n, seed, temperature)
        z = np.empty((whole("n", n, 0, 2**40), self.latent_size), np.float32)
        s, t = whole("seed", seed, 0, 2**64 - 1), real("temperature", temperature)
        if prior is None:
            check(lib.dn_net_draw_latents(self._handle, s, len(z), t, pointer(z)))
        else:
            check(lib.dn_prior_draw(s, len(z), self.latent_size, t, pointer(z)))
        return z

    def _need_prior(self, prior: str | GaussianMixture | None) -> None:
        if isinstance(prior, GaussianMixture):
            if prior.columns != self.latent_size:
                raise errors.UsageError(f"prior has {prior.columns} columns, the network {self.latent_size} latents")
        elif prior not in (None, "normal"):
            raise errors.UsageError(f'prior={prior!r} is neither "normal" nor a GaussianMixture: net.fit_mixture(X) fits one')

    @_alone
    def fit_mixture(self, X: npt.ArrayLike, components: int = 10, seed: int = 0) -> GaussianMixture:
        """A mixture of Gaussians fitted to the latents of rows X, one drawn from the posterior of each: to the distribution that
        the decoder was trained on (the aggregated posterior), which is often not quite the prior. `net.sample(n=16,
        prior=net.fit_mixture(X))` draws from it. An autoencoder without a sampling layer gets a prior in this way."""
        self._need_latent()
        x = self._matrix(X)
        fitted = ffi.new("dn_mixture *")
        k, s = whole("components", components, 1, 2**20), whole("seed", seed, 0, 2**64 - 1)
        self._check(lib.dn_net_fit_mixture(self._handle, dn_rows(x), k, s, fitted), X=x)
        self._rows = 0
        return GaussianMixture._taken(fitted)

    @_alone
    def interpolate(self, a: npt.ArrayLike, b: npt.ArrayLike, steps: int = 11, spherical: bool = False) -> Any:
        """Decoded rows (steps, outputs) on the way between the latent means of two rows a and b, both included. spherical: along
        an arc (slerp), on which the latents' length and direction go evenly, instead of a line. Of tables of one row, a table."""
        self._need_latent()
        ends = np.concatenate([self._row(row, name) for row, name in ((a, "a"), (b, "b"))])
        out = np.empty((whole("steps", steps, 2, 2**24), int(self._info().data_columns)), np.float32)
        self._fill(
            (out,), None, lambda: lib.dn_net_interpolate(self._handle, dn_rows(ends), len(out), bool(spherical), pointer(out))
        )
        return self._decoded(out, a)

    @_alone
    def traverse(self, dim: int, range: float = 3.0, steps: int = 11, around: npt.ArrayLike | None = None) -> Any:
        """Decoded rows (steps, outputs) while latent dimension `dim`, from 0 on, goes from -range to range, added to the latent
        mean of the row `around`, or without one to 0, the middle of the prior. A table if the network knows its columns, unless
        `around` is an array."""
        self._need_latent()
        if hasattr(dim, "__len__") and not isinstance(dim, str):
            most = self.latent_size - 1
            raise errors.UsageError(
                f"dim is a {type(dim).__name__}: wanted is the number of a latent dimension, 0 to {most}; a row goes into around="
            )
        row = None if around is None else self._row(around, "around")
        at = whole("dim", dim, 0, self.latent_size - 1)
        out = np.empty((whole("steps", steps, 2, 2**24), int(self._info().data_columns)), np.float32)
        centre = ffi.NULL if row is None else pointer(row)
        reach = real("range", range)
        self._fill((out,), None, lambda: lib.dn_net_traverse(self._handle, centre, at, reach, len(out), pointer(out)))
        return self._decoded(out, around)

    @_alone
    def encode(self, X: npt.ArrayLike, *, missing: str = "error") -> tuple[Array, Array]:
        """The posterior of every row: mean and log-variance, each (n, latent_size); log-variances are the effective ones,
        compressed beyond 10 (docs/numerics.md). A plain autoencoder gives its code as the mean, and log 0 as the log-variance.

        missing: with "error", a row with a value that is not a finite number is a UsageError; with "nan", its result is NaN, and
        in sequences so are the results of the later steps."""
        self._need_latent()
        x, _, gone = self._known(missing, self._matrix(X))
        mean = np.empty((len(x), self.latent_size), np.float32)
        log_variance = np.empty_like(mean)
        outs = (mean, log_variance)
        self._fill(outs, gone, lambda: lib.dn_net_encode(self._handle, dn_rows(x), *map(pointer, outs)), X=x)
        return mean, log_variance

    def pick(self, outputs: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """The class of every row of outputs (n, outputs): the index of its largest value; with a single output, 1 above 1/2 (for
        logits: above 0)."""
        y = matrix(outputs, self.outputs, "outputs")
        picked = np.empty(len(y), np.int32)
        check(lib.dn_net_pick(self._handle, pointer(y), len(y), ffi.cast("int32_t *", picked.ctypes.data)))
        return picked

    def weights_name(self, supervised: bool = False) -> str:
        """The file to which the command line saves the weights of a training by default."""
        size = lib.dn_net_weights_name(self._handle, int(supervised), ffi.NULL, 0) + 1
        buffer = ffi.new("char[]", size)
        lib.dn_net_weights_name(self._handle, int(supervised), buffer, size)
        return text(buffer)

    @_alone
    def reconstruct(self, X: npt.ArrayLike, out: Array | None = None, *, missing: str = "error") -> Any:
        """Decode the mean of every row: (n, inputs) to (n, outputs). With a bce loss: probabilities, not logits. `out` as
        for `sample`, `missing` as for `encode`. Of a table, a table with its columns."""
        made = self._apply(lib.dn_net_reconstruct, X, self.inputs, int(self._info().data_columns), out=out, missing=missing)
        return made if out is not None else self._decoded(made, X)

    @_alone
    def impute(self, X: Any, rounds: int | None = None) -> Any:
        """A table with its missing cells filled with what the network makes of the row's other cells, which stay as they are:
        a DataFrame of a DataFrame, of other tables a dict of arrays, of coded rows (rows, columns) with NaN coded rows.

        rounds: how often gaps are drawn, given the row with its gaps reconstructed once, for the mean or the most probable
        value; None: 32. Needs a network that was trained on a table."""
        if not self._knows_columns:
            raise errors.UsageError(f"{self.cfg}: only a network that was trained on a table fills its gaps")
        turns = 0 if rounds is None else whole("rounds", rounds, 1, 1 << 20)
        self._rows = 0
        if is_table(X):
            return imputed(self, X, turns)
        x = matrix(X, self.inputs)
        out = np.empty_like(x)
        check(lib.dn_net_impute(self._handle, pointer(x), len(x), turns, pointer(out)))
        return out

    @_alone
    def predict(self, X: npt.ArrayLike, out: Array | None = None, *, missing: str = "error") -> Array:
        """The output of the last layer that is not a cost, (n, outputs), without noise and with running statistics. `out` as
        for `sample`, `missing` as for `encode`."""
        return self._apply(lib.dn_net_predict, X, self.inputs, self.outputs, out=out, missing=missing)

    @_alone
    def evaluate(
        self,
        X: npt.ArrayLike,
        truth: npt.ArrayLike | None = None,
        *,
        samples: int | None = None,
        k: int | None = None,
        latent: bool = False,
        seed: int = 0,
        row_weight: RowWeight = None,
    ) -> Evaluation:
        """How good the network is on these rows. image_loss, latent_loss and total_loss are means per row, without noise (z is
        the mean) and with running statistics; with a truth also `accuracy` (losses over classes), or `mse` and `r2`.

        reconstruction, kl and elbo are means per row in nats, from `samples` draws of z for each row, and log_likelihood is that
        from k draws; they are None without a sampling layer, and where the loss is no likelihood, such as sse. The draws are
        functions of (seed, row, draw). samples None: 1, but of a table 4 that are the same for all rows, as for `score_rows`,
        whose mean is then -elbo.

        latent: also every latent dimension, and baselines such as a PCA, see `Evaluation`. row_weight, as for `train`: means
        are weighted, and so are variances and scores."""
        X, weights = rows_and_weights(self, X, row_weight)
        x = self._matrix(X)
        weights = weights_of(weights, len(x))
        y = None if truth is None else matrix(truth, self._info().truths, "truth")
        if y is not None and len(y) != len(x):
            raise errors.UsageError(f"X has {len(x)} rows, truth has {len(y)}")
        options = self._evaluate_options(samples, k, seed, self._knows_columns)
        options.latent = bool(latent)
        found = ffi.new("dn_evaluation *")
        self._check(lib.dn_net_evaluation(self._handle, dn_rows(x, y, weights), options, found), X=x, truth=y)
        self._rows = 0
        return evaluation(found, report_values(found.report), latent)

    def _evaluate_options(self, samples: int | None, k: int | None, seed: int, same_draws: bool = False) -> Any:
        if k is not None:
            k = whole("k", k, 1, 1 << 24)
        if samples is None:
            samples = 4 if self._knows_columns else 1
        return ffi.new("dn_evaluate_options *", {
            "samples": whole("samples", samples, 1, 1 << 24), "k": k or 0,
            "seed": whole("seed", seed, 0, 2**64 - 1), "same_draws": bool(same_draws),
        })  # fmt: skip

    @overload
    def score_rows(
        self, X: npt.ArrayLike, truth: npt.ArrayLike | None = ..., *, samples: int | None = ..., k: int | None = ...,
        contributions: Literal[False] = ..., seed: int = ..., missing: str = ..., same_draws: bool | None = ...,
    ) -> npt.NDArray[np.float64]: ...  # fmt: skip

    @overload
    def score_rows(
        self, X: npt.ArrayLike, truth: npt.ArrayLike | None = ..., *, samples: int | None = ..., k: int | None = ...,
        contributions: Literal[True], seed: int = ..., missing: str = ..., same_draws: bool | None = ...,
    ) -> tuple[npt.NDArray[np.float64], Array]: ...  # fmt: skip

    def score_rows(
        self, X: npt.ArrayLike, truth: npt.ArrayLike | None = None, *, samples: int | None = None, k: int | None = None,
        contributions: bool = False, seed: int = 0, missing: str = "error", same_draws: bool | None = None,
    ) -> Any:  # fmt: skip
        """How unusual each row is, (n,): higher for rows unlike the training data. With a sampling layer and losses that are
        likelihoods it is minus the ELBO in nats, from `samples` draws of z, or with k minus the log-likelihood from k draws;
        otherwise the total loss, with z at its mean, and k is a UsageError.

        contributions: return a pair, the scores and (n, columns): what each column adds to the reconstruction, which is the
        score without the KL of the latent space, from the `samples` draws. seed as for `evaluate`, `missing` as for `encode`.
        same_draws: every row has the draws of the first one, so that its score does not depend on its place. samples and
        same_draws None: 1 draw, but 4 that are the same for all rows if the network knows the columns of a table."""
        with self._claimed():
            typed = self._knows_columns
            same_draws = typed if same_draws is None else same_draws
            options = self._evaluate_options(samples, k, seed, same_draws)
            x, y = self._rows_and_truth(X, truth)
            x, y, gone = self._known(missing, x, y)
            scores = np.empty(len(x))
            values = np.empty((len(x), int(self._info().truths)), np.float32) if contributions else None
            out = ffi.new("dn_row_scores *", {"score": ffi.cast("double *", scores.ctypes.data)})
            if values is not None:
                out.values = pointer(values)
            call = lib.dn_net_score_rows
            outs = (scores,) if values is None else (scores, values)
            self._fill(outs, gone, lambda: call(self._handle, dn_rows(x, y), options, out), X=x, truth=y)
            return scores if values is None else (scores, values)

    @_alone
    def check(
        self, X: npt.ArrayLike | None = None, truth: npt.ArrayLike | None = None, *, row_weight: RowWeight = None
    ) -> Check:  # fmt: skip
        """Is this network computed right? Compares, for the first few rows of X (None: random rows that its losses accept):
        gradients with differences of what training descends, losses and their derivatives with formulas in double precision,
        and steps of plain SGD and of the network's optimiser with theirs. The network is left as it was. The result is a list
        with one Comparison per tensor and term, true if none has failed; `.failed` has those that have, `.summary` is one
        sentence. row_weight as for `train`.

            assert net.check(X), net.check(X).summary
        """
        x = y = weights = None
        if X is not None:
            X, found = rows_and_weights(self, X, row_weight)
            x, y = self._rows_and_truth(X, truth)
            weights = weights_of(found, len(x))
        rows = ffi.new("dn_rows *") if x is None else dn_rows(x, y, weights)
        checks = ffi.new("dn_checks *")
        self._check(lib.dn_net_check(self._handle, rows, checks), X=x, truth=y)
        self._rows = 0
        return Check._of(checks)

    @_alone
    def row_losses(self, X: npt.ArrayLike, truth: npt.ArrayLike | None = None, *, missing: str = "error") -> dict[str, Array]:
        """The losses of each row: image_loss, latent_loss and total_loss, each (n,); their means are those of `evaluate`. The
        total loss is an anomaly score: rows unlike the training data have a higher loss. `missing` as for `encode`; applies to
        values of the truth too."""
        x, y = self._matrix(X), None if truth is None else matrix(truth, self._info().truths, "truth")
        if y is not None and len(y) != len(x):
            raise errors.UsageError(f"X has {len(x)} rows, truth has {len(y)}")
        x, y, gone = self._known(missing, x, y)
        losses = {name: np.empty(len(x), np.float32) for name in ("image_loss", "latent_loss", "total_loss")}
        call, outs = lib.dn_net_evaluate_rows, losses.values()
        self._fill(outs, gone, lambda: call(self._handle, dn_rows(x, y), *map(pointer, outs)), X=x, truth=y)
        return losses

    def bounds(
        self, X: npt.ArrayLike, draws: int = 1, *, truth: npt.ArrayLike | None = None, seed: int = 0, missing: str = "error"
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Bounds of the log-likelihood ln p(x) of each row from `draws` draws z of q(z|x), in nats, each (n,):

        - `reconstruction`: mean of -ln p(x|z)
        - `kl`: KL of q(z|x) to the prior; NaN where there is no formula for it
        - `drawn_kl`: mean of ln q(z|x) - ln p(z); -(reconstruction + drawn_kl) is the drawn ELBO
        - `log_likelihood`: ln of the mean of p(x|z) p(z) / q(z|x), which rises to ln p(x) with the number of draws (Burda et
          al., arXiv:1509.00519, eq. 8)
        - `log_likelihood_variance`: of that estimate, by the delta method; NaN with one draw

        The draws are functions of (seed, row, draw) alone. Needs a sampling layer and losses that are likelihoods, such as
        gaussian or bernoulli; otherwise a UsageError. `missing` as for `encode`."""
        x, y = self._rows_and_truth(X, truth)
        x, y, gone = self._known(missing, x, y)
        names = ("reconstruction", "kl", "drawn_kl", "log_likelihood", "log_likelihood_variance")
        values = {name: np.empty(len(x)) for name in names}
        out = ffi.new("dn_bounds *", {name: ffi.cast("double *", array.ctypes.data) for name, array in values.items()})
        call = lib.dn_net_bounds
        self._fill(values.values(), gone, lambda: call(self._handle, dn_rows(x, y), draws, seed, out), X=x, truth=y)
        return values

    @_alone
    def detect(
        self,
        image: npt.ArrayLike,
        threshold: float = 0.5,
        nms: float | None = 0.45,
        letterbox: bool = True,
        across_classes: bool = False,
    ) -> Detections:
        """The objects that the detector heads ([yolo], [region], [detection]) find in one image.

        image: (height, width, channels), or (height, width) for one channel, of any size; uint8 counts as value / 255, other
        types as they are. threshold: only scores (objectness times class probability) above it count. nms: a detection is
        suppressed by one of its class with a better score when they overlap by more than this (intersection over union); None:
        no suppression; across_classes: across all classes, keeping the better objectness. letterbox: the image is fitted into
        the network's input with its aspect ratio kept, on grey; otherwise it is stretched.
        """
        from .detection import detect

        return detect(self, image, threshold, nms, letterbox, across_classes)

    def _need_latent(self) -> None:
        if not self.latent_size:
            raise errors.UsageError(f"{self.cfg}: no [sampling] layer and no narrow layer of an autoencoder: no latent space")

    # ---- one step by hand

    @_alone
    def forward(
        self, x: npt.ArrayLike, truth: npt.ArrayLike | None = None, train: bool = False, *,
        row_weight: npt.ArrayLike | None = None,
    ) -> Array:  # fmt: skip
        """Run x (n, inputs), n <= batch, through all layers and return the output (n, outputs). truth (n, truths): what the
        losses compare with, of an autoencoder x itself; None: they are not computed, and `backward` has no gradient of them.
        row_weight (n,): factors of the losses of rows, as they are."""
        rows = matrix(x, self.inputs, "x")
        y = None if truth is None else matrix(truth, self._info().truths, "truth")
        if y is not None and len(y) != len(rows):
            raise errors.UsageError(f"x has {len(rows)} rows, truth has {len(y)}")
        weights = weights_of(row_weight, len(rows))
        self._check(lib.dn_net_forward(self._handle, dn_rows(rows, y, weights), int(train)), truth=y)
        self._rows = len(rows)
        self._no_truth = y is None and self._info().truths > 0
        out: int = self._info().output_layer
        return self.layers[out].output

    def backward(self) -> None:
        """Add the gradients of the last forward pass to `grads`."""
        if self._no_truth:
            warnings.warn(
                "the last forward pass had no truth, so its losses are not in these gradients: "
                "forward(x, x, train=True) for an autoencoder",
                stacklevel=2,
            )
        check(lib.dn_net_backward(self._handle))

    def update(self) -> None:
        """One optimiser step with the gradients since the last one."""
        check(lib.dn_net_update(self._handle))

    def set_noise(self, layer: int, eps: npt.ArrayLike) -> None:
        """Set the random numbers of the next forward pass of layer number `layer`: normal ones (rows, latent) for a sampling
        layer, uniform ones (rows, inputs) for a dropout layer; with samples=k in training (k rows, ...), a row's one after
        another."""
        array = np.ascontiguousarray(eps, np.float32)
        check(lib.dn_layer_set_noise(self._handle, layer, pointer(array), array.size))

    def reset_state(self) -> None:
        """Clear the state of recurrent layers."""
        check(lib.dn_net_reset_state(self._handle))

    # ---- what it is

    def _info(self) -> Any:
        info = ffi.new("dn_net_info *")
        lib.dn_net_info_get(self._handle, info)
        return info

    def table(self) -> str:
        """The layers with shapes, parameters, arithmetic and memory, as `darknet inspect` prints them."""
        return self._text(lib.dn_net_table)

    def describe(self) -> dict[str, Any]:
        """The table as a dictionary: parameters, weights_bytes, flops_per_row, memory_predict_bytes, ..., and `layers`, a list
        of dictionaries; what `darknet inspect -json` prints."""
        return dict(json.loads(self.json()))

    def json(self) -> str:
        """The table as JSON text."""
        return self._text(lib.dn_net_json)

    def _text(self, write: Any) -> str:
        while True:
            size = write(self._handle, ffi.NULL, 0) + 1
            buffer = ffi.new("char[]", size)
            if write(self._handle, buffer, size) < size:  # else another thread has resized it in between
                return text(buffer)

    @property
    def cost(self) -> float:
        """Darknet's cost of the last forward pass with a truth: summed over rows and features, averaged over the cost layers."""
        return float(self._info().cost)

    @property
    def objective(self) -> float:
        """What training minimises, for the last forward pass: s * total_loss summed over the rows (docs/numerics.md)."""
        return float(self._info().objective)

    @property
    def device(self) -> str:
        """The device in use: "cpu", or "cuda:0" and the GPU's name."""
        return text(lib.dn_net_device(self._handle))

    @property
    def batch(self) -> int:
        """Rows per pass: batch / subdivisions * time_steps of the cfg, or as given."""
        return int(self._info().batch)

    @property
    def inputs(self) -> int:
        """Values per row that the network reads."""
        return int(self._info().inputs)

    @property
    def outputs(self) -> int:
        """Values per row of its last layer that is not a cost."""
        return int(self._info().outputs)

    @property
    def latent_size(self) -> int:
        """Length of a latent vector: that of the sampling layer, or of an autoencoder's narrowest layer; 0: neither."""
        return int(self._info().latent_size)

    @property
    def supervised(self) -> bool:
        """The truth is not the input: it is for a softmax, or has another number of values."""
        return bool(self._info().supervised)

    @property
    def truths(self) -> int:
        """Values of truth per row that the losses read; 0: no loss."""
        return int(self._info().truths)

    @property
    def variational(self) -> bool:
        """There is a sampling layer, and so a prior to draw from."""
        return bool(self._info().variational)

    @property
    def learning_rate(self) -> float:
        """At the current step."""
        return float(self._info().learning_rate)

    @property
    def seen(self) -> int:
        """Rows trained so far."""
        return int(self._info().seen)

    @property
    def seed(self) -> int:
        """Of initial weights, noise, dropout and the order of rows."""
        return int(self._info().seed)

    @property
    def n_params(self) -> int:
        """How many trained numbers it has."""
        return int(self._info().n_params)

    @property
    def memory_bytes(self) -> int:
        """Memory held now."""
        return int(self._info().memory_bytes)

    @property
    def training_bytes(self) -> int:
        """Memory held when training: gradients and moments are allocated by the first training."""
        return int(self._info().training_bytes)

    @property
    def data_scale(self) -> float:
        """[net] data_scale: the divisor of CSV values."""
        return float(self._info().data_scale)

    @property
    def label_column(self) -> str | None:
        """[net] label_column: name or index of a CSV column that is not data."""
        return text(lib.dn_net_label_column(self._handle)) or None

    @property
    def row_weight(self) -> str | None:
        """[net] row_weight, or what `train(row_weight=)` said: the column with how much each row counts, which is not data."""
        return known(self)

    @property
    def input_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the input, None for plain vectors."""
        info = self._info()
        shape = (int(info.channels), int(info.height), int(info.width))
        return shape if all(shape) else None

    @property
    def output_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the output, or of the input if the output has the same size; None: no image."""
        info = self._info()
        shape = (int(info.out_channels), int(info.out_height), int(info.out_width))
        if shape[1] * shape[2] > 1:
            return shape
        return self.input_shape if info.outputs == info.inputs else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are exact: with the optimiser's moments, where the training stands, seed and rows per pass."""
        options = {**self._options, "seed": self.seed, "batch": self.batch, "training": True}
        return _restored, (type(self), self.cfg, self._bytes(training=True), options)

    def __repr__(self) -> str:
        latent = f", {self.latent_size} latents" if self.latent_size else ""
        return f"<Network {self.cfg}: {len(self.layers)} layers, {self.inputs} -> {self.outputs}{latent}>"

    def _repr_html_(self) -> str:
        """In notebooks: the layer table."""
        from . import _html

        return "<p>a closed network</p>" if self._pointer is None else _html.network(self)


def _not_finite(array: Array) -> npt.NDArray[np.bool_]:
    """Which rows have a value that is not a finite number. In parts: a mask of all values takes a quarter of their memory."""
    parts = [~np.isfinite(array[at : at + 4096]).all(axis=1) for at in range(0, len(array), 4096)]
    return np.concatenate(parts) if parts else np.zeros(0, np.bool_)


def sample_prior(n: int, latent_size: int, seed: int = 0) -> Array:
    """n latent vectors from N(0, 1): the same rows for the same seed on every machine."""
    if n < 0 or latent_size < 1 or not 0 <= seed < 2**64:
        raise errors.UsageError(f"{n} rows of {latent_size} values from seed {seed}: no such sample")
    z = np.empty((n, latent_size), np.float32)
    check(lib.dn_prior_sample(seed, n, latent_size, pointer(z)))
    return z


def layer_types() -> list[str]:
    """The section names of all layer types."""
    names: list[str] = []
    while (name := lib.dn_layer_type_name(len(names))) != ffi.NULL:
        names.append(text(name))
    return names


def build_info() -> str:
    """Version and instruction set of the core."""
    return text(lib.dn_build_info())
