"""The work of each command of `neuroarrays`. The parser and `main` are in `cli`."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import neuroarrays as na
from neuroarrays.cli import printing
from neuroarrays.errors import (
    BrokenReader,
    NeuroArraysError,
    SchemaError,
    UnknownFormat,
    many,
    required,
)
from neuroarrays.files import addresses
from neuroarrays.files.locating import locate

if TYPE_CHECKING:
    import xarray as xr

    from neuroarrays.formats.registry import Format

FINE, FAULTS = 0, 1
#: Two attributes that `info` does not list with the others: notes come last, and the size of the
#: metadata tells nothing about the recording.
_NOTES, _METADATA = "notes", "metadata_in_file"


def formats(_: argparse.Namespace) -> int:
    """Print the formats that can be opened."""
    from neuroarrays.formats import registry

    listed = registry.formats()
    rows = [[f.name, f.status, f.extra, _about(f)] for f in listed]
    printing.show(printing.table(["format", "status", "extra", "what it reads"], rows))
    if any(f.extra for f in listed):
        printing.show(
            [
                [],
                [
                    (
                        "extra: some files of the format need it: pip install 'neuroarrays[EXTRA]'",
                        "faint",
                    )
                ],
            ]
        )
    return FINE


def _about(format_: Format) -> str:
    """Return what a format reads; for another package, its name, or why it cannot be used."""
    if not format_.package:
        return format_.description
    try:
        return f"{format_.load().description} ({format_.package})"
    except BrokenReader as broken:
        return f"cannot be used: {broken.fault} ({format_.package})"


def info(arguments: argparse.Namespace) -> int:
    """Print the tree of a recording, or the arrays in a file that no reader knows."""
    try:
        tree = _open(arguments)
    except UnknownFormat:
        text = "" if arguments.engine else _arrays_inside(arguments.path)
        if not text:
            raise
        printing.say(text)
        return FINE
    nodes = [node for _, node in tree.subtree_with_keys]
    total = sum(v.nbytes for node in nodes for v in node.data_vars.values())
    kind = str(tree.attrs.get("neuroarrays_schema", "")).partition("/")[0]
    facts = [
        f"{kind} tree",
        f"source {tree.attrs.get('source', 'unknown')}",
        f"{printing.size_text(total)} in all",
    ]
    printing.show([[(_name(arguments.path), "title"), (": " + ", ".join(facts), "")], []])
    about = printing.attributes(tree.attrs, ("neuroarrays_schema", "source", _NOTES))
    printing.show([*about, []] if about else [])
    for name, session in tree.children.items():
        printing.show(
            [
                [(name, "title")],
                *printing.attributes(session.attrs, (_NOTES, _METADATA)),
                *printing.tree(session),
                [],
            ]
        )
    notes = list(_notes(tree))
    if notes:
        printing.show([[("notes", "title")], *printing.bullets("", notes, "")])
    return FINE


def _arrays_inside(paths: Sequence[str]) -> str:
    """List the arrays in a file that no reader knows, with a mapping to start from."""
    from neuroarrays.formats.arrays import outline

    try:
        return outline(paths[0]) if len(paths) == 1 else ""
    except UnknownFormat:
        return ""


def check(arguments: argparse.Namespace) -> int:
    """Print the faults of each path, read in another process; return 1 if there are any."""
    if len(arguments.path) == 1:
        return _check(arguments.path[0], _name(arguments.path), arguments)
    worst = FINE
    for path in arguments.path:
        try:
            worst = max(worst, _check(path, addresses.without_secrets(path), arguments))
        except NeuroArraysError as error:  # this one cannot be opened; check the others
            worst = _verdict(addresses.without_secrets(path), [], [str(error)])
    return worst


def _check(path: str, name: str, arguments: argparse.Namespace) -> int:
    """Check one path."""
    from neuroarrays.formats.checking import checked

    try:
        notes, faults = checked(
            path,
            engine=arguments.engine,
            sessions=arguments.sessions,
            areas=arguments.areas,
            **_skipping(arguments),
        )
    except SchemaError as error:
        notes, faults = [], str(error).splitlines()
        faults = faults[1:] or faults
    return _verdict(name, notes, faults)


def _verdict(name: str, notes: list[str], faults: list[str]) -> int:
    """Print notes and faults, and return the exit code."""
    printing.show(printing.bullets("note", notes, "warn"))
    if faults:
        printing.show(printing.bullets("fault", faults, "bad"))
        printing.show([[(f"{name}: ", "title"), (many(len(faults), "fault"), "bad")]])
        return FAULTS
    verdict = "no faults" + (f", {many(len(notes), 'note')}" if notes else "")
    printing.show([[(f"{name}: ", "title"), (verdict, "good")]])
    return FINE


def align(arguments: argparse.Namespace) -> int:
    """Align a recording and save it."""
    from neuroarrays.formats.allen_binned.pipeline import published
    from neuroarrays.lazy.chunking import chunked

    options = _align_options(arguments)
    tree = _open(arguments)
    with _cluster(arguments.scheduler):
        if arguments.compat is None:
            aligned = na.align(tree, **options)
        else:
            aligned = published(tree, arguments.presentations)
        path = _save(chunked(aligned, "auto") if arguments.scheduler else aligned, arguments)
    _report_clock(aligned, arguments)
    _report_saved(path, na.open_datatree(path))
    return FINE


#: Options of the command -> parameters of `na.align`.
_ALIGN_OPTIONS = {
    "--presentations": "presentations",
    "--bin-width": "bin_width",
    "--window": "window",
    "--event": "event",
    "--event-clock": "event_clock",
    "--no-clip": "clip",
    "--series": "series",
    "--method": "method",
    "--max-gap": "max_gap",
    "--dtype": "dtype",
    "--binarize": "binarize",
    "--blanks": "blanks",
    "--responses": "responses",
    "--missing": "missing",
}


def _align_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Collect the arguments of `na.align`.

    Raises
    ------
    ValueError
        If ``--compat`` is given with other options of the alignment, or without a stimulus.
    """
    options = {name: getattr(arguments, name) for name in _ALIGN_OPTIONS.values()}
    if arguments.compat is None:
        return options
    if arguments.presentations is None:
        msg = (
            f"--compat {arguments.compat} needs the name of a stimulus, e.g. --presentations "
            "natural_scenes"
        )
        raise ValueError(msg)
    usual = inspect.signature(na.align).parameters
    changed = [
        option
        for option, name in _ALIGN_OPTIONS.items()
        if name != "presentations" and options[name] != usual[name].default
    ]
    if changed:
        msg = (
            f"--compat {arguments.compat} decides all other options; leave out {', '.join(changed)}"
        )
        raise ValueError(msg)
    return {}


