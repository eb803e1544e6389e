"""Datasets: the tree's own values, in any order, from memory or disk, with labels and masks."""

import pickle

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.errors import NeuroArraysError, NotInTree, SchemaError
from neuroarrays.testing.sources import close_all

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
from neuroarrays.batches import fields  # noqa: E402
from neuroarrays.torch import (  # noqa: E402
    ClipDataset,
    OnDevice,
    RepeatDataset,
    Stack,
    TrialDataset,
)

PLACE = "session_0/VISp"


def tree(**changes):
    return synthetic.aligned_tree(**{"presentations": 40, "units": 6, "bins": 9} | changes)


def clock_tree(n=400, units=5, seed=0, valid=None, start=10.0):
    """A session with a movie, responses and spikes on one 20 Hz clock."""
    random = np.random.default_rng(seed)
    time = xr.Variable("time", start + (np.arange(n) + 0.5) / 20, {"units": "s", "bin_width": 0.05})
    movie = random.integers(0, 255, (n, 2, 3, 4)).astype(np.uint8)
    area = {
        "responses": (("time", "unit_id"), random.normal(size=(n, units)).astype(np.float32)),
        "spike_data": (("time", "unit_id"), random.poisson(0.3, (n, units)).astype(np.uint8)),
        "responses_by_trial": (
            ("trial", "time", "unit_id"),
            random.normal(size=(3, n, units)).astype(np.float32),
        ),
    }
    if valid is not None:
        area["valid"] = (("time",), valid)
    groups = {
        "/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)),
        "s": xr.Dataset({"stimulus": (("time", "channel", "y", "x"), movie)}, {"time": time}),
        "s/retina": xr.Dataset(area, {"unit_id": 100 + np.arange(units)}),
    }
    return xr.DataTree.from_dict(groups)


@pytest.fixture(params=["memory", "archive", "archive, not kept", "zarr", "dask"])
def anywhere(request, tmp_path):
    """The same tree from everywhere: (tree, cache)."""
    made = tree()
    if request.param == "memory":
        return made, made, "auto"
    if request.param == "zarr":
        pytest.importorskip("zarr")
    path = na.save(made, tmp_path / ("a.zarr" if request.param == "zarr" else "a.h5"))
    chunks = {} if request.param == "dask" else None
    return made, na.open_datatree(path, chunks=chunks), request.param != "archive, not kept"


def test_trials_are_the_trees_rows(anywhere):
    made, opened, cache = anywhere
    data = TrialDataset(opened[PLACE], ["spike_data", "pupil/x"], ["speed"], cache=cache)
    rows = [7, 0, 39, 7, 12]
    batch = data.batch(rows)
    for name in ("spike_data", "pupil/x", "speed"):
        assert batch[name].dtype == torch.float32
        np.testing.assert_array_equal(batch[name], made[PLACE][name].values[rows].astype("f4"))
    assert batch["presentation_id"].tolist() == rows
    assert batch["valid"].all()
    for i, row in enumerate(rows):
        for name, value in data[row].items():
            torch.testing.assert_close(value, batch[name][i])
    torch.testing.assert_close(data[-1]["speed"], data[39]["speed"])
    with pytest.raises(IndexError):
        data[40]


def test_counts_are_kept_as_events_where_that_is_smaller(tmp_path):
    made = tree(presentations=60, units=40, bins=50)
    counts = np.zeros((60, 40, 50), np.uint8)
    counts[::3, ::7, ::11] = 200
    made["session_0/VISp/spike_data"] = made[f"{PLACE}/spike_data"].copy(data=counts)
    opened = na.open_datatree(na.save(made, tmp_path / "a.h5"))
    data = TrialDataset(opened[PLACE], ["spike_data"], cache=True, dtype=None)
    assert isinstance(data.fields["spike_data"].field, fields.Dense)  # 200 events per bin
    counts[counts > 0] = 2
    made["session_0/VISp/spike_data"] = made[f"{PLACE}/spike_data"].copy(data=counts)
    opened = na.open_datatree(na.save(made, tmp_path / "b.h5"))
    for dtype in (None, "float32", "float16", "uint8"):
        data = TrialDataset(opened[PLACE], ["spike_data"], cache=True, dtype=dtype)
        held = data.fields["spike_data"].field
        assert isinstance(held, fields.Events)
        assert held.nbytes < counts.nbytes / 2
        got = data.batch([59, 3, 3])["spike_data"]
        assert got.dtype == getattr(torch, dtype or "uint8")
        np.testing.assert_array_equal(got, counts[[59, 3, 3]])


def test_datasets_of_one_process_share_what_they_keep(tmp_path):
    opened = na.open_datatree(na.save(tree(), tmp_path / "a.h5"))
    one, two = (TrialDataset(opened[PLACE], ["speed"], rows=r) for r in ([0, 1], [5, 6]))
    assert one.fields["speed"] is two.fields["speed"]
    again = pickle.loads(pickle.dumps(one))
    assert again.fields["speed"] is one.fields["speed"]
    assert len(pickle.dumps(one)) < 10_000


def kinds(data):
    """How a dataset that was used holds its variables."""
    data.load()
    return [type(getattr(one, "field", one)).__name__ for one in data.fields.values()]


