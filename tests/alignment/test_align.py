"""One clock out of many: exact windows, honest masks, labels that follow."""

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.alignment.session import _responses
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.files.source import Source
from neuroarrays.kernels import grid
from neuroarrays.lazy.indexes import dataset
from neuroarrays.synthetic import write_nwb
from neuroarrays.tree.observed import with_stretches

SESSION = "A2929-200711"


@pytest.fixture(scope="module")
def sample():
    return na.load_sample()


def recording(trains, tables=None, series=None, name="s1"):
    """Build a recording tree in memory: one area, tables of presentations, series."""
    sizes = np.array([len(t) for t in trains], np.int64)
    times = np.concatenate([np.asarray(t, float) for t in trains])
    spikes = dataset(
        {
            "spike_times": schema.var("spikes", "spike_times", times),
            "row_size": schema.var("spikes", "row_size", sizes),
        },
        {"unit_id": xr.Variable("unit_id", np.arange(len(trains)))},
    )
    groups = {f"{name}/VISp/spikes": spikes}
    for table, columns in (tables or {}).items():
        n = len(columns["start_time"])
        groups[f"{name}/presentations/{table}"] = xr.Dataset(
            {k: ("presentation_id", np.asarray(v)) for k, v in columns.items()},
            {"presentation_id": np.arange(n)},
        )
    for path, (clock, values, attrs) in (series or {}).items():
        leaf = path.rpartition("/")[2]
        variable = "speed" if leaf == "running" else leaf
        groups[f"{name}/{path}"] = xr.Dataset(
            {variable: ("time", np.asarray(values, float), attrs)}, {"time": np.asarray(clock)}
        )
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=schema.root_attrs("recording"))} | groups)


TABLE = {"start_time": [1.0, 1.25, 1.2], "stop_time": [1.25, 1.5, 1.45], "orientation": [0, 90, 0]}


def test_a_name_of_several_that_no_session_has_is_said():
    tree = recording([[1.01, 1.26]], {"gratings": TABLE})
    aligned = na.align(tree, "gratings + gabors", bin_width=0.1)
    assert aligned["s1"].sizes["presentation_id"] == 3
    assert aligned.attrs["history"].endswith("; left out: gabors: no session has this table")
    assert aligned.attrs["notes"] == ["gabors: not aligned, no session has this table"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"presentations": "gratings +"}, r"'gratings \+': expected a name on either side"),
        ({"clip": "no"}, "clip='no': expected True or False"),
        ({"binarize": 1}, "binarize=1: expected True or False"),
        ({"blanks": "no"}, "blanks='no': expected 'drop' or 'keep'"),
        ({"missing": "no"}, "missing='no': expected 'skip' or 'raise'"),
        ({"event_clock": "no"}, "event_clock='no': expected 'session' or 'presentation'"),
    ],
)
def test_options_that_are_none(options, expected):
    tree = recording([[1.01, 1.26]], {"gratings": TABLE})
    with pytest.raises(ValueError, match=expected):
        na.align(tree, **{"presentations": "gratings", "bin_width": 0.1} | options)
    if "presentations" not in options:  # not without presentations either, which need some less
        with pytest.raises(ValueError, match=expected):
            na.align(tree, bin_width=0.1, **options)


def test_trials_are_aligned_with_labels_masks_and_parameters():
    tree = recording([[1.01, 1.26, 1.3], [1.24, 1.25]], {"gratings": TABLE})
    area = na.align(tree, "gratings", bin_width=0.1)["s1/VISp"]
    assert area["spike_data"].dims == ("presentation_id", "unit_id", "time")
    # 0.25 s at 100 ms: three bins; the third ends after the stop and is not whole
    assert area["valid"].values.tolist() == [[True, True, False]] * 3
    assert area["spike_data"].values[0].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert area["spike_data"].values[1].tolist() == [[2, 0, 0], [1, 0, 0]]
    assert area["spike_data"].values[2].tolist() == [[1, 1, 0], [2, 0, 0]]
    means = area["spike_data"].groupby("orientation").mean("presentation_id")
    assert means["orientation"].values.tolist() == [0, 90]
    assert area["presentations"]["duration"].values.tolist() == [0.25, 0.25, 0.25]
    assert na.validate(area.root, values=True)


def test_clip_false_counts_on_and_every_bin_is_whole():
    tree = recording([[1.01, 1.26, 1.29]], {"gratings": TABLE})
    area = na.align(tree, "gratings", bin_width=0.1, clip=False)["s1/VISp"]
    assert area["spike_data"].values[0].tolist() == [[1, 0, 2]]
    assert area["valid"].values.all()


