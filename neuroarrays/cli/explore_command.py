"""The command that shows a recording in the browser."""

from __future__ import annotations

import argparse
import sys

from neuroarrays.cli import printing
from neuroarrays.cli.archive_commands import Add
from neuroarrays.errors import option


def register(add: Add) -> argparse.ArgumentParser:
    """Add the command; `cli` adds the options that it shares with others."""
    command: argparse.ArgumentParser = add(
        "explore", _explore, "look at a recording in the browser: rasters, events, tuning curves"
    )
    group = command.add_argument_group("page")
    group.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on (default: this machine only); with any other, other "
        "machines can see the recording",
    )
    group.add_argument(
        "--port",
        type=int,
        metavar="N",
        help="port to listen on; 0 takes any free one (default: 5006, or a free one if it is "
        "taken)",
    )
    group.add_argument(
        "--no-browser", action="store_true", help="print the address only; do not open a browser"
    )
    return command


def _explore(arguments: argparse.Namespace) -> int:
    """Run the command `explore`."""
    from neuroarrays.explorer import opened
    from neuroarrays.explorer.server import serve

    if arguments.port is not None and not 0 <= arguments.port < 1 << 16:
        msg = f"{option('port', arguments.port)}: expected a number from 0 to 65535"
        raise ValueError(msg)
    names = ("engine", "sessions", "areas")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    options |= {"skip_damaged": True} if arguments.skip_damaged else {}
    options |= {"probe": True} if arguments.probe else {}
    recording = opened(arguments.path, **options)

    def say(text: str) -> None:
        """Print a line at once."""
        printing.say(text)
        sys.stdout.flush()  # a program that reads the address from a pipe waits for it

    serve(recording, arguments.host, arguments.port, not arguments.no_browser, say)
    return 0
