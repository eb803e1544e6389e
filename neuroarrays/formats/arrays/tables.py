"""Text tables and parquet files as columns; the header of a text table is detected."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.errors import FormatError, required
from neuroarrays.files import safety
from neuroarrays.files.members import MemberSource
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.files.texts import as_utf8, read_csv
from neuroarrays.formats.arrays.fields import joined
from neuroarrays.tree.columns import plain_column

if TYPE_CHECKING:
    import pandas as pd

#: The most bytes of a table that is read, the most characters of a line, and the most bytes of values
#: for each byte of a parquet file.
LARGEST, _LINE, _PACKED = 1 << 30, 1 << 20, 1000
#: Number of lines that are searched for the header, and the most rows of a header.
_LOOKED, _HEADERS = 64, 8
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}


@dataclass(frozen=True)
class TableSource(MemberSource):
    """Columns of a text table or parquet file; without a header they are called 0, 1, 2, ...

    If the header has several rows, as DeepLabCut and pandas write it, the name of a column is made of
    the rows in which columns differ: ``nose/x``.
    """

    def _scan(self) -> dict[str, Member]:
        columns = self._columns()
        self._keep(columns)
        return {name: Member(v.dtype, v.shape) for name, v in columns.items()}

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        columns = self._columns()
        self._keep(columns)
        return columns[name]

    def _columns(self) -> dict[str, np.ndarray]:
        if self.stamp[1] > LARGEST:
            raise FormatError(
                self.path, "", f"a table of at most {LARGEST:,} bytes", f"{self.stamp[1]:,}"
            )
        content = Probe(self.location).read_bytes(LARGEST)
        with safety.readable(self.path, "", "a readable table"):
            parquet = self.path.endswith(".parquet")
            frame = self._parquet(content) if parquet else self._text(as_utf8(content))
        columns = {}
        for position, name in enumerate(frame.columns):
            values = plain_column(frame.iloc[:, position])
            if not values.size:  # a table of no rows may have numbers or text
                values = np.empty(0)
            if values.dtype.kind not in "biuf":
                values = np.array(["" if v is None else str(v) for v in values], "U")
            columns[str(name)] = values
        if len(columns) < frame.shape[1]:
            twice = Counter(map(str, frame.columns)).most_common(1)[0][0]
            raise FormatError(self.path, "", "columns of different names", f"{twice!r} twice")
        return columns

    def _text(self, content: bytes) -> pd.DataFrame:
        import pandas as pd

        layout = _layout(io.BytesIO(content))
        with warnings.catch_warnings():
            # A row that is longer than the header would lose values.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            plain = layout.headers < 2
            frame = read_csv(
                content,
                sep=layout.separator,
                header="infer" if layout.headers == 1 else None,
                index_col=False,
                skiprows=layout.body,
                decimal=layout.decimal,
                names=None if plain else layout.names,
            )
        if not layout.headers and len(layout.names) == frame.shape[1]:
            frame.columns = layout.names
        frame.columns = [str(name) for name in frame.columns]
        numbered = not plain and layout.names[0] == _ROW
        if numbered and np.array_equal(frame[_ROW], np.arange(len(frame))):
            return frame.drop(columns=_ROW)  # it only counts the rows
        return frame

    def _parquet(self, packed: bytes) -> pd.DataFrame:
        import pandas as pd

        parquet = required("pyarrow.parquet", "parquet", "reading parquet files")
        content = io.BytesIO(packed)
        metadata = parquet.read_metadata(content)
        nbytes = 8 * metadata.num_rows * metadata.num_columns
        if nbytes > max(LARGEST, _PACKED * self.stamp[1]):
            raise FormatError(
                self.path,
                "",
                f"at most {max(LARGEST, _PACKED * self.stamp[1]):,} bytes of values",
                f"{nbytes:,}",
                "the file is made to exhaust memory",
            )
        content.seek(0)
        return pd.read_parquet(content)


#: Name of the column that numbers rows, under a header of several rows.
_ROW = "index"


@dataclass(frozen=True)
class TableLayout:
    """The layout of a text table.

    Attributes
    ----------
    comments, headers, body : int
        Number of lines before the header, of rows of the header, and of lines before the first row
        below the header.
    names : list of str
        Names of the columns, from a header of several rows, or from a comment before a table without
        a header.
    separator, decimal : str
        Text between two columns, and the decimal point, as `pandas.read_csv` takes them.
    """

    comments: int
    headers: int
    body: int
    names: list[str]
    separator: str
    decimal: str


def _layout(content: io.BytesIO) -> TableLayout:
    """Detect the layout of a table from its first lines."""
    comments, comment = 0, ""
    lines: list[str] = []
    at: list[int] = []
    file = io.TextIOWrapper(content, encoding="utf-8")
    line = file.readline(_LINE)
    while line.startswith("#"):
        comments, comment, line = comments + 1, line, file.readline(_LINE)
    number = comments
    while line and len(lines) < _LOOKED:
        if line.strip():
            lines.append(line.rstrip("\r\n"))
            at.append(number)
        line, number = file.readline(_LINE), number + 1
    file.detach()  # otherwise it would be closed together with the wrapper
    separator = _separator(lines)
    rows = [_cells(line, separator) for line in lines]
    commas = (cell for row in rows for cell in row if "," in cell and _is_number(cell, ","))
    decimal = "," if separator == ";" and next(commas, "") else "."
    headers = _headers(rows, decimal)
    if headers > 1:
        headers, names = _names(rows, headers, decimal)
        body = at[headers] if headers < len(at) else number
        return TableLayout(comments, headers, body, names, separator, decimal)
    words = re.split(
        r"[,;\t]\s*" if re.search(r"[,;\t]", comment) else r"\s+", comment.lstrip("# ").strip()
    )
    return TableLayout(
        comments, headers, comments, [word for word in words if word], separator, decimal
    )


def _separator(lines: list[str]) -> str:
    """Return the separator that the last lines have in equal numbers."""
    body = lines[len(lines) // 2 :]
    for candidate in ("\t", ";", ","):
        counts = {line.count(candidate) for line in body}
        if counts and 0 not in counts and (len(counts) == 1 or candidate == ","):
            return candidate
    return next(
        (candidate for candidate in (",", "\t", ";") if lines and candidate in lines[0]), r"\s+"
    )


def _cells(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _headers(rows: list[list[str]], decimal: str) -> int:
    """Return the number of rows of the header: those with text above columns of numbers."""
    if _counts(rows):
        return 1
    width = max(map(len, rows), default=0)
    votes: Counter[int] = Counter()
    for column in range(width):
        cells = [row[column] if column < len(row) else "" for row in rows]
        known = [c.lower() not in _MISSING for c in cells]
        text = [k and not _is_number(c, decimal) for c, k in zip(cells, known, strict=True)]
        above = max((i + 1 for i, is_text in enumerate(text) if is_text), default=0)
        if above < len(cells) and any(known[above:]) and above <= _HEADERS:
            votes[above] += 1
    if not votes:
        return min(1, len(rows))
    return max(votes, key=lambda n: (votes[n], n == 1, -n))


def _counts(rows: list[list[str]]) -> bool:
    """Whether the first row numbers the columns, as pandas does if they have no names."""
    if len(rows) < 2 or len(rows[0]) < 2:
        return False
    labelled = rows[0][0] == ""
    first = rows[0][labelled:]
    counted = first == [str(i) for i in range(len(first))]
    fractions = any("." in cell for row in rows[1:] for cell in row)
    return counted and len(first) > 1 and (labelled or fractions)


def _names(rows: list[list[str]], headers: int, decimal: str) -> tuple[int, list[str]]:
    """Return the rows of the header, and the names of the columns."""
    width = max(map(len, rows[:headers]))
    padded = [row + [""] * (width - len(row)) for row in rows]
    levels = [list(column) for column in zip(*padded[:headers], strict=True)]
    names = joined(levels)
    grouped = len(set(padded[0])) < width
    rest = padded[headers : headers + 1]
    if rest and rest[0][0] and not any(rest[0][1:]) and not _is_number(rest[0][0], decimal):
        return headers + 1, [rest[0][0], *joined(levels[1:])]
    if padded[0][0] and padded[0][0] in padded[0][1:]:
        return headers, names  # the first column belongs to a group too
    if grouped:  # the first column names the levels, or is a column of its own
        first = [cell for cell in levels[0] if cell]
        return headers, [first[0] if len(first) == 1 else _ROW, *joined(levels[1:])]
    return headers, names
