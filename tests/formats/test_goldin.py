"""Goldin 2022: golden folder under the conformance suite, then what can go wrong."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.testing import ReaderTests
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "goldin" / "data"
MOUSE = "mouse-session-1"
FILE = f"{MOUSE}_structured_data.h5"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


class TestGolden(ReaderTests):
    archives = (".zarr",)
    reader = "goldin_2022"
    path = GOLDEN
    damaged = "mouse-session-1_structured_data.h5"
    start_methods = ("fork",)
    foreign = (
        GOLDEN.parents[1] / "nwb" / "session.nwb",
        GOLDEN.parents[1] / "maheswaranathan" / "data",
    )
    options = {"response": "rate"}
    values = {
        (f"train/{MOUSE}/retina", "responses", (0, 0)): 4.0,
        (f"train/{MOUSE}/retina", "responses", (1, 1)): 3.0,
        (f"train/{MOUSE}/retina", "responses", (1, 2)): 2.0,
        (f"train/{MOUSE}/retina", "responses", (-1, -1)): 1.0,
        (f"test/{MOUSE}/retina", "responses", (1, 0)): 1.8,
        (f"test/{MOUSE}/retina", "responses", (-1, -1)): 1.4,
        (f"test/{MOUSE}/retina", "responses_by_trial", (1, 1, 2)): 3.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (2, 3, 2)): 2.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (-1, -1, 0)): 2.0,
        (f"test/{MOUSE}/retina", "unit_id", -1): 10,
        (f"test/{MOUSE}/retina", "duration", 0): 0.3,
        (f"test/{MOUSE}/retina/presentations", "tier", 0): "test",
        (f"train/{MOUSE}", "stimulus", (0, 0, 0, 1)): 14,
        (f"train/{MOUSE}", "stimulus", (0, 0, 1, 0)): 79,
        (f"train/{MOUSE}", "stimulus", (-1, 0, -1, -1)): 93,
        (f"train/{MOUSE}", "presentation_id", -1): 5,
    }


def test_images_are_presentations_not_times():
    tree = na.open_datatree(GOLDEN)
    assert "time" not in tree[f"train/{MOUSE}/retina"].dims
    assert tree["train/axolotl-session-1"].attrs["species"] == "axolotl"
    retina = tree[f"test/{MOUSE}/retina"]
    mean = retina["responses_by_trial"].mean("trial")
    np.testing.assert_allclose(mean.values, retina["responses"].values)


def test_rates_are_counts_over_the_time_of_an_image():
    counts, rates = (na.open_datatree(GOLDEN, response=r) for r in ("counts", "rate"))
    place = f"train/{MOUSE}/retina/responses"
    np.testing.assert_allclose(rates[place].values, counts[place].values / 0.3)
    assert (counts[place].attrs["units"], rates[place].attrs["units"]) == ("1", "Hz")


def test_one_file():
    assert list(na.open_datatree(GOLDEN / FILE)["train"].children) == [MOUSE]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("train/response/binned", np.ones((3, 5)), "an image for each of the 5 responses; found 6"),
        ("train/response/binned", np.ones((3, 7)), "an image for each of the 7 responses; found 6"),
        ("train/response/binned", np.ones(3), "responses \\(unit, image\\)"),
        ("test/stimulus", np.ones((4, 5), "u1"), "images \\(image, y, x\\)"),
        ("test/repeats/cell02", np.ones((5, 3)), "cells of one shape"),
        ("test/repeats/cell02", None, "3 cells of one shape .*; found 2"),
    ],
)
def test_what_does_not_fit_is_named(folder, name, values, message):
    with h5py.File(folder / FILE, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(folder)
    assert FILE in str(caught.value)


def test_without_repeats_units_are_counted(folder):
    with h5py.File(folder / FILE, "a") as file:
        del file["test/repeats"]
    retina = na.open_datatree(folder)[f"test/{MOUSE}/retina"]
    assert "responses_by_trial" not in retina
    assert retina["unit_id"].values.tolist() == [0, 1, 2]


def test_nan_responses_stay(folder):
    with h5py.File(folder / FILE, "a") as file:
        file["train/response/binned"][0, 1] = np.nan
    found = na.open_datatree(folder)[f"train/{MOUSE}/retina/responses"].values
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 0]]
