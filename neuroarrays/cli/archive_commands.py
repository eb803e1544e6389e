"""The commands for archives of many sessions: build, subset and export-npy."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuroarrays.cli.options import bins, engine, seconds, values
from neuroarrays.cli.printing import say
from neuroarrays.errors import many

Add = Callable[[str, Callable[[argparse.Namespace], int], str], Any]
FINE, FAULTS = 0, 1
#: Parameters of `na.build` that are no options of the command.
_NOT_TYPED = ("progress",)


def register(add: Add) -> None:
    """Add the commands; `add` makes one from its name, function and summary."""
    _register_build(add)
    subset = add(
        "subset", _subset, "copy chosen stimuli, sessions and areas of an archive into a new one"
    )
    subset.add_argument("path", metavar="ARCHIVE", help="an archive, or a folder of them")
    subset.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="archive to write: one file if it ends in .h5 or .zarr, else a folder with a file "
        "per stimulus",
    )
    _chosen(subset, "stimuli", "sessions", "areas")
    _layout(subset)
    engine(subset)
    export = add(
        "export-npy",
        _export,
        "write the responses to one stimulus in one area, an NPY file per session",
    )
    export.add_argument("path", metavar="ARCHIVE", help="an archive, or a folder of them")
    export.add_argument("stimulus", metavar="STIMULUS", help="name of the stimulus")
    export.add_argument("area", metavar="AREA", help="name of the area")
    export.add_argument("output", metavar="OUTDIR", help="folder for the NPY files")
    export.add_argument(
        "--data",
        choices=("spike_data", "speed"),
        default="spike_data",
        help="spike_data has units x presentations x time, speed has presentations x time "
        "(default: %(default)s)",
    )
    engine(export)


def _register_build(add: Add) -> None:
    """Add the command `build` and its options."""
    build = add(
        "build", _build, "align many sessions and save them as an archive with a file per stimulus"
    )
    build.add_argument(
        "paths",
        metavar="SESSION",
        nargs="+",
        help="recordings, folders of recordings, or addresses",
    )
    build.add_argument(
        "-o",
        "--output",
        dest="archive",
        metavar="ARCHIVE",
        required=True,
        help="folder of the archive; run the same command again to continue an interrupted build",
    )
    _chosen(build, "stimuli", "areas")
    build.add_argument(
        "--units",
        metavar="CONDITION",
        help="keep only units that fit, e.g. 'presence_ratio > 0.95'",
    )
    bins(build.add_argument)
    values(build.add_argument)
    build.add_argument(
        "--compat",
        choices=("mlynarski",),
        help="make the same files as the published archive of Allen Visual Coding",
    )
    _layout(build)
    engine(build)
    build.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="number of tasks at the same time (default: %(default)s)",
    )
    build.add_argument(
        "--scheduler",
        metavar="WHERE",
        help="where tasks run: processes (the default), threads, sync, or a dask.distributed "
        "scheduler "
        "by its address, e.g. tcp://host:8786",
    )
    build.add_argument(
        "--timeout",
        metavar="S",
        type=seconds,
        default=1800.0,
        help="longest time for one session and stimulus, in seconds (default: %(default)s)",
    )
    build.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first session that fails; without it the others are still built",
    )


def _chosen(command: argparse.ArgumentParser, *names: str) -> None:
    """Add options that take names or patterns."""
    for name in names:
        command.add_argument(
            f"--{name}",
            metavar="NAME",
            nargs="+",
            action="extend",
            help=f"names or patterns, e.g. {_EXAMPLES[name]} (default: all)",
        )


_EXAMPLES = {"stimuli": "'natural_*'", "areas": "'VIS*'", "sessions": "session_715093703"}


def _layout(command: argparse.ArgumentParser) -> None:
    """Add the option --layout."""
    command.add_argument(
        "--layout",
        choices=("allen_binned",),
        help="write the published layout of Allen Visual Coding instead of ours",
    )


def _build(arguments: argparse.Namespace) -> int:
    """Run the command `build`."""
    from neuroarrays.collection.building import build
    from neuroarrays.files.progress import Bar

    with Bar(None, Path(arguments.archive).name, 0, of_bytes=False) as bar:

        def show(done: int, total: int, name: str) -> None:
            """Show the progress."""
            bar.total = total
            bar.at(name)
            bar.add(done - bar.done)

        names = [n for n in inspect.signature(build).parameters if n not in _NOT_TYPED]
        report = build(**{name: getattr(arguments, name) for name in names}, progress=show)
    for note in report.notes:
        say(f"note: {note}")
    for path in report.written:
        say(f"{path}: {os.path.getsize(path) / 1e6:,.1f} MB")
    for path in report.unchanged:
        say(f"{path}: complete already")
    done = f"{many(report.parts_made, 'part')} made, {report.parts_reused} from an earlier run"
    is_there = report.written or report.unchanged
    opened = f"in Python: na.open_datatree({str(Path(arguments.archive))!r})"
    say(
        f"{done}; {opened if is_there else 'no archive was written, because no part could be made'}"
    )
    for line in _failures(report.failures):
        say(f"not in the archive: {line}", sys.stderr)
    return FAULTS if report.failures else FINE


def _failures(failures: list[tuple[str, str]]) -> list[str]:
    """Group the failures by reason, one line for each, so that many fit on a screen."""
    from neuroarrays.collection.plan import list_names

    by_reason: dict[str, list[tuple[str, str]]] = {}
    for name, error in failures:
        by_reason.setdefault(error.replace(name, ""), []).append((name, error))
    lines = []
    for alike in by_reason.values():
        names, (_, error) = [name for name, _ in alike], alike[0]
        count = f"{len(names)} for one reason: " if len(names) > 1 else ""
        lines.append(f"{count}{list_names(names, '; ')}: {error}")
    return lines


def _subset(arguments: argparse.Namespace) -> int:
    """Run the command `subset`."""
    from neuroarrays.collection.subsets import subset

    out = subset(
        arguments.path,
        arguments.output,
        arguments.stimuli,
        arguments.sessions,
        arguments.areas,
        arguments.layout,
        arguments.engine,
    )
    say(f"{out}: in Python: na.open_datatree({str(out)!r})")
    return FINE


def _export(arguments: argparse.Namespace) -> int:
    """Run the command `export`."""
    from neuroarrays.collection.subsets import export_npy

    export_arguments = (
        arguments.path,
        arguments.stimulus,
        arguments.area,
        arguments.output,
        arguments.data,
    )
    for path in export_npy(*export_arguments, engine=arguments.engine):
        say(path)
    return FINE
