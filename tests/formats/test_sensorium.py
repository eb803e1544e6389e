"""SENSORIUM sessions: golden files under the conformance suite, then what is promised of them."""

import os
import pickle
import shutil
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files import npy, zips
from neuroarrays.files.local import LocalLocation
from neuroarrays.files.locating import locate
from neuroarrays.files.store import FolderStore
from neuroarrays.formats.sensorium import SensoriumReader, layout
from neuroarrays.formats.sensorium import trials as trials_module
from neuroarrays.formats.sensorium.trials import TrialFiles, share
from neuroarrays.lazy.arrays import array_of
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
    write_zip,
)
from neuroarrays.testing import ReaderTests, assert_same_trees, indexers, outer, same_values

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STATIC = (
    GOLDEN / "sensorium_static" / "static26872-17-20-GrayImageNet-94c6ff995dac583098847cfecd43e7b6"
)
DYNAMIC = (
    GOLDEN / "sensorium_dynamic" / "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20.zip"
)
FOREIGN = tuple(
    path
    for folder in sorted(GOLDEN.iterdir())
    if folder.is_dir() and not folder.name.startswith("sensorium")
    for path in sorted(folder.iterdir())
)
S, D = "26872-17-20", "29515-10-12/unknown"
NAME = "static26872-17-20-GrayImageNet-94c6ff"


class TestStaticGolden(ReaderTests):
    archives = (".h5",)
    reader = "sensorium"
    path = STATIC
    foreign = FOREIGN
    values = {
        (f"{S}/V1", "responses", (0, 0)): 2.136351318071661e-09,
        (f"{S}/V1", "responses", (6, 1)): 6.635844707489014,
        (f"{S}/LM", "responses", (-1, -1)): 1.2470918893814087,
        (f"{S}/LM", "responses", (1, 0)): 0.0,
        (f"{S}/V1", "speed", 0): 0.4215789723541151,
        (f"{S}/V1", "speed", -1): 0.005194854660394261,
        (f"{S}/V1/pupil", "dilation", 0): 39.100949510784844,
        (f"{S}/V1/pupil", "dilation_derivative", -1): -0.07002844663838208,
        (f"{S}/V1/pupil", "x", 0): 310.15349980970166,
        (f"{S}/LM/pupil", "y", -1): 236.02255743681675,
        (S, "stimulus", (0, 0, 0, 0)): 172.23304748535156,
        (S, "stimulus", (0, 0, 0, 1)): 23.908205032348633,
        (S, "stimulus", (-1, -1, -1, -1)): 205.51565551757812,
        (f"{S}/V1", "unit_id", 1): 3,
        (f"{S}/V1", "motor_x", 0): -951,
        (f"{S}/V1", "motor_z", -1): 300,
        (f"{S}/LM", "motor_y", 0): -116,
        (f"{S}/V1/presentations", "tier", 4): "final_test",
        (f"{S}/V1/presentations", "trial_idx", 0): "9cc0a944e130d446",
        (f"{S}/V1/presentations", "image_id", -1): 1000,
        (f"{S}/V1/presentations", "time_stamp", 0): "2022-01-14 09:12:06",
        (f"{S}/V1/presentations", "start_time", 0): 6.0,
        (f"{S}/V1/presentations", "trial_order", -1): 5,
        (f"{S}/V1/statistics/all", "responses_std", 1): 4.692250728607178,
        (f"{S}/LM/statistics/all", "responses_std", 0): 0.8818271160125732,
        (f"{S}/V1/statistics/all", "stimulus_mean", ()): 110.0,
        (f"{S}/V1/statistics/all", "speed_median", ()): 0.2133869081735611,
    }