def test_auto_is_bounded_for_all_sessions_together(tmp_path, monkeypatch):
    opened = [na.open_datatree(na.save(tree(), tmp_path / f"{i}.h5")) for i in range(3)]
    nbytes = opened[0][PLACE]["speed"].nbytes
    used = fields._cached_bytes()  # of masks, and what other tests have not let go of yet
    monkeypatch.setattr(fields, "CACHE_BYTES", used + 2 * nbytes + 1000)
    data = [TrialDataset(one[PLACE], ["speed"]) for one in opened]
    assert [kinds(one) for one in data] == [["Dense"], ["Dense"], ["LazyRows"]]
    assert kinds(TrialDataset(opened[0][PLACE], ["speed"])) == ["Dense"]  # shared
    assert kinds(TrialDataset(opened[2][PLACE], ["speed"], cache=True)) == ["Dense"]
    for one in data:
        np.testing.assert_array_equal(one[7]["speed"], tree()[PLACE]["speed"].values[7])
    with pytest.raises(ValueError, match="expected 'auto', True or False"):
        TrialDataset(opened[0][PLACE], ["speed"], cache="disk")


def test_nothing_is_read_before_the_first_batch(tmp_path, monkeypatch):
    area = na.open_datatree(na.save(tree(), tmp_path / "a.h5"))[PLACE]
    data = TrialDataset(area, ["spike_data"], ["speed"])
    assert all(field._field is None for field in data.fields.values())
    loader = na.torch.Loader(data, na.torch.Batches(40, 4), num_workers=1)
    next(iter(loader))  # what workers share is read before they are forked
    assert all(field._field is not None for field in data.fields.values())


def test_images_that_are_stored_once_are_kept_once(tmp_path):
    frames = np.random.default_rng(0).random((4, 1, 20, 20), np.float32)
    shown = np.arange(40) * 7 % 4
    made = tree()
    made["session_0"].dataset = xr.Dataset(
        {"stimulus": (("presentation_id", "channel", "y", "x"), frames[shown])}
    )
    area = na.open_datatree(na.save(made, tmp_path / "a.h5"))[PLACE]
    for cache in (True, False):
        data = TrialDataset(area, ["stimulus"], cache=cache)
        got = data.batch([39, 0, 12, 39])["stimulus"]
        np.testing.assert_array_equal(got, frames[shown[[39, 0, 12, 39]]])
        base = data.fields["stimulus"].base
        assert base.shape == frames.shape
        assert not cache or base.nbytes == frames.nbytes
        assert pickle.loads(pickle.dumps(data))[5]["stimulus"].equal(data[5]["stimulus"])


@pytest.mark.parametrize("low", [0, -1])
def test_signed_counts_are_events_too_where_none_is_negative(tmp_path, low):
    made = tree(presentations=60, units=40, bins=50)
    counts = np.zeros((60, 40, 50), np.int8)
    counts[::3, ::7, ::11], counts[-1, -1, -1] = 2, low
    made[f"{PLACE}/spike_data"] = made[f"{PLACE}/spike_data"].copy(data=counts)
    area = na.open_datatree(na.save(made, tmp_path / "a.h5"))[PLACE]
    data = TrialDataset(area, ["spike_data"], dtype=None)
    assert kinds(data) == ["Events" if low == 0 else "Dense"]
    got = data.batch([59, 3, 3])["spike_data"]
    assert got.dtype == torch.int8
    np.testing.assert_array_equal(got, counts[[59, 3, 3]])


def test_withheld_and_invalid_targets_are_never_zeros():
    made = tree()
    area = made[PLACE].to_dataset()
    valid = np.ones((40, 9), bool)
    valid[5, 6:] = False
    withheld = np.zeros(40, bool)
    withheld[8] = True
    area["valid"] = (("presentation_id", "time"), valid)
    area["withheld"] = (("presentation_id",), withheld)
    made[PLACE].dataset = area
    data = TrialDataset(made[PLACE], ["pupil/x"], ["spike_data", "speed"])
    batch = data.batch([5, 8, 9])
    for name in ("spike_data", "speed"):
        missing = torch.isnan(batch[name])
        assert missing[0, ..., 6:].all()
        assert not missing[0, ..., :6].any()
        assert missing[1].all() == (name == "spike_data")  # responses are withheld, speed is not
        assert not missing[2].any()
    assert not torch.isnan(batch["pupil/x"]).any()
    assert batch["valid"].tolist() == valid[[5, 8, 9]].tolist()
    assert batch["withheld"].tolist() == [False, True, False]
    # An integer has no NaN: the masks are there to be used.
    stored = TrialDataset(made[PLACE], [], ["spike_data"], dtype=None).batch([5])
    assert stored["spike_data"].dtype == torch.uint8
    assert not stored["valid"][0, 6:].any()


def test_withheld_behaviour_is_never_zeros_either():
    made = tree()
    area = made[PLACE].to_dataset()
    area["behavior_withheld"] = (("presentation_id",), np.arange(40) == 8)
    made[PLACE].dataset = area
    batch = TrialDataset(made[PLACE], [], ["spike_data", "speed", "pupil/x"]).batch([8, 9])
    for name, missing in (("spike_data", False), ("speed", True), ("pupil/x", True)):
        assert torch.isnan(batch[name][0]).all() == missing
        assert not torch.isnan(batch[name][1]).any()
    assert batch["behavior_withheld"].tolist() == [True, False]


