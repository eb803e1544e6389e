"""The command `neuroarrays`: the public functions on the command line.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once. Output is
plain aligned text; on a terminal, and where rich is installed, it is coloured.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import neuroarrays as na
from neuroarrays import archive_commands
from neuroarrays.errors import (
    FormatError,
    MissingDependency,
    NeuroArraysError,
    SchemaError,
    UnknownFormat,
)

if TYPE_CHECKING:
    import xarray as xr

PROGRAM = "neuroarrays"
FINE, FAULTS, REFUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
_EXIT_CODES = """\
exit codes:
  0  fine
  1  `check` found faults
  2  wrong usage, or a file or option that cannot be used: one line says why
  3  a defect of neuroarrays itself: please report it with the traceback
"""
_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
#: The attribute of a session that `info` shows apart.
_NOTES = "notes"
#: Style of a piece of text -> what rich makes of it.
_STYLES = {"": "", "title": "bold", "node": "bold cyan", "faint": "dim", "good": "green",
           "warn": "yellow", "bad": "bold red"}  # fmt: skip
Line = list[tuple[str, str]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process when not given.

    Returns
    -------
    int
        The exit code: 0 fine, 1 the check found faults, 2 refused, 3 a defect of our own.
    """
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return REFUSED
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has said what is wrong, or printed the help
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except (NeuroArraysError, ValueError, KeyError, OverflowError, OSError) as error:
        if arguments.debug:
            traceback.print_exc()
        return _fail(_message(error, arguments), REFUSED)
    except Exception as error:
        traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}; this is a defect, please report", BROKEN)
    return code


def _fail(message: str, code: int) -> int:
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    return code


def _message(error: BaseException, arguments: argparse.Namespace) -> str:
    """The error as one line, with our options where it speaks of keywords."""
    text = str(error)
    if not isinstance(error, NeuroArraysError | ValueError | OverflowError):
        text = f"{type(error).__name__}: {text}"
    text = re.sub(r"\s*\n\s*", "; ", text.strip()) or type(error).__name__
    known = "|".join(sorted(set(vars(arguments)) - {"run", "debug", "path", "output"}, key=len))

    def flag(match: re.Match[str]) -> str:
        name = "--" + match["name"].replace("_", "-")
        value = re.sub(r"[()\[\]'\",]", " ", match["value"] or "")
        return " ".join([name, *("" if value == "True" else value).split()])

    value = r"(?P<value>\([^)]*\)|\[[^]]*\]|'[^']*'|-?[\w.]*[\w])?"
    return re.sub(rf"\b(?P<name>{known})={value}", flag, text)


# ------------------------------------------------------------------------------------ the parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors look like ours: one line, then how to get help."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            REFUSED, f"{PROGRAM}: error: {message}; `{self.prog} --help` lists what there is\n"
        )