def test_a_continuous_clock_holds_every_spike(sample):
    aligned = na.align(sample, bin_width=0.02)
    na.validate(aligned, values=True)
    for area in ("adn", "ca1"):
        counted = aligned[f"{SESSION}/{area}/spike_data"]
        want = sample[f"{SESSION}/{area}/spikes/row_size"].values
        np.testing.assert_array_equal(counted.sum("time").values, want)
        assert "time" not in aligned[f"{SESSION}/{area}"].to_dataset(inherit=False).coords


@pytest.mark.parametrize("width", [0.001, 0.02, 0.03])
def test_a_window_on_the_grid_agrees_with_the_whole_session(width):
    """Spikes on edges, a signal sampled at centres, frames shown from edges on: bin for bin."""
    count, first = 4000, 90_000
    edges = grid.bin_edges(0.0, count, width, first)
    clock = grid.bin_centres(0.0, count, width, first)
    tree = recording([edges], series={"running": (clock, np.arange(count), {})}, name="s")
    film = xr.Dataset(
        {"stimulus": (("time", "y"), np.arange(count)[:, None])}, {"time": edges[:-1]}
    )
    tree["s/film"] = xr.DataTree(film)
    whole = na.align(tree, bin_width=width, window=(edges[0], edges[-1]), method="nearest")["s"]
    assert (whole["VISp/spike_data"] == 1).all()
    rows = np.arange(0, count - 50, 77)
    onsets = (
        (first + rows + 10) / round(1 / width) if width != 0.03 else (first + rows + 10) * width
    )
    parts = na.align(tree, onsets, width, (-10 * width, 40 * width), method="nearest", clip=False)[
        "s"
    ]
    inside = rows[:, None] + np.arange(50)
    np.testing.assert_array_equal(
        parts["VISp/spike_data"][:, 0], whole["VISp/spike_data"].values[inside, 0]
    )
    np.testing.assert_array_equal(parts["VISp/speed"], whole["VISp/speed"].values[inside])
    np.testing.assert_array_equal(parts["stimulus"], whole["stimulus"].values[inside])


def test_behaviour_is_nan_where_it_was_not_recorded(sample):
    aligned = na.align(sample, bin_width=0.02, method="linear")
    x = aligned[f"{SESSION}/adn/position/x"]
    clock = sample[f"{SESSION}/position/time"].values
    inside = (x["time"] >= clock[0]) & (x["time"] <= clock[-1])
    assert np.isfinite(x.values[inside]).all()
    assert np.isnan(x.values[~inside]).all()
    raw = sample[f"{SESSION}/position/x"].values
    np.testing.assert_allclose(x.values[inside], np.interp(x["time"][inside], clock, raw))


@pytest.mark.parametrize("clock", [[], [np.nan], [np.nan, np.nan]])
def test_a_series_without_any_time_is_missing(clock):
    for values in (np.ones(len(clock)), np.ones((len(clock), 2))):
        series = xr.DataArray(values, {"time": clock}, ("time", "axis")[: values.ndim])
        found = na.interpolate(series, [0.0, 1.0])
        assert found.shape == (2, *values.shape[1:])
        assert np.isnan(found).all()


def test_an_angle_takes_the_shorter_arc():
    tree = recording(
        [[0.0, 3.0]],
        series={"head_direction/ry": ([0, 1, 2, 3], [6.2, 0.1, 6.2, 6.1], {"period": 2 * np.pi})},
    )
    found = na.align(tree, bin_width=0.5, window=(0, 3))["s1/VISp/head_direction/ry/ry"]
    wrapped = np.angle(np.exp(1j * (found.values - np.array([6.2, 0.1, 0.1, 6.2, 6.2, 6.1]))))
    assert np.abs(wrapped).max() < 0.06
    assert ((found >= 0) & (found < 2 * np.pi)).all()


