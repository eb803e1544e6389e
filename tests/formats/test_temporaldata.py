"""temporaldata: a cut of a real session under the conformance suite, then splits, areas, clocks and bad input."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, UnknownFormat
from neuroarrays.synthetic import write_nwb, write_temporaldata
from neuroarrays.testing import ReaderTests
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
S = "c_20131003_cut"
SPIKES, CURSOR, TABLES = f"{S}/unknown/spikes", f"{S}/cursor", f"{S}/presentations"
#: Three whole sessions: see the README beside the golden file.
WHOLE = Path(os.environ.get("NEUROARRAYS_TEMPORALDATA", "/nowhere"))
BRING = (
    "needs NEUROARRAYS_TEMPORALDATA, the folder docs/source/_data/perich_miller_population_2018 of "
    "`pip download --no-deps --no-binary :all: torch_brain==0.1.1`, unpacked"
)


class TestGolden(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)
    reader = "temporaldata"
    path = GOLDEN / "temporaldata" / f"{S}.h5"
    foreign = tuple(
        path
        for folder in sorted(GOLDEN.iterdir())
        if folder.is_dir() and folder.name != "temporaldata"
        for path in sorted(folder.iterdir())
    )
    values = {
        (SPIKES, "unit_id", -1): 70,
        (SPIKES, "row_size", 0): 21,
        (SPIKES, "row_size", 9): 0,
        (SPIKES, "row_size", -1): 3,
        (SPIKES, "spike_times", 0): 20.142233333333333,
        (SPIKES, "spike_times", 20): 25.976533333333332,
        (SPIKES, "spike_times", 21): 20.014333333333333,
        (SPIKES, "spike_times", 100): 25.963066666666666,
        (SPIKES, "spike_times", -1): 25.346066666666665,
        (SPIKES, "train_mask", 0): True,
        (SPIKES, "train_mask", -1): False,
        (SPIKES, "id", -1): "group_electrode_group_M1/elec91/unit_70",
        (SPIKES, "count", 0): 2895,
        (CURSOR, "time", 0): 20.0,
        (CURSOR, "time", -1): 26.0,
        (CURSOR, "vel", (0, 0)): -1.0481615432623717,
        (CURSOR, "vel", (-1, 1)): 6.306098650593262,
        (f"{TABLES}/trials", "start_time", 0): 19.542,
        (f"{TABLES}/trials", "stop_time", -1): 29.119,
        (f"{TABLES}/trials", "result", 0): "A",
        (f"{TABLES}/trials", "go_cue_time", 0): np.nan,
        (f"{TABLES}/trials", "go_cue_time", -1): 28.065366666666666,
        (f"{TABLES}/train_domain", "stop_time", 0): 21.827,
        (f"{TABLES}/test_domain", "start_time", 0): 24.827,
        (f"{TABLES}/movement_phases.hold_period", "stop_time", 0): 23.3266,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_temporaldata(tmp_path_factory.mktemp("made") / "made.h5", seconds=6.0, rois=True)


@pytest.fixture
def path(made, tmp_path):
    """A copy, to be changed."""
    copy = tmp_path / "made.h5"
    copy.write_bytes(made.read_bytes())
    return copy


def change(path, name, values):
    """Replace an array; None takes it out."""
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values


def test_areas_clocks_and_labels(made):
    session = na.open_datatree(made)["made"]
    with h5py.File(made) as file:
        times, unit = file["spikes/timestamps"][:], file["spikes/unit_index"][:]
        raw = file["lfp/raw"][:]
    for area in ("M1", "PMd"):
        node = session[f"{area}/spikes"].to_dataset()
        for number in node.unit_id.values:
            assert (
                node.sel(unit_id=number).spike_times.values.tolist()
                == times[unit == number].tolist()
            )
    assert session["PMd/spikes"].row_size.values[-1] == 0  # the silent unit is there
    assert session["lfp"].time.values.tolist() == (np.arange(300) / 50).tolist()
    np.testing.assert_array_equal(session["lfp/raw"].values, raw)
    assert session["lfp/raw"].dims == ("time", "channel")
    assert session["lfp"]["depth"].values.tolist() == [0, 20, 40]
    assert session["unknown/calcium_traces"].df_over_f.dims == ("time", "unit_id")
    assert session["events/licks"].event_time.size == 7
    assert session.attrs["subject"] == "m1"
    assert session.attrs["session_task"] == "RHYTHM"
    assert session["presentations/trials"].attrs["timekeys"] == ["go_cue_time"]


def test_splits_go_to_samplers(made):
    tree = na.open_datatree(made)
    clock = na.align(tree, bin_width=0.1, series="cursor")
    rows = tree["made/presentations/train_domain"].to_dataset()
    window = np.stack([rows.start_time, rows.stop_time], axis=1)
    clips = na.batches.ClipSamples(clock["made/M1"], ["spike_data"], 0.5, stride=0.5, window=window)
    assert len(clips) == 4  # of 2 s, the first of three parts


def test_units_of_traces_where_nothing_has_spikes(path):
    change(path, "spikes", None)
    with h5py.File(path, "a") as file:
        del file["rois"]
        traces = file["calcium_traces/df_over_f"][:]
        del file["calcium_traces/df_over_f"]
        file["calcium_traces/df_over_f"] = np.repeat(traces[:, :3], 2, axis=1)
    session = na.open_datatree(path)["made"]
    assert list(session["M1"].children) == ["calcium_traces"]
    assert session["M1/calcium_traces"].df_over_f.values.shape == (60, 3)
    np.testing.assert_array_equal(
        session["PMd/calcium_traces/df_over_f"].values[:, 2], np.repeat(traces[:, :3], 2, 1)[:, 5]
    )


def test_a_domain_of_several_stretches(path):
    for end, values in (("start", [0.0, 4.0]), ("end", [3.0, 6.0])):
        change(path, f"domain/{end}", np.array(values))
        change(path, f"cursor/domain/{end}", np.array(values))
    session = na.open_datatree(path)["made"]
    assert session["presentations/domain"].stop_time.values.tolist() == [3, 6]
    assert session["presentations/cursor.domain"].start_time.values.tolist() == [0, 4]


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("spikes/timestamps", None, "/spikes/timestamps.*numbers, s.*nothing"),
        ("trials/end", None, "/trials/end.*nothing"),
        ("lfp/domain", None, "/lfp/domain/start.*when the series starts"),
        ("cursor/pos", np.zeros((7, 2)), "/cursor/pos.*600 rows, as timestamps has.*7"),
        ("trials/result", np.zeros(1), "/trials/result.*rows, as start has"),
        ("units/id", np.zeros(9), "/units/.*rows"),
        ("cursor/timestamps", np.array([b"a"] * 600), "/cursor/timestamps.*numbers"),
        ("trials/start", np.zeros((2, 2)), "/trials/start.*shape"),
        ("cursor/pos", 1.0, "/cursor/pos.*shape"),
        ("cursor/pos", np.zeros(600, [("a", "f4")]), "/cursor/pos.*numbers or text"),
        ("spikes/unit_index", np.array([b"a"]), "spikes/unit_index"),
    ],
)
def test_what_contradicts_itself_is_named(path, name, values, message):
    change(path, name, values)
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(path)
    assert "made.h5" in str(caught.value)


def test_units_without_a_row(path):
    with h5py.File(path, "a") as file:
        file["spikes/unit_index"][5] = 6
    with pytest.raises(FormatError, match="/spikes/unit_index.*rows of the 6 units in /units.*6"):
        na.open_datatree(path)
    close_all()
    change(path, "units", None)
    session = na.open_datatree(path)["made"]
    assert "no table of units" in session.attrs["notes"][0]
    assert session["unknown/spikes"].unit_id.values[-1] == 6


def test_groups_that_hold_themselves_and_names_that_are_taken(path):
    with h5py.File(path, "a") as file:
        file["loop"] = file["/"]
        file.move("cursor", "M1")
        file.move("licks", "observed")
    session = na.open_datatree(path)["made"]
    assert session.attrs["notes"] == ["loop not read: another name of /"]
    assert {"M1", "M1_series", "PMd"} <= set(session.children)
    assert session["events/observed"].event_time.size == 7


def test_a_regular_series_that_is_cut_is_noted(path):
    assert "notes" not in na.open_datatree(path)["made"].attrs
    close_all()
    with h5py.File(path, "a") as file:
        values = file["lfp/raw"][:-9]
        del file["lfp/raw"]
        file["lfp/raw"] = values
    (note,) = na.open_datatree(path)["made"].attrs["notes"]
    assert note.startswith("lfp: ")


def test_an_attribute_of_another_kind_is_passed_over(path):
    with h5py.File(path, "a") as file:
        file["trials"].attrs["timekeys"] = np.nan
    assert na.open_datatree(path)["made/presentations/trials"].start_time.size


def test_a_rate_that_is_none(path):
    with h5py.File(path, "a") as file:
        file["lfp"].attrs["sampling_rate"] = 0.0
    with pytest.raises(FormatError, match="sampling_rate, Hz.*0.0"):
        na.open_datatree(path)


def test_times_out_of_order_are_kept_and_noted(path):
    with h5py.File(path, "a") as file:
        file["spikes/timestamps"][:] = file["spikes/timestamps"][:][::-1]
        file["cursor/timestamps"][:] = file["cursor/timestamps"][:][::-1]
    notes = "\n".join(na.validate(na.open_datatree(path), values=True))
    assert "order" in notes
    assert "made/cursor" in notes


def test_a_recording_of_no_length(path):
    with h5py.File(path, "a") as file:
        groups = [
            file[name] for name in ("spikes", "cursor", "licks", "lfp", "trials", "calcium_traces")
        ]
        for group in groups:
            for name in [n for n, item in group.items() if isinstance(item, h5py.Dataset)]:
                values = group[name][:0]
                del group[name]
                group[name] = values
    session = na.open_datatree(path)["made"].load()
    assert session["M1/spikes"].row_size.values.tolist() == [0, 0, 0]
    assert session["lfp"].time.size == session["presentations/trials"].start_time.size == 0


def test_what_is_not_read_is_said(path):
    with h5py.File(path, "a") as file:
        file["frames"] = np.zeros((2, 3))
        file.create_group("other").attrs["object"] = "Graph"
        file.create_group("table").attrs["object"] = "ArrayDict"
    notes = na.open_datatree(path)["made"].attrs["notes"]
    for name in ("frames", "other", "table"):
        assert any(name in note for note in notes)


def test_a_file_that_two_readers_claim_is_an_error_that_names_both(tmp_path):
    path = tmp_path / "one.nwb"
    write_nwb(path, units=2)
    with h5py.File(path, "a") as file:
        file.attrs.update({"object": "Data", "absolute_start": 0.0})
    with pytest.raises(UnknownFormat, match="'nwb', 'temporaldata'"):
        na.open_datatree(path)


# ------------------------------------------------------------------------- the sessions as they are


@pytest.mark.slow
def test_velocity_is_decoded_from_the_whole_sessions():
    """R2 of the test split: counts of the 15 bins of 20 ms up to each, z-scored, ridge of 1e4."""
    if not WHOLE.is_dir():
        pytest.skip(BRING)
    scores = {path.stem: _decoded(path) for path in sorted(WHOLE.glob("*.h5"))}
    assert [round(score, 2) for score in scores.values()] == [0.51, 0.37, 0.52]


def _decoded(path, width=0.02, lags=15, penalty=1e4):
    tree = na.open_datatree(path)
    session = path.stem
    area = na.align(tree, bin_width=width, series="cursor")[f"{session}/unknown"]
    counts, velocity = area["spike_data"].values.astype("f4"), area["cursor/vel"].values
    low, high = area["time"].values - width / 2, area["time"].values + width / 2

    def bins(split):
        rows = tree[f"{session}/presentations/{split}_domain"]
        within = (low[:, None] >= rows.start_time.values - 1e-9) & (
            high[:, None] <= rows.stop_time.values + 1e-9
        )
        return np.flatnonzero(within.any(axis=1) & np.isfinite(velocity).all(axis=1))

    def features(at):
        return np.concatenate([counts[np.maximum(at - lag, 0)] for lag in range(lags)], axis=1)

    train, test = bins("train"), bins("test")
    x, y = features(train), velocity[train]
    mean, scale = x.mean(0), x.std(0) + 1e-9
    x = (x - mean) / scale
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - y.mean(0)))
    error = velocity[test] - ((features(test) - mean) / scale @ weights + y.mean(0))
    return float(
        (1 - (error**2).sum(0) / ((velocity[test] - velocity[test].mean(0)) ** 2).sum(0)).mean()
    )
