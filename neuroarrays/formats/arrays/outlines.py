"""Describe a file of arrays, with a mapping to start from, as TOML text."""

from __future__ import annotations

import os

from neuroarrays.errors import NeuroArraysError, many
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.files.source import Info
from neuroarrays.formats.arrays.files import arrays_source, listing
from neuroarrays.formats.arrays.guesses import Guess
from neuroarrays.formats.arrays.mapping import Arrays, text_without_path
from neuroarrays.formats.arrays.patterns import Group, groups_of, quoted, sayable, shown

#: The most arrays that are shown.
_SHOWN = 60


def outline(path: str | os.PathLike[str] | Probe) -> str:
    """Return the arrays of a file or folder, and a mapping to start from, as text.

    Parameters
    ----------
    path : str, path or Probe
        A file or folder of arrays.

    Returns
    -------
    str
        TOML: the contents as comments, then a mapping that opens what could be guessed from names,
        lengths, and the values of arrays that may be clocks or spikes. Check it, because only you
        know what the arrays mean. A guess that the values rule out becomes a comment.

    Raises
    ------
    FormatError
        If it is not a file or folder of arrays.
    """
    probe = probe_of(path)
    broken: dict[str, NeuroArraysError] = {}
    source = arrays_source(probe)
    arrays = Arrays(source, listing(source, broken), broken)
    groups = groups_of(arrays.infos)
    width = min(max((len(shown(group.pattern)) for group in groups), default=1), 50)
    lines = [f"# {shown(probe.name)}: {many(len(arrays.infos), 'array')}"]
    lines += [
        f"#   {shown(g.pattern):<{width}}  {_kind(g.info)}  {_shapes(g)}" for g in groups[:_SHOWN]
    ]
    if len(groups) > _SHOWN:
        lines.append(f"#   ... and {len(groups) - _SHOWN} more")
    left = arrays.named_left_out() | {
        name: text_without_path(error) for name, error in broken.items()
    }
    left |= {g.pattern: "its name is not UTF-8" for g in groups if not sayable(g.pattern)}
    lines += [f"#   {shown(name):<{width}}  not read: {shown(why)}" for name, why in left.items()][
        :_SHOWN
    ]
    if len(left) > _SHOWN:
        lines.append(f"#   ... and {len(left) - _SHOWN} more that are not read")
    name = probe.name
    file = (
        f"file = {quoted(name)}" if sayable(name) else "# file = its name is not UTF-8: rename it"
    )
    lines += ["", "neuroarrays_mapping = 1", file, 'tree = "recording"', ""]
    guess = Guess(source, [group for group in groups if sayable(group.pattern)])
    return "\n".join([*lines, *guess.lines()]) + "\n"


def _kind(info: Info) -> str:
    return "text" if info.text else str(info.dtype)


def _shapes(group: Group) -> str:
    shapes = list(dict.fromkeys(info.shape for info in group.infos))
    count = f"{len(group.infos)} x " if group.many else ""
    return count + (str(shapes[0]) if len(shapes) == 1 else "various shapes")
