"""Columns of parquet files: types, missing values, text, what is left out, damage."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyarrow", reason="reads parquet: pip install neuroarrays[parquet]")

from neuroarrays.errors import FormatError
from neuroarrays.files.parquet import parquet_source


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "table.pqt"
    frame = pd.DataFrame(
        {
            "x": np.array([0.5, np.nan, 1.5], np.float32),
            "n": np.array([3, 2, 1], np.int16),
            "gaps": pd.array([1, None, 3], "Int64"),
            "flag": [True, False, True],
            "text": ["a", None, "ccc"],
            "when": pd.to_datetime(["2020-01-01"] * 3),
        },
        index=[7, 8, 9],
    )
    frame.to_parquet(path)
    return parquet_source(path)


def test_columns_have_the_types_that_are_promised(source):
    dtypes = {name: source.info(name).dtype for name in source.members()}
    expected = {"x": "f4", "n": "i2", "gaps": "f8", "flag": "?", "text": "O"}
    assert dtypes == {name: np.dtype(kind) for name, kind in expected.items()}
    for name, dtype in dtypes.items():
        assert source.read(name).dtype == dtype
    np.testing.assert_array_equal(source.read("gaps"), [1, np.nan, 3])
    np.testing.assert_array_equal(source.read("x", (np.array([2, 1]),)), [1.5, np.nan])
    assert source.read("text").tolist() == ["a", "", "ccc"]


def test_other_columns_are_left_out(source):
    assert set(source.left_out()) == {"when"}


@pytest.mark.parametrize("size", [0, 4, 60])
def test_a_cut_file_is_named(source, tmp_path, size):
    cut = tmp_path / "cut.pqt"
    with open(source.path, "rb") as file:
        cut.write_bytes(file.read()[:size])
    with pytest.raises(FormatError, match=r"cut\.pqt.*a parquet file"):
        parquet_source(cut).members()