class TestDynamicGolden(ReaderTests):
    archives = (".zarr",)
    reader = "sensorium"
    path = DYNAMIC
    start_methods = ("fork",)  # the others with images: the arrays are the same
    values = {
        (D, "responses", (0, -1, 0)): 0.3049089312553406,
        (D, "responses", (0, -1, 9)): 0.020518744364380836,
        (D, "responses", (0, -1, 10)): np.nan,
        (D, "responses", (-1, -1, 3)): 2.651291847229004,
        (D, "responses", (5, -1, -1)): 0.0,
        (D, "speed", (0, -5)): 0.9664768277618649,
        (D, "speed", (-1, 8)): 7.3335470953694,
        (D + "/pupil", "dilation", (0, 0)): 51.692114962376266,
        (D + "/pupil", "x", (5, 0)): 121.97083633838517,
        (D + "/pupil", "y", (-1, 0)): 116.86881129975559,
        ("29515-10-12", "stimulus", (0, 1, 0, 0, 0)): 57.97102355957031,
        ("29515-10-12", "stimulus", (-1, 9, 0, -1, -1)): 219.71005249023438,
        ("29515-10-12", "presentation_id", 4): 5,
        ("29515-10-12", "time", 3): 0.1,
        (D, "valid_length", 0): 10,
        (D, "valid_length", 5): 4,
        (D, "withheld", 0): False,
        (D, "withheld", 5): True,
        (D, "valid", (0, 9)): True,
        (D, "valid", (0, 10)): False,
        (D + "/presentations", "tier", -1): "train",
        (D + "/statistics/all", "responses_mean", (-1, 0)): 1.2297675609588623,
        (D + "/statistics/all", "responses_mean", (-1, -1)): np.nan,
    }


@pytest.fixture
def static(tmp_path):
    write_static(tmp_path / NAME, StaticOptions(train=18, validation=4, test=2))
    return tmp_path / NAME


@pytest.fixture
def dynamic(tmp_path):
    write_dynamic(tmp_path / "dynamic29515-10-12-Video-9b4f6a", DynamicOptions(surplus=3))
    return tmp_path / "dynamic29515-10-12-Video-9b4f6a"


@pytest.fixture
def opens(monkeypatch):
    """Paths opened by os.open, and positioned reads, from now on."""
    seen = {"open": [], "preadv": 0}
    real_open, real_preadv = os.open, os.preadv

    def opened(path, *args, **kwargs):
        seen["open"].append(os.fspath(path))
        return real_open(path, *args, **kwargs)

    def read(*args):
        seen["preadv"] += 1
        return real_preadv(*args)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "preadv", read)
    return seen


def area_of(path, **options):
    tree = na.open_datatree(path, **options)
    return next(iter(next(iter(tree.children.values())).children.values()))


# ------------------------------------------------------------------------------- what it reads


def test_opening_reads_one_header_per_kind_of_file_and_no_other_trial(static, opens):
    na.open_datatree(static)
    data = [path for path in opens["open"] if "/data/" in path]
    assert sorted(Path(p).parent.name for p in data) == [
        "behavior",
        "images",
        "pupil_center",
        "responses",
    ]
    assert {Path(p).name for p in data} == {"0.npy"}


def test_a_batch_is_one_open_and_one_read_per_file(static, opens):
    tree = na.open_datatree(static)
    area = tree[S + "/V1"]
    opens["open"].clear()
    opens["preadv"] = 0
    rows = [3, 1, 30, 7]
    found = area["responses"].isel(presentation_id=rows).values
    _ = tree[S]["stimulus"].isel(presentation_id=rows).values
    assert len(opens["open"]) == opens["preadv"] == 8
    for row, got in zip(rows, found, strict=True):
        assert same_values(got, np.load(static / "data" / "responses" / f"{row}.npy"))


def test_seven_labelled_variables_are_four_opens_per_trial_then_two(static, opens):
    tree = na.open_datatree(static)
    area = tree[S + "/V1"]

    def sample(row):
        opens["open"].clear()
        for name in ("responses", "stimulus", "speed"):
            source = tree[S] if name == "stimulus" else area
            _ = source[name].isel(presentation_id=row).values
        for name in ("dilation", "dilation_derivative", "x", "y"):
            _ = area["pupil"][name].isel(presentation_id=row).values
        return len(opens["open"])

    assert sample(5) == 4
    assert sample(5) == 2  # three numbers are remembered


