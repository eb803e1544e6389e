"""Progress bars of saves, builds and long reads, drawn on the terminal by rich if it is installed."""

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

#: Seconds of work after which a bar is shown.
DELAY = 2.0
#: The most characters of an item that are shown, taken from its end.
_SHOWN = 50


def is_watched() -> bool:
    """Whether a bar of this process can be seen: on a terminal or in a notebook, but not in a worker."""
    if multiprocessing.parent_process() is not None:
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or hasattr(shell, "kernel")


class Bar:
    """A progress bar on stderr, shown once the work has taken two seconds. Use it as a context manager.

    Parameters
    ----------
    wanted : bool, optional
        Whether a bar is shown; by default if stderr is a terminal. Without rich no bar is shown, and
        none inside another bar.
    name : str
        What the bar is called.
    total : int
        The amount of work: bytes of values, or a number of parts.
    of_bytes : bool
        Whether `total` is in bytes.
    delay : float, optional
        Seconds of work after which the bar is shown; 2 by default.
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
        """Add to the amount that is done; several threads may call this."""
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
        traceback: TracebackType | None,
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
        """Update the bar, and begin it once its delay is over."""
        delay = DELAY if self.delay is None else self.delay
        if self.wanted and self._shown is None and time.monotonic() - self.started >= delay:
            self._shown = self._begun()
            self.wanted = self._shown is not None
        if self._shown is not None:
            progress, task = self._shown
            progress.update(task, completed=self.done, total=self.total, item=self.item)

    def _begun(self) -> tuple[Progress, TaskID] | None:
        """Start a bar of rich; None if rich is not installed."""
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