def test_running_speed_stands_in_the_area_and_gaps_are_not_bridged():
    clock, speed = [0.0, 0.1, 0.2, 2.0, 2.1], [0.0, 1.0, 2.0, 20.0, 21.0]
    tree = recording([[0.0, 2.0]], series={"running": (clock, speed, {"units": "cm/s"})})
    linear = na.align(tree, bin_width=0.2, window=(0, 2.2), max_gap=0.5, method="linear")
    speed = linear["s1/VISp/speed"].values
    known = np.isfinite(speed)
    assert known.tolist() == [True, *[False] * 9, True]
    np.testing.assert_allclose(speed[known], [1.0, 21.0])
    mean = na.align(tree, bin_width=0.2, window=(0, 2.2), max_gap=0.5)["s1/VISp/speed"].values
    # A sample stands for half a step on each side: 0.2 s for 0.15 to 0.25, 2 s for 1.95 to 2.05.
    known = np.isfinite(mean)
    assert known.tolist() == [True, True, *[False] * 7, True, True]
    np.testing.assert_allclose(mean[known], [1.0, 2.0, 20.0, (20 * 0.05 + 21 * 0.1) / 0.15])


def test_the_default_is_the_mean_where_bins_are_wider_than_the_sampling_interval():
    clock = np.arange(0, 4, 0.1) + 0.05
    lick = np.arange(40.0)
    slow = ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 10.0, 20.0, 30.0, 40.0], {})
    tree = recording(
        [[0.0, 3.0]],
        series={
            "running": (clock, lick, {}),
            "pupil": slow,
            "heading": (clock, np.tile([350.0, 10.0], 20), {"period": 360.0}),
        },
    )
    aligned = na.align(tree, bin_width=0.2, window=(0, 4), series="*")
    area = aligned["s1/VISp"]
    np.testing.assert_allclose(area["speed"], lick.reshape(20, 2).mean(axis=1))
    np.testing.assert_allclose(area["pupil/pupil"], area["time"] * 10)
    turned = (area["heading/heading"].values + 180) % 360
    np.testing.assert_allclose(turned, 180)
    assert "mean of each bin: heading, speed; at the middle of each bin: pupil" in aligned.history
    assert area["speed"].attrs["cell_methods"] == "time: mean"
    largest = na.align(tree, bin_width=0.2, window=(0, 4), method="max")["s1/VISp/speed"]
    np.testing.assert_allclose(largest, lick[1::2])
    asked = na.align(tree, [1.0, 2.0], 0.2, (0, 1), clip=False)["s1/VISp/speed"]
    np.testing.assert_allclose(asked, area["speed"].values[5:15].reshape(2, 5))


def test_event_times_relative_to_the_trial_are_recognised_and_said(shared_data):
    tree = na.open_datatree(shared_data / "dandi000006_ALM_ephys")
    aligned = na.align(tree, "trials", 0.05, (-2, 2), event="cue_start_time")
    assert "event_clock='presentation'" in aligned.attrs["history"]
    said = na.align(
        tree, "trials", 0.05, (-2, 2), event="cue_start_time", event_clock="presentation"
    )
    for name in tree.children:
        node = tree[f"{name}/presentations/trials"]
        trains = tree[f"{name}/ALM/spikes"].to_dataset()
        onset = (node["start_time"] + node["cue_start_time"]).values
        unit = trains["unit_id"].values[0]
        train = np.sort(trains.sel(unit_id=unit)["spike_times"].values)
        want = np.diff(np.searchsorted(train, (onset - 2)[:, None] + np.arange(81) / 20), axis=1)
        got = aligned[f"{name}/ALM/spike_data"].sel(unit_id=unit)
        np.testing.assert_array_equal(got.values, want)
        np.testing.assert_array_equal(said[f"{name}/ALM/spike_data"].sel(unit_id=unit), want)


def test_event_times_whose_clock_cannot_be_told_are_an_error():
    table = TABLE | {"cue": [0.1, 50.0, 0.1]}
    tree = recording([[1.0]], {"gratings": table})
    with pytest.raises(ValueError, match="give event_clock="):
        na.align(tree, "gratings", 0.1, (0, 0.1), event="cue")
    table = TABLE | {"cue": [1.1, 1.3, 1.3]}
    got = na.align(recording([[1.1, 1.3]], {"g": table}), "g", 0.1, (0, 0.1), event="cue")
    assert "event_clock='session'" in got.attrs["history"]
    assert got["s1/VISp/spike_data"].values.ravel().tolist() == [1, 1, 1]


def test_a_table_of_ones_own():
    frame = pd.DataFrame({"start_time": [1.0, 2.0], "stop_time": [1.5, 2.5], "odour": ["a", "b"]})
    area = na.align(recording([[1.1, 2.2, 2.3]]), frame, 0.25)["s1/VISp"]
    assert area["spike_data"].sum(("unit_id", "time")).values.tolist() == [1, 2]
    assert area["odour"].values.tolist() == ["a", "b"]


