"""Files that are handed in to SENSORIUM: as they are written there, and read back."""

import ast
import csv

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NotInTree, PathExists, SchemaError
from neuroarrays.synthetic.sensorium import StaticOptions, write_static

OPTIONS = {"train": 5, "validation": 2, "test": 2, "repeats": 3, "units": 4, "size": (3, 4)}


@pytest.fixture(scope="module")
def area(tmp_path_factory):
    path = tmp_path_factory.mktemp("mouse") / "static27204-5-13-GrayImageNet-94c6ff"
    write_static(path, StaticOptions(**OPTIONS, competition=True))
    return na.open_datatree(path)["27204-5-13/V1"]


@pytest.fixture
def predicted(area):
    values = np.random.default_rng(0).gamma(2, 1, area["responses"].shape).astype("f4")
    return area["responses"].copy(data=values)


def test_a_file_for_each_test_tier(area, predicted, tmp_path):
    shuffled = predicted.isel(presentation_id=slice(None, None, -1), unit_id=[2, 0, 1, 3])
    paths = na.sensorium.write_submission(area, shuffled, tmp_path)
    assert {tier: path.name for tier, path in paths.items()} == {
        "test": "submission_file_live_test.csv",
        "final_test": "submission_file_final_test.csv",
    }
    table = area["presentations"]
    for tier, path in paths.items():
        rows = np.flatnonzero(table["tier"].values == tier)
        with open(path, newline="") as file:
            lines = list(csv.DictReader(file))
        assert list(lines[0]) == ["trial_indices", "image_ids", "prediction", "neuron_ids"]
        assert [line["trial_indices"] for line in lines] == table["trial_idx"].values[rows].tolist()
        assert [int(line["image_ids"]) for line in lines] == table["image_id"].values[rows].tolist()
        for line, row in zip(lines, rows, strict=True):
            assert ast.literal_eval(line["neuron_ids"]) == [1, 2, 3, 5]
            assert ast.literal_eval(line["prediction"]) == predicted.values[row].tolist()
        back = na.sensorium.read_submission(area, path)
        np.testing.assert_array_equal(back, predicted[rows])
        np.testing.assert_array_equal(back["presentation_id"], rows)
    with pytest.raises(PathExists, match="overwrite=True"):
        na.sensorium.write_submission(area, predicted, tmp_path)
    again = na.sensorium.write_submission(area, predicted, tmp_path, overwrite=True)
    assert again == paths


def test_arrays_in_the_order_of_the_loaders(area, predicted, tmp_path):
    tiers = area["presentations/tier"].values
    arrays = {tier: predicted.values[tiers == tier] for tier in ("test", "final_test")}
    paths = na.sensorium.write_submission(area, arrays, tmp_path)
    np.testing.assert_array_equal(
        na.sensorium.read_submission(area, paths["final_test"]), arrays["final_test"]
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p[:-1], SchemaError, "lack presentation_id 18 of .*V1, tier"),
        (lambda p: p.isel(unit_id=[0, 1, 3]), SchemaError, "lack unit_id 3 of"),
        (lambda p: p.where(p > 0.5), SchemaError, "are NaN or infinite"),
        (lambda p: p.astype(str), SchemaError, r"expected \(6, 4\) numbers, found <U"),
        (lambda p: p.values, SchemaError, "expected a DataArray along"),
        (lambda p: p.drop_vars("unit_id"), SchemaError, "have no labels along unit_id"),
        (
            lambda p: p.isel(presentation_id=[0, *range(19)]),
            SchemaError,
            "have presentation_id 0 twice",
        ),
        (
            lambda p: {"test": [[1], [2, 3]], "final_test": p.values},
            SchemaError,
            "predictions of 'test': expected an array of numbers; ",
        ),
        (lambda p: {"test": p.values[:6]}, NotInTree, "no tier 'final_test' in predictions"),
        (
            lambda p: dict.fromkeys(("test", "final_test"), p.values),
            SchemaError,
            r"found float32 \(19, 4\)",
        ),
    ],
)
def test_predictions_that_do_not_fit(area, predicted, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        na.sensorium.write_submission(area, change(predicted), tmp_path)
    assert not list(tmp_path.iterdir())


def lines_of(area, predicted, folder):
    path = na.sensorium.write_submission(area, predicted, folder)["test"]
    return path, path.read_text().splitlines()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "expected the 6 trials of test; found 5"),
        (lambda lines: [*lines, lines[1]], "line 8: expected each trial once; found .* again"),
        (
            lambda lines: [lines[0], *[line.replace("[", "[9, ", 1) for line in lines[1:]]],
            "a list of 4 finite numbers",
        ),
        (
            lambda lines: [line.replace("[1, 2", "[1, 1") for line in lines],
            "each unit of the session once; found others, such as '2'",
        ),
        (
            lambda lines: [line.replace("[1, 2, 3", "[1, 1e999, 3") for line in lines],
            "NaN or infinity",
        ),
        (
            lambda lines: [lines[0], "abc" + lines[1], *lines[2:]],
            "line 2: expected a trial of a test tier",
        ),
        (
            lambda lines: [line.replace("image_ids", "images") for line in lines],
            "line 1: expected columns trial_indices",
        ),
        (lambda lines: [lines[0]], "expected one of the tiers .* found none"),
        (lambda lines: [], "expected a csv file"),
        (
            lambda lines: [lines[0], *[line.replace(",1", ",2", 1) for line in lines[1:]]],
            "line 2: expected image 1",
        ),
    ],
)
def test_files_that_would_not_be_scored(area, predicted, tmp_path, change, message):
    path, lines = lines_of(area, predicted, tmp_path)
    path.write_text("\n".join(change(lines)))
    with pytest.raises(FormatError, match=message):
        na.sensorium.read_submission(area, path)


def test_nothing_to_hand_in(tmp_path, area, predicted):
    path = tmp_path / "static21067-10-18-GrayImageNet-94c6ff"
    write_static(path, StaticOptions(**OPTIONS | {"test": 0}))
    other = na.open_datatree(path)["21067-10-18/V1"]
    with pytest.raises(SchemaError, match="no presentation of test or final_test"):
        na.sensorium.write_submission(other, other["responses"], tmp_path)
    with pytest.raises(MissingPath, match=r"nothing.csv"):
        na.sensorium.read_submission(area, tmp_path / "nothing.csv")
    with pytest.raises(MissingPath, match="it is a folder: give the csv file"):
        na.sensorium.read_submission(area, tmp_path)


def test_the_area_is_needed(tmp_path, area, predicted):
    for node, what in ((area.root, "an aligned tree"), (area.parent, "the session '/27204-5-13'")):
        told = f"expected the area of a session of images, found {what}.*; give one of its areas"
        with pytest.raises(SchemaError, match=told):
            na.sensorium.write_submission(node, predicted, tmp_path)
        with pytest.raises(SchemaError, match=told):
            na.sensorium.read_submission(node, tmp_path / "nothing.csv")
