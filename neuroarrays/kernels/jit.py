"""The one place that asks numba to compile: without the GIL, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache


class _DiskCache(FunctionCache):
    """Compiled code on disk. Where it cannot be read or written, the function is compiled anew.

    A full disk, a folder that became read-only, or a file cut short cost a second, not the answer.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file raises
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()
        except Exception:  # a damaged index: the next process writes a new one
            self.disable()
            with suppress(OSError):
                self.flush()


def fixed(array: np.ndarray) -> np.ndarray:
    """A view of an array that cannot be written to, whether the array can or not.

    Numba compiles a function anew for arrays that cannot: with this, once for both.

    Parameters
    ----------
    array : (...) array
        An input of a compiled function, in any unit.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def compiled(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Compile a function of numbers and arrays when it is first called.

    Parameters
    ----------
    function : callable
        What to compile.
    **options
        Of numba, such as ``inline="always"``.
    """
    if function is None:
        return lambda function: compiled(function, **options)
    dispatcher = njit(nogil=True, **options)(function)
    try:
        cache = _DiskCache(function)
    except (RuntimeError, OSError):  # neither beside the package nor in a home can be written
        return dispatcher
    if hasattr(dispatcher, "_cache"):
        dispatcher._cache = cache
    return dispatcher
