"""The command `neuroarrays`, which calls the public functions from the command line.

A large package is imported only when a command needs it, so that ``--help`` answers at once. Output
is plain aligned text. It is coloured on a terminal if rich is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import neuroarrays as na
from neuroarrays.cli import (
    archive_commands,
    commands,
    explore_command,
    remote_commands,
    table_commands,
    warmup_command,
)
from neuroarrays.cli.options import bins, recordings, values
from neuroarrays.errors import NeuroArraysError, options_typed, printable

PROGRAM = "neuroarrays"
FINE, REFUSED, BROKEN, INTERRUPTED = 0, 2, 3, 130
_EXIT_CODES = """\
exit codes:
  0  all went well
  1  `check` found faults, or `build` had to leave something out
  2  wrong usage, or a file or option that cannot be used; one line says why
  3  a defect of neuroarrays itself: please report it with the traceback
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process when not given.

    Returns
    -------
    int
        The exit code: 0 all went well, 1 `check` or `build` found faults, 2 the command was
        refused, 3 a defect of neuroarrays.
    """
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return REFUSED
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed what is wrong, or the help
        return int(stop.code or 0)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        with options_typed(vars(arguments)):
            code = run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the program that reads our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except (NeuroArraysError, ValueError, KeyError, OverflowError, OSError) as error:
        if arguments.debug:
            traceback.print_exc()
        return _fail(_message(error), REFUSED)
    except Exception as error:
        traceback.print_exc()
        return _fail(
            f"{type(error).__name__}: {error}; this is a defect of neuroarrays: please report "
            "it with the traceback",
            BROKEN,
        )
    return code


def _fail(message: str, code: int) -> int:
    """Print an error, and return the exit code."""
    print(printable(f"{PROGRAM}: error: {message}"), file=sys.stderr)
    return code


def _message(error: BaseException) -> str:
    """Return an error as one line."""
    text = str(error)
    if not isinstance(error, NeuroArraysError | ValueError | OverflowError):
        text = f"{type(error).__name__}: {text}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__


# ------------------------------------------------------------------------------------ the parser


class _Parser(argparse.ArgumentParser):
    """A parser that writes an error as one line, with the command that shows the help."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -100ms is a value, not an option

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the arguments, and exit."""
        self.exit(
            REFUSED,
            f"{PROGRAM}: error: {printable(message)}; `{self.prog} --help` lists the arguments\n",
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; `docs/cli.md` is made from it."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog=PROGRAM,
        description="Open any neural recording as one lazy, labelled tree, and align, save and "
        "plot it.",
        epilog=_EXIT_CODES,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {na.__version__}")
    group = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        """Add a command with its help text; return its parser."""
        command = group.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            parents=[common],
            formatter_class=formatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        return command

    _looking(add)
    table_commands.register(add)
    remote_commands.register(add)
    _saving(add)
    archive_commands.register(add)
    _trying(add)
    return parser


def _looking(add: archive_commands.Add) -> None:
    """Add the commands that show a recording."""
    add("formats", commands.formats, "list the formats that can be opened")
    info = add(
        "info", commands.info, "show the tree of a recording: sizes, dtypes, units, memory, notes"
    )
    check = add(
        "check", commands.check, "check each recording against the schema, its values included"
    )
    explore = explore_command.register(add)
    for command in (info, check, explore):
        _input(command)
        _selection(command)
    for command in (info, explore):
        _probe(command)


def _saving(add: archive_commands.Add) -> None:
    """Add the commands that write an archive of one recording."""
    align = add("align", commands.align, "bring spikes and behaviour to one clock, and save them")
    convert = add(
        "convert",
        commands.convert,
        "save a recording as an archive (.h5, .zarr) or an NWB file (.nwb)",
    )
    convert.add_argument(
        "--session-start-time",
        metavar="TIME",
        help="start of the session, written into an NWB file when the recording has none, e.g. "
        "2020-07-11T09:30:00+02:00",
    )
    for command in (align, convert):
        _input(command)
        _selection(command)
        _probe(command)
    _alignment(align)
    for command in (align, convert):
        _result(command)


def _trying(add: archive_commands.Add) -> None:
    """Add the commands for users who have no recording of their own."""
    create = add(
        "create-data", commands.create, "write small synthetic files in the layout of a dataset"
    )
    create.add_argument(
        "layout",
        metavar="LAYOUT",
        help="name of the layout, e.g. nwb, allen or openretina; an unknown name lists them all",
    )
    create.add_argument("output", metavar="OUT", help="file or folder to write; it must not exist")
    create.add_argument(
        "--seed", type=int, default=0, help="seed of all random values (default: %(default)s)"
    )
    for name, what in (
        ("--num-colors", "number of colour channels (default: 3)"),
        ("--num-stimuli", "number of stimuli (default: 4)"),
        ("--num-sessions", "number of sessions (default: 2)"),
        ("--clip-length", "number of frames in a clip (default: 75)"),
    ):
        create.add_argument(
            name,
            type=int,
            metavar="N",
            dest=name.removeprefix("--num-").removeprefix("--").replace("-", "_"),
            help=f"openretina: {what}",
        )
    demo = add("demo", commands.demo, "open the bundled recording, align it, plot it, train on it")
    warmup_command.register(add)
    demo.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="demo-output",
        help="folder for the figures and the archive (default: %(default)s)",
    )


def _input(command: argparse.ArgumentParser) -> None:
    """Add the argument for the paths of recordings."""
    recordings(
        command,
        "file, folder or address (https, s3, gs, az); several, if they are of one format",
        "sessions",
    )


def _selection(command: argparse.ArgumentParser) -> None:
    """Add the options --sessions and --areas."""
    for name in ("sessions", "areas"):
        command.add_argument(
            f"--{name}",
            metavar="NAME",
            nargs="+",
            action="extend",
            help=f"names of the {name} to open, or patterns such as 'a*' (default: all)",
        )


def _probe(command: argparse.ArgumentParser) -> None:
    """Add the option --probe."""
    command.add_argument(
        "--probe",
        action="store_true",
        help="open the recording in another process first, so that a damaged file cannot crash "
        "this command",
    )


def _alignment(command: argparse.ArgumentParser) -> None:
    """The options of `na.align`, with its defaults (a test compares them)."""
    group = command.add_argument_group("alignment")
    group.add_argument(
        "--presentations",
        metavar="TABLE",
        help="table of presentations or events to align to (default: none, one continuous clock)",
    )
    bins(group.add_argument, "; without --presentations, the part of the session to bin")
    values(group.add_argument)
    group.add_argument(
        "--missing",
        choices=("skip", "raise"),
        help="what to do with a session that lacks the table: leave it out, or stop (default: stop "
        "if --sessions names it)",
    )
    group.add_argument(
        "--compat",
        choices=("mlynarski",),
        help="bin as the published archive of Allen Visual Coding does; no other alignment "
        "option is allowed",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="compute on a dask.distributed cluster, e.g. tcp://host:8786",
    )


def _result(command: argparse.ArgumentParser) -> None:
    """The options of `na.save`."""
    group = command.add_argument_group("result")
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        required=True,
        help="archive to write: .h5, .hdf5, .nc or .zarr; `convert` also writes .nwb",
    )
    group.add_argument(
        "--compression",
        choices=("zstd", "portable"),
        default="zstd",
        help="compression of the values; portable is gzip, which every HDF5 library reads "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--layout",
        choices=("allen_binned",),
        help="write the published layout of Allen Visual Coding instead of ours",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing OUT, once the new archive is complete",
    )


if __name__ == "__main__":
    sys.exit(main())