@pytest.mark.parametrize(
    "dims", [("presentation_id", "unit_id", "time"), ("time", "presentation_id", "unit_id")]
)
def test_units_that_are_not_valid_are_never_zeros(dims):
    made = tree()
    known = np.random.default_rng(0).random((40, 6, 9)) < 0.7
    mask = xr.DataArray(known, dims=("presentation_id", "unit_id", "time")).transpose(*dims)
    counts = made[f"{PLACE}/spike_data"].transpose("presentation_id", "time", "unit_id")
    made[PLACE].dataset = made[PLACE].to_dataset().assign(valid_units=mask, spike_data=counts)
    rows = [7, 30, 7]
    batch = TrialDataset(made[PLACE], [], ["spike_data", "speed"]).batch(rows)
    want = np.where(known, counts.transpose("presentation_id", "unit_id", "time").values, np.nan)
    np.testing.assert_array_equal(batch["spike_data"], want[rows].transpose(0, 2, 1))
    assert not torch.isnan(batch["speed"]).any()  # of no unit
    assert batch["valid_units"].shape == ((3, 6, 9) if dims[0] != "time" else (3, 9, 6))


def test_units_that_are_not_valid_in_clips_are_never_zeros():
    area = clock_tree()["s/retina"]
    known = np.random.default_rng(0).random((400, 5)) < 0.7
    area.dataset = area.to_dataset().assign(valid_units=(("time", "unit_id"), known))
    want = np.where(known, area["responses"].values, np.nan)
    options = {"offsets": {"responses": 0.15}, "pad": True, "stride": 0.3}
    clips = ClipDataset(area, ["stimulus"], 1.0, ["responses"], **options)
    for data in (clips, OnDevice(clips, "cpu")):
        batch = data.batch([0, 5, len(clips) - 1])
        for i, start in enumerate([0, 30]):
            np.testing.assert_array_equal(batch["responses"][i], want[start + 3 : start + 23])
            np.testing.assert_array_equal(batch["valid_units"][i], known[start : start + 20])
        past = ~batch["valid"][2]
        assert past.any()
        assert not batch["valid_units"][2, past].any()
        assert torch.isnan(batch["responses"][2, past]).all()


def test_labels_come_on_request():
    made = tree(sessions=2)
    data = TrialDataset(made["session_1/CA1"], ["spike_data"], labels=True)
    for batch in (data.batch([1, 2]), data[0]):
        assert (batch["session"], batch["area"]) == ("session_1", "CA1")
        assert batch["unit_id"].tolist() == [10, 11, 12, 13, 14, 15]
    assert "session" not in TrialDataset(made["session_1/CA1"], ["spike_data"])[0]


def test_images_are_looked_up_by_presentation():
    made = tree()
    images = np.random.default_rng(0).integers(0, 255, (5, 1, 4, 6)).astype(np.uint8)
    ids = xr.Variable("image_id", [30, 10, 50, 20, 40])
    made["session_0"].dataset = xr.Dataset(
        {"stimulus": (("image_id", "channel", "y", "x"), images)}, {"image_id": ids}
    )
    with pytest.raises(SchemaError, match="session_0/VISp: stimulus is along image_id"):
        TrialDataset(made[PLACE], ["stimulus"])
    shown = np.array([10, 20, 30, 40, 50])[np.arange(40) % 5]
    made[PLACE].dataset = (
        made[PLACE].to_dataset().assign_coords(image_id=("presentation_id", shown))
    )
    made["session_0/CA1/presentations"].dataset = xr.Dataset(
        {"image_id": ("presentation_id", shown)}
    )
    for area in ("VISp", "CA1"):
        got = TrialDataset(made["session_0"][area], ["stimulus"], dtype=None)
        batch = got.batch([0, 2, 39])
        np.testing.assert_array_equal(batch["stimulus"], images[[1, 0, 2]])
        assert batch["stimulus"].dtype == torch.uint8
    shown[7] = 60
    with pytest.raises(NotInTree, match="no image 60; .* session_0/VISp: stimulus"):
        TrialDataset(made[PLACE], ["stimulus"])


# ---------------------------------------------------------------------------------------- clips


def test_clips_are_the_clocks_values(tmp_path):
    made = clock_tree()
    opened = na.open_datatree(na.save(made, tmp_path / "a.h5"))
    for source_, cache in ((made, "auto"), (opened, True), (opened, False)):
        clips = ClipDataset(
            source_["s/retina"],
            ["stimulus"],
            1.0,
            ["responses", "spike_data"],
            stride=0.05,
            cache=cache,
        )
        assert len(clips) == 381
        batch = clips.batch([380, 0, 7, 8, 200])
        for i, start in enumerate([380, 0, 7, 8, 200]):
            rows = slice(start, start + 20)
            np.testing.assert_array_equal(
                batch["stimulus"][i], made["s/stimulus"].values[rows].astype("f4")
            )
            for name in ("responses", "spike_data"):
                np.testing.assert_array_equal(
                    batch[name][i], made[f"s/retina/{name}"].values[rows].astype("f4")
                )
        np.testing.assert_allclose(batch["time"], [29, 10, 10.35, 10.4, 20])


def test_offsets_read_later_and_stay_inside():
    made = clock_tree()
    clips = ClipDataset(
        made["s/retina"],
        ["stimulus"],
        1.0,
        ["responses"],
        stride=0.05,
        window=(12.0, 15.0),
        offsets={"responses": 0.1, "stimulus": -0.2},
    )
    batch = clips.batch(range(len(clips)))
    starts = np.round((batch["time"].numpy() - 10) * 20).astype(int)
    assert starts.min() == 44  # 12.0 s and the 0.2 s the stimulus comes before
    assert starts.max() == 100 - 20 - 2
    for i, start in enumerate(starts):
        np.testing.assert_array_equal(
            batch["responses"][i], made["s/retina/responses"].values[start + 2 : start + 22]
        )
        np.testing.assert_array_equal(
            batch["stimulus"][i],
            made["s/stimulus"].values[start - 4 : start + 16].astype("f4"),
        )
    with pytest.raises(ValueError, match="'speed' is not among the variables"):
        ClipDataset(made["s/retina"], ["stimulus"], 1.0, offsets={"speed": 1.0})