def test_a_unit_of_a_movie_trial_is_a_short_read(dynamic, monkeypatch):
    area = area_of(dynamic)
    read = []
    real = os.preadv

    def counted(descriptor, buffers, at):
        read.append(sum(memoryview(b).nbytes for b in buffers))
        return real(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    found = area["responses"].isel(presentation_id=2, unit_id=1, time=slice(4, 20)).values
    whole = np.load(dynamic / "data" / "responses" / f"{int(area.presentation_id[2])}.npy")
    assert same_values(found, whole[1, 4:20])
    assert sum(read) <= 128 + 4 * 2 * 40


def test_threads_change_nothing(static, monkeypatch):
    expected = area_of(static)["responses"].values
    monkeypatch.setattr(trials_module, "SHARED", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(zips._directories, "limit", 1)
    assert same_values(area_of(static)["responses"].values, expected)


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "u1"])
def test_any_index_of_any_order_of_bytes(tmp_path, fortran, dtype):
    folder = tmp_path / "data" / "responses"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    whole = random.integers(0, 200, (5, 3, 4, 6)).astype(dtype)
    for i, values in enumerate(whole):
        np.save(folder / f"{i}.npy", np.asfortranarray(values) if fortran else values)
    files = FolderStore(locate(tmp_path), ())
    array = TrialFiles(
        files, "data/responses", range(5), npy.header_in(files, "data/responses/0.npy")
    )
    assert array.dtype.isnative
    for key in indexers(array.shape):
        assert same_values(array.variable(tuple("abcd"))[key].values, outer(whole, key)), key
    again = pickle.loads(pickle.dumps(array))
    assert again == array
    assert hash(again) == hash(array)


def test_a_header_written_in_another_way_is_read(static):
    path = static / "data" / "responses" / "7.npy"
    values = np.load(path)
    with open(path, "wb") as file:
        np.lib.format.write_array(file, values, version=(2, 0))
    header = (
        f"{{'shape':{values.shape},'fortran_order':False,'descr':'<f4',}}".encode().ljust(245)
        + b"\n"
    )
    other = static / "data" / "responses" / "8.npy"
    kept = np.load(other)
    other.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 246) + header + kept.tobytes())
    found = area_of(static)["responses"]
    assert same_values(found[7].values, values)
    assert same_values(found[8].values, kept)
    assert same_values(found[[8, 7, 7], 1:4].values, np.stack([kept, values, values])[:, 1:4])


# --------------------------------------------------------------------------- names and meanings


def test_variants_of_names(tmp_path):
    other = ("inputs", "targets", "behavior", "eye_position")
    expected = {}
    for i, (folders, prefix) in enumerate(
        [(StaticOptions().folders, "frame_"), (other, "colorframeprojector_"), (other, "")]
    ):
        path = tmp_path / f"{i}" / NAME
        write_static(path, StaticOptions(6, 2, 1, 2, folders=folders, prefix=prefix))
        expected[i] = na.open_datatree(path)
    assert_same_trees(expected[1], expected[0])
    assert_same_trees(expected[2], expected[0])
    table = expected[0][S + "/V1/presentations"]
    assert {"tier", "image_id", "image_class", "trial_idx", "duration", "trial_order"} <= set(table)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(static, method):
    expected = na.open_datatree(static).load()
    path = write_zip(static, method)
    shutil.rmtree(static)
    before = sorted(path.parent.iterdir())
    assert_same_trees(na.open_datatree(path), expected)
    assert sorted(path.parent.iterdir()) == before


def test_units_go_to_their_areas(tmp_path):
    truth = write_static(tmp_path / NAME, StaticOptions(areas=("V1", "LM", "V1")))
    tree = na.open_datatree(tmp_path / NAME)
    assert list(tree[S].children) == ["V1", "LM"]
    assert same_values(tree[S + "/LM/responses"].values, truth["responses"][:, 1::3])
    assert same_values(tree[S + "/V1"]["area"].values, np.full(5, "V1"))
    only = na.open_datatree(tmp_path / NAME, areas="L*")
    assert list(only[S].children) == ["LM"]
    with pytest.raises(NotInTree, match="RL"):
        na.open_datatree(tmp_path / NAME, areas="RL")


def test_withheld_is_found_by_looking(tmp_path):
    write_static(tmp_path / NAME, StaticOptions(competition=True, behavior=False))
    area = area_of(tmp_path / NAME)
    test = np.isin(area["tier"].values, ["test", "final_test"])
    assert same_values(area["withheld"].values, test)
    assert area["behavior_withheld"].values.all()
    write_static(tmp_path / "open" / NAME)  # a session of pre-training has its test responses
    area = area_of(tmp_path / "open" / NAME)
    assert not area["withheld"].values.any()
    assert not area["behavior_withheld"].values.any()
    write_dynamic(tmp_path / "dynamic1-1-1-Video-a", DynamicOptions(competition=True))
    area = area_of(tmp_path / "dynamic1-1-1-Video-a")
    hidden = [("test" in tier) for tier in area["tier"].values]
    assert same_values(area["withheld"].values, np.array(hidden))


