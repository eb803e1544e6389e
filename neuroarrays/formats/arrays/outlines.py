"""What a file of arrays holds, and a mapping to start from, as TOML text."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from neuroarrays.formats.arrays.files import arrays_source, listing
from neuroarrays.source import Info

#: Arrays that are shown, and names that are clocks or spike times.
_SHOWN = 60
_CLOCK = re.compile(r"(^|[/_. ])(t|time|times|timestamps?|ftimes)($|[_ ])", re.IGNORECASE)
_SPIKES = re.compile(r"spike|_sp_", re.IGNORECASE)


def outline(path: str | os.PathLike[str]) -> str:
    """The arrays of a file or folder, and a mapping to start from.

    Parameters
    ----------
    path : str or path
        A file or folder of arrays.

    Returns
    -------
    str
        TOML: what is inside as comments, then a mapping that opens what could be guessed.

    Raises
    ------
    FormatError
        If it is not a file or folder of arrays.
    """
    path = os.path.abspath(path)
    infos = listing(arrays_source(path))
    patterns: dict[str, list[Info]] = {}
    for name, info in infos.items():
        patterns.setdefault(re.sub(r"(?<=/)\d+(?=/|$)", "*", name), []).append(info)
    if not infos:
        return "# no arrays in it\n"
    width = min(max(len(name) for name in patterns), 50)
    lines = [f"# {os.path.basename(path)}: {len(infos):,} arrays"]
    for name, group in list(patterns.items())[:_SHOWN]:
        lines.append(f"#   {name:<{width}}  {_kind(group[0])}  {_shapes(group)}")
    if len(patterns) > _SHOWN:
        lines.append(f"#   ... and {len(patterns) - _SHOWN} more")
    lines += ["", "neuroarrays_mapping = 1", f'file = "{os.path.basename(path)}"',
              'tree = "recording"', ""]  # fmt: skip
    return "\n".join([*lines, *_guess({name: group[0] for name, group in patterns.items()})])


def _kind(info: Info) -> str:
    return "text" if info.text else str(info.dtype)


def _shapes(group: list[Info]) -> str:
    shapes = list(dict.fromkeys(info.shape for info in group))
    count = f"{len(group)} x " if len(group) > 1 else ""
    return count + (str(shapes[0]) if len(shapes) == 1 else "various shapes")


def _length(info: Info) -> int:
    longer = [n for n in info.shape if n > 1]
    return longer[0] if len(longer) == 1 else 0


def _guess(infos: Mapping[str, Info]) -> list[str]:
    """Lines of a mapping: spikes by name, a node for each clock with what is as long."""
    lines: list[str] = []
    numbers = {n: i for n, i in infos.items() if not i.text and i.dtype.kind in "iuf"}
    trains = [n for n, i in numbers.items() if _SPIKES.search(n) and (_length(i) or "*" in n)
              and not re.search(r"range|rate|meta|cluster|label|_id", n)]  # fmt: skip
    if trains:
        lines += ['["unknown/spikes"]', f'spike_times = "{trains[0]}"', ""]
    clocks = [n for n, i in numbers.items()
              if _CLOCK.search(n) and _length(i) and n not in trains and "*" not in n]  # fmt: skip
    used = {*trains, *clocks}
    for clock in clocks:
        length = _length(numbers[clock])
        along = [
            n for n, i in numbers.items() if length in i.shape and n not in used and "*" not in n
        ]
        if along:
            node = "series" if len(clocks) == 1 else _name(clock)
            lines += [
                f'["{node}"]',
                f'time = "{clock}"  # in seconds? else {{array = ..., scale = ...}}',
            ]
            for name in along:
                shape = numbers[name].shape
                matrix = sum(n > 1 for n in shape) == 2
                dims = ', dims = ["time", "unit_id"]' if shape[0] == length else \
                    ', dims = ["unit_id", "time"]'  # fmt: skip
                told = f'{{array = "{name}"{dims}}}' if matrix else f'"{name}"'
                lines.append(f"{_name(name)} = {told}")
                used.add(name)
            lines.append("")
    if not lines:
        lines = ['# ["V1/fluorescence"]', "# time = {rate = 30.0}",
                 f'# fluorescence = {{array = "{next(iter(infos))}", dims = ["time", "unit_id"]}}']  # fmt: skip
    return lines


def _name(name: str) -> str:
    leaf = re.sub(r"\.(npy|csv|txt|npz)$", "", name.rpartition("/")[2])
    return re.sub(r"\W+", "_", leaf).strip("_") or "values"
