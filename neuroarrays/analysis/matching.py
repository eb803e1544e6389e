"""Match the labels of results of several areas, and check what they must have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, shorten
from neuroarrays.tree.areas import AreaPath

#: Stands for the name of a result that has none.
ANSWER = "answer"
#: Labels of one clock may differ by this fraction of a step.
_NEAR = 1e-6

Parts = Mapping[AreaPath, xr.Dataset]
Variables = Mapping[AreaPath, xr.Variable]


@dataclass(frozen=True)
class Axis:
    """A dimension of a result: its labels, and their positions in each part (None: in order)."""

    size: int
    labels: xr.Variable | None
    positions: Mapping[AreaPath, np.ndarray | None]


# ------------------------------------------------------------------------------------------- labels


def axis(dim: str, parts: Parts) -> Axis:
    """The labels of a dimension in all parts: one clock, the same bins, or the union of values."""
    having = {area: part for area, part in parts.items() if dim in part.sizes}
    labelled = {area: dim in part.coords for area, part in having.items()}
    agree(labelled, f"the labels of {dim}", "")
    if not all(labelled.values()):
        agree({p: part.sizes[dim] for p, part in having.items()}, f"the length of {dim}", _APART)
        size = next(iter(having.values())).sizes[dim]
        return Axis(size, None, dict.fromkeys(parts))
    labels = {area: part.variables[dim].to_base_variable() for area, part in having.items()}
    attrs = attributes(dim, labels)
    values = {area: variable.values for area, variable in labels.items()}
    first = next(iter(values.values()))
    if any(_is_binned(dim, part) for part in having.values()):
        _check_same(dim, values)
        return Axis(first.size, xr.Variable(dim, first, attrs), dict.fromkeys(parts))
    agree({p: content(v) for p, v in values.items()}, f"the type of {dim!r}", _CONVERT)
    if all(v.dtype == first.dtype and equal(first, v) for v in values.values()):
        return Axis(first.size, xr.Variable(dim, first, attrs), dict.fromkeys(parts))
    for area, of_part in values.items():
        if pd.Index(of_part).has_duplicates:
            msg = f"{area.path}: some labels of {dim!r} occur twice, so they cannot be matched"
            raise SchemaError(msg)
    union, positions = _union(values)
    for area, at in positions.items():
        if np.unique(at).size < at.size:
            msg = (
                f"{area.path}: some values of {dim!r} are equal in single precision, which other "
                f"areas use; round them, or {_CONVERT}"
            )
            raise SchemaError(msg)
    return Axis(union.size, xr.Variable(dim, union, attrs), dict.fromkeys(parts) | positions)


def _is_binned(dim: str, part: xr.Dataset) -> bool:
    """Whether a dimension is a clock or bins of behaviour, not values of a parameter."""
    return dim in (schema.TIME, schema.LAG) or (
        "occupancy" in part.coords and dim in part["occupancy"].dims
    )


def _check_same(dim: str, values: Mapping[AreaPath, np.ndarray]) -> None:
    """Refuse clocks or bins that differ between areas; the message names the areas."""
    kinds: list[np.ndarray] = []
    number_of: dict[AreaPath, int] = {}
    for area, centres in values.items():
        number_of[area] = next((i for i, k in enumerate(kinds) if _near(k, centres)), len(kinds))
        kinds += [centres] if number_of[area] == len(kinds) else []
    texts = [_bins(centres) for centres in kinds]
    if len(set(texts)) < len(texts):  # they differ only between the ends
        texts = [f"{text} (number {i})" for i, text in enumerate(texts, 1)]
    what = {area: texts[number] for area, number in number_of.items()}
    agree(what, f"the bins of {dim!r}", _HOW.get(dim, _SAME_EDGES))


def _near(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether centres of bins are equal, up to rounding."""
    if first.shape != second.shape:
        return False
    step = abs(float(first[1] - first[0])) if first.size > 1 else 1.0
    return bool(np.allclose(first, second, rtol=0, atol=_NEAR * step))