def test_withheld_looks_at_every_unit_and_only_when_asked(tmp_path, monkeypatch):
    path = tmp_path / "dynamic1-1-1-Video-a"
    write_dynamic(path, DynamicOptions(competition=True, units=200, frames=120))
    tiers = np.load(path / "meta" / "trials" / "tiers.npy")
    hidden = np.flatnonzero(np.char.find(tiers, "test") >= 0)
    quiet, padded = hidden[:2]
    for number, value in ((quiet, 1e-8), (padded, np.nan)):  # silent but for one value; padding
        place = path / "data" / "responses" / f"{number}.npy"
        values = np.load(place)
        values[-1, -1] = value
        np.save(place, values)
    read = []
    real = FolderStore.readv

    def counted(self, name, parts):
        read.append((name, sum(memoryview(b).nbytes for _, bs in parts for b in bs)))
        return real(self, name, parts)

    tree = na.open_datatree(path)
    monkeypatch.setattr(FolderStore, "readv", counted)
    area = tree["1-1-1/unknown"]
    repr(area)
    assert not read
    expected = np.isin(area["presentation_id"].values, hidden[hidden != quiet])
    assert same_values(area["withheld"].values, expected)
    assert {int(Path(name).stem) for name, _ in read} == set(hidden.tolist())
    assert area["withheld"].isel(presentation_id=int(np.argmax(expected))).item()
    known = len(read)
    assert same_values(area["withheld"].values, expected)
    assert len(read) == known  # remembered