def test_no_window_runs_over_a_gap_unless_asked():
    valid = np.ones(400, bool)
    valid[100:103] = False
    made = clock_tree(valid=valid)
    area = made["s/retina"]
    clips = ClipDataset(area, ["stimulus"], 1.0, ["responses"], stride=0.05)
    batch = clips.batch(range(len(clips)))
    assert batch["valid"].all()
    assert len(clips) == 81 + 278
    over = ClipDataset(area, ["stimulus"], 1.0, ["responses"], stride=0.05, across_gaps=True)
    assert len(over) == 381
    batch = over.batch([95])
    np.testing.assert_array_equal(batch["valid"][0], valid[95:115])
    np.testing.assert_array_equal(torch.isnan(batch["responses"][0, :, 0]), ~valid[95:115])


@pytest.mark.parametrize("binned", [True, False])
def test_a_frame_lies_where_its_stamp_does(binned):
    """Stamps are middles of bins where the clock says `bin_width`, onsets of frames elsewhere."""
    made = clock_tree(n=100)
    if not binned:
        onsets = xr.Variable("time", np.arange(100) / 20, {"units": "s"})
        nodes = {
            "/": made.to_dataset(),
            "s": made["s"].to_dataset().assign_coords(time=onsets),
            "s/retina": made["s/retina"].to_dataset(inherit=False),
        }
        made = xr.DataTree.from_dict(nodes)
    begin = 10.0 if binned else 0.0
    data = ClipDataset(
        made["s/retina"], ["stimulus"], 0.5, window=(begin, begin + 2.0), stride=0.05
    )
    batch = data.batch(np.arange(len(data)))
    assert len(data) == 31  # 40 frames of (0, 2), windows of ten
    np.testing.assert_allclose(batch["time"], begin + np.arange(31) / 20)
    np.testing.assert_array_equal(batch["stimulus"][30], made["s/stimulus"][30:40])


def test_no_window_runs_over_the_end_of_a_block_unless_asked():
    made = clock_tree()
    block = np.repeat([0, 1, 0, 5], 100)  # one clock, but recorded with something in between
    made["s/retina"] = made["s/retina"].to_dataset().assign_coords(block_id=("time", block))
    clips = ClipDataset(made["s/retina"], ["stimulus"], 1.0, ["responses"], stride=0.05)
    assert len(clips) == 4 * 81
    starts = np.rint(clips.batch(range(len(clips)))["time"].numpy() / 0.05).astype(int)
    starts -= starts[0]
    assert (block[starts] == block[starts + 19]).all()
    over = ClipDataset(made["s/retina"], ["responses"], 1.0, stride=0.05, across_gaps=True)
    assert len(over) == 381


def test_no_window_runs_over_a_join_of_sessions():
    one, two = clock_tree(100)["s"], clock_tree(100, start=100.0)["s"]
    joined = xr.concat([one["retina"].to_dataset(), two["retina"].to_dataset()], "time")
    made = xr.DataTree.from_dict({"/": xr.Dataset(attrs=clock_tree().attrs), "s/retina": joined})
    clips = ClipDataset(made["s/retina"], ["responses"], 1.0, stride=0.05)
    assert len(clips) == 2 * 81
    starts = clips.batch(range(162))["time"].numpy()
    assert not ((starts > 14.01) & (starts < 100)).any()
    assert (
        len(ClipDataset(made["s/retina"], ["responses"], 1.0, stride=0.05, across_gaps=True)) == 181
    )


def test_a_ragged_end_is_padded_when_asked():
    made = clock_tree(110)
    area = made["s/retina"]
    assert len(ClipDataset(area, ["responses"], 2.0)) == 2
    padded = ClipDataset(area, ["responses", "spike_data"], 2.0, pad=True, dtype=None)
    batch = padded.batch([2, 0])
    assert batch["valid"].sum(1).tolist() == [30, 40]
    assert torch.isnan(batch["responses"][0, 30:]).all()
    np.testing.assert_array_equal(batch["responses"][0, :30], area["responses"].values[80:])
    whole = ClipDataset(clock_tree(120)["s/retina"], ["responses"], 2.0, pad=True)
    assert len(whole) == 3
    assert whole.batch(range(3))["valid"].all()


def test_repeats_on_a_clock_are_along_it():
    made = clock_tree()
    clips = ClipDataset(made["s/retina"], ["stimulus"], 1.0, ["responses_by_trial"])
    got = clips[3]["responses_by_trial"]
    want = made["s/retina/responses_by_trial"].values[:, 60:80]
    np.testing.assert_array_equal(got, want.transpose(1, 0, 2))


def test_buffers_are_used_again_only_when_free():
    made = clock_tree()
    clips = ClipDataset(made["s/retina"], ["responses"], 1.0, stride=0.05)
    first = clips.batch(range(8))["responses"]
    view, place = first[2], first.data_ptr()
    kept = view.clone()
    del first
    for i in range(6):
        assert clips.batch(range(i, i + 8))["responses"].data_ptr() != place
    torch.testing.assert_close(view, kept)
    del view
    used = {clips.batch(range(8))["responses"].data_ptr() for _ in range(6)}
    assert len(used) <= 3


# --------------------------------------------------------------------------------- made of others


