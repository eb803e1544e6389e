"""The command that shows what is kept of files behind addresses."""

from __future__ import annotations

import argparse

from neuroarrays.cli.archive_commands import Add
from neuroarrays.cli.printing import say, show, size_text, table
from neuroarrays.errors import many

FINE = 0


def register(add: Add) -> None:
    """Add the command."""
    cache = add("cache", _cache, "list what is kept of files behind addresses, or clear it")
    cache.add_argument("--clear", action="store_true", help="delete all of it")


def _cache(arguments: argparse.Namespace) -> int:
    from neuroarrays.files import sidecars

    top = sidecars.folder()
    if top is None:
        say(f"nothing is kept: {sidecars.FOLDER}=off, or neuroarrays[remote] is not installed")
        return FINE
    if arguments.clear:
        say(f"{top}: {many(sidecars.clear(), 'file')} deleted")
        return FINE
    kept = sidecars.every()
    total = sum(size for _, _, size in kept)
    if kept:
        rows = [[path, size_text(size)] for _, path, size in kept]
        show([*table(["address", "kept"], rows, right=["kept"]), []])
    limit = size_text(sidecars.LIMIT)
    say(f"{top}: {many(len(kept), 'file')}, {size_text(total)} of at most {limit}")
    return FINE