def test_sessions_share_one_time_axis():
    one = recording([[1.0]], {"t": {"start_time": [1.0], "stop_time": [1.3]}})
    two = recording([[1.0]], {"t": {"start_time": [1.0], "stop_time": [1.5]}}, name="s2")
    both = xr.DataTree.from_dict({"/": one.to_dataset()} | {"/s1": one["s1"], "/s2": two["s2"]})
    aligned = na.align(both, "t", 0.1)
    assert aligned["s1"].sizes["time"] == aligned["s2"].sizes["time"] == 5


def test_calcium_is_interpolated_as_responses(shared_data):
    tree = na.open_datatree(shared_data / "pynapple_A0662_suite2p" / "2022_08_08.nwb")
    aligned = na.align(tree, bin_width=0.2, method="linear")
    raw = tree["2022_08_08/V1/Fluorescence"].to_dataset()
    got = aligned["2022_08_08/V1/responses"]
    assert got.attrs["signal"] == "Fluorescence"
    assert got.dims == ("time", "unit_id")
    want = np.interp(got["time"], raw["time"], raw["Fluorescence"][:, 5])
    np.testing.assert_allclose(got[:, 5].values, want, rtol=1e-5)


def test_nothing_is_read_until_it_is_asked_for(sample, monkeypatch):
    read = []
    original = type(sample_source(sample)).read
    monkeypatch.setattr(
        "neuroarrays.files.hdf5.HDF5Source.read",
        lambda self, name, key=(): read.append(name) or original(self, name, key),
    )
    na.release()
    tree = na.load_sample()
    aligned = na.align(tree, "sleep_ripples", bin_width=0.01, window=(0, 0.1))
    assert not [n for n in read if "spike_times" in n.rpartition("/")[2:] or "/data" in n]
    aligned[f"{SESSION}/adn/spike_data"].isel(presentation_id=3, unit_id=2).values  # noqa: B018
    assert [n for n in read if n.endswith("spike_times")]
    assert not [n for n in read if n.endswith("/data")]


def sample_source(tree) -> Source:
    """Return the file behind the sample's spikes."""
    from neuroarrays.lazy.arrays import array_of

    return array_of(tree[f"{SESSION}/adn/spikes/spike_times"].variable).base.source


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)],
)
def test_dask_on_top_changes_nothing(sample, scheduler):
    import dask

    options = {"presentations": "sleep_ripples", "bin_width": 0.01, "window": (-0.1, 0.1)}
    eager = na.align(sample, **options)
    lazy = na.align(sample, **options, chunks={"presentation_id": 200})
    assert lazy[f"{SESSION}/adn/spike_data"].chunks[0] == (200, 200, 194)
    paths = [f"{SESSION}/{p}" for p in ("ca1/spike_data", "adn/head_direction/rx", "ca1/valid")]
    found = dask.compute(
        *(lazy[path] for path in paths),
        scheduler=scheduler,
        num_workers=1 + (scheduler == "threads"),
    )
    for path, values in zip(paths, found, strict=True):
        np.testing.assert_array_equal(values, eager[path].values)
    assert lazy[f"{SESSION}/ca1/start_time"].chunks is None


@pytest.mark.slow
def test_a_cluster_of_processes_changes_nothing(sample):
    distributed = pytest.importorskip("distributed", reason="the extra `distributed` is missing")
    options = {"presentations": "sleep_ripples", "bin_width": 0.01, "window": (-0.1, 0.1)}
    want = na.align(sample, **options)[f"{SESSION}/ca1/spike_data"].values
    for opened in (None, {}):
        tree = na.load_sample(chunks=opened)
        lazy = na.align(tree, **options, chunks={"presentation_id": 200})
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        )
        with cluster, distributed.Client(cluster):
            got = lazy[f"{SESSION}/ca1/spike_data"].compute()
        np.testing.assert_array_equal(got.values, want)


