"""Which rows repeat earlier ones: by all of their bytes."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays.archive.encoding import Encoded
from neuroarrays.archive.packing import Distinct


def kept(rows):
    """The distinct rows, and which of them each row is."""
    one = Encoded(
        "m", "stimulus", xr.Variable(("presentation_id", "x"), rows), "raw", rows.dtype, {}
    )
    distinct = Distinct(one)
    blocks = list(distinct.blocks((2, rows.shape[1])))
    return np.concatenate([values for _, values in blocks]), distinct.places.tolist()


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("place", [0, 3, 4, 7])
def test_rows_that_differ_in_one_value_are_two(dtype, place):
    rows = np.ones((5, 8), dtype)
    rows[[1, 3], place] = 2
    distinct, places = kept(rows)
    np.testing.assert_array_equal(distinct, rows[:2])
    assert places == [0, 1, 0, 1, 0]
