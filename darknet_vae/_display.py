"""The progress of a training on standard output: a bar of tqdm where it is installed, otherwise a line rewritten in place."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .training import Progress

_INTERVAL = 0.1  # seconds between two changes: notebooks keep everything that is written


class Quiet:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        pass

    def end(self, outcome: str = "") -> None:
        """The training is over; `outcome`: a sentence about it, or nothing."""


class Line(Quiet):
    """A line that is rewritten in place."""

    def __init__(self) -> None:
        self._length, self._shown = 0, 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._shown + _INTERVAL and not progress.finished:
            return
        self._shown = now
        width = shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else 200
        line = progress.line[:width]
        print(f"\r{line.ljust(self._length)}", end="", flush=True)
        self._length = len(line)

    def end(self, outcome: str = "") -> None:
        if self._length:
            print(flush=True)
            if outcome:
                print(outcome, flush=True)


class Bar(Quiet):
    """A bar over all planned epochs."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm, self._bar = tqdm, None

    def _begin(self, progress: Progress) -> Any:
        with_end = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        form = with_end if progress.epochs else "{desc} {elapsed}{postfix}"
        return self._tqdm(total=progress.epochs or None, bar_format=form, mininterval=_INTERVAL, file=sys.stdout)

    def show(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._begin(progress)
        bar: Any = self._bar
        epoch = progress.epoch if progress.epoch_done else progress.epoch + 1
        bar.set_description_str(f"epoch {epoch}/{progress.epochs}" if progress.epochs else f"epoch {epoch}", refresh=False)
        losses = "  ".join(f"{name} {value:.5g}" for name, value in progress.values.items())
        bar.set_postfix_str(f" {losses}  {progress.rows_per_second:.0f} rows/s", refresh=False)
        done = progress.epoch + (0 if progress.epoch_done else progress.rows_done / max(progress.rows_total, 1))
        bar.update(done - bar.n)
        if progress.finished:
            bar.refresh()

    def end(self, outcome: str = "") -> None:
        if self._bar is not None:
            self._bar.close()
            if outcome:
                print(outcome, flush=True)


def _tqdm() -> Any:
    """The class for a bar here: the widget where notebooks can show it, otherwise text; None: tqdm is not installed."""
    try:
        from tqdm.std import tqdm
    except ImportError:
        return None
    if "IPython" in sys.modules and importlib.util.find_spec("ipywidgets") is not None:
        try:
            import IPython.display  # noqa: F401
            from tqdm.notebook import tqdm as widget
        except ImportError:
            return tqdm
        return widget if in_notebook() else tqdm
    return tqdm


def in_notebook() -> bool:
    """Does this run in the kernel of a notebook? Then IPython is loaded, so nothing needs to be imported."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and type(get()).__name__ == "ZMQInteractiveShell"


def progress_display(on: bool) -> Quiet:
    """What `train` shows its progress with."""
    if not on:
        return Quiet()
    tqdm = _tqdm()
    return Line() if tqdm is None else Bar(tqdm)