def _bins(centres: np.ndarray) -> str:
    """Describe bins: their number, width and range."""
    if not centres.size:
        return "none"
    step = (
        f" {(centres[-1] - centres[0]) / (centres.size - 1):.6g} apart" if centres.size > 1 else ""
    )
    return f"{centres.size:,}{step} from {centres[0]:.6g} to {centres[-1]:.6g}"


def content(values: np.ndarray) -> str:
    """The kind of values, for any dtype: numbers, text, ..."""
    if values.dtype.kind == "O":
        known = all(isinstance(value, str) for value in values.ravel().tolist())
        return "text" if known else "objects"
    kinds = {"U": "text", "S": "text", "T": "text", "M": "time", "m": "time", "b": "truth values"}
    return kinds.get(values.dtype.kind, "numbers")


def _union(values: Mapping[AreaPath, np.ndarray]) -> tuple[np.ndarray, dict[AreaPath, np.ndarray]]:
    """All labels in order, and the positions of each part's labels.

    If some labels are in single precision, numbers are compared in single precision, and the more
    precise one becomes the label.
    """
    floats = [v.dtype for v in values.values() if v.dtype.kind == "f"]
    coarse = min(floats, key=lambda dtype: dtype.itemsize, default=None)
    key: Callable[[np.ndarray], np.ndarray] = lambda v: (  # noqa: E731
        v.astype(coarse).astype(float) if v.dtype.kind == "f" else v
    )
    keys = {area: key(v) for area, v in values.items()}
    if content(next(iter(values.values()))) == "text":
        keys = {area: v.astype(str) for area, v in keys.items()}
    union = np.unique(np.concatenate(list(keys.values())))
    positions = {area: np.searchsorted(union, of_part) for area, of_part in keys.items()}
    labels = union.astype(np.result_type(*(v.dtype for v in values.values())))
    for area in sorted(values, key=lambda p: values[p].dtype.itemsize):
        labels[positions[area]] = values[area]
    return labels, positions


# --------------------------------------------------------------------------------------- agreement

_APART = "na.over(..., as_tree=True) keeps the results of areas apart"
_CONVERT = "convert it, select other areas with areas=, or leave the session out"
_SAME_EDGES = "give the same edges for all, such as bins=np.linspace(0, 60, 21)"
_HOW = {
    schema.TIME: f"align all with the same bin_width= and window=; {_APART}",
    schema.LAG: _APART,
}


def agree(facts: Mapping[AreaPath, Any], what: str, hint: str) -> None:
    """Refuse results that differ between areas.

    Raises
    ------
    SchemaError
        If they differ; the message lists the values and their areas.
    """
    groups: dict[Any, list[str]] = {}
    for area, fact in facts.items():
        groups.setdefault(fact, []).append(area.path)
    if len(groups) > 1:
        texts = "; ".join(f"{fact} in {shorten(paths, 3)}" for fact, paths in groups.items())
        msg = f"{what} differs between areas: {texts}" + (f"; {hint}" if hint else "")
        raise SchemaError(msg)


def attributes(name: str, parts: Variables) -> dict[Any, Any]:
    """The common attributes of parts; their unit and period must be equal."""
    for key, what in (("units", "the unit of"), ("period", "the full turn of")):
        facts = {area: str(v.attrs.get(key, "(none)")) for area, v in parts.items()}
        agree(facts, f"{what} {'the result' if name == ANSWER else repr(name)}", _CONVERT)
    return shared([variable.attrs for variable in parts.values()])


def shared(attrs: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Attributes that are equal in all."""
    first, *others = attrs
    return {
        key: value
        for key, value in first.items()
        if all(key in each and bool(np.array_equal(each[key], value)) for each in others)
    }


def equal(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether arrays are equal; NaN equals NaN."""
    floats = first.dtype.kind in "fc" and second.dtype.kind in "fc"
    return bool(np.array_equal(first, second, equal_nan=floats))
