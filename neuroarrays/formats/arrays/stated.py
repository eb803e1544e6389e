"""What a file states about an array of a mapping: its unit, and factors that are not applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.clocks import units_per_second

#: Attributes of factors (netCDF and NWB) with the value that changes nothing.
_FACTORS = {"scale_factor": 1.0, "conversion": 1.0, "add_offset": 0.0, "offset": 0.0}
#: Attributes with a number that stands for a missing value.
_FILLS = ("_FillValue", "missing_value")


def unit_of(source: Source, name: str) -> str:
    """Return the unit that the file states for an array, or ""."""
    stated = source.attrs(name)
    unit = stated.get("units", stated.get("unit"))
    return unit.strip() if isinstance(unit, str) else ""


def check_seconds(source: Source, name: str, where: str, scale: float) -> None:
    """Refuse times whose unit in the file is not seconds, unless the mapping scales them.

    Raises
    ------
    FormatError
        If the file states ms, us or ns, and `scale` is 1.
    """
    unit = unit_of(source, name)
    rate = units_per_second(unit)
    if rate != 1.0 and scale == 1.0:
        raise FormatError(
            source.path,
            where,
            "times in s",
            f"{name} in {unit}, as the file states",
            f"say {{array = {name!r}, scale = {1 / rate:g}}}",
        )


def not_applied(source: Source, name: str, is_scaled: bool) -> Iterator[str]:
    """Give a note for each attribute of an array that changes its values and is not applied."""
    stated = source.attrs(name)
    if not is_scaled:
        for key, neutral in _FACTORS.items():
            if (number := _number(stated.get(key))) is not None and number != neutral:
                yield (
                    f"{name}: values are as stored; the file states {key} = {number:g}, which "
                    "scale and offset of the mapping can apply"
                )
    for key in _FILLS:
        if (number := _number(stated.get(key))) is not None and np.isfinite(number):
            yield f"{name}: the file states {key} = {number:g}; such values are not made NaN"


def _number(value: Any) -> float | None:
    values = np.ravel(np.asarray(value))
    return float(values[0]) if values.size == 1 and values.dtype.kind in "iuf" else None