def build_parser() -> argparse.ArgumentParser:
    """The parser; `docs/cli.md` is made from it."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog=PROGRAM,
        description="Any neural recording as one lazy, labelled tree.",
        epilog=_EXIT_CODES,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {na.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common],
            formatter_class=formatter, allow_abbrev=False,
        )  # fmt: skip
        command.set_defaults(run=run)
        return command

    add("formats", _formats, "list the formats that can be opened")
    info = add("info", _info, "show the tree of a recording: sizes, dtypes, units, memory, notes")
    _input(info)
    _selection(info)
    catalog = add("catalog", _catalog, "list sessions and areas, without building a tree")
    _input(catalog)
    catalog.add_argument("--figure", metavar="FILE",
                         help="also draw units and presentations by area, stimulus and session")  # fmt: skip
    check = add("check", _check, "check a recording against the schema, its values too")
    _input(check)
    _selection(check)
    align = add("align", _align, "bring spikes and behaviour on one clock and save them")
    _input(align)
    _selection(align)
    _alignment(align)
    _result(align)
    convert = add("convert", _convert, "save a recording as an archive (.h5, .zarr)")
    _input(convert)
    _selection(convert)
    _result(convert)
    archive_commands.register(add)
    create = add("create-data", _create, "write small synthetic files in the layout of a dataset")
    create.add_argument("layout", metavar="LAYOUT",
                        help="nwb, allen, openretina, ...; any other word lists them")  # fmt: skip
    create.add_argument("output", metavar="OUT", help="file or folder to make")
    create.add_argument("--seed", type=int, default=0, help="of all random values (default: %(default)s)")  # fmt: skip
    demo = add("demo", _demo, "open the bundled recording, align it, plot it, train on it")
    demo.add_argument("-o", "--output", metavar="DIR", default="demo-output",
                      help="folder for figures and archive (default: %(default)s)")  # fmt: skip
    return parser


def _input(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", nargs="+",
                         help="a file, a folder, or several files of one format")  # fmt: skip
    command.add_argument("--engine", metavar="FORMAT",
                         help="name of the format; found by looking when not given")  # fmt: skip


def _selection(command: argparse.ArgumentParser) -> None:
    for name in ("sessions", "areas"):
        command.add_argument(f"--{name}", metavar="NAME", nargs="+", action="extend",
                             help=f"names or globs of the {name} to open")  # fmt: skip


def _alignment(command: argparse.ArgumentParser) -> None:
    """The options of `na.align`, with its defaults (a test compares them)."""
    group = command.add_argument_group("alignment")
    add = group.add_argument
    add(
        "--presentations",
        metavar="TABLE",
        help="table of presentations to align to; without it, one continuous clock",
    )
    add(
        "--bin-width",
        metavar="S",
        type=float,
        default=0.02,
        help="width of a bin in seconds (default: %(default)s)",
    )
    add(
        "--window",
        metavar=("A", "B"),
        type=float,
        nargs=2,
        help="from A to B seconds relative to each onset (default: the longest presentation); "
        "without --presentations, the part of the session clock (default: all of it)",
    )
    add(
        "--event",
        metavar="COLUMN",
        default="start_time",
        help="column of the table that onsets are taken from (default: %(default)s)",
    )
    add(
        "--event-clock",
        choices=("session", "presentation"),
        help="what that column counts from; found by comparing it when not given",
    )
    add(
        "--no-clip",
        dest="clip",
        action="store_false",
        help="count spikes after a presentation's stop too",
    )
    add(
        "--series",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="names or globs of the series to align (default: running, pupil, position, "
        "head direction)",
    )
    add(
        "--method",
        choices=("linear", "previous", "nearest"),
        default="linear",
        help="how series are interpolated (default: %(default)s)",
    )
    add("--max-gap", metavar="S", type=float, help="longest gap in a series that is bridged")
    add(
        "--dtype",
        default="uint8",
        choices=_DTYPES,
        help="dtype of the counts (default: %(default)s)",
    )
    add("--binarize", action="store_true", help="1 where there is any spike")
    add("--blanks", choices=("drop", "keep"), default="drop",
        help="presentations that their table marks as blank (default: %(default)s)")  # fmt: skip
    add("--compat", choices=("mlynarski",),
        help="what the published archive of Allen Visual Coding has; fixes every other option")  # fmt: skip
    add("--scheduler", metavar="ADDRESS",
        help="compute on a dask.distributed cluster, e.g. tcp://host:8786")  # fmt: skip


def _result(command: argparse.ArgumentParser) -> None:
    """The options of `na.save`."""
    group = command.add_argument_group("result")
    group.add_argument("-o", "--output", metavar="OUT", required=True,
                       help="archive to write: .h5, .hdf5, .nc or .zarr")  # fmt: skip
    group.add_argument("--compression", choices=("zstd", "portable"), default="zstd",
                       help="portable is gzip, which every HDF5 reads (default: %(default)s)")  # fmt: skip
    group.add_argument("--layout", choices=("allen_binned",),
                       help="write the published layout of Allen Visual Coding, not our own")  # fmt: skip
    group.add_argument("--overwrite", action="store_true",
                       help="replace what is at OUT, once the new archive is complete")  # fmt: skip


# ---------------------------------------------------------------------------------- the commands


def _formats(_: argparse.Namespace) -> int:
    from neuroarrays.formats import FORMATS

    rows = [[f.name, f.status, f.extra, f.description] for f in FORMATS]
    _show(_table(["format", "status", "extra", "what it reads"], rows))
    if any(f.extra for f in FORMATS):
        _show(
            [
                [],
                [
                    (
                        "extra: needed for some of its files, pip install 'neuroarrays[EXTRA]'",
                        "faint",
                    )
                ],
            ]
        )
    return FINE


def _info(arguments: argparse.Namespace) -> int:
    try:
        tree = _open(arguments)
    except UnknownFormat:
        text = "" if arguments.engine else _arrays_inside(arguments.path)
        if not text:
            raise
        print(text)
        return FINE
    nodes = [node for _, node in tree.subtree_with_keys]
    total = sum(v.nbytes for node in nodes for v in node.data_vars.values())
    kind = str(tree.attrs.get("neuroarrays_schema", "")).partition("/")[0]
    facts = [
        f"{kind} tree",
        f"source {tree.attrs.get('source', 'unknown')}",
        f"{_size(total)} in all",
    ]
    _show([[(_name(arguments.path), "title"), (": " + ", ".join(facts), "")], []])
    about = _attributes(tree.attrs, ("neuroarrays_schema", "source", _NOTES))
    _show([*about, []] if about else [])
    for name, session in tree.children.items():
        _show(
            [[(name, "title")], *_attributes(session.attrs, (_NOTES,)), *_tree_lines(session), []]
        )
    notes = list(_notes(tree))
    if notes:
        _show([[("notes", "title")], *_bullets("", notes, "")])
    return FINE


def _arrays_inside(paths: Sequence[str]) -> str:
    """What a file of arrays that no reader knows holds, and a mapping to start from."""
    from neuroarrays.formats.arrays import outline

    try:
        return outline(os.path.expanduser(paths[0])) if len(paths) == 1 else ""
    except FormatError:
        return ""


def _catalog(arguments: argparse.Namespace) -> int:
    frame = na.catalog(_paths(arguments), engine=arguments.engine)
    if arguments.figure:
        drawn = na.plot.catalog(frame)["units"].figure
        drawn.savefig(arguments.figure, dpi=120, bbox_inches="tight")
    frame = archive_commands.statistics(frame)
    columns = [c for c in frame.columns if any(_cell(v) not in ("", "-") for v in frame[c])]
    rows = [[_cell(value) for value in row] for row in frame[columns].itertuples(index=False)]
    numbers = [str(c) for c in columns if frame[c].dtype.kind in "iu"]
    _show(_table([str(c) for c in columns], rows, right=numbers))
    return FINE


def _check(arguments: argparse.Namespace) -> int:
    name = _name(arguments.path)
    try:
        tree = _open(arguments)
    except SchemaError as error:
        return _report_faults(name, error)
    notes = list(_notes(tree))
    try:
        notes += na.validate(tree, values=True)
    except (SchemaError, FormatError) as error:
        _show(_bullets("note", notes, "warn"))
        return _report_faults(name, error)
    _show(_bullets("note", notes, "warn"))
    said = "no faults" + (f", {len(notes)} note{'s' * (len(notes) > 1)}" if notes else "")
    _show([[(f"{name}: ", "title"), (said, "good")]])
    return FINE


def _report_faults(name: str, error: SchemaError | FormatError) -> int:
    lines = str(error).splitlines()
    faults = lines[1:] if isinstance(error, SchemaError) and len(lines) > 1 else lines
    _show(_bullets("fault", faults, "bad"))
    many = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
    _show([[(f"{name}: ", "title"), (many, "bad")]])
    return FAULTS


def _align(arguments: argparse.Namespace) -> int:
    tree = _open(arguments)
    names = ("presentations", "bin_width", "window", "event", "event_clock", "clip", "series",
             "method", "max_gap", "dtype", "binarize", "blanks", "compat")  # fmt: skip
    options = {name: getattr(arguments, name) for name in names}
    with _cluster(arguments.scheduler):
        chunks = "auto" if arguments.scheduler else None
        aligned = na.align(tree, **options, chunks=chunks)
        path = _save(aligned, arguments)
    _report_clock(aligned, arguments)
    _report_saved(path, na.open_datatree(path))
    return FINE


def _convert(arguments: argparse.Namespace) -> int:
    path = _save(_open(arguments), arguments)
    _report_saved(path, na.open_datatree(path))
    return FINE


def _create(arguments: argparse.Namespace) -> int:
    from neuroarrays.creation import create

    path = create(arguments.layout, arguments.output, arguments.seed)
    print(f"wrote {path}; open it with na.open_datatree({str(path)!r})")
    return FINE


def _demo(arguments: argparse.Namespace) -> int:
    from importlib import import_module

    import_module("neuroarrays.demo").main(arguments.output)
    return FINE


# --------------------------------------------------------------------------- what commands share


def _paths(arguments: argparse.Namespace) -> str | list[str]:
    paths: list[str] = arguments.path
    return paths[0] if len(paths) == 1 else paths


def _name(paths: Sequence[str]) -> str:
    first = os.path.basename(os.path.normpath(paths[0])) or paths[0]
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def _open(arguments: argparse.Namespace) -> xr.DataTree:
    wanted = {"sessions": arguments.sessions, "areas": arguments.areas}
    tree: xr.DataTree = na.open_datatree(_paths(arguments), engine=arguments.engine, **wanted)
    return tree


def _save(tree: xr.DataTree, arguments: argparse.Namespace) -> str:
    return str(
        na.save(
            tree, arguments.output, compression=arguments.compression, layout=arguments.layout,
            overwrite=arguments.overwrite,
        )
    )  # fmt: skip


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Compute on a cluster while the with-statement lasts."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependency("distributed", "distributed", "--scheduler") from error
    with Client(address):  # type: ignore[no-untyped-call]
        yield


def _report_saved(path: str, tree: xr.DataTree) -> None:
    """What was written: the neural variables, where the archive is and how large."""
    rows = [
        [f"{place}/{name}", _dims(variable), _dtype(variable.dtype)]
        for place, node in tree.subtree_with_keys
        for name, variable in node.data_vars.items()
        if name == "spike_times" or ("unit_id" in variable.dims and variable.ndim > 1)
    ]
    if rows:
        _show([*_table(["written", "dims", "dtype"], rows), []])
    files = [os.path.join(d, f) for d, _, names in os.walk(path) for f in names] or [path]
    size = _size(sum(os.path.getsize(file) for file in files))
    _show([[(path, "title"), (f": {size}; in Python: na.open_datatree({path!r})", "")]])


def _report_clock(tree: xr.DataTree, arguments: argparse.Namespace) -> None:
    """For what the times of an event column were taken, where we had to find out."""
    found = re.search(r"event_clock='(\w+)'[^\n]*$", str(tree.attrs.get("history", "")))
    if found and arguments.event_clock is None and arguments.event != "start_time":
        meant = {"session": "start of the session", "presentation": "start of each presentation"}
        said = f"{arguments.event}: taken as counted from the {meant.get(found[1], found[1])}; --event-clock decides"
        _show([[(said, "warn")]])


def _notes(tree: xr.DataTree) -> Iterator[str]:
    """What the readers say about the sessions: what is not in the tree, and why."""
    for place, node in tree.subtree_with_keys:
        found = node.attrs.get(_NOTES, [])
        for note in [found] if isinstance(found, str) else found:
            yield str(note) if place == "." else f"{place}: {note}"


# ---------------------------------------------------------------------------------------- output


def _width() -> int:
    return max(shutil.get_terminal_size((100, 24)).columns, 40)


def _show(lines: Sequence[Line]) -> None:
    """Print lines, coloured on a terminal if rich is there."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.text import Text
        except ImportError:
            pass
        else:
            console = Console(highlight=False, markup=False, soft_wrap=True)
            for line in lines:
                console.print(Text.assemble(*((text, _STYLES[style]) for text, style in line)))
            return
    for line in lines:
        print("".join(text for text, _ in line).rstrip())


