"""experanto sessions: golden folder under the conformance suite, then clocks, the screen and bad input."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files.local import LocalLocation
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.experanto import ExperantoReader
from neuroarrays.formats.experanto.folders import mapping
from neuroarrays.synthetic.experanto import RATES, write_experanto
from neuroarrays.testing import ReaderTests, assert_same_trees, indexers, outer, same_values

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDER = GOLDEN / "experanto" / "dynamic17797-4-7-Video-021a75_30hz"
FOREIGN = tuple(
    path
    for folder in sorted(GOLDEN.iterdir())
    if folder.is_dir() and folder.name != "experanto"
    for path in sorted(folder.iterdir())
)
S = "17797-4-7"
SIGNALS = {"responses": "unknown/responses", "eye_tracker": "eye_tracker", "treadmill": "treadmill"}


class TestGolden(ReaderTests):
    archives = (".zarr",)
    reader = "experanto"
    path = FOLDER
    foreign = FOREIGN
    values = {
        (f"{S}/unknown/responses", "responses", (0, 0)): 0.738619863986969,
        (f"{S}/unknown/responses", "responses", (0, 1)): -0.1260741800069809,
        (f"{S}/unknown/responses", "responses", (-1, -1)): -0.6165061593055725,
        (f"{S}/unknown/responses", "phase_shift", 0): 0.1075999587813949,
        (f"{S}/unknown/responses", "mean", -1): -0.23866106569766998,
        (f"{S}/unknown/responses", "unit_id", 0): 1,
        (f"{S}/unknown/responses", "time", 0): 0.22687172889709473,
        (f"{S}/unknown/responses", "time", 15): 2.2268717288970947,
        (f"{S}/unknown/spikes", "spike_times", 0): 0.04957175254821777,
        (f"{S}/unknown/spikes", "spike_times", -1): 3.909114122390747,
        (f"{S}/unknown/spikes", "row_size", 0): 11,
        (f"{S}/unknown/spikes", "row_size", 1): 26,
        (f"{S}/unknown/spikes", "row_size", 2): 0,
        (f"{S}/eye_tracker", "eye_tracker", (0, 0)): 0.221738800406456,
        (f"{S}/eye_tracker", "eye_tracker", (10, 2)): np.nan,
        (f"{S}/eye_tracker", "eye_tracker", (-1, -1)): 1.5385345220565796,
        (f"{S}/treadmill", "treadmill", (0, 0)): -0.5412718676392838,
        (f"{S}/treadmill", "treadmill", (-1, 0)): 0.7100406584423806,
        (f"{S}/screen", "stimulus", (0, 0, 0, 0)): 171,
        (f"{S}/screen", "stimulus", (44, 0, 1, 2)): 12,
        (f"{S}/screen", "stimulus", (45, 0, 0, 0)): 127,
        (f"{S}/screen", "stimulus", (46, 0, 1, 1)): 36,
        (f"{S}/screen", "stimulus", (-1, 0, -1, -1)): 127,
        (f"{S}/presentations/screen", "tier", 2): "test",
        (f"{S}/presentations/screen", "first_frame_idx", 1): 45,
    }


@pytest.fixture
def mapped():
    """Signals in plain files; `both` also tries npy files."""
    return True


both = pytest.mark.parametrize("mapped", [True, False], ids=["mem", "npy"])


@pytest.fixture
def session(mapped, tmp_path):
    truth = write_experanto(tmp_path / "one", mapped=mapped, phase_shifts=True)
    return tmp_path / "one", truth


@both
def test_signals_are_those_written(session):
    path, truth = session
    tree = na.open_datatree(path)[S]
    for name, place in SIGNALS.items():
        array = tree[place][name]
        assert array.dtype == truth[name].dtype
        assert same_values(array.values, truth[name])
        for key in indexers(array.shape):
            assert same_values(array.variable[key].values, outer(truth[name], key)), key
    area = tree["unknown/responses"]
    assert same_values(area["phase_shift"].values, truth["phase_shifts"])
    assert area["phase_shift"].attrs["units"] == "s"
    assert area["motor_x"].attrs["units"] == "um"


def test_some_units_of_a_moment_read_no_more(tmp_path):
    """Of a file of 4 GB (with nothing on the disk): 40 bytes."""
    write_experanto(tmp_path / "one", seconds=3)
    place = tmp_path / "one" / "responses" / "meta.yml"
    sizes = {"n_timestamps": 1_000_000, "n_signals": 1000, "phase_shift_per_signal": False}
    place.write_text(json.dumps(mapping(probe_of(place)) | sizes))
    shutil.rmtree(place.parent / "meta")
    with (tmp_path / "one" / "responses" / "data.mem").open("r+b") as file:
        file.truncate(4 * 10**9)
        file.seek(4 * (700_002 * 1000 + 7))
        file.write(np.float32(3.5).tobytes())
    responses = na.open_datatree(tmp_path / "one")[S]["unknown/responses/responses"].variable
    tracemalloc.start()
    try:
        found = responses[700_000:700_005, [4, 7]].values
        one = responses[[700_002, 700_001], 7].values
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert found.tolist() == [[0, 0], [0, 0], [0, 3.5], [0, 0], [0, 0]]
    assert one.tolist() == [3.5, 0]


def test_each_signal_has_its_own_clock_since_the_first_sample(session):
    path, truth = session
    tree = na.open_datatree(path)[S]
    begin = min(truth["starts"].values())
    assert tree.attrs["start_time_unix"] == begin
    for name, place in SIGNALS.items():
        clock = tree[place]["time"]
        rate = clock.attrs["sampling_rate"]
        expected = (truth["starts"][name] - begin) + np.arange(clock.size) / rate
        assert same_values(clock.values, expected)
    assert same_values(tree["screen"]["time"].values, truth["flips"] - begin)


def test_the_time_of_a_sample_gives_that_sample(session):
    """Unix times in float64 give the one before for some of them; there, not here."""
    path, truth = session
    series = na.open_datatree(path)[S]["treadmill"].to_dataset()
    times = series["time"].values
    for method in ("previous", "nearest", "linear"):
        found = na.interpolate(series, times, method=method)["treadmill"]
        assert same_values(found.values, truth["treadmill"]), method
    start, rate = truth["starts"]["treadmill"], 75.0
    unix = start + np.arange(times.size) / rate
    before = np.floor((unix - start) * rate).astype(int)
    assert (before != np.arange(times.size)).any()


def test_a_question_at_the_end_is_answered_and_one_beyond_is_missing(session):
    path, truth = session
    series = na.open_datatree(path)[S]["treadmill"].to_dataset()
    last = series["time"].values[-1]
    found = na.interpolate(series, [last, last + 1.0, -5.0], method="previous")["treadmill"].values
    assert same_values(found[0], truth["treadmill"][-1])
    assert np.isnan(found[1:]).all()  # as many rows as times: none is dropped


def test_missing_samples_are_skipped_not_filled_with_a_mean_of_the_question(session):
    path, truth = session
    series = na.open_datatree(path)[S]["eye_tracker"].to_dataset()
    times = series["time"].values
    middle = (times[9] + times[13]) / 2
    assert np.isnan(na.interpolate(series, [middle])["eye_tracker"].values).all()  # a hole
    found = na.interpolate(series, [middle], max_gap=np.inf)["eye_tracker"].values[0]
    expected = (truth["eye_tracker"][9].astype(float) + truth["eye_tracker"][13]) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    two = na.interpolate(series, [middle, times[40]], max_gap=np.inf)["eye_tracker"].values
    assert same_values(two[0], found)


@pytest.mark.parametrize("method", ["previous", "nearest", "linear"])
def test_each_unit_is_sampled_at_its_own_moment(session, method):
    path, truth = session
    series = na.open_datatree(path)[S]["unknown/responses"].to_dataset()
    clock, shift = series["time"].values, truth["phase_shifts"]
    times = np.linspace(1.0, 9.0, 40)
    found = na.interpolate(series, times, method=method)["responses"]
    assert found.dims == ("time", "unit_id")
    values = truth["responses"].astype(float)
    for unit in range(values.shape[1]):
        own = clock + shift[unit]
        if method == "linear":
            expected = np.interp(times, own, values[:, unit])
        elif method == "previous":
            expected = values[np.searchsorted(own, times, side="right") - 1, unit]
        else:
            expected = values[np.abs(times[:, None] - own).argmin(axis=1), unit]
        np.testing.assert_allclose(found.values[:, unit], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.isel(unit_id=unit).values, expected, rtol=1e-4, atol=1e-6)
    some = na.interpolate(series.sel(unit_id=[4, 2]), times, method=method)["responses"]
    assert same_values(some.values, found.sel(unit_id=[4, 2]).values)


def test_what_was_on_the_screen(session):
    path, truth = session
    tree = na.open_datatree(path)[S]
    shown = tree["screen"]["stimulus"]
    assert shown.dtype == np.uint8
    assert same_values(shown.values, truth["frames"])
    for key in indexers(shown.shape):
        assert same_values(shown.variable[key].values, outer(truth["frames"], key)), key
    table = tree["presentations/screen"]
    assert same_values(table["start_time"].values, shown["time"].values[table["first_frame_idx"]])
    assert same_values(table["stop_time"].values[:-1], table["start_time"].values[1:])
    assert np.isnan(table["stop_time"].values[-1])
    assert set(table["modality"].values) == {"video", "image", "blank"}
    assert table["valid_trial"].dtype == bool


def test_frames_in_colour(tmp_path):
    truth = write_experanto(tmp_path / "one", size=(4, 6, 3))
    for number in (0, 2):  # a movie and an image, as np.moveaxis leaves them
        place = tmp_path / "one" / "screen" / "data" / f"{number:05d}.npy"
        np.save(place, np.asfortranarray(np.load(place)))
    meta = tmp_path / "one" / "screen" / "meta" / "00001.yml"
    meta.write_text(meta.read_text().replace("127", "[10, 20, 30]"))
    truth["frames"][45] = np.array([10, 20, 30])[:, None, None]
    shown = na.open_datatree(tmp_path / "one")[S]["screen"]["stimulus"]
    assert shown.dims == ("time", "channel", "y", "x")
    assert shown.shape[1:] == (3, 4, 6)
    assert shown.dtype == np.uint8
    assert same_values(shown.values, truth["frames"])
    for key in indexers(shown.shape):
        assert same_values(shown.variable[key].values, outer(truth["frames"], key)), key
    meta.write_text(meta.read_text().replace("[10, 20, 30]", "[10, 20]"))
    with pytest.raises(FormatError, match="interleave_value"):
        na.open_datatree(tmp_path / "one")


def test_a_blank_between_grey_values_is_no_whole_number(session):
    path, truth = session
    meta = path / "screen" / "meta" / "00001.yml"
    meta.write_text(meta.read_text().replace("127", "127.5"))
    shown = na.open_datatree(path)[S]["screen"]["stimulus"]
    assert shown.dtype == np.float32
    assert (shown[45].values == 127.5).all()
    assert same_values(shown[:45].values, truth["frames"][:45].astype(np.float32))


def test_a_file_that_many_trials_share_goes_by_its_name(session):
    path, truth = session
    data, meta = path / "screen" / "data", path / "screen" / "meta"
    for number in (0, 4):  # two movies; the second shows the first again
        place = meta / f"{number:05d}.yml"
        place.write_text(place.read_text() + "stimulus_name: shared\n")
    (data / "00000.npy").rename(data / "shared.npy")
    shown = na.open_datatree(path)[S]["screen"]["stimulus"]
    assert same_values(shown.values, truth["frames"])  # trial 4 has a file of its number
    whole = path / "screen" / "meta.yml"
    whole.write_text(whole.read_text() + "use_stimuli_names: true\n")
    for number in (2, 6, 8, 10, 12, 14):
        place = meta / f"{number:05d}.yml"
        if place.exists():
            place.write_text(place.read_text() + f"stimulus_name: '{number:05d}'\n")
    shown = na.open_datatree(path)[S]["screen"]["stimulus"]
    assert same_values(shown[47 + 1 : 47 + 46].values, truth["frames"][:45])


def test_the_copy_of_all_metadata_stands_in_for_files_that_are_gone(session):
    path, _ = session
    expected = na.open_datatree(path).load()
    screen = path / "screen"
    found = {
        p.stem: json.loads(json.dumps(mapping(probe_of(p))))
        for p in (screen / "meta").glob("*.yml")
    }
    (screen / "combined_meta.json").write_text(json.dumps(dict(sorted(found.items()))))
    (screen / "meta" / "notes.yml").write_text("of no trial: 1\n")
    assert_same_trees(na.open_datatree(path), expected)
    shutil.rmtree(screen / "meta")
    assert_same_trees(na.open_datatree(path), expected)
    (screen / "combined_meta.json").write_text("[1]")
    with pytest.raises(FormatError, match="a mapping of trials"):
        na.open_datatree(path)


@pytest.fixture
def spiking(mapped, tmp_path):
    truth = write_experanto(tmp_path / "one", mapped=mapped, spikes=True)
    return tmp_path / "one", truth


@both
def test_spikes_of_each_unit(spiking):
    path, truth = spiking
    tree = na.open_datatree(path)[S]
    node, start = tree["unknown/spikes"].to_dataset(), tree.attrs["start_time_unix"]
    assert start == 1520193100.0  # when the spikes begin, before any sample
    assert node["row_size"].values.tolist() == [len(train) for train in truth["spikes"]]
    for unit, train in enumerate(truth["spikes"]):
        assert same_values(node.sel(unit_id=unit)["spike_times"].values, train - start)
    whole = np.concatenate(truth["spikes"]) - start
    for key in indexers(whole.shape):
        assert same_values(node["spike_times"].variable[key].values, outer(whole, key)), key


def test_spikes_are_counted_in_half_open_windows(spiking):
    path, truth = spiking
    node = na.open_datatree(path)[S]["unknown/spikes"].to_dataset()
    own = node["spike_times"].values
    starts = np.array([1.0, own[3], own[7] - 0.1, 11.9])  # one begins, one ends on a spike
    found = na.bin_spikes(node, starts, bin_width=0.1, window=(0, 0.1))
    counts = found.transpose("presentation_id", "unit_id", "time").values[:, :, 0]
    for row, begin in enumerate(starts):
        for unit, train in enumerate(truth["spikes"]):
            since = train - 1520193100.0
            assert counts[row, unit] == ((since >= begin) & (since < begin + 0.1)).sum()


def test_everything_on_one_clock(spiking):
    path, truth = spiking
    tree = na.open_datatree(path)
    aligned = na.align(tree, bin_width=0.1, method="linear", max_gap=np.inf)
    assert na.validate(aligned, values=True) == []
    session = aligned[S]
    edges = session["time"].values - 0.05
    counts = session["unknown/spike_data"].transpose("unit_id", "time").values
    for unit, train in enumerate(truth["spikes"]):
        ours = train - 1520193100.0
        expected = ((ours >= edges[:, None]) & (ours < edges[:, None] + 0.1)).sum(axis=1)
        assert counts[unit].tolist() == expected.tolist()
    # Responses have units of their own (1 to 6, spikes 0 to 5): an area beside that of the spikes.
    area = session["unknown_responses"]
    assert (
        area["unit_id"].values.tolist() == tree[S]["unknown/responses"]["unit_id"].values.tolist()
    )
    for place, name in (
        ("unknown_responses", "responses"),
        ("unknown/eye_tracker", "eye_tracker"),
        ("unknown_responses/treadmill", "treadmill"),
    ):
        found, values = session[place][name].values, truth[name]
        since = truth["starts"][name] - 1520193100.0
        times = since + np.arange(len(values)) / RATES[name]
        for column in range(values.shape[1]):
            known = ~np.isnan(values[:, column])
            expected = np.interp(
                session["time"].values, times[known], values[known, column], np.nan, np.nan
            )
            np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-4)
    shown = na.align(tree, "screen", bin_width=0.1, window=(0, 0.5))[S]["unknown"]
    assert shown["treadmill/treadmill"].dims == ("presentation_id", "time", "signal")
    assert set(np.unique(shown["tier"].values)) == {"train", "oracle", "test", "blank"}


def test_spikes_of_several_folders_are_areas(spiking):
    path, _ = spiking
    expected = na.open_datatree(path)[S]["unknown/spikes"].to_dataset().load()
    shutil.copytree(path / "spikes", path / "probe_b")
    tree = na.open_datatree(path)
    assert {"probe_b", "spikes", "unknown"} <= set(tree[S].children)
    for area in ("probe_b", "spikes"):
        assert tree[S][area]["spikes"].to_dataset().load().identical(expected)
    only = na.open_datatree(path, areas="probe*")[S]
    assert "spikes" not in only.children
    assert "unknown" not in only.children


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"spike_indices": [0, 5, 3]}, "from 0 upwards"),
        ({"spike_indices": []}, "from 0 upwards"),
        ({"spike_indices": [0, "x"]}, "whole numbers"),
        ({"spike_indices": [0, 10**30]}, "whole numbers"),
        ({"n_signals": 9}, "n_signals of 6"),
        ({"spike_indices": [0, 1, 1, 1, 1, 1, 1]}, "as meta.yml says"),
        ({"start_time": None}, "start_time"),
    ],
)
def test_spikes_that_do_not_fit(spiking, change, match):
    path, _ = spiking
    place = path / "spikes" / "meta.yml"
    place.write_text(json.dumps(mapping(probe_of(place)) | change))
    with pytest.raises(FormatError, match=match) as caught:
        na.open_datatree(path)
    assert str(path / "spikes") in str(caught.value)


def test_some_frames_of_a_movie_are_a_short_read(session, monkeypatch):
    path, truth = session
    shown = na.open_datatree(path)[S]["screen"]["stimulus"]
    read = []
    real = os.preadv

    def counted(descriptor, buffers, at):
        read.append(sum(memoryview(b).nbytes for b in buffers))
        return real(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    assert same_values(shown[5:8].values, truth["frames"][5:8])
    assert sum(read) == 128 + 3 * 24  # a header, three frames


def test_intervals_become_tables(session):
    path, _ = session
    tree = na.open_datatree(path)[S]
    table = tree["presentations/quality_good"]
    np.testing.assert_allclose(
        table["start_time"].values + tree.attrs["start_time_unix"],
        1520193100.0 + np.array([1, 6]),
        rtol=0,
        atol=1e-6,
    )


@both
def test_nothing_is_written(session):
    path, _ = session
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    na.open_datatree(path).load()
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before


def test_sessions_of_one_name_are_kept_apart(tmp_path):
    for name in ("a", "b"):
        write_experanto(tmp_path / name, seconds=3)
    assert list(na.open_datatree(tmp_path).children) == ["a", "b"]
    (tmp_path / "b" / "meta.json").unlink()
    tree = na.open_datatree(tmp_path)
    assert list(tree.children) == [S, "b"]
    assert list(na.open_datatree(tmp_path, sessions="b").children) == ["b"]
    with pytest.raises(NotInTree, match="V1"):
        na.open_datatree(tmp_path, areas="V1")


def test_files_in_a_folder_of_something_else_are_not_looked_at(tmp_path, monkeypatch):
    looked = []
    (tmp_path / "images").mkdir()
    for i in range(20):
        (tmp_path / "images" / f"{i}.png").touch()

    monkeypatch.setattr(LocalLocation, "read", lambda place, _: looked.append(place.name))
    reader = ExperantoReader()
    assert not reader.guess_can_open(tmp_path)
    assert not reader.guess_can_open(tmp_path / "images")
    assert not looked


def test_without_screen_or_responses(session):
    path, _ = session
    expected = na.open_datatree(path)
    shutil.rmtree(path / "screen")
    tree = na.open_datatree(path)
    assert "screen" not in tree[S]
    assert_same_trees(tree[S + "/unknown"], expected[S + "/unknown"])
    shutil.rmtree(path / "responses")
    assert "unknown" not in na.open_datatree(path)[S].children


@pytest.mark.parametrize("ids", [[0.5, 1, 2], [np.nan, 1, 2], [1, 2], ["a", "b", "c"]])
def test_unit_ids_that_are_none_are_named(session, ids):
    path, _ = session
    np.save(path / "responses" / "meta" / "unit_ids.npy", np.array(ids))
    with pytest.raises(FormatError, match=r"unit_ids\.npy: expected a whole number for each"):
        na.open_datatree(path)


@pytest.mark.parametrize("trial", ["00001", "00004"])
def test_a_trial_without_metadata_is_noted(session, trial):
    path, _ = session
    assert "notes" not in na.open_datatree(path)[S].attrs
    (path / "screen" / "meta" / f"{trial}.yml").unlink()
    (note,) = na.open_datatree(path)[S].attrs["notes"]
    assert f"screen: no meta of the trials '{trial}'" in note


def test_means_of_other_signals_are_noted(session):
    path, _ = session
    np.save(path / "treadmill" / "meta" / "means.npy", np.zeros(9))
    found = na.open_datatree(path)[S]
    assert "mean" not in found["treadmill"].coords
    assert any("treadmill/meta/means.npy not read" in note for note in found.attrs["notes"])


def test_a_meta_json_that_is_damaged_is_said(session):
    path, _ = session
    (path / "meta.json").write_text('{"scan_key": {"animal')
    tree = na.open_datatree(path)
    assert set(tree.children) == {path.name}
    assert any("meta.json" in note for note in tree.attrs["notes"])


def test_a_modality_that_is_not_known_is_said(session):
    path, _ = session
    (path / "odour").mkdir()
    (path / "odour" / "meta.yml").write_text("modality: smell\n")
    assert "odour left out" in na.open_datatree(path)[S].attrs["notes"][0]


@pytest.mark.parametrize(
    ("place", "damage", "match"),
    [
        ("responses/meta.yml", "modality: [", "YAML"),
        ("responses/meta.yml", "modality: sequence\n", "sampling_rate"),
        ("responses/meta.yml", "!!python/object/apply:os.system ['modality']", "YAML"),
        (
            "treadmill/meta.yml",
            "modality: sequence\nsampling_rate: 0\nstart_time: 1\nn_timestamps: 5\nn_signals: 1\n",
            "positive rate",
        ),
        ("screen/meta/00001.yml", "modality: blank\n", "first_frame_idx"),
        ("screen/meta/00001.yml", "modality: blank\nfirst_frame_idx: 9999\n", "in order"),
        (
            "quality/meta.yml",
            "modality: time_interval\nlabels: {good: ../../../etc/passwd}\n",
            "beside it",
        ),
    ],
)
def test_bad_metadata_is_named(session, place, damage, match):
    path, _ = session
    (path / place).write_text(damage)
    with pytest.raises(FormatError, match=match) as caught:
        na.open_datatree(path)
    assert str(path) in str(caught.value)


@both
def test_a_truncated_signal_or_movie(session):
    path, _ = session
    data = next((path / "responses").glob("data.*"))
    whole = data.read_bytes()
    tree = na.open_datatree(path)
    data.write_bytes(whole[:-4])
    with pytest.raises(FormatError, match="responses"):
        na.open_datatree(path)
    with pytest.raises(FormatError, match="open it again"):
        _ = tree[S]["unknown/responses"]["responses"].values
    data.write_bytes(whole)
    movie = path / "screen" / "data" / "00004.npy"
    movie.write_bytes(movie.read_bytes()[:-30])
    shown = na.open_datatree(path)[S]["screen"]["stimulus"]
    with pytest.raises(FormatError, match=r"00004\.npy"):
        _ = shown.values
    assert shown[:40].shape == (40, 1, 4, 6)
    np.save(movie, np.zeros((45, 4, 7), np.uint8))
    with pytest.raises(FormatError, match=r"00004\.npy: .*open it again"):
        _ = shown.values