def test_repeats_are_averaged_and_kept():
    made = tree()
    area = made[PLACE]
    labels = area["presentations/stimulus"].values
    trials = TrialDataset(area, ["pupil/x"], ["spike_data"], rows=np.arange(0, 40, 1) != 3)
    data = RepeatDataset(trials, labels)
    batch = data.batch([2, 0])
    for i, label in enumerate(["image2", "image0"]):
        rows = np.flatnonzero((labels == label) & (np.arange(40) != 3))
        counts = area["spike_data"].values[rows].astype("f4")
        np.testing.assert_allclose(batch["spike_data"][i], counts.mean(0), rtol=1e-6)
        np.testing.assert_array_equal(batch["spike_data_by_trial"][i, : rows.size], counts)
        assert torch.isnan(batch["spike_data_by_trial"][i, rows.size :]).all()
        assert batch["repeats"][i] == rows.size
        np.testing.assert_array_equal(batch["pupil/x"][i], area["pupil/x"].values[rows[0]])
    assert data[1]["spike_data"].shape == (6, 9)
    with pytest.raises(SchemaError, match="repeats need targets of a float dtype"):
        RepeatDataset(TrialDataset(area, ["spike_data"]), labels)


def test_repeats_that_are_not_known_are_in_no_mean():
    made = tree(presentations=7)
    area = made[PLACE].to_dataset()
    valid = np.ones((7, 9), bool)
    valid[2, 4:] = valid[5, 6:] = valid[2:6:3, 8] = False
    withheld = np.array([False, False, True, True, False, True, False])
    area["valid"] = (("presentation_id", "time"), valid)
    area["withheld"] = (("presentation_id",), withheld)
    made[PLACE].dataset = area
    data = RepeatDataset(TrialDataset(made[PLACE], ["pupil/x"], ["spike_data"]), list("abbbcca"))
    batch = data.batch([1, 0, 2])  # b: 2, 3 of 1, 2, 3 withheld; a: 0, 6; c: 5 of 4, 5
    counts = area["spike_data"].values.astype("f4")
    np.testing.assert_array_equal(batch["spike_data"][0], counts[1])
    np.testing.assert_array_equal(batch["spike_data"][1], counts[[0, 6]].mean(0))
    np.testing.assert_array_equal(batch["spike_data"][2], counts[4])
    assert batch["repeats"].tolist() == [3, 2, 2]
    assert batch["withheld"].tolist() == [False, False, False]
    assert batch["withheld_by_trial"].tolist() == [
        [False, True, True],
        [False, False, True],
        [False, True, True],
    ]
    assert batch["valid"].all()
    np.testing.assert_array_equal(batch["valid_by_trial"][0], valid[1:4])
    assert not batch["valid_by_trial"][1, 2].any()  # there was no third
    area["withheld"][1] = True
    made[PLACE].dataset = area
    data = RepeatDataset(TrialDataset(made[PLACE], ["pupil/x"], ["spike_data"]), list("abbbcca"))
    assert data[1]["withheld"]
    assert torch.isnan(data[1]["spike_data"]).all()


