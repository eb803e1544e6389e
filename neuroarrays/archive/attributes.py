"""Write attributes in netCDF, and keep those that netCDF cannot hold exactly.

What netCDF lacks or other readers would act upon (bool, None, nested, empty lists, names such as
``scale_factor``) is written in the nearest form of netCDF where there is one, with the original in
the attribute `_neuroarrays`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroarrays.files.headers import SAVED_BY

#: Our attribute, and those of the file format; they are not part of a tree.
HIDDEN = "_neuroarrays"
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
#: Attributes that make other readers change values.
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
    """Attributes as netCDF holds them, and those of them that it does not hold exactly."""
    native: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    for key, value in attrs.items():
        name, value = str(key), _plain(value)
        near, same = _nearest(value)
        if name in MACHINE or name in _ACTED_UPON or "/" in name or not name:
            exact[name] = value
        else:
            native[name] = near
            if not same:
                exact[name] = value
    return native, exact


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _nearest(value: Any) -> tuple[Any, bool]:
    """A value that netCDF holds, and whether it is the same."""
    items = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in items}
    if kinds == {str} and all("\0" not in item and encodable(item) for item in items):
        return value, True
    if kinds == {int} and all(-(2**63) <= item < 2**63 for item in items):
        return (np.array(value, np.int64) if items is value else np.int64(value)), True
    if kinds == {float}:
        finite = bool(np.isfinite(items).all())  # JSON, and so Zarr, has finite numbers only
        return (np.array(value, np.float64) if items is value else np.float64(value)), finite
    if kinds == {bool} and items is not value:
        return np.int8(value), False
    text = json.dumps(value).encode("utf-8", "replace").decode()
    return text.replace("\0", ""), False


def encodable(text: str) -> bool:
    """Whether text has a form in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
