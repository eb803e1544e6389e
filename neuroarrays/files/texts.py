"""Read tables of text (csv, tsv), and tell missing values from words such as "NA"."""

from __future__ import annotations

import codecs
import contextlib
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: How programs write NaN. "NA", "None" and "null" are not among them: they may be names.
_NO_NUMBER = ("", "nan", "-nan", "+nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")


def as_utf8(content: bytes) -> bytes:
    """Return a text in UTF-8, whatever its encoding: UTF-16 with its mark (Excel), UTF-8, else Latin-1."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace").encode()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1").encode()
    return content.removeprefix(codecs.BOM_UTF8)


def read_csv(content: bytes, missing: tuple[str, ...] = (), **options: Any) -> pd.DataFrame:
    """Read a table of text with pandas, but keep words such as "NA" and "None" stay text among words.

    An area or a group of units may be called "NA". In a column of numbers (or of True and False) such
    a word is a missing value, as is an empty cell in every column.

    Parameters
    ----------
    content : bytes
        The whole table, in any encoding that `as_utf8` knows.
    missing : tuple of str
        Words that are missing values among text too, in lower case.
    **options
        Of `pandas.read_csv`: `sep`, `dtype`, `index_col`, ...

    Returns
    -------
    pandas.DataFrame
        Columns of numbers with NaN for missing ones, or of text with NaN for empty cells. A number
        is the float64 nearest to what is written; whole numbers that it would round are Int64.
    """
    import pandas as pd

    # Before 3.1 the default parser of pandas may miss the nearest number.
    version = tuple(map(int, pd.__version__.split(".")[:2]))
    exact = {"float_precision": "round_trip"} if version < (3, 1) else {}

    def parsed(**more: Any) -> pd.DataFrame:
        """Parse the table with further options."""
        table: pd.DataFrame = pd.read_csv(
            io.BytesIO(content), low_memory=False, **(exact | options | more)
        )
        return table

    content = as_utf8(content)
    table = parsed()
    for i in range(table.shape[1]):
        if _may_be_rounded(table.iloc[:, i]):
            with contextlib.suppress(ValueError, OverflowError):  # not all are whole numbers
                table.isetitem(i, parsed(dtype={table.columns[i]: "Int64"}).iloc[:, i])
    doubtful = [i for i in range(table.shape[1]) if _may_have_lost_words(table.iloc[:, i])]
    if not doubtful:
        return table
    as_text = dict.fromkeys(
        table.columns[doubtful], str
    )  # the others are numbers, which are faster to parse
    as_written = parsed(dtype=as_text, keep_default_na=False)
    for i in doubtful:
        words = as_written.iloc[:, i]
        plain = {word: word.strip().lower() for word in words.unique()}
        if not set(plain.values()) <= {*_NO_NUMBER, *missing}:
            empty = [word for word, text in plain.items() if text in ("", *missing)]
            table.isetitem(i, words.mask(words.isin(empty)))
    return table


def _may_be_rounded(column: pd.Series) -> bool:
    """Whether large whole numbers of a column were rounded, because others are missing."""
    if column.dtype.kind != "f" or not column.isna().any():
        return False
    return bool((column.abs() >= 1 << 53).any() and (column.dropna() % 1 == 0).all())


def _may_have_lost_words(column: pd.Series) -> bool:
    """Whether a missing value of a column may have been a word: it has text, or nothing at all."""
    missing = column.isna()
    values = column[~missing]
    return bool(missing.any()) and (values.empty or isinstance(values.iloc[0], str))
