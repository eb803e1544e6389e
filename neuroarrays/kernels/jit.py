"""The one place that asks numba to compile: without the GIL, kept on disk where that is possible."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache

#: Seconds of compiling after which a message is shown.
PATIENCE = 1.0


class Waiting:
    """How long a process has compiled, and whether it was said. One compilation may start others."""

    def __init__(self) -> None:
        self.seconds, self.said = 0.0, False
        self._begun: list[float] = []

    def begin(self) -> None:
        """A function is not in the cache: it is compiled now."""
        self._begun.append(time.monotonic())

    def end(self, where: str) -> None:
        """It is compiled, and kept at a place."""
        if not self._begun:
            return
        begun = self._begun.pop()
        if not self._begun:
            self.seconds += time.monotonic() - begun
        if not self.said and self.seconds + time.monotonic() - begun > PATIENCE:
            self.said = True
            if _is_watched():
                text = f"neuroarrays: compiling kernels once (cached in {where})"
                print(text, file=sys.stderr)  # noqa: T201


#: Of this process.
WAITING = Waiting()


def _is_watched() -> bool:
    """Whether somebody reads what this process says: on a terminal or in a notebook, not of a worker."""
    if multiprocessing.parent_process() is not None:
        return False
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or hasattr(shell, "kernel")


class _DiskCache(FunctionCache):
    """Compiled code on disk. If it cannot be read or written, the function is compiled again.

    A full disk, a folder that became read-only, or a file cut short cost a second, not the answer.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code from the cache; if there is none, note that compiling begins."""
        try:
            code = super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file raises
            code = None
        if code is None:
            WAITING.begin()
        return code

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save compiled code in the cache; a cache that cannot be written is not used."""
        WAITING.end(self.cache_path)
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()
        except Exception:  # a damaged index: the next process writes a new one
            self.disable()
            with suppress(OSError):
                self.flush()


def kept_in() -> str:
    """The folder in which compiled code of the kernels is kept; "" where none can be written."""
    try:
        return str(_DiskCache(_is_watched).cache_path)
    except (RuntimeError, OSError):
        return ""


def fixed(array: np.ndarray) -> np.ndarray:
    """Return a view of an array that cannot be written to.

    Numba compiles a function anew for arrays that cannot: with this, once for both.

    Parameters
    ----------
    array : (...) array
        An input of a compiled function, in any unit.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def compiled(
    function: Callable[..., Any] | None = None, /, *, inner: bool = False, **options: Any
) -> Any:
    """Compile a function of numbers and arrays when it is first called.

    Parameters
    ----------
    function : callable
        What to compile.
    inner : bool
        Whether only other compiled functions call it: it then has no way in from Python, which
        takes up to half of compiling a small function.
    **options
        Of numba, such as ``inline="always"``.
    """
    if function is None:
        return lambda function: compiled(function, inner=inner, **options)
    # Nothing calls these functions from C; leaving out the C wrapper saves a tenth of compiling.
    options = {"nogil": True, "no_cfunc_wrapper": True, "no_cpython_wrapper": inner, **options}
    dispatcher = njit(**options)(function)
    try:
        cache = _DiskCache(function)
    except (RuntimeError, OSError):  # neither beside the package nor in a home can be written
        return dispatcher
    if hasattr(dispatcher, "_cache"):
        dispatcher._cache = cache
    return dispatcher