def test_every_bad_argument_is_named(sample):
    bad = [
        ({"presentations": "sleep_riples"}, NotInTree, "did you mean 'sleep_ripples'"),
        (
            {"presentations": "epochs", "event": "cue"},
            NotInTree,
            "no column 'cue' in 'epochs' of session",
        ),
        ({"presentations": "epochs", "bin_width": -1}, ValueError, "bin_width=-1"),
        ({"bin_width": float("nan")}, ValueError, "bin_width=nan"),
        ({"window": (0, 5000)}, ValueError, "5000 s is longer than the recording of session"),
        ({"presentations": "epochs", "window": (0, 5000)}, ValueError, "spans 0.000 to 1200.000"),
        ({"method": "cubic"}, ValueError, "expected one of 'linear'"),
        ({"max_gap": 0}, ValueError, "max_gap=0"),
        ({"series": "lfp"}, NotInTree, "no series 'lfp'; there are"),
        ({"presentations": "epochs", "event_clock": "x"}, ValueError, "'session' or"),
    ]
    for options, error, message in bad:
        with pytest.raises(error, match=message):
            na.align(sample, **options)
    with pytest.raises(SchemaError, match="aligned already"):
        na.align(na.align(sample))
    with pytest.raises(SchemaError, match="neuroarrays_schema attribute"):
        na.align(xr.DataTree())


def test_a_recording_without_units_has_its_signals(shared_data):
    tree = na.open_datatree(shared_data / "neo_granule_patch" / "GrC_Subject15_180116.nwb")
    (name,) = tree.children
    node = next(n for n in tree[name].subtree if "time" in n.dims)
    start = float(node.time[0])
    aligned = na.align(tree, bin_width=0.01, window=(start, start + 0.1))
    na.validate(aligned)
    assert [n for n in aligned[name].subtree if "time" in n.dims and n.data_vars]


def test_interpolate_keeps_names_units_and_labels(sample):
    position = sample[f"{SESSION}/position"]
    got = na.interpolate(position, [700.0, 800.0, 5.0], method="previous")
    clock, raw = position["time"].values, position["y"].values
    want = raw[np.searchsorted(clock, [700.0, 800.0], side="right") - 1]
    np.testing.assert_array_equal(got["y"].values[:2], want)
    assert np.isnan(got["y"].values[2])
    one = na.interpolate(position["x"], xr.DataArray([700.0], {"event": [4]}, "event"))
    assert one.dims == ("event",)
    assert one.name == "x"
    with pytest.raises(SchemaError, match="no `time` coordinate"):
        na.interpolate(xr.Dataset({"x": ("y", [1.0])}), [0.0])


def test_one_session_of_a_tree_and_bare_onsets(sample):
    one = na.align(sample[SESSION], [700.0, 701.0], 0.1, (0, 0.5))
    assert one[f"{SESSION}/adn/spike_data"].sizes == {
        "presentation_id": 2,
        "unit_id": 7,
        "time": 5,
    }
    assert one.attrs["history"].startswith("neuroarrays")
    with pytest.raises(SchemaError, match="part of a session"):
        na.align(sample[f"{SESSION}/adn"])


def test_one_continuous_series_becomes_responses():
    tree = recording([[0.0, 1.9]])
    groups = {
        "/": tree.to_dataset(),
        "s1/VISp/dff": xr.Dataset(
            {"dff": (("time", "unit_id"), np.arange(8.0).reshape(4, 2), {"units": "1"})},
            {"time": [0.0, 0.5, 1.0, 1.5], "unit_id": [4, 9]},
        ),
    }
    found = na.align(xr.DataTree.from_dict(groups), bin_width=0.5, window=(0, 1.5))["s1/VISp"]
    assert found["responses"].attrs["signal"] == "dff"
    np.testing.assert_allclose(found["responses"][:, 0], [1.0, 3.0, 5.0])


def test_milliseconds_for_seconds_are_noticed(sample):
    with pytest.raises(ValueError, match="longer than the window of 0.2864 s.*0.02 for 20 ms"):
        na.align(sample, "sleep_ripples", bin_width=20)
    with pytest.raises(SchemaError, match="open one: tree = na.open_datatree"):
        na.align("recording.nwb")
    with pytest.raises(TypeError, match="open already"):
        na.open_datatree(sample)


def imaged(ids, name="fluorescence", seed=0):
    """A series of units, 10 Hz for 3 s."""
    clock = np.arange(0, 3, 0.1)
    values = np.random.default_rng(seed).normal(size=(clock.size, len(ids)))
    return xr.Dataset(
        {name: (("time", "unit_id"), values, {"units": "a.u."})},
        {"time": clock, "unit_id": ids},
    )


