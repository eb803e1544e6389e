"""The commands that list many recordings: units, presentations, sessions, catalog and index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import neuroarrays as na
from neuroarrays.cli import printing
from neuroarrays.cli.archive_commands import Add
from neuroarrays.cli.options import recordings
from neuroarrays.errors import many, option
from neuroarrays.files.writing import written

if TYPE_CHECKING:
    import pandas as pd

FINE = 0
#: The most rows that are printed.
_SHOWN = 40
#: Columns that tell Python where a row is; they are not printed.
_FOR_PYTHON = ("row", "node", "format", "stamp")
_ABOUT = {
    "units": "list the units of recordings, with all their properties",
    "presentations": "list the presentations, trials or epochs of recordings",
    "sessions": "list sessions, with the facts from their files",
    "catalog": "list sessions and areas, with their numbers of units and presentations",
}


def register(add: Add) -> None:
    """Add the commands."""
    for name, about in _ABOUT.items():
        command = add(name, _list, about)
        _recordings(command)
        command.add_argument(
            "--where",
            metavar="CONDITION",
            help="list only rows that fit, e.g. \"area == 'VISp' and presence_ratio > 0.95\"",
        )
        for scope in ("sessions", "areas") if name != "sessions" else ("sessions",):
            _names(
                command,
                scope,
                f"names of the {scope} to list, or patterns such as 'a*' (default: all)",
            )
        if name == "presentations":
            _names(
                command,
                "tables",
                "names of the tables to list, or patterns such as 'a*' (default: all)",
            )
        _names(command, "columns", "columns to list (default: all)")
        command.add_argument(
            "-o", "--output", metavar="FILE", help="write all rows to a .csv or .parquet file"
        )
        if name == "catalog":
            command.add_argument(
                "--figure",
                metavar="FILE",
                help="also draw the numbers of units and presentations by area, stimulus and "
                "session",
            )
    index = add(
        "index", _index, "list many recordings once, in a file that the other lists then use"
    )
    _recordings(index)
    index.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="index to write; one named units.parquet in the folder of the recordings is found "
        "by itself; an existing index is replaced",
    )
    index.add_argument(
        "--table",
        choices=tuple(_ABOUT),
        default="units",
        help="the list to write (default: %(default)s)",
    )


def _recordings(command: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that list recordings."""
    recordings(
        command,
        "files, folders of recordings, archives, addresses (https, s3, gs, az) or an index",
        "recordings",
    )
    command.add_argument(
        "--workers", metavar="N", type=int, help="number of recordings to open at the same time"
    )
    command.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="do not use or write the lists kept in the user's cache folder",
    )


def _names(command: argparse.ArgumentParser, name: str, about: str) -> None:
    """Add an option that takes names."""
    command.add_argument(f"--{name}", metavar="NAME", nargs="+", action="extend", help=about)


def _list(arguments: argparse.Namespace) -> int:
    """Print a table, or write it to a file."""
    output = None if arguments.output is None else Path(arguments.output)
    if output is not None and output.suffix not in (".csv", ".parquet"):
        msg = (
            f"{option('output', arguments.output)}: expected a name that ends with .csv or .parquet"
        )
        raise ValueError(msg)
    options: dict[str, Any] = {
        name: value
        for name in ("sessions", "areas", "tables")
        if (value := getattr(arguments, name, None)) is not None
    }
    if arguments.skip_damaged:
        options["skip_damaged"] = True
    frame: pd.DataFrame = getattr(na, arguments.command)(
        arguments.path,
        arguments.where,
        arguments.engine,
        columns=arguments.columns,
        cache=arguments.cache,
        workers=arguments.workers,
        **options,
    )
    printing.show(printing.bullets("note", frame.attrs.get("notes", []), "warn"))
    if getattr(arguments, "figure", None):
        _draw(frame, Path(arguments.figure))
    if output is not None:
        with written(output, overwrite=True) as work:
            if output.suffix == ".csv":
                frame.to_csv(work, index=False)
            else:
                from neuroarrays.collection import layout

                layout.require_pyarrow("writing parquet files")
                layout.export(layout.from_pandas(frame), work)
        printing.say(f"{output}: {many(len(frame), 'row')}")
        return FINE
    _print(frame, arguments.columns is not None)
    return FINE


def _print(frame: pd.DataFrame, whole: bool) -> None:
    """Print the first rows."""
    if not whole:
        hidden = [name for name in _FOR_PYTHON if name in frame]
        one_recording = "path" in frame and frame["path"].nunique() <= 1
        frame = frame.drop(columns=[*hidden, *(["path"] if one_recording else [])])
    shown = frame.head(_SHOWN)
    cells = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    numbers = [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf"]
    printing.show(printing.table([str(c) for c in frame.columns], cells, right=numbers))
    if len(frame) > len(shown):
        more = f"{many(len(frame) - len(shown), 'more row')}; -o FILE writes them all"
        printing.show([[(more, "faint")]])


def _cell(value: Any) -> str:
    """Return a value of a table as text."""
    return (
        f"{value:.6g}" if isinstance(value, float) and value == value else printing.cell_text(value)
    )


def _draw(frame: pd.DataFrame, figure: Path) -> None:
    """Draw a catalogue and write the figure."""
    drawn = na.plot.catalog(frame)["units"].figure
    # Without a suffix matplotlib would add its own.
    with written(figure if figure.suffix else figure.with_suffix(".png"), overwrite=True) as work:
        drawn.savefig(work, dpi=120, bbox_inches="tight")


def _index(arguments: argparse.Namespace) -> int:
    """Write an index."""
    options = {"skip_damaged": True} if arguments.skip_damaged else {}
    out = na.index(
        arguments.path,
        arguments.output,
        arguments.table,
        arguments.engine,
        cache=arguments.cache,
        workers=arguments.workers,
        **options,
    )
    size = printing.size_text(out.stat().st_size)
    printing.say(f"{out}: {size}; in Python: na.{arguments.table}({str(out)!r})")
    return FINE
