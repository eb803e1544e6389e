"""The commands for remote files: fetch copies them, cache lists what is stored of them."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from neuroarrays.cli.archive_commands import Add
from neuroarrays.cli.printing import say, show, size_text, table
from neuroarrays.errors import many

FINE = 0


def register(add: Add) -> None:
    """Add the commands."""
    fetch = add(
        "fetch",
        _fetch,
        "copy a remote file, or all files below an address or of a dandiset, to a folder",
    )
    fetch.add_argument(
        "address",
        metavar="ADDRESS",
        help="address to copy from: https://..., s3://..., dandi://...",
    )
    fetch.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        required=True,
        help="folder to copy to; run the same command again to continue an interrupted copy",
    )
    fetch.add_argument(
        "--files",
        metavar="GLOB",
        nargs="+",
        action="extend",
        default=[],
        help="patterns of the files to copy, as named below the address, e.g. '*.nwb' "
        "(default: all)",
    )
    fetch.add_argument(
        "--overwrite", action="store_true", help="replace existing files that differ"
    )
    cache = add(
        "cache",
        _cache,
        "list what is kept on this machine of remote files and of lists, or delete it",
    )
    cache.add_argument("--clear", action="store_true", help="delete all that is kept")


def _fetch(arguments: argparse.Namespace) -> int:
    """Run the command `fetch`."""
    from neuroarrays.files.fetching import fetch
    from neuroarrays.files.folders import size_of
    from neuroarrays.files.progress import Bar

    with Bar(None, Path(arguments.output).name, 0) as bar:

        def show(done: int, total: int, name: str) -> None:
            """Show the progress."""
            bar.total = total
            bar.at(name)
            bar.add(done - bar.done)

        report = fetch(
            arguments.address, arguments.output, arguments.files, arguments.overwrite, show
        )
    for note in report.notes:
        say(f"note: {note}")
    for path in report.written:
        say(f"{path}: {size_text(size_of(path))}")
    unchanged = f", {len(report.unchanged)} there already" if report.unchanged else ""
    resumed = f", {size_text(report.resumed)} from an earlier run" if report.resumed else ""
    stores = sum(path.is_dir() for path in report.written)
    kinds = [(len(report.written) - stores, "file"), (stores, "Zarr store")]
    counts = " and ".join(many(n, kind) for n, kind in kinds if n) or "nothing"
    say(f"{counts} copied{unchanged}{resumed}")
    return FINE


def _cache(arguments: argparse.Namespace) -> int:
    """Run the command `cache`."""
    from neuroarrays.files import sidecars

    top, tables = sidecars.folder(), sidecars.folder("tables")
    if top is None or tables is None:
        say(f"nothing is kept: {sidecars.FOLDER}=off, or the package platformdirs is not installed")
        return FINE
    if arguments.clear:
        count = sum(1 for file in tables.rglob("*") if file.is_file())
        shutil.rmtree(tables, ignore_errors=True)
        say(f"{top}: {many(sidecars.clear(), 'file')} deleted")
        say(f"{tables}: {many(count, 'file')} deleted")
        return FINE
    copies = sidecars.every()
    total = sum(size for _, _, size in copies)
    if copies:
        rows = [[path, size_text(size)] for _, path, size in copies]
        show([*table(["address", "kept"], rows, right=["kept"]), []])
    limit = size_text(sidecars.LIMIT)
    say(f"{top}: {many(len(copies), 'file')}, {size_text(total)} of at most {limit}")
    files = [file.stat().st_size for file in tables.rglob("*.parquet")]
    kept_size = f"{size_text(sum(files))} of at most {limit}"
    say(f"{tables}: {many(len(files), 'table')} over recordings, {kept_size}")
    return FINE