def test_stacks_keep_order_and_labels():
    made = tree(sessions=2)
    sets = [TrialDataset(made[f"session_{i}/VISp"], ["spike_data"], labels=True) for i in (0, 1)]
    stack = Stack(sets)
    assert len(stack) == 80
    rows = [41, 3, 79, 3]
    batch = stack.batch(rows)
    assert batch["session"] == ["session_1", "session_0", "session_1", "session_0"]
    for i, row in enumerate(rows):
        torch.testing.assert_close(batch["spike_data"][i], stack[row]["spike_data"])
        torch.testing.assert_close(batch["spike_data"][i], sets[row // 40][row % 40]["spike_data"])
    assert np.bincount(stack.owner).tolist() == [40, 40]
    stack.transform = lambda found: found | {"spike_data": found["spike_data"] * 2}
    torch.testing.assert_close(stack.batch(rows)["spike_data"], 2 * batch["spike_data"])
    torch.testing.assert_close(stack[41]["spike_data"], 2 * batch["spike_data"][0])


def test_a_dataset_on_a_device_is_the_dataset():
    clips = ClipDataset(clock_tree()["s/retina"], ["stimulus"], 1.0, ["responses"], stride=0.05)
    held = OnDevice(clips, "cpu")
    rows = [300, 5, 5]
    want = clips.batch(rows)
    for name, value in held.batch(rows).items():
        torch.testing.assert_close(value, want[name])
    torch.testing.assert_close(held[5]["responses"], want["responses"][1])
    assert len(held) == len(clips)
    assert held.kept["stimulus"].shape[0] == 400  # every frame once, however many windows


@pytest.mark.parametrize(
    "options",
    [
        {"pad": True, "window": [(10.0, 13.3), (20.0, 22.0)], "stride": 0.7},
        {"offsets": {"responses": 0.3}, "labels": True},
        {"transform": "normalise"},
    ],
)
def test_clips_on_a_device_are_the_clips(options):
    area = clock_tree()["s/retina"]
    area.dataset = area.to_dataset().assign(valid=("time", np.arange(400) % 70 != 5))
    if "transform" in options:
        still = ClipDataset(area, ["stimulus"], 1.0)
        options = {"transform": na.torch.Normalize.fit(still, ["stimulus"])}
    clips = ClipDataset(area, ["stimulus"], 1.0, ["responses"], **options)
    held, numbers = OnDevice(clips, "cpu"), list(range(len(clips)))[::-1]
    want, found = clips.batch(numbers), held.batch(numbers)
    assert list(found) == list(want)
    for name, value in found.items():
        if isinstance(value, str):
            assert value == want[name]
        else:
            torch.testing.assert_close(value, want[name], equal_nan=True)


def test_labels_of_a_stack_stay_with_their_samples_on_a_device():
    made = tree(sessions=2)
    sets = [TrialDataset(made[f"session_{i}/VISp"], ["spike_data"], labels=True) for i in (0, 1)]
    held = OnDevice(Stack(sets), "cpu")
    assert held.batch([45, 3])["session"] == ["session_1", "session_0"]
    assert held[79]["session"] == "session_1"


def test_a_transform_set_on_a_device_is_used():
    made = tree(sessions=1)["session_0/VISp"]
    clips = ClipDataset(clock_tree()["s/retina"], ["stimulus"], 1.0, stride=0.05)
    for data, name in ((TrialDataset(made, ["spike_data"]), "spike_data"), (clips, "stimulus")):
        held = OnDevice(data, "cpu")
        before = held.batch([3, 1])[name].clone()
        held.transform = lambda batch, name=name: batch | {name: batch[name] * 2}
        torch.testing.assert_close(held.batch([3, 1])[name], 2 * before, equal_nan=True)
        assert held.transform is not None


# -------------------------------------------------------------------------------------- raw spikes


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_windows_of_raw_spikes_are_bin_spikes(dtype):
    area = na.load_sample()["A2929-200711/adn"]
    starts = [812.3456, 700.0, 1000.01]
    data = na.torch.SpikeWindowDataset(
        area, 1.0, 0.01, starts, dtype=dtype, labels=True, series=["head_direction/ry"]
    )
    again = pickle.loads(pickle.dumps(data))
    want = na.bin_spikes(area["spikes"], starts, 0.01, (0, 1.0)).values.transpose(0, 2, 1)
    for one in (data, again):
        batch = one.batch([0, 1, 2])
        assert batch["spike_data"].dtype == getattr(torch, dtype)
        np.testing.assert_array_equal(batch["spike_data"], want)
    assert batch["time"].tolist() == starts
    assert batch["unit_id"].tolist() == area["spikes/unit_id"].values.tolist()
    series = area.parent["head_direction"].to_dataset()["ry"]
    centres = np.asarray(starts)[:, None] + (np.arange(100) + 0.5) / 100
    # Bins are narrower than the samples of head direction, which are therefore interpolated.
    found = na.interpolate(series, centres[1])
    np.testing.assert_allclose(batch["head_direction/ry"][1], found, rtol=1e-5)
    assert data[1]["spike_data"].shape == (100, 7)


def test_windows_of_raw_spikes_stay_in_their_stretches():
    area = na.load_sample()["A2929-200711/adn"]
    data = na.torch.SpikeWindowDataset(
        area, 1.0, stride=0.5, window=[(700, 703), (710, 710.5), (720, 721)]
    )
    assert data.starts.tolist() == [700, 700.5, 701, 701.5, 702, 720]
    with pytest.raises(ValueError, match="A2929-200711/adn: no window of 10 s"):
        na.torch.SpikeWindowDataset(area, 10.0, window=(700, 703))
    with pytest.raises(SchemaError, match="session_0/VISp has no spikes node"):
        na.torch.SpikeWindowDataset(tree()[PLACE], 1.0)
    with pytest.raises(ValueError, match="expected 'uint8', 'float32'"):
        na.torch.SpikeWindowDataset(area, 1.0, dtype="int8")


def test_windows_of_raw_spikes_lie_where_all_units_were_recorded():
    sample = na.load_sample()
    cut = na.restrict(sample, [(700.0, 703.0), (720.0, 721.0)])["A2929-200711/adn"]
    data = na.torch.SpikeWindowDataset(cut, 1.0)
    np.testing.assert_allclose(data.starts, [700, 701, 702, 720])
    want = na.torch.SpikeWindowDataset(sample["A2929-200711/adn"], 1.0, starts=data.starts)
    assert torch.equal(data.batch([0, 3])["spike_data"], want.batch([0, 3])["spike_data"])
    assert na.torch.SpikeWindowDataset(cut, 1.0, window=(690, 702.5)).starts.tolist() == [700, 701]
    with pytest.raises(ValueError, match="1 of 2 windows have time in which .* starts at 702.5 s"):
        na.torch.SpikeWindowDataset(cut, 1.0, starts=[701.5, 702.5])
    node = sample["A2929-200711/adn/spikes"].to_dataset().isel(interval=[0])
    stops = np.where(np.arange(7) < 3, 650.0, 704.0)[:, None]
    for name, values in (("observed_start", np.full((7, 1), 600.0)), ("observed_stop", stops)):
        node[name] = (("unit_id", "interval"), values, {"units": "s"})
    sample["A2929-200711/adn/spikes"].dataset = node  # only some units were recorded to the end
    assert na.torch.SpikeWindowDataset(sample["A2929-200711/adn"], 1.0).starts.max() == 649


# --------------------------------------------------------------------------------------- bad input


def test_a_window_longer_than_the_recording_is_named():
    with pytest.raises(
        ValueError, match=r"s/retina: no window of 30 s .* has 20 s, .* 10 to 30 s \(responses\)"
    ):
        ClipDataset(clock_tree()["s/retina"], ["responses"], 30.0)


def test_a_chunk_longer_than_a_clip_is_named():
    window = [(10.0, 12.0), (14.0, 16.0)]
    with pytest.raises(
        ValueError, match=r"s/retina: no window of 3 s .* has 2 s, .* \(responses\)"
    ):
        ClipDataset(clock_tree()["s/retina"], ["responses"], 3.0, window=window)


def test_an_empty_split_is_named():
    with pytest.raises(SchemaError, match="session_0/VISp: rows is empty"):
        TrialDataset(tree()[PLACE], ["speed"], rows=np.zeros(40, bool))


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (np.ones(3, bool), "a mask of 40, found bool of shape"),
        ([0.5, 1.0], "expected positions of presentations .* found float64"),
        ([[0, 1]], r"found int64 of shape \(1, 2\)"),
        ([3, 40], "has position 40, but there are 40"),
        ([-1, 3], "has position -1, but there are 40"),
    ],
)
def test_rows_that_are_none_are_named(rows, text):
    with pytest.raises(SchemaError, match=f"session_0/VISp: rows.* {text}"):
        TrialDataset(tree()[PLACE], ["speed"], rows=rows)


