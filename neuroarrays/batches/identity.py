"""Identities of datasets and samplers (names, numbers and checksums), which checkpoints compare."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neuroarrays.errors import SchemaError, shorten

#: Text, numbers, lists and dicts of these, as a checkpoint stores them.
Identity = dict[str, Any]
_ABSENT = object()
#: Number of differences that an error names.
_NAMED = 3


def checksum(*arrays: Any) -> str:
    """Return a CRC-32 checksum of arrays, lists, numbers, and the values of mappings."""
    total = 0
    for array in arrays:
        values = np.asarray(list(array.values()) if isinstance(array, Mapping) else array)
        values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        total = zlib.crc32(values.tobytes(), total)
    return f"checksum {total:08x}"


def identity_of(dataset: Any) -> Identity:
    """Return the identity of a dataset; for a dataset of another library, its number of samples."""
    if hasattr(dataset, "identity"):
        return dict(dataset.identity())
    return {"samples": len(dataset)} if hasattr(dataset, "__len__") else {}


def plain(value: Any) -> Any:
    """Convert numbers and text to Python's types, which JSON and `torch.load` accept, from numpy's.

    Parameters
    ----------
    value : mapping, list, number or text
        An identity, or a part of one.

    Returns
    -------
    dict, list, number or text
        The same values; keys are text, as in JSON.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def check_same(saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Check that a state was saved with the same data and the same order of batches.

    Raises
    ------
    SchemaError
        If not; the message names what differs, with the saved and the present values.
    """
    differing = [
        f"{': '.join(path)}: {_shown(before)} in the state, {_shown(now)} here"
        for path, before, now in differences(saved, present)
    ]
    if differing:
        more = len(differing) - _NAMED
        rest = f"; and {more:,} more" if more > 0 else ""
        msg = (
            f"the state is of another dataset, split or order of batches: {'; '.join(differing[:_NAMED])}{rest}. "
            "Make the loader as it was, or begin an epoch of this one with loader.set_epoch(number)"
        )
        raise SchemaError(msg)


def differences(
    saved: Any, present: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield each difference of two identities: the keys that lead to it, and both values."""
    if isinstance(saved, Mapping) and isinstance(present, Mapping):
        for key in dict.fromkeys([*saved, *present]):
            before, now = saved.get(key, _ABSENT), present.get(key, _ABSENT)
            yield from differences(before, now, (*path, str(key)))
    elif _are_lists(saved, present) and len(saved) == len(present):
        for i, (before, now) in enumerate(zip(saved, present, strict=True)):
            yield from differences(before, now, (*path, str(i)))
    elif saved is not present and (_ABSENT in (saved, present) or saved != present):
        yield path, saved, present


def _are_lists(saved: Any, present: Any) -> bool:
    """Whether both values are sequences other than text."""
    return all(isinstance(x, Sequence) and not isinstance(x, str) for x in (saved, present))


def _shown(value: Any) -> str:
    """Return a value as error messages show it."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, Mapping):
        return "present"
    return shorten(value, _NAMED) if isinstance(value, list) else f"{value!r:.60}"
