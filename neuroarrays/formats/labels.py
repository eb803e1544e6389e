"""Labels of units as readers take them from tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.tree.columns import plain_column

if TYPE_CHECKING:
    import pandas as pd


def label_column(column: pd.Series) -> np.ndarray:
    """Return a column of a table as labels: numbers as they are, anything else as text.

    Parameters
    ----------
    column : (row,) Series
        A column of a table of text or parquet.

    Returns
    -------
    (row,) array
        Numbers or bool, or an object array of text in which a missing value is "".
    """
    values = plain_column(column)
    if values.dtype.kind in "biuf":
        return values
    return np.array(["" if text is None else str(text) for text in values], object)