def test_numbers_of_samples_are_checked():
    clips = ClipDataset(clock_tree()["s/retina"], ["responses"], 1.0)
    last = clips.batch([-1, len(clips) - 1])
    assert torch.equal(last["responses"][0], last["responses"][1])
    assert clips.batch([])["responses"].shape == (0, 20, 5)
    for wrong in ([len(clips)], [0, -len(clips) - 1]):
        with pytest.raises(IndexError, match=r"s/retina: there is no sample -?2\d; there are 20"):
            clips.batch(wrong)
    assert sum(1 for _ in clips) == len(clips)  # the old protocol of iteration ends


def test_durations_are_whole_bins():
    area = clock_tree()["s/retina"]
    for options in (
        {"length": 0.33},
        {"length": 1.0, "stride": 0.16},
        {"length": 1.0, "offsets": {"responses": 0.02}},
    ):
        with pytest.raises(
            ValueError, match=r"s are \d\.\d+ bins of 0.05 s; expected a whole number"
        ):
            ClipDataset(area, ["responses"], **options)
    with pytest.raises(
        ValueError, match="length: nan s are nan bins of 0.05 s; expected a whole number"
    ):
        ClipDataset(area, ["responses"], float("nan"))
    assert ClipDataset(area, ["responses"], 0.3 + 1e-9).bins == 6