def test_signals_of_other_units_are_an_area_of_their_own():
    tree = recording([[0.5], [1.5, 2.9]])
    tree["s1/VISp/plane"] = xr.DataTree(imaged([7, 8, 9]))
    aligned = na.align(tree, bin_width=0.1)
    assert aligned["s1/VISp/spike_data"].sizes["unit_id"] == 2
    assert aligned["s1/VISp_plane/responses"].unit_id.values.tolist() == [7, 8, 9]
    clock = aligned["s1"].time.values
    expected = np.interp(clock, np.arange(0, 3, 0.1), imaged([7, 8, 9]).fluorescence[:, 1])
    within = (clock >= 0) & (clock <= 2.9)
    found = aligned["s1/VISp_plane/responses"].sel(unit_id=8).values
    np.testing.assert_allclose(found[within], expected[within])
    assert not na.validate(aligned)
    tree["s1/VISp_plane/spikes"] = tree["s1/VISp/spikes"].copy()
    with pytest.raises(SchemaError, match=r"plane has other units.*'VISp_plane', which exists"):
        na.align(tree, bin_width=0.1)


def test_two_signals_of_one_name_are_both_kept():
    tree = recording([[0.5], [1.5, 2.9]])
    tree["s1/VISp/cells"] = xr.DataTree(imaged([0, 1], "data", seed=1))
    tree["s1/VISp/neuropil"] = xr.DataTree(imaged([0, 1], "data", seed=2))
    area = na.align(tree, bin_width=0.1, window=(0, 2.9))["s1/VISp"]
    for name, seed in (("responses", 1), ("neuropil_data", 2)):
        expected = (lambda v: (v[5] + v[6]) / 2)(imaged([0, 1], "data", seed).data.values)
        np.testing.assert_allclose(area[name].isel(time=5), expected)


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["Neuropil", "Fluorescence", "Deconvolved"], None, "Fluorescence"),
        (["Fluorescence", "DfOverF"], None, "DfOverF"),
        (["F", "dff", "neuropil"], None, "dff"),
        (["neuropil_fluorescence", "spks", "events"], None, "events"),
        (["neuropil"], None, "neuropil"),
        (["Neuropil", "Fluorescence", "Deconvolved"], "Deconvolved", "Deconvolved"),
    ],
)
def test_one_of_several_signals_is_the_responses(names, wanted, chosen):
    nodes = {f"/s1/V1/{n}": imaged([0, 1], n, seed=i) for i, n in enumerate(names)}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=schema.root_attrs("recording"))} | nodes)
    options = {"bin_width": 0.1, "window": (0, 2.9), "responses": wanted}
    area = na.align(tree, **options)["s1/V1"]
    assert area["responses"].attrs["signal"] == chosen
    assert set(area.data_vars) == {"responses", *names} - {chosen}
    raw = nodes[f"/s1/V1/{chosen}"][chosen].values
    np.testing.assert_allclose(area["responses"].isel(time=5), (raw[5] + raw[6]) / 2)
    with pytest.raises(NotInTree, match="no series of units 'spikes' in area 's1/V1'; there are"):
        na.align(tree, **options | {"responses": "spikes"})


def test_signals_of_one_name_are_told_apart_by_their_nodes():
    attrs = {"nwb_path": "/processing/ophys/Raw/plane0"}
    leaves = ["a", "b", "b_data", "data_c"]
    signals = {leaf: {"data": xr.Variable("time", [k], attrs)} for k, leaf in enumerate(leaves)}
    found = _responses(signals, "a", "s/V1")
    assert {name: variable.item() for name, variable in found.items()} == {
        "responses": 0,
        "b_data": 1,
        "b_data_b_data": 2,  # its node is called as the one before is
        "data_c_data": 3,
    }
    for wanted in ("plane0", "Raw", "data"):  # its container in the file, and that of it
        assert _responses(signals, wanted, "s/V1")["responses"].attrs["signal"] == "data"
    assert _responses(signals, "b_data", "s/V1")["responses"].item() == 1
    assert _responses({}, "dff", "s/V1") == {}
    with pytest.raises(
        NotInTree, match=r"no series of units 'dff' in area 's/V1'; there are 'a', 'da"
    ):
        _responses(signals, "dff", "s/V1")


