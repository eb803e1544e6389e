"""What other libraries and threads may be in the middle of when a process is forked."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

_IMPORTS = 10.0  # seconds that a fork waits for imports of other threads


def compiling() -> list[Any]:
    """Numba's lock, if numba is loaded: a child that inherits it held cannot compile."""
    module = sys.modules.get("numba.core.compiler_lock")
    lock = getattr(module, "global_compiler_lock", None)
    return [] if lock is None else [lock]


def _import_locks() -> dict[str, Any]:
    """The locks of modules by name, as weak references."""
    bootstrap = getattr(sys.modules.get("importlib"), "_bootstrap", None)
    table: dict[str, Any] = getattr(bootstrap, "_module_locks", {})
    return table


def imported_elsewhere() -> list[str]:
    """Modules that another thread is in the middle of importing."""
    owners = {n: getattr(ref(), "owner", None) for n, ref in list(_import_locks().items())}
    return [n for n, owner in owners.items() if owner not in (None, threading.get_ident())]


def import_anew() -> None:
    """In a child: forget what a lost thread was importing, which began after `wait_for_imports` looked."""
    for name in imported_elsewhere():
        _import_locks().pop(name, None)
        if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
            del sys.modules[name]


def wait_for_imports() -> None:
    """Wait until no other thread is in the middle of an import, 10 s at most."""
    deadline = time.monotonic() + _IMPORTS
    while imported_elsewhere() and time.monotonic() < deadline:
        time.sleep(0.001)