def test_what_a_dataset_is_is_shown():
    area = tree()[PLACE]
    trials = TrialDataset(area, ["spike_data"], ["speed"], dtype={"spike_data": "uint8"})
    shown = "of session_0/VISp: 40 samples, spike_data (6, 9) uint8, speed (9,) float32>"
    assert repr(trials) == f"<TrialDataset {shown}"
    assert repr(OnDevice(trials, "cpu")).startswith("<OnDevice of session_0/VISp on cpu: 40 samp")
    assert repr(RepeatDataset(trials, np.arange(40) // 4)).endswith(", repeats 1 to 4>")
    clips = ClipDataset(clock_tree()["s/retina"], ["responses"], 1.0)
    assert repr(clips) == "<ClipDataset of s/retina: 20 samples, responses (20, 5) float32>"
    assert repr(Stack([trials, trials])).startswith("<Stack of session_0/VISp, session_0/VISp: 80")


def test_nan_in_targets_stays_nan():
    made = clock_tree()
    values = made["s/retina/responses"].values
    values[3, 2] = np.nan
    clip = ClipDataset(made["s/retina"], [], 1.0, ["responses"])[0]
    assert torch.isnan(clip["responses"]).nonzero().tolist() == [[3, 2]]
    with pytest.raises(ValueError, match="s/retina: responses holds float32, which uint8"):
        ClipDataset(made["s/retina"], [], 1.0, ["responses"], dtype="uint8")


def test_other_units_are_not_stacked():
    sets = [
        TrialDataset(tree(seed=s)[p], ["spike_data"]) for s, p in ((0, PLACE), (1, "session_0/CA1"))
    ]
    with pytest.raises(
        SchemaError, match="session_0/CA1: spike_data is of other units than in session_0/VISp"
    ):
        Stack(sets)
    fewer = TrialDataset(tree(units=4)[PLACE], ["spike_data"])
    with pytest.raises(SchemaError, match=r"session_0/VISp: spike_data is \(4, 9\)"):
        Stack([sets[0], fewer])
    with pytest.raises(SchemaError, match="VISp is a TrialDataset of \\['speed'\\]"):
        Stack([sets[0], TrialDataset(tree()[PLACE], ["speed"])])


def test_two_clocks_are_named():
    groups = {"/": clock_tree().to_dataset()}
    for name, n in (("a", 40), ("b", 50)):
        groups[f"s/x/{name}"] = xr.Dataset(
            {"v": ("time", np.zeros(n))}, {"time": np.arange(n) / 10}
        )
    made = xr.DataTree.from_dict(groups)
    with pytest.raises(SchemaError, match=r"s/x: b/v has another clock \(50 samples\) than a/v"):
        ClipDataset(made["s/x"], ["a/v", "b/v"], 1.0)
    made["s/x/a"].dataset = xr.Dataset({"v": ("time", np.zeros(3))}, {"time": [0.0, 2.0, 1.0]})
    with pytest.raises(SchemaError, match="s/x: a/v: time decreases"):
        ClipDataset(made["s/x"], ["a/v"], 1.0)


def test_a_clock_without_times_is_named():
    groups = {"/": clock_tree().to_dataset(), "s/x": xr.Dataset({"v": ("time", np.zeros(9))})}
    with pytest.raises(SchemaError, match="s/x: v has no clock: nothing says how long"):
        ClipDataset(xr.DataTree.from_dict(groups)["s/x"], ["v"], 1.0)


def test_a_file_that_has_vanished_is_named(tmp_path):
    path = na.save(tree(), tmp_path / "a.h5")
    data = TrialDataset(na.open_datatree(path)[PLACE], ["speed"], cache=False)
    close_all()
    path.unlink()
    with pytest.raises(NeuroArraysError, match="session_0/VISp: valid"):
        data[0]
    loader = torch.utils.data.DataLoader(data, 4, num_workers=1, collate_fn=na.torch.collate)
    with pytest.raises(NeuroArraysError, match="session_0/VISp: valid"):
        next(iter(loader))


def test_counts_that_do_not_fit_are_named():
    made = tree()
    counts = made[f"{PLACE}/spike_data"].astype("u2") + 300
    made[PLACE].dataset = made[PLACE].to_dataset().assign(spike_data=counts)
    with pytest.raises(
        OverflowError, match="session_0/VISp: spike_data has the value 30., which uint8"
    ):
        TrialDataset(made[PLACE], ["spike_data"], dtype="uint8")[0]
    assert TrialDataset(made[PLACE], ["spike_data"])[0]["spike_data"].min() >= 300


def test_other_mistakes_say_what_is_expected():
    area = tree()[PLACE]
    with pytest.raises(NotInTree, match="did you mean 'spike_data'"):
        TrialDataset(area, ["spike_dta"])
    with pytest.raises(NotInTree, match=r"align it first: na.align\(tree, "):
        TrialDataset(na.load_sample()["A2929-200711/adn"], ["spike_data"])
    with pytest.raises(ValueError, match="expected a list of variables, got the text"):
        TrialDataset(area, "spike_data")
    with pytest.raises(ValueError, match="no variables: give"):
        TrialDataset(area, [])
    with pytest.raises(ValueError, match="dtype='int3' for speed"):
        TrialDataset(area, ["speed"], dtype="int3")
    with pytest.raises(ValueError, match="dtype: 'sped' is not among the variables"):
        TrialDataset(area, ["speed"], dtype={"sped": "uint8"})
    with pytest.raises(ValueError, match="cache='yes': expected 'auto', True or False"):
        TrialDataset(area, ["speed"], cache="yes")
    with pytest.raises(TypeError, match="found an array"):
        TrialDataset(np.zeros(3), ["speed"])
    with pytest.raises(SchemaError, match="session_0/VISp: presentations/stimulus has dtype"):
        TrialDataset(area, ["presentations/stimulus"])
    with pytest.raises(SchemaError, match="is not along presentation_id"):
        TrialDataset(clock_tree()["s/retina"], ["responses"])


# ------------------------------------------------------------------- torch's own loaders and parts


@pytest.mark.parametrize("workers", [0, 1])
def test_torchs_loader_as_every_tutorial_has_it(workers):
    from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

    data = TrialDataset(tree()[PLACE], ["spike_data"], ["speed"], labels=True)
    clips = ClipDataset(clock_tree()["s/retina"], ["responses"], 1.0)
    first = random_split(data, [30, 10], torch.Generator().manual_seed(0))[0]
    every = (clips, ConcatDataset([data, data]), data, Subset(data, [3, 1, 2]), first)
    for parts in every[:2] if workers else every:  # each loader starts workers of its own
        loader = DataLoader(parts, batch_size=8, num_workers=workers)
        batch, want = next(iter(loader)), [parts[i] for i in range(min(8, len(parts)))]
        assert batch.keys() == want[0].keys()
        for name in batch:
            for i, sample in enumerate(want):
                if isinstance(sample[name], str):
                    assert batch[name][i] == sample[name]
                else:
                    torch.testing.assert_close(batch[name][i], sample[name], equal_nan=True)
        whole = DataLoader(parts, 8, num_workers=workers, collate_fn=na.torch.collate)
        name = next(iter(want[0]))
        torch.testing.assert_close(next(iter(whole))[name], batch[name])
        again = na.torch.Loader(parts, na.torch.Batches(len(parts), 8), num_workers=workers)
        torch.testing.assert_close(next(iter(again))[name], batch[name])


def test_a_collate_function_of_ones_own_gets_samples():
    data = TrialDataset(tree()[PLACE], ["spike_data"])
    loader = torch.utils.data.DataLoader(
        data, 4, collate_fn=lambda samples: [sample["spike_data"].sum() for sample in samples]
    )
    want = data.batch(range(4))["spike_data"].sum((1, 2))
    torch.testing.assert_close(torch.stack(next(iter(loader))), want)


def test_what_a_loader_cannot_use_is_said_with_what_to_write():
    data = TrialDataset(tree()[PLACE], ["spike_data"])
    with pytest.raises(TypeError, match=r"na\.torch\.Batches\(len\(data\), 64, shuffle=True\)"):
        na.torch.Loader(data, 8)
    with pytest.raises(TypeError, match=r"\.batch\(\[0, 1, 2\]\)"):
        data[0:8]
    pairs = TrialDataset(tree()[PLACE], ["spike_data"], transform=lambda b: [b["spike_data"]])
    with pytest.raises(TypeError, match=r"collate_fn=na\.torch\.collate"):
        next(iter(torch.utils.data.DataLoader(pairs, 8)))
    whole = torch.utils.data.DataLoader(pairs, 8, collate_fn=na.torch.collate)
    assert next(iter(whole))[0].shape[0] == 8