@pytest.mark.parametrize("units", [True, False])
def test_films_are_called_by_their_paths_and_attributes_stay(units):
    clock = np.arange(4) / 2
    tree = recording([[0.1]], series={"running": (clock, clock, {})})
    tree["s1"].attrs["subject"] = "m7"
    for k, path in enumerate(("left", "right/far")):
        film = xr.Dataset({"stimulus": (("time", "y"), np.full((4, 1), k))}, {"time": clock})
        tree[f"s1/{path}"] = xr.DataTree(film)
    if not units:
        del tree["s1"]["VISp"]
    found = na.align(tree, bin_width=0.5, window=(0, 1.0), series=None if units else "running")
    assert found["s1"].attrs["subject"] == "m7"
    assert found["s1/left"].values.ravel().tolist() == [0, 0]
    assert found["s1/right_far"].values.ravel().tolist() == [1, 1]


def test_history_says_what_was_done_and_notes_are_kept():
    tree = recording([[1.0, 1.1]], {"gratings": TABLE})
    tree.attrs |= {"history": "made", "notes": ["dark"], "lab": "x"}
    other = recording([[1.0]], name="s2")
    both = xr.DataTree.from_dict({"/": tree.to_dataset(), "/s1": tree["s1"], "/s2": other["s2"]})
    attrs = na.align(both, "gratings", 0.1, dtype="u2").attrs
    before, done = attrs["history"].split("\n")
    assert before == "made"
    assert done.startswith("neuroarrays ")
    assert "align(presentations='gratings', bin_width=0.1, event='start_time', " in done
    assert "event_clock='session', " in done
    assert "dtype='uint16'" in done
    assert "window=" not in done  # of what was not asked for, nothing
    assert done.endswith("; left out: s2: no table 'gratings'")
    assert attrs["notes"] == ["dark", "s2: not aligned, no table 'gratings'"]
    assert (attrs["lab"], attrs["event_clock"], attrs["stimulus"]) == ("x", "session", "gratings")
    clock = na.align(tree, bin_width=0.1, window=(1, 1.5)).attrs
    assert "event_clock=" not in clock["history"]
    assert "stimulus" not in clock
    assert clock["notes"] == ["dark"]


@pytest.mark.parametrize("held", [True, False])
def test_a_stimulus_is_the_frame_that_was_shown(held):
    """Against a slow twin: for every bin the last frame at or before its middle, or NaN."""
    rng = np.random.default_rng(3)
    clock = np.sort(rng.uniform(0.5, 2.0, 20))
    frames = rng.integers(0, 255, (20, 1, 2, 3)).astype(np.uint8)
    tree = recording([[0.1, 0.9], [2.4]], {"trials": TABLE})
    film = xr.Dataset({"stimulus": (("time", "channel", "y", "x"), frames)}, {"time": clock})
    tree["s1/screen"] = xr.DataTree(film)
    gap = None if held else 0.06

    def twin(times):
        at = [np.flatnonzero(clock <= t) for t in times.ravel()]
        gone = [
            not k.size or t > clock[-1] or (gap is not None and t - clock[k[-1]] > gap)
            for k, t in zip(at, times.ravel(), strict=True)
        ]
        rows = [
            np.full((1, 2, 3), np.nan) if lost else frames[k[-1]]
            for k, lost in zip(at, gone, strict=True)
        ]
        return np.reshape(rows, (*times.shape, 1, 2, 3))

    session = na.align(tree, bin_width=0.05, max_gap=gap)["s1"]
    expected = twin(session.time.values)
    assert session.stimulus.dtype == np.float32
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(session.stimulus, expected)
    np.testing.assert_array_equal(
        session.stimulus[3:40:4, :, 1, [0, 2]], expected[3:40:4, :, 1, [0, 2]]
    )
    np.testing.assert_array_equal(session.stimulus[17, 0], expected[17, 0])
    trials = na.align(tree, "trials", bin_width=0.05, max_gap=gap)["s1"]
    onsets = trials["VISp/presentations"].start_time.values
    assert trials.stimulus.dims == ("presentation_id", "time", "channel", "y", "x")
    at = onsets[:, None] + trials.time.values
    np.testing.assert_array_equal(trials.stimulus, twin(at))
    np.testing.assert_array_equal(trials.stimulus[[2, 0], 1:3], twin(at)[[2, 0], 1:3])
    assert trials.stimulus.dtype == (np.uint8 if held else np.float32)
    na.validate(trials.root, values=True)