def test_a_trial_that_is_not_withheld_is_told_by_a_glance(tmp_path, monkeypatch):
    path = tmp_path / "dynamic1-1-1-Video-a"
    write_dynamic(path, DynamicOptions(units=400, frames=120))
    area = area_of(path)
    read = []
    real = os.preadv

    def counted(descriptor, buffers, at):
        read.append(sum(memoryview(b).nbytes for b in buffers))
        return real(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    assert not area["withheld"].values.any()
    assert max(read) <= (1 << 16) + 200  # of 192 kB


def test_the_order_of_trials(tmp_path):
    truth = write_static(tmp_path / "a" / NAME)
    table = area_of(tmp_path / "a" / NAME)["presentations"]
    assert same_values(table["trial_order"].values, np.argsort(np.argsort(truth["onset"])))
    assert table["trial_order"].attrs["resolution"] == "exact, from trial_idx"
    truth = write_static(tmp_path / "b" / NAME, StaticOptions(competition=True))
    table = area_of(tmp_path / "b" / NAME)["presentations"]
    assert table["trial_idx"].dtype.kind == "U"
    assert table["trial_order"].attrs["resolution"].startswith("1 s, from time stamps; ")
    seconds = np.floor(truth["onset"])
    expected = [(seconds < own).sum() for own in seconds]
    assert same_values(table["trial_order"].values, np.array(expected))  # ties share a place
    (tmp_path / "b" / NAME / "meta" / "trials" / "frame_trial_ts.npy").unlink()
    assert "trial_order" not in area_of(tmp_path / "b" / NAME)["presentations"]


def test_statistics_say_what_they_are_of(static):
    area = area_of(static)
    found = area["statistics/all"]["responses_std"]
    train = area["tier"].values == "train"
    expected = area["responses"].values[train].astype(float).std(axis=0, ddof=1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert found.attrs["ddof"] == 1
    assert "train" in found.attrs["tier"]
    assert set(area["statistics"].children) == {"all", "stimulus_Frame"}


def test_movies_are_padded_and_say_so(dynamic):
    truth = write_dynamic(dynamic, DynamicOptions(surplus=3))
    area = area_of(dynamic)
    kept = truth["movie"] >= 0
    assert same_values(area["presentation_id"].values, np.flatnonzero(kept))
    assert "none" not in area["tier"].values
    assert same_values(area["valid_length"].values, truth["length"][kept])
    inside = np.arange(40) < truth["length"][kept][:, None]
    assert same_values(area["valid"].values, inside)
    assert same_values(np.isnan(area["responses"].values).any(axis=1), ~inside)
    np.testing.assert_allclose(area["time"].values, np.arange(40) / 30)
    assert same_values(area["responses"].values[:, :, 0], truth["responses"][kept][:, :, 0])
    movie = np.load(dynamic / "data" / "videos" / f"{int(area.presentation_id[1])}.npy")
    shown = area.parent["stimulus"].isel(presentation_id=1).values
    assert same_values(shown[:, 0], np.moveaxis(movie, -1, 0))


def test_which_movies_are_the_same(tmp_path, opens):
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    truth = write_dynamic(path, DynamicOptions(repeated=2, surplus=2))
    rows = np.flatnonzero(truth["movie"] >= 0)
    first = {}
    expected = [first.setdefault(truth["movie"][row], row) for row in rows]
    area = area_of(path)
    assert area["stimulus_id"].values.tolist() == expected
    opens["open"].clear()
    assert area["stimulus_id"].values[3] == expected[3]
    assert area_of(path)["stimulus_id"][2:4].values.tolist() == expected[2:4]
    assert not [p for p in opens["open"] if "data/videos" in p and not p.endswith("/0.npy")]
    repeats = [row for row in rows if expected.count(first[truth["movie"][row]]) > 1]
    other = np.load(path / "data" / "videos" / f"{repeats[0]}.npy")
    other[0, 0, 0] += 1  # not where most movies differ
    np.save(path / "data" / "videos" / f"{repeats[0]}.npy", other)
    na.release()
    assert (area_of(path)["stimulus_id"] == repeats[0]).sum() == 1


def test_another_stream_that_ends_early_is_masked(dynamic):
    path = dynamic / "data" / "pupil_center" / "1.npy"
    values = np.load(path)
    values[:, 20:] = np.nan
    np.save(path, values)
    area = area_of(dynamic)
    row = int(np.flatnonzero(area["presentation_id"].values == 1)[0])
    assert area["valid_length"].values[row] > 20
    assert area["valid"].values[row].sum() == 20


def test_many_mice_are_one_tree(tmp_path, opens):
    names = [f"static{i}-1-{i}-GrayImageNet-94c6ff" for i in range(7)]
    for i, name in enumerate(names):
        write_static(
            tmp_path / name, StaticOptions(train=2, validation=1, test=1, repeats=2, seed=i)
        )
    write_zip(tmp_path / names[0])  # as neuralpredictors leaves it: unpacked beside the zip
    opens["open"].clear()
    tree = na.open_datatree(tmp_path)
    assert list(tree.children) == [f"{i}-1-{i}" for i in range(7)]
    assert sum("/data/images/" in path for path in opens["open"]) == 7  # a header of each
    for session in tree.children.values():
        na.scoring.explainable_variance(session["V1"])
        assert session["V1"]["responses"].values.shape[1] == 8
    assert sum("/data/images/" in path for path in opens["open"]) == 7
    assert list(na.open_datatree(tmp_path, sessions="3-*").children) == ["3-1-3"]
    assert len(na.catalog(tmp_path)) == 7
    for name in names:
        shutil.rmtree(tmp_path / name / "data" / "images")
    without = na.open_datatree(tmp_path)
    assert_same_trees(without["3-1-3/V1"], tree["3-1-3/V1"])


def test_nothing_is_written(static):
    static.joinpath("config.json").unlink(missing_ok=True)
    before = {p: p.stat().st_mtime_ns for p in static.rglob("*")}
    for path in sorted(static.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    static.chmod(0o555)
    try:
        na.open_datatree(static).load()
    finally:
        static.chmod(0o755)
        for path in static.rglob("*"):
            path.chmod(0o755)
    assert {p: p.stat().st_mtime_ns for p in static.rglob("*")} == before


def test_saved_for_training(static, tmp_path):
    tree = na.open_datatree(static)
    na.save(tree, tmp_path / "one.h5")
    assert_same_trees(na.open_datatree(tmp_path / "one.h5"), tree, but=("history", "source"))


# -------------------------------------------------------------------------------- bad input


def broken(path, match, load=False):
    def opened():
        tree = na.open_datatree(path, engine="sensorium")
        return tree.load() if load else tree

    with pytest.raises(FormatError, match=match) as caught:
        opened()
    assert str(path) in str(caught.value)


def test_missing_numbers(static):
    (static / "data" / "images" / "5.npy").unlink()
    broken(static, r"same 32 files as in data/responses; found 31; it lacks '5\.npy'")
    for name in ("responses", "behavior", "pupil_center"):
        (static / "data" / name / "5.npy").unlink()
    broken(static, r"the 32 rows of meta/trials/tiers\.npy; found none for '5\.npy'")


def test_more_rows_than_files(static, dynamic):
    assert area_of(dynamic).sizes["presentation_id"] == 21  # rows of tier none may lack files
    tiers = static / "meta" / "trials" / "tiers.npy"
    for path in (static / "meta" / "trials").iterdir():
        column = np.load(path)
        np.save(path, np.concatenate([column, column[:2]]))
    broken(static, r"found none for '32\.npy', '33\.npy'; .* tier 'none'")
    np.save(tiers, np.load(tiers)[:-1])
    broken(static, "columns of one length; found 33 rows of tier, 34 of animal_id")


def test_more_files_than_rows(static):
    for path in (static / "meta" / "trials").iterdir():
        np.save(path, np.load(path)[:-1])
    broken(static, "a tier for each file")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros(9, "f4"), r"float32 \(9,\)"),
        (np.zeros(8, "f8"), r"float64 \(8,\)"),
        (np.zeros((8, 1), "f4"), r"float32 \(8, 1\)"),
    ],
)
@pytest.mark.parametrize("number", [0, 30])
def test_a_file_of_another_shape_or_dtype(static, values, match, number):
    np.save(static / "data" / "responses" / f"{number}.npy", values)
    if number:
        tree = na.open_datatree(static)
        with pytest.raises(FormatError, match=match) as caught:
            _ = tree[S + "/V1/responses"].values
        assert f"responses/{number}.npy" in str(caught.value)
        assert tree[S + "/V1/responses"][:number].values.shape == (number, 8)
    else:
        with pytest.raises(FormatError):
            na.open_datatree(static).load()


