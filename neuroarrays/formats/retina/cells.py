"""Repeats that a file stores cell by cell in `<group>/cellNN`, as two of the datasets do."""

from __future__ import annotations

import re

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.retina import arrays
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import side_by_side

_CELL = re.compile(r"cell_?(\d+)$")


def numbers(file: Source, group: str) -> dict[str, int]:
    """Return the names of the cells in a group and their numbers, in the order of the numbers."""
    by_name = {name: int(m[1]) for name in file.names(group) if (m := _CELL.match(name))}
    return dict(sorted(by_name.items(), key=lambda item: item[1]))


def repeats(file: Source, group: str, units: int) -> LazyArray | None:
    """Return repeats of all cells in a group, (trial, frame, unit) float; None if it has no cells.

    Raises
    ------
    FormatError
        If there are not as many cells as units, or the cells are not (trial, frame) of one shape.
    """
    names = numbers(file, group)
    if not names:
        return None
    bases = tuple(arrays.floats(file_array(file, f"{group}/{name}")) for name in names)
    shapes = sorted({base.shape for base in bases})
    if len(shapes) > 1 or len(shapes[0]) != 2 or len(bases) != units:
        raise FormatError(
            file.path,
            group,
            f"{units} cells of one shape (trial, frame)",
            f"{len(bases)} of {' and '.join(map(str, shapes))}",
        )
    return side_by_side(bases)