def test_series_of_planes_in_containers(tmp_path):
    """Two planes whose ROIs have the same numbers; containers say what a series is."""
    path = tmp_path / "s.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.6.0"
        for value, plane in enumerate("AB"):
            table = file.create_group(f"processing/ophys/ImageSegmentation/{plane}")
            table["id"] = [0, 1]
            for kind in ("Deconvolved", "Fluorescence", "Neuropil"):
                group = file.create_group(f"processing/ophys/{kind}/{plane}")
                group.attrs["neurodata_type"] = "RoiResponseSeries"
                group["data"] = np.full((20, 2), 10.0 * len(kind) + value)
                group["starting_time"] = 0.0
                group["starting_time"].attrs["rate"] = 10.0
                group["rois"] = [0, 1]
                group["rois"].attrs["table"] = table.ref
    tree = na.open_datatree(path)
    for wanted in (None, "Fluorescence", "Deconvolved", "Neuropil"):
        session = na.align(tree, bin_width=0.5, responses=wanted)["s"]
        found = {name: float(area["responses"].max()) for name, area in session.children.items()}
        value = 10.0 * len(wanted or "Fluorescence")
        assert found == {"unknown": value, "unknown_B": value + 1}
    with pytest.raises(NotInTree, match="no series of units 'Raw'.*'Fluorescence'"):
        na.align(tree, bin_width=0.5, responses="Raw")


def test_a_session_is_walked_once(sample, monkeypatch):
    walks = []
    roles = schema.roles
    monkeypatch.setattr(schema, "roles", lambda node: walks.append(node.path) or roles(node))
    na.align(sample, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    assert walks == [f"/{SESSION}"]


# --------------------------------------------------------------- sessions without the table


@pytest.fixture(scope="module")
def unlike(tmp_path_factory):
    """Two sessions, of which one has no table of trials."""
    folder = tmp_path_factory.mktemp("unlike")
    write_nwb(folder / "a.nwb", parts=("units", "trials"))
    write_nwb(folder / "b.nwb", parts=("units",))
    return [folder / "a.nwb", folder / "b.nwb"]


@pytest.mark.parametrize("asked", [None, "*", ["a", "b*"]])
def test_a_session_without_the_table_is_left_out_and_said(unlike, asked):
    aligned = na.align(na.open_datatree(unlike, sessions=asked), "trials")
    assert list(aligned.children) == ["a"]
    history = aligned.attrs["history"]
    assert "missing='skip'" in history
    assert "left out: b: no table 'trials'" in history
    assert aligned.attrs["notes"] == ["b: not aligned, no table 'trials'"]


def test_a_session_asked_for_by_name_has_to_have_the_table(unlike):
    tree = na.open_datatree(unlike, sessions=["a", "b"])
    with pytest.raises(NotInTree, match=r"session 'b'.*1 of 2 sessions has it: missing='skip'"):
        na.align(tree, "trials")
    assert list(na.align(tree, "trials", missing="skip").children) == ["a"]


def test_missing_says_what_is_done(unlike):
    tree = na.open_datatree(unlike)
    with pytest.raises(NotInTree, match="session 'b'"):
        na.align(tree, "trials", missing="raise")
    with pytest.raises(NotInTree, match="'trails' in any session.*did you mean 'trials'"):
        na.align(tree, "trails")
    with pytest.raises(ValueError, match="missing='drop': expected 'skip' or 'raise'"):
        na.align(tree, "trials", missing="drop")
    some = {"a": np.array([1.0, 2.0])}
    with pytest.raises(NotInTree, match="table for the session 'b'"):
        na.align(tree, some, window=(0, 0.1))
    for given in (some, lambda node: some.get(node.name)):
        assert list(na.align(tree, given, window=(0, 0.1), missing="skip").children) == ["a"]


def test_bins_in_which_one_unit_was_not_recorded():
    tree = recording([[1.01, 1.26], [1.04, 1.21]], {"gratings": TABLE})
    assert "valid_units" not in na.align(tree, "gratings", bin_width=0.1)["s1/VISp"]
    columns = np.array([[0.0], [1.15]]), np.array([[2.0], [2.0]])
    stated = with_stretches(tree["s1/VISp/spikes"].to_dataset(), columns)
    tree["s1/VISp/spikes"] = xr.DataTree(stated)
    area = na.align(tree, "gratings", bin_width=0.1)["s1/VISp"]
    assert area["valid_units"].dims == area["spike_data"].dims
    expected = np.ones((3, 2, 3), bool)
    expected[0, 1, :2] = False  # bins from 1.0 and 1.1 s; those of other presentations are later
    np.testing.assert_array_equal(area["valid_units"], expected)
    assert na.align(tree, bin_width=0.1)["s1/VISp/valid_units"].dims == ("time", "unit_id")