def _table(header: list[str], rows: list[list[str]], right: Sequence[str] = ()) -> list[Line]:
    """Rows in columns; the last column is wrapped to the width there is, nothing is cut off."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(_width() - indent, 20)
    lines: list[Line] = []
    for number, row in enumerate(cells):
        style = "title" if number == 0 else ""
        padded = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row[:-1], widths, header, strict=False)
        ]
        last = row[-1].rjust(widths[-1]) if header[-1] in right else row[-1]
        wrapped = [last] if header[-1] in right else textwrap.wrap(last, room) or [""]
        lines.append([("  ".join([*padded, wrapped[0]]), style)])
        lines += [[(" " * indent + more, style)] for more in wrapped[1:]]
    return lines


def _attributes(attrs: Mapping[Any, Any], hidden: Sequence[str]) -> list[Line]:
    """Attributes: their names, and their texts wrapped beside them."""
    shown = {str(key): value for key, value in attrs.items() if key not in hidden}
    pad = max((len(key) for key in shown), default=0) + 4
    lines: list[Line] = []
    for key, value in shown.items():
        text = value if isinstance(value, str) else ", ".join(map(str, _listed(value)))
        room = max(_width() - pad, 20)
        parts = [part for line in text.splitlines() for part in textwrap.wrap(line, room)] or [""]
        lines.append([(f"  {key}".ljust(pad), "faint"), (parts[0], "")])
        lines += [[(" " * pad + part, "")] for part in parts[1:]]
    return lines


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _bullets(label: str, texts: Sequence[str], style: str) -> list[Line]:
    lines: list[Line] = []
    for text in texts:
        lead = f"{label}: " if label else "  "
        wrapped = textwrap.wrap(text, max(_width() - len(lead), 20), break_long_words=False,
                                break_on_hyphens=False)  # fmt: skip
        lines.append([(lead, style), (wrapped[0] if wrapped else "", "")])
        lines += [[(" " * len(lead) + more, "")] for more in wrapped[1:]]
    return lines


def _tree_lines(session: xr.DataTree) -> list[Line]:
    """The nodes below a session and their variables, in aligned columns."""
    rows: list[tuple[str, str, list[str], str]] = []
    _walk(session, "", rows)
    facts = [cells for _, _, cells, _ in rows if len(cells) > 1]
    widths = [max((len(cells[i]) for cells in facts), default=0) for i in range(4)]
    longest = max((len(lead + name) for lead, name, cells, _ in rows if len(cells) > 1), default=0)
    room = min(longest, max(_width() - sum(widths) - 2 * len(widths), 20))
    lines: list[Line] = []
    for lead, name, cells, style in rows:
        head: Line = [(lead, "faint"), (name, style)]
        if len(cells) <= 1:
            lines.append([*head, ("  ".join(["", *cells]), "faint")])
            continue
        if len(lead + name) > room:  # a long name stands alone
            lines.append(head)
            head = [(lead, "faint")]
        gap = " " * (room - sum(len(text) for text, _ in head))
        padded = [
            cell.rjust(width) if i in (0, 3) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append([*head, ("  ".join([gap, *padded]), "")])
    return lines


def _walk(node: xr.DataTree, lead: str, rows: list[tuple[str, str, list[str], str]]) -> None:
    """Collect a row per variable and per child: lead, name, cells, style."""
    dataset = node.to_dataset(inherit=False)
    below = f"{lead}{'│' if node.children else ' '}    "
    for name, variable in dataset.data_vars.items():
        unit = str(variable.attrs.get("units", ""))
        size = "" if variable.dtype.kind == "O" else _size(variable.nbytes)
        shape = " × ".join(f"{n:,}" for n in variable.shape) or "one value"
        cells = [shape, _dtype(variable.dtype), unit if unit != "1" else "", size]
        rows.append((below, str(name), cells, ""))
    labels = [str(name) for name in dataset.coords]
    if labels:
        room = max(_width() - len(below) - 2, 20)
        parts = textwrap.wrap("labelled by " + ", ".join(labels), room, subsequent_indent="  ")
        rows += [(below, part, [], "faint") for part in parts]
    children = list(node.children.items())
    for number, (name, child) in enumerate(children):
        last = number == len(children) - 1
        sizes = child.to_dataset(inherit=False).sizes
        dims = [", ".join(f"{dim} {size:,}" for dim, size in sizes.items())] if sizes else []
        rows.append((f"{lead}{'└─' if last else '├─'} ", name, dims, "node"))
        _walk(child, f"{lead}{'   ' if last else '│  '}", rows)


def _dims(variable: xr.DataArray) -> str:
    return " × ".join(f"{dim} {size:,}" for dim, size in variable.sizes.items())


def _dtype(dtype: Any) -> str:
    return "text" if dtype.kind in "OUST" else str(dtype)


def _size(nbytes: float) -> str:
    """A number of bytes, to two or three figures."""
    number, unit = float(nbytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"


def _cell(value: Any) -> str:
    """A value of a table as text."""
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "-"
    return f"{value:,}" if pd.api.types.is_integer(value) else str(value)


if __name__ == "__main__":
    sys.exit(main())
