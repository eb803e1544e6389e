"""What answers of several areas have to have in common, and where the labels of each go in all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, shorten
from neuroarrays.tree.places import Place

#: The name of an answer that has none.
ANSWER = "answer"
#: How far labels of one clock may be from one another, as a share of a step.
_NEAR = 1e-6

Parts = Mapping[Place, xr.Dataset]
Variables = Mapping[Place, xr.Variable]


@dataclass(frozen=True)
class Axis:
    """A dimension of an answer: its labels, and where those of each part are; None for all, in order."""

    size: int
    labels: xr.Variable | None
    positions: Mapping[Place, np.ndarray | None]


# ------------------------------------------------------------------------------------------- labels


def axis(dim: str, parts: Parts) -> Axis:
    """The labels of a dimension in all parts: one clock or the same bins, or all values there are."""
    having = {place: part for place, part in parts.items() if dim in part.sizes}
    labelled = {place: dim in part.coords for place, part in having.items()}
    agree(labelled, f"{dim}: whether it has labels", "")
    if not all(labelled.values()):
        agree({p: part.sizes[dim] for p, part in having.items()}, f"the length of {dim}", _APART)
        size = next(iter(having.values())).sizes[dim]
        return Axis(size, None, dict.fromkeys(parts))
    labels = {place: part.variables[dim].to_base_variable() for place, part in having.items()}
    attrs = attributes(dim, labels)
    values = {place: variable.values for place, variable in labels.items()}
    first = next(iter(values.values()))
    if any(_is_binned(dim, part) for part in having.values()):
        _check_same(dim, values)
        return Axis(first.size, xr.Variable(dim, first, attrs), dict.fromkeys(parts))
    agree({p: content(v) for p, v in values.items()}, f"the type of {dim!r}", _CONVERT)
    if all(v.dtype == first.dtype and equal(first, v) for v in values.values()):
        return Axis(first.size, xr.Variable(dim, first, attrs), dict.fromkeys(parts))
    for place, of_part in values.items():
        if pd.Index(of_part).has_duplicates:
            msg = f"{place.path}: labels of {dim!r} stand there twice, so they cannot be matched"
            raise SchemaError(msg)
    union, positions = _union(values)
    for place, at in positions.items():
        if np.unique(at).size < at.size:
            msg = (
                f"{place.path}: values of {dim!r} that are the same in single precision, in which other "
                f"areas have them; round them, or {_CONVERT}"
            )
            raise SchemaError(msg)
    return Axis(union.size, xr.Variable(dim, union, attrs), dict.fromkeys(parts) | positions)


def _is_binned(dim: str, part: xr.Dataset) -> bool:
    """Whether a dimension is a clock, or bins of behaviour: no values of a parameter."""
    return dim in (schema.TIME, schema.LAG) or (
        "occupancy" in part.coords and dim in part["occupancy"].dims
    )


def _check_same(dim: str, values: Mapping[Place, np.ndarray]) -> None:
    """Refuse clocks or bins that are not the same in all areas; says which are."""
    kinds: list[np.ndarray] = []
    which: dict[Place, int] = {}
    for place, centres in values.items():
        which[place] = next((i for i, k in enumerate(kinds) if _near(k, centres)), len(kinds))
        kinds += [centres] if which[place] == len(kinds) else []
    texts = [_bins(centres) for centres in kinds]
    if len(set(texts)) < len(texts):  # they differ in between
        texts = [f"{text} (number {i})" for i, text in enumerate(texts, 1)]
    what = {place: texts[number] for place, number in which.items()}
    agree(what, f"the bins of {dim!r}", _HOW.get(dim, _SAME_EDGES))


def _near(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether centres of bins are the same, up to rounding."""
    if first.shape != second.shape:
        return False
    step = abs(float(first[1] - first[0])) if first.size > 1 else 1.0
    return bool(np.allclose(first, second, rtol=0, atol=_NEAR * step))


def _bins(centres: np.ndarray) -> str:
    """Bins in words."""
    if not centres.size:
        return "none"
    step = (
        f" {(centres[-1] - centres[0]) / (centres.size - 1):.6g} apart" if centres.size > 1 else ""
    )
    return f"{centres.size:,}{step} from {centres[0]:.6g} to {centres[-1]:.6g}"


def content(values: np.ndarray) -> str:
    """What values are, whatever their dtype: numbers, text, ..."""
    if values.dtype.kind == "O":
        known = all(isinstance(value, str) for value in values.ravel().tolist())
        return "text" if known else "objects"
    kinds = {"U": "text", "S": "text", "T": "text", "M": "time", "m": "time", "b": "truth values"}
    return kinds.get(values.dtype.kind, "numbers")


def _union(values: Mapping[Place, np.ndarray]) -> tuple[np.ndarray, dict[Place, np.ndarray]]:
    """All labels in order, and where those of each part are among them.

    Where some were stored in single precision, numbers are the same if they are so in that, and
    the label is the more precise one.
    """
    floats = [v.dtype for v in values.values() if v.dtype.kind == "f"]
    coarse = min(floats, key=lambda dtype: dtype.itemsize, default=None)
    key: Callable[[np.ndarray], np.ndarray] = lambda v: (  # noqa: E731
        v.astype(coarse).astype(float) if v.dtype.kind == "f" else v
    )
    keys = {place: key(v) for place, v in values.items()}
    if content(next(iter(values.values()))) == "text":
        keys = {place: v.astype(str) for place, v in keys.items()}
    union = np.unique(np.concatenate(list(keys.values())))
    positions = {place: np.searchsorted(union, of_part) for place, of_part in keys.items()}
    labels = union.astype(np.result_type(*(v.dtype for v in values.values())))
    for place in sorted(values, key=lambda p: values[p].dtype.itemsize):
        labels[positions[place]] = values[place]
    return labels, positions


# --------------------------------------------------------------------------------------- agreement

_APART = "as_tree=True of na.over keeps the answers of areas apart"
_CONVERT = "convert it, take others with areas=, or leave the session out"
_SAME_EDGES = "give the same edges to all, such as bins=np.linspace(0, 60, 21)"
_HOW = {
    schema.TIME: f"align all with the same bin_width= and window=; {_APART}",
    schema.LAG: _APART,
}


def agree(facts: Mapping[Place, Any], what: str, hint: str) -> None:
    """Refuse facts that differ between areas.

    Raises
    ------
    SchemaError
        Says which areas have which.
    """
    groups: dict[Any, list[str]] = {}
    for place, fact in facts.items():
        groups.setdefault(fact, []).append(place.path)
    if len(groups) > 1:
        texts = "; ".join(f"{fact} in {shorten(paths, 3)}" for fact, paths in groups.items())
        msg = f"{what} differs between areas: {texts}" + (f"; {hint}" if hint else "")
        raise SchemaError(msg)


def attributes(name: str, parts: Variables) -> dict[Any, Any]:
    """Attributes that parts share; their unit and period are the same."""
    for key, what in (("units", "the unit of"), ("period", "the full turn of")):
        facts = {place: str(v.attrs.get(key, "(none)")) for place, v in parts.items()}
        agree(facts, f"{what} {'the answer' if name == ANSWER else repr(name)}", _CONVERT)
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
    """Whether arrays hold the same, NaN equal to NaN."""
    floats = first.dtype.kind in "fc" and second.dtype.kind in "fc"
    return bool(np.array_equal(first, second, equal_nan=floats))