def test_an_object_array_is_never_unpickled(static):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(static / "ran"),)

    for place in ("data/responses/3.npy", "meta/neurons/layer.npy", "meta/trials/tiers.npy"):
        kept = (static / place).read_bytes()
        np.save(static / place, np.array([Bomb()] * 8, object), allow_pickle=True)
        broken(static, "Python objects", load=True)
        (static / place).write_bytes(kept)
    odd = static / "meta" / "trials" / "frame_trial_ts.npy"
    np.save(odd, np.array([Bomb()] * 66, object), allow_pickle=True)
    assert "frame_trial_ts" in na.open_datatree(static).attrs["notes"][0]  # a column of no need
    assert not (static / "ran").exists()


def test_a_truncated_file(static):
    path = static / "data" / "responses" / "20.npy"
    whole = path.read_bytes()
    for size in (0, 5, 60, 128, 140, len(whole) - 1):
        path.write_bytes(whole[:size])
        tree = na.open_datatree(static)
        for key in (20, slice(None), (20, 7)):
            with pytest.raises(FormatError, match=r"20\.npy: expected"):
                _ = tree[S + "/V1/responses"][key].values
    path.write_bytes(whole + b"more")
    assert na.open_datatree(static)[S + "/V1/responses"][20].shape == (8,)


def test_a_header_that_declares_more_than_the_file_has(static):
    path = static / "meta" / "neurons" / "unit_ids.npy"
    text = (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(117) + b"\n"
    )
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text)
    broken(static, "bytes")


@pytest.mark.parametrize(
    "header",
    [
        b"__import__('os').system('true')",
        b"{'descr': 'O'}",
        b"[" * 90,
        b"{}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}",
    ],
)
def test_a_header_of_nonsense(static, header):
    text = header.ljust(117) + b"\n"
    path = static / "data" / "images" / "0.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text + bytes(64))
    broken(static, "images/0.npy")


def test_a_fifo_in_place_of_a_file_does_not_hang(static):
    path = static / "data" / "responses" / "4.npy"
    path.unlink()
    os.mkfifo(path)
    tree = na.open_datatree(static)
    with pytest.raises(FormatError, match="no regular file"):
        _ = tree[S + "/V1/responses"][4].values


