"""Locks of numba and of Python's imports, which another thread may hold when a process is forked.

A forked child inherits these locks as held, but not the thread that would release them.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

_IMPORTS = 10.0  # s, the longest that a fork waits for imports of other threads


def compiling() -> list[Any]:
    """Return numba's lock, if numba is loaded; a child that inherits it held cannot compile."""
    module = sys.modules.get("numba.core.compiler_lock")
    lock = getattr(module, "global_compiler_lock", None)
    return [] if lock is None else [lock]


def _import_locks() -> dict[str, Any]:
    """Return the locks of modules that are being imported: name -> weak reference."""
    bootstrap = getattr(sys.modules.get("importlib"), "_bootstrap", None)
    table: dict[str, Any] = getattr(bootstrap, "_module_locks", {})
    return table


def imported_elsewhere() -> list[str]:
    """Return the names of modules that another thread is importing now."""
    owners = {name: getattr(ref(), "owner", None) for name, ref in list(_import_locks().items())}
    return [name for name, owner in owners.items() if owner not in (None, threading.get_ident())]


def import_anew() -> None:
    """Forget, in a forked child, the imports that the lost threads of its parent had begun.

    Such an import began after `wait_for_imports` had looked.
    """
    for name in imported_elsewhere():
        _import_locks().pop(name, None)
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            del sys.modules[name]


def wait_for_imports() -> None:
    """Wait until no other thread is importing a module, 10 s at most."""
    deadline = time.monotonic() + _IMPORTS
    while imported_elsewhere() and time.monotonic() < deadline:
        time.sleep(0.001)
