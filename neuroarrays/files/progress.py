"""How far a save, a build or a long read has come: a bar of rich's on the terminal, or nothing without rich."""

from __future__ import annotations

import multiprocessing
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from neuroarrays.errors import printable
from neuroarrays.files import state

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Work that is shorter shows nothing, s.
DELAY = 2.0
#: Characters of a place that are shown, its end.
_SHOWN = 50


def is_watched() -> bool:
    """Whether somebody sees a bar of this process: on a terminal or in a notebook, and not of a worker."""
    if multiprocessing.parent_process() is not None:
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or hasattr(shell, "kernel")


class Bar:
    """A bar on stderr, once the work has taken two seconds; a context, so that it always ends.

    Parameters
    ----------
    wanted : bool, optional
        Whether there is one; by default if stderr is a terminal. Without rich there is none, nor
        inside another one.
    name : str
        What is written.
    total : int
        How much there is to do: bytes of values, or parts.
    of_bytes : bool
        Whether these are bytes.
    delay : float, optional
        Work that is shorter shows nothing, s; 2 unless given.
    """

    def __init__(
        self,
        wanted: bool | None,
        name: str,
        total: int,
        of_bytes: bool = True,
        delay: float | None = None,
    ):
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.name, self.total, self.of_bytes = printable(name), total, of_bytes
        self.delay = delay
        self.started, self.done, self.item = time.monotonic(), 0, ""
        self._shown: tuple[Progress, TaskID] | None = None
        self._lock = state.Lock()

    def at(self, item: str) -> None:
        """Show which item is being written."""
        self.item = printable(item[-_SHOWN:])
        self._show()

    def add(self, amount: int) -> None:
        """Add to the amount that is done; several threads may."""
        with self._lock:
            self.done += amount
            self._show()

    def __enter__(self) -> Bar:
        if state.BARS:
            self.wanted = False
        else:
            state.BARS.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self in state.BARS:
            state.BARS.remove(self)
        if self._shown is not None:
            progress, task = self._shown
            if error is None:
                progress.update(task, completed=self.total, item="done")
            else:
                progress.update(task, item="not finished")
            progress.stop()

    def _show(self) -> None:
        delay = DELAY if self.delay is None else self.delay
        if self.wanted and self._shown is None and time.monotonic() - self.started >= delay:
            self._shown = self._begun()
            self.wanted = self._shown is not None
        if self._shown is not None:
            progress, task = self._shown
            progress.update(task, completed=self.done, total=self.total, item=self.item)

    def _begun(self) -> tuple[Progress, TaskID] | None:
        try:
            import rich.progress as parts
            from rich.console import Console
        except ImportError:
            return None
        amount = parts.DownloadColumn() if self.of_bytes else parts.MofNCompleteColumn()
        progress = parts.Progress(
            parts.TextColumn("{task.description}", markup=False),
            parts.BarColumn(24),
            amount,
            parts.TimeRemainingColumn(),
            parts.TextColumn("{task.fields[item]}", markup=False),
            console=Console(stderr=True),
            redirect_stdout=False,  # a library leaves the streams of the process alone
            redirect_stderr=False,
        )
        task = progress.add_task(self.name, total=self.total, item="")
        progress.start()
        return progress, task