def convert(arguments: argparse.Namespace) -> int:
    """Save a recording as an archive, or as an NWB file."""
    tree, path = _open(arguments), arguments.output
    if path.endswith(".nwb"):
        began = arguments.session_start_time
        for reason in na.to_nwb(
            tree, path, session_start_time=began, overwrite=arguments.overwrite
        ):
            printing.say(f"not in the file: {reason}")
    else:
        path = _save(tree, arguments)
    _report_saved(path, na.open_datatree(path))
    return FINE


def create(arguments: argparse.Namespace) -> int:
    """Write small synthetic files."""
    from neuroarrays.cli.creation import create

    limits = {
        name: getattr(arguments, name) for name in ("colors", "stimuli", "sessions", "clip_length")
    }
    options = {name: number for name, number in limits.items() if number is not None}
    path = create(arguments.layout, arguments.output, arguments.seed, **options)
    printing.say(f"wrote {path}; open it with na.open_datatree({str(path)!r})")
    return FINE


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    from importlib import import_module

    import_module("neuroarrays.demo.script").main(arguments.output)
    return FINE


# --------------------------------------------------------------------------- what commands share


def _paths(arguments: argparse.Namespace) -> str | list[str]:
    """Return the path, or the list of paths, of a command."""
    paths: list[str] = arguments.path
    return paths[0] if len(paths) == 1 else paths


def _skipping(arguments: argparse.Namespace) -> dict[str, bool]:
    """Return the option ``skip_damaged`` if it was given, because not all readers have it."""
    return {"skip_damaged": True} if arguments.skip_damaged else {}


def _name(paths: Sequence[str]) -> str:
    """Return a short name for the paths of a command."""
    first = locate(paths[0]).name or paths[0]
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def _open(arguments: argparse.Namespace) -> xr.DataTree:
    """Open the recording of a command."""
    options = {name: getattr(arguments, name) for name in ("engine", "sessions", "areas", "probe")}
    tree: xr.DataTree = na.open_datatree(_paths(arguments), **options, **_skipping(arguments))
    return tree


def _save(tree: xr.DataTree, arguments: argparse.Namespace) -> str:
    """Save a tree, and return the path that was written."""
    return str(
        na.save(
            tree,
            arguments.output,
            compression=arguments.compression,
            layout=arguments.layout,
            overwrite=arguments.overwrite,
        )
    )


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Compute on a cluster while the with-statement lasts."""
    if address is None:
        yield
        return
    with required("distributed", "distributed", "--scheduler").Client(address):
        yield


def _report_saved(path: str, tree: xr.DataTree) -> None:
    """Print the neural variables of the new file, its path and its size."""
    rows = [
        [f"{path_of_node}/{name}", printing.dims(variable), printing.dtype_name(variable.dtype)]
        for path_of_node, node in tree.subtree_with_keys
        for name, variable in node.data_vars.items()
        if name == "spike_times" or ("unit_id" in variable.dims and variable.ndim > 1)
    ]
    if rows:
        printing.show([*printing.table(["written", "dims", "dtype"], rows), []])
    files = [os.path.join(d, f) for d, _, names in os.walk(path) for f in names] or [path]
    size = printing.size_text(sum(os.path.getsize(file) for file in files))
    printing.show([[(path, "title"), (f": {size}; in Python: na.open_datatree({path!r})", "")]])


def _report_clock(tree: xr.DataTree, arguments: argparse.Namespace) -> None:
    """Print how the times of an event column were understood, if no option decided it."""
    from neuroarrays import schema

    clock = tree.attrs.get("event_clock")
    if clock and arguments.event_clock is None and arguments.event != schema.START_TIME:
        meant = {"session": "start of the session", "presentation": "start of each presentation"}
        text = (
            f"{arguments.event}: its times were taken to count from the {meant.get(clock, clock)}; "
            "--event-clock changes that"
        )
        printing.show([[(text, "warn")]])


def _notes(tree: xr.DataTree) -> Iterator[str]:
    """Return the notes of the readers: what is not in the tree, and why."""
    for path, node in tree.subtree_with_keys:
        notes = node.attrs.get(_NOTES, [])
        for note in [notes] if isinstance(notes, str) else notes:
            yield str(note) if path == "." else f"{path}: {note}"
