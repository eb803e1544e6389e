"""Ragged columns of NWB: the bounds of each row, and rows side by side."""

from __future__ import annotations

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import vectors
from neuroarrays.formats.nwb.account import Account

#: A ragged column is padded to at most this many bytes, or to this many times its values.
_MOST_BYTES, _MOST_TIMES = 64 << 20, 16


def bounds(source: Source, column: str, index: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the one-past-last value of each row of a ragged column, (row,) int64 each.

    Raises
    ------
    FormatError
        If the index is not a list of numbers, decreases, or points past the end of the column.
    """
    index = index or f"{column}_index"
    info, values = vectors.list_info(source, index), source.info(column)
    if info is None or values is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
        problem = "nothing" if info is None else f"shape {info.shape}, {info.dtype}"
        raise FormatError(source.path, f"/{index}", "a list of row ends", problem)
    stored = vectors.read_list(source, index)
    with np.errstate(invalid="ignore"):  # NaN becomes another number, so the comparison fails
        ends = stored.astype(np.int64)  # int64, because a difference of uint8 would wrap around
    starts = np.concatenate([[0], ends[:-1]]) if ends.size else ends
    size = values.shape[0] if values.shape else 1
    if ends.size and ends[-1] != size:  # the column may be stored as one row
        size = vectors.as_list(values).shape[0]
    if ends.size and ((ends < starts).any() or ends[-1] > size or (ends != stored).any()):
        raise FormatError(
            source.path,
            f"/{index}",
            expected=f"row ends that grow up to at most {size}",
            found=f"values from {stored.min()} to {stored.max()}",
        )
    return starts, ends


def bounds_of_rows(
    account: Account, column: str, index: str, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `bounds` of `size` rows; a remark is added for values that belong to no row.

    Raises
    ------
    FormatError
        If `bounds` raises it, or the index has another number of rows.
    """
    source = account.source
    starts, ends = bounds(source, column, index)
    if ends.size != size:
        raise FormatError(source.path, f"/{index}", f"{size} row ends", str(ends.size))
    past_the_end(account, column, index, ends)
    return starts, ends


def past_the_end(account: Account, column: str, index: str, ends: np.ndarray) -> None:
    """Add a remark if values at the end of a column belong to no row of its index."""
    total = vectors.as_list(account.source.known(column)).shape[0]
    left = total - (int(ends[-1]) if ends.size else 0)
    if left:
        name = index.rpartition("/")[2]
        account.remark(
            column,
            f"the last {left:,} of {total:,} values belong to no row: {name} "
            "ends before them; they are not in the tree",
        )


def joined(values: np.ndarray, starts: np.ndarray, ends: np.ndarray, sign: str) -> np.ndarray:
    """Return the values of each row as one text, with a separator between: (row,) object."""
    rows = [values[s:e] for s, e in zip(starts, ends, strict=True)]
    texts = [sign.join(str(v) for v in np.ravel(row)) for row in rows]
    return np.array([*texts, None], object)[:-1]


def check_padding(source: Source, path: str, shape: tuple[int, ...], stored: int) -> None:
    """Raise an error if padding all rows to the longest takes far more memory than their values.

    Raises
    ------
    FormatError
        If an array of `shape` takes too many bytes for a column of `stored` bytes.
    """
    nbytes = 8 * int(np.prod(shape, dtype=object))
    if nbytes > max(_MOST_BYTES, _MOST_TIMES * stored):
        raise FormatError(
            source.path,
            f"/{path}",
            "rows of about the same length",
            f"one so long that padding takes {nbytes:,} bytes",
        )


def filled(
    source: Source,
    path: str,
    values: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    stored: int,
) -> np.ndarray:
    """Return rows of numbers side by side, with NaN after the end of each."""
    longest = int((ends - starts).max(initial=0))
    shape = (starts.size, longest, *values.shape[1:])
    check_padding(source, path, shape, stored)
    out = np.full(shape, np.nan)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        out[i, : end - start] = values[start:end]
    return out
