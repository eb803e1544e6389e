"""Tables of text: what is a missing value, and what is a word."""

import numpy as np
import pandas as pd
import pytest

from neuroarrays.files.source import decoded
from neuroarrays.files.texts import read_csv
from neuroarrays.tree.columns import plain_column

TABLE = "id,area,rate,none,flag,nothing\n1,NA,2.5,NA,True,\n2,,NA,,,nan\n3,None,nan,NA,False,\n"


def test_words_are_text_among_text_and_missing_among_numbers():
    table = read_csv(TABLE.encode())
    assert table["area"].fillna("").tolist() == ["NA", "", "None"]
    assert table["none"].fillna("").tolist() == ["NA", "", "NA"]
    np.testing.assert_array_equal(table["rate"], [2.5, np.nan, np.nan])
    assert table["flag"].tolist()[::2] == [True, False]
    assert pd.isna(table["flag"][1])
    assert table["nothing"].dtype.kind == "f"
    assert table["nothing"].isna().all()


def test_a_word_that_a_format_has_for_missing_is_missing_in_all_columns():
    table = read_csv(b"name,shown\nNA,null\nnull,null\n", missing=("null",))
    assert table["name"].fillna("").tolist() == ["NA", ""]
    assert table["shown"].isna().all()


def test_columns_of_one_name_and_text_that_looks_like_numbers_keep_their_places():
    table = read_csv(b"007,a\tNA\n\n", sep="\t", header=None, dtype={0: str})
    assert table.iloc[0].tolist() == ["007,a", "NA"]


def test_numbers_are_those_nearest_to_what_is_written():
    times = np.random.default_rng(0).random(2000) * 3600
    table = read_csv(("time\n" + "\n".join(repr(float(time)) for time in times)).encode())
    np.testing.assert_array_equal(table["time"], times)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_table_may_be_in_any_usual_encoding(encoding):
    table = read_csv("side,n\nfür,1\nför,2\n".encode(encoding))
    assert table.to_dict("list") == {"side": ["für", "för"], "n": [1, 2]}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("µV".encode(), "µV"),
        (b"\xb5V", "µV"),
        (b"caf\xe9", "café"),
        ("größer ß".encode()[:-1], "größer \ufffd"),
    ],
)
def test_labels_that_are_no_utf8_keep_their_letters(raw, text):
    assert decoded(raw) == text


def test_large_whole_numbers_beside_missing_ones_are_exact():
    table = read_csv(b"id,x\n9007199254740993,1e18\n,\n5,2.5\n")
    assert table["id"].tolist() == [9007199254740993, pd.NA, 5]
    assert table["x"].dtype.kind == "f"
    assert plain_column(table["id"]).tolist() == ["9007199254740993", None, "5"]
    assert plain_column(pd.Series([5, None], dtype="Int64")).tolist()[0] == 5.0
