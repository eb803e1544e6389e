"""Attributes as netCDF stores them, without losing those that netCDF cannot represent.

Some values have no exact form in netCDF (bool, None, nested and empty lists), and some names make
other programs change the data (``scale_factor``). Such a value is stored in the nearest form that
netCDF has, if there is one, and its original as JSON in the attribute `_neuroarrays`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroarrays.files.headers import SAVED_BY
from neuroarrays.files.source import decoded

#: The attribute with the original attributes and dtype.
HIDDEN = "_neuroarrays"
#: Attributes of ours and of the file formats, which are not part of a tree.
MACHINE = frozenset(
    {
        HIDDEN,
        SAVED_BY,
        "_NCProperties",
        "_Netcdf4Dimid",
        "_Netcdf4Coordinates",
        "_nc3_strict",
        "CLASS",
        "NAME",
        "DIMENSION_LIST",
        "REFERENCE_LIST",
        "coordinates",
        "_ARRAY_DIMENSIONS",
    }
)
#: Attributes of the CF conventions that describe stored values; xarray decodes by them.
CODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
#: Attributes by which other programs change values.
_ACTED_UPON = frozenset(
    {
        *CODED,
        "dtype",
        "calendar",
        "_Encoding",
        "grid_mapping",
        "bounds",
    }
)


def split_attrs(attrs: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split attributes into those in the form of netCDF, and the originals of inexact ones.

    Returns
    -------
    native : dict
        Name -> value that netCDF can store.
    exact : dict
        Name -> original value, where netCDF cannot store it or the name exactly.
    """
    native: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    for key, value in attrs.items():
        name, value = str(key), _plain(value)
        nearest, is_exact = _nearest(value)
        if name in MACHINE or name in _ACTED_UPON or "/" in name or not name:
            exact[name] = value
        else:
            native[name] = nearest
            if not is_exact:
                exact[name] = value
    return native, exact


def _plain(value: Any) -> Any:
    """Return an attribute as text, numbers, lists and mappings."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return decoded(value)
    return str(value)


def _nearest(value: Any) -> tuple[Any, bool]:
    """Return the nearest value that netCDF can store, and whether it is equal to the original."""
    items = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in items}
    if kinds == {str} and all("\0" not in item and encodable(item) for item in items):
        return value, True
    if kinds == {int} and all(-(2**63) <= item < 2**63 for item in items):
        return (np.array(value, np.int64) if items is value else np.int64(value)), True
    if kinds == {float}:
        is_finite = bool(np.isfinite(items).all())  # JSON, and so Zarr, has only finite numbers
        return (np.array(value, np.float64) if items is value else np.float64(value)), is_finite
    if kinds == {bool} and items is not value:
        return np.int8(value), False
    text = json.dumps(value).encode("utf-8", "replace").decode()
    return text.replace("\0", ""), False


def encodable(text: str) -> bool:
    """Return whether text can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
