"""Encode text columns of presentations as whole numbers, with a stored list of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.batches import fields, gathering
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.schema.given import check


class Encoded(fields.Dense):
    """A column of labels as their positions in a list, (row,) int64; a missing label is -1."""

    def __init__(self, codes: np.ndarray, labels: list[str]):
        super().__init__(codes)
        self.labels = labels


def encoded(area: xr.DataTree, encode: Any, names: list[str], dim: str) -> dict[str, Encoded]:
    """Encode text variables of an area as whole numbers.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    encode : mapping of str to (sequence of str or True), or None
        The labels of each variable; True takes them in order of appearance in the area.
    names : list of str
        The inputs and targets of the dataset.
    dim : str
        The dimension of the samples.

    Returns
    -------
    dict of str to Encoded
        The field of each encoded variable.

    Raises
    ------
    NotInTree
        If a label is not in the list, or the variable does not exist.
    SchemaError
        If a variable has more than one value per sample.
    """
    where = gathering.location(area)
    check(encode, Mapping | None, f'{where}: encode: expected {{"NAME": ["left", ...]}}', TypeError)
    return {
        name: _encoded(area, name, labels, names, dim) for name, labels in (encode or {}).items()
    }


def _encoded(area: xr.DataTree, name: str, labels: Any, names: list[str], dim: str) -> Encoded:
    """Encode one variable; see `encoded`."""
    where = gathering.location(area, name)
    if name not in names:
        hint = "encode= is for variables of the dataset: name it in inputs= or targets= as well"
        raise NotInTree("variable to encode", name, names, hint, gathering.location(area))
    try:
        array = gathering.find(area, name)
    except NotInTree:
        values = gathering.column(area, name)
    else:
        values = array.values
        if array.dims != (dim,):
            msg = (
                f"{where} has dims {array.dims}; only one text per sample, along {dim}, can "
                "be encoded"
            )
            raise SchemaError(msg)
    texts = [None if _is_missing(value) else str(value) for value in values.tolist()]
    if labels is True:
        labels = list(dict.fromkeys(text for text in texts if text is not None))
    if isinstance(labels, str) or len(set(labels)) != len(list(labels)):
        msg = f"{where}: encode: expected a list of different labels, or True, found {labels!r:.60}"
        raise ValueError(msg)
    known = {str(label): i for i, label in enumerate(labels)}
    if unknown := [text for text in texts if text is not None and text not in known]:
        raise NotInTree("label", unknown[0], list(known), hint=f"encode of {where}")
    codes = [-1 if text is None else known[text] for text in texts]
    return Encoded(np.array(codes, np.int64), list(known))


def check_alike(datasets: Iterable[Any]) -> None:
    """Check that the same codes mean the same labels in all datasets.

    Raises
    ------
    SchemaError
        If they do not; the message names the variable, both areas and all labels.
    """
    first: dict[str, tuple[str, list[str]]] = {}
    for dataset in datasets:
        for name, labels in getattr(dataset, "encodings", {}).items():
            where, expected = first.setdefault(name, (dataset.location, labels))
            if labels != expected:
                every = list(dict.fromkeys([*expected, *labels]))
                msg = (
                    f"{name}: the labels are {expected} in {where}, {labels} in {dataset.location}"
                )
                raise SchemaError(f"{msg}: give one list, encode={{{name!r}: {every}}}")


def _is_missing(value: Any) -> bool:
    """Whether a label is missing: None, an empty text or NaN."""
    return value is None or value == "" or value != value