def test_an_unreadable_file_in_the_middle_of_an_epoch(static):
    tree = na.open_datatree(static)
    responses = tree[S + "/V1/responses"]
    (static / "data" / "responses" / "17.npy").unlink()
    with pytest.raises(FormatError, match=r"17\.npy"):
        _ = responses.values
    assert responses[18:].values.shape == (14, 8)  # the others are still there


def test_a_zip_with_a_wrong_checksum_or_cut_short(static):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = write_zip(static, method)
        with zipfile.ZipFile(path) as archive:
            at = archive.getinfo(f"{NAME}/data/responses/9.npy").header_offset
        raw = bytearray(path.read_bytes())
        raw[at + 30 + len(f"{NAME}/data/responses/9.npy") + 60] ^= 0xFF
        path.write_bytes(raw)
        tree = na.open_datatree(path)
        with pytest.raises(FormatError, match=r"responses/9\.npy"):
            _ = tree[S + "/V1/responses"].values
        assert tree[S + "/V1/responses"][:9].values.shape == (9, 8)
        path.write_bytes(raw[: len(raw) // 2])
        broken(path, "truncated or damaged; download it again")


def test_a_zip_that_was_replaced(static):
    path = write_zip(static)
    tree = na.open_datatree(path)
    write_zip(static, zipfile.ZIP_STORED)
    na.release()
    with pytest.raises(FormatError, match="open it again"):
        _ = tree[S + "/V1/responses"].values


def test_one_bad_session_of_many(tmp_path):
    for i in range(3):
        write_static(tmp_path / f"static{i}-1-1-GrayImageNet-94c6ff", StaticOptions(seed=i))
    (tmp_path / "static1-1-1-GrayImageNet-94c6ff" / "data" / "responses" / "0.npy").unlink()
    with pytest.raises(FormatError, match="static1-1-1"):
        na.open_datatree(tmp_path)
    tree = na.open_datatree(tmp_path, skip_damaged=True)
    assert list(tree.children) == ["0-1-1", "2-1-1"]
    assert tree.attrs["notes"][0].startswith("1-1-1 left out: ")
    statistic = "meta/statistics/responses/all/std.npy"
    (tmp_path / "static2-1-1-GrayImageNet-94c6ff" / statistic).write_bytes(b"")
    assert list(na.open_datatree(tmp_path, skip_damaged=True).children) == ["0-1-1"]


def test_a_download_that_broke_off_is_no_unknown_format(static):
    """Both are recognised by their names: what they lack is said."""
    path = write_zip(static)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FormatError, match="download it again"):
        na.open_datatree(path)
    with pytest.raises(FormatError, match="download it again"):
        na.open_datatree(path.rename(path.with_name("static1-1-1.zip")).parent)
    tree = na.open_datatree(static.parent, skip_damaged=True)
    assert list(tree.children) == [S]
    assert "static1-1-1.zip" in tree.attrs["notes"][0]
    shutil.rmtree(static / "meta")
    with pytest.raises(FormatError, match=r"tiers\.npy: expected a tier for each trial"):
        na.open_datatree(static)


def test_the_first_file_differs_from_the_rest(static):
    images = static / "data" / "images"
    np.save(images / "0.npy", np.zeros((1, 9, 17), "f4"))
    with pytest.raises(FormatError, match=r"1\.npy.*as 0\.npy beside it.*differs from the rest"):
        na.open_datatree(static).load()


def test_metadata_of_another_length(static):
    np.save(static / "meta" / "neurons" / "layer.npy", np.full(7, "L4"))
    broken(static, r"as data/responses/0\.npy has 8 units")


def test_statistics_of_another_shape_are_left_out(static):
    np.save(static / "meta" / "statistics" / "responses" / "all" / "std.npy", np.ones(3, "f4"))
    tree = na.open_datatree(static)
    assert "responses_std" not in tree[S + "/V1/statistics/all"]
    assert "std.npy left out" in tree.attrs["notes"][0]


def test_statistics_of_other_pixels_are_left_out(static):
    name = static / "meta" / "statistics" / "images" / "all" / "mean.npy"
    height, width = np.load(static / "data" / "images" / "0.npy").shape[-2:]
    np.save(name, np.ones((1, height - 1, width)))
    tree = na.open_datatree(static)
    assert "stimulus_mean" not in tree[S + "/V1/statistics/all"]
    assert "stimulus_std" in tree[S + "/V1/statistics/all"]
    assert "images/all/mean.npy left out" in tree.attrs["notes"][0]


def test_text_is_lazy_nowhere_and_big_arrays_everywhere(static):
    area = area_of(static)
    assert isinstance(array_of(area["responses"].variable), TrialFiles)
    assert isinstance(area["tier"].variable, xr.Variable)
    assert len(pickle.dumps(area["responses"].variable)) < 2000


def test_nothing_else_is_claimed(tmp_path):
    reader = SensoriumReader()
    (tmp_path / "meta" / "trials").mkdir(parents=True)
    np.save(tmp_path / "meta" / "trials" / "tiers.npy", np.array(["train"]))
    assert not reader.guess_can_open(tmp_path)
    broken(tmp_path, "data/responses")


def test_files_in_a_folder_of_something_else_are_not_opened(tmp_path, monkeypatch):
    looked = []
    for name in ("a.png", "b.zip", "c.npy"):
        (tmp_path / name).touch()
    monkeypatch.setattr(LocalLocation, "read", lambda place, _: looked.append(place.name))
    assert not SensoriumReader().guess_can_open(tmp_path)
    assert looked == ["b.zip"]


def test_tiers_lengths_and_places_of_a_real_mouse(shared_data, tmp_path):
    """Of 29755-2-8, all but the signals: 712 trials padded to 414 frames, 8,122 units."""
    tables = shared_data / "sensorium2023_metadata"
    name = "dynamic29755-2-8-Video-9b4f6a1a067fe51e15306b9628efea20"
    trials = pd.read_csv(tables / f"meta-trials_{name}.csv").set_index("trial").sort_index()
    units = pd.read_csv(tables / f"meta-neurons_{name}.csv")
    root = tmp_path / name
    for folder in ("videos", "responses", "behavior", "pupil_center"):
        (root / "data" / folder).mkdir(parents=True)
    withheld = trials["trial_type"].str.contains("test")
    made = {}  # trials of one length are links to one file
    for row, length in trials["valid_frames"].items():
        padding = np.where(np.arange(414) < length, 1, np.nan).astype("f4")
        for folder, values in (
            ("videos", padding[None, None]),
            ("behavior", np.stack([padding, padding])),
            ("pupil_center", np.stack([padding, padding])),
            ("responses", np.zeros((1, 414), "f4") if withheld[row] else padding[None]),
        ):
            path, kind = root / "data" / folder / f"{row}.npy", (folder, length, withheld[row])
            if kind in made:
                path.hardlink_to(made[kind])
            else:
                np.save(path, values)
                made[kind] = path
    (root / "meta" / "trials").mkdir(parents=True)
    (root / "meta" / "neurons").mkdir()
    np.save(root / "meta" / "trials" / "tiers.npy", trials["trial_type"].to_numpy().astype("U"))
    area = na.open_datatree(root)["29755-2-8/unknown"]
    assert area.sizes["presentation_id"] == 712
    assert same_values(area["valid_length"].values, trials["valid_frames"].to_numpy())
    assert same_values(area["withheld"].values, withheld.to_numpy())
    counts = pd.Series(area["tier"].values).value_counts()
    assert counts.to_dict() == trials["trial_type"].value_counts().to_dict()
    assert set(counts.index) == {
        "train",
        "oracle",
        "live_test_main",
        "live_test_bonus",
        "final_test_main",
        "final_test_bonus",
    }
    listing = {"meta/neurons": ["unit_ids.npy", "cell_motor_coordinates.npy"]}
    np.save(root / "meta" / "neurons" / "unit_ids.npy", units["ID"].to_numpy(np.uint16))
    places = units[["coord_x", "coord_y", "coord_z"]].to_numpy(np.int64)
    np.save(root / "meta" / "neurons" / "cell_motor_coordinates.npy", places)
    found = layout.units_of(listing, FolderStore(locate(root), ()), 8122, "responses")
    assert same_values(found["unit_id"], units["ID"].to_numpy())  # ids have gaps
    assert same_values(found["motor_z"], units["coord_z"].to_numpy())


def test_files_behind_an_address_are_asked_for_sixteen_at_once():
    barrier, done = threading.Barrier(16), []

    def work(rows):
        barrier.wait(timeout=20)  # breaks unless all sixteen are here
        done.extend(rows)

    share(40, work, waits=True)
    assert sorted(done) == list(range(40))
