"""When a session was recorded: what files say, what is found, and who asks."""

import pickle

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import TooLarge
from neuroarrays.tree.counted import counted_time
from neuroarrays.tree.extents import LazyStretches, Part
from neuroarrays.tree.observed import add_observed, of_session, of_units, valid_bins
from neuroarrays.tree.stretches import Stretches

RUN = "run"


def text(file, name, value):
    file.create_dataset(name, data=value, dtype=h5py.string_dtype())


def table(file, path, **columns):
    group = file.create_group(path)
    size = len(next(iter(columns.values())))
    group.create_dataset("id", data=np.arange(size))
    for name, values in columns.items():
        group.create_dataset(name, data=np.asarray(values, float))
    return group


@pytest.fixture
def written(tmp_path):
    """Write an NWB file with some trains, areas by turns A and B; what else is up to `more`."""

    def write(trains, more=None, **options):
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / f"{RUN}.nwb"
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            file.attrs["nwb_version"] = "2.6.0"
            units = file.create_group("units")
            units.create_dataset("id", data=np.arange(len(trains)))
            units.create_dataset("spike_times", data=np.concatenate(trains))
            units.create_dataset("spike_times_index", data=np.cumsum([len(t) for t in trains]))
            labels = ["AB"[i % 2] for i in range(len(trains))]
            units.create_dataset("location", data=labels, dtype=h5py.string_dtype())
            if more is not None:
                more(file)
        return na.open_datatree(path, **options)

    return write


def clock(file, start, stop, name="speed"):
    series = file.create_group(f"acquisition/{name}")
    series.attrs["neurodata_type"] = "TimeSeries"
    times = np.arange(start, stop, 0.5)
    series.create_dataset("timestamps", data=times)
    series.create_dataset("data", data=times * 2).attrs["unit"] = "m"


def observed_of(tree):
    node = tree[f"{RUN}/observed"]
    return np.stack([node["start_time"].values, node["stop_time"].values], axis=1).tolist()


TRAINS = [np.arange(0.05, 10, 0.1), np.arange(30, 100, 0.5), np.array([55.0]), np.array([20.0, 80])]


# ------------------------------------------------------------------------------- what is found


def test_without_a_word_it_goes_from_the_first_to_the_last_datum(written):
    tree = written(
        TRAINS, lambda f: table(f, "intervals/trials", start_time=[2, 90], stop_time=[3, 120])
    )
    assert observed_of(tree) == [[0.05, np.nextafter(120, 0)]]  # tables are half-open
    assert tree[f"{RUN}/observed"]["stop_time"].attrs["ends"] == "found"
    rates = na.firing_rate(tree[f"{RUN}/A"])
    np.testing.assert_allclose(rates, [100 / 119.95, 1 / 119.95])
    assert "120 s  0.42 spikes/s" in str(na.describe(tree))


@pytest.mark.parametrize("area", ["A", "B"])
def test_areas_that_are_left_out_tell_too(written, area):
    tree = written(TRAINS, lambda f: clock(f, 40, 150))
    one = written(TRAINS, lambda f: clock(f, 40, 150), areas=area)
    assert {"A", "B"} - set(one[RUN].children) == {"A", "B"} - {area}
    assert observed_of(one) == observed_of(tree) == [[0.05, 149.5]]
    assert na.firing_rate(one[f"{RUN}/{area}"]).equals(na.firing_rate(tree[f"{RUN}/{area}"]))


def test_opening_and_trials_within_tables_read_no_spikes(written, monkeypatch):
    tree = written(
        TRAINS, lambda f: table(f, "intervals/trials", start_time=[0, 90], stop_time=[1, 120])
    )

    def read(*_):
        raise AssertionError("spikes were read")

    monkeypatch.setattr(LazyStretches, "_computed", read)
    aligned = na.align(tree, "trials", 0.1)
    assert aligned[f"{RUN}/A/spike_data"].shape == (2, 2, 300)


def test_it_is_found_once(written, monkeypatch):
    tree = written(TRAINS)
    found = []
    find = LazyStretches._computed
    monkeypatch.setattr(LazyStretches, "_computed", lambda self: found.append(1) or find(self))
    again = pickle.loads(pickle.dumps(tree))
    for one in (tree, again, tree.copy()):
        na.firing_rate(one[f"{RUN}/A"])
        na.align(one, bin_width=1.0)
        na.describe(one)
    assert len(found) == 1


# ------------------------------------------------------------------------------ what files say


def obs_intervals(rows, index):
    def more(file):
        file["units/obs_intervals"] = np.array(rows, float).reshape(-1, 2)
        file["units/obs_intervals_index"] = index

    return more


def test_intervals_of_units(written):
    more = obs_intervals([[0, 10], [0, 40], [60, 100], [50, 60]], [1, 3, 4, 4])
    tree = written(TRAINS, more)
    assert observed_of(tree) == [[0, 40], [50, 100]]
    assert na.firing_rate(tree[f"{RUN}/A"]).values.tolist() == [10, 0.1]
    within = ((TRAINS[1] <= 40) | (TRAINS[1] >= 60)).sum()
    np.testing.assert_allclose(na.firing_rate(tree[f"{RUN}/B"]), [within / 80, 2 / 90])
    np.testing.assert_allclose(
        na.firing_rate(tree[f"{RUN}/A"], [(5, 15), (52, 70)]), [10, 1 / 8], rtol=1e-9
    )
    area = na.align(tree, bin_width=1.0)[f"{RUN}/A"]
    inside = [(area.time >= 0) & (area.time < 10), (area.time >= 50) & (area.time < 60)]
    assert np.array_equal(area["valid_units"], np.stack(inside, axis=1))
    assert not area["valid"].sel(time=slice(40, 50)).any()
    np.testing.assert_allclose(na.firing_rate(area), [10, 0.1])
    for i, j in ((0, 0), (1, 1)):  # lazily, one by one
        assert np.array_equal(area["valid_units"][3, i], area["valid_units"].values[3, i])
        assert np.array_equal(area["valid_units"][::7, j], area["valid_units"].values[::7, j])


def test_a_unit_of_which_nothing_is_said_has_the_time_of_the_session(written):
    tree = written(TRAINS, obs_intervals([[0, 10]], [0, 0, 1, 1]))
    spikes = tree[f"{RUN}/B/spikes"].to_dataset()
    assert [one.seconds for one in of_units(spikes, tree[RUN])] == [10, 10]


@pytest.mark.parametrize(
    ("rows", "index", "why"),
    [
        ([[0, 10]], [1, 1, 1, 7], "expected row ends that grow"),
        ([[10, 0], [0, 1], [0, 1], [0, 1]], [1, 2, 3, 4], "a stop before its start"),
        ([[np.nan, 0], [0, 1], [0, 1], [0, 1]], [1, 2, 3, 4], "or no number"),
        ([[0, 1], [0, 1]], [1, 1], "2 rows for 4 units"),
    ],
)
def test_intervals_that_make_no_sense_are_noted(written, rows, index, why):
    tree = written(TRAINS, obs_intervals(rows, index))
    assert observed_of(tree) == [[0.05, 99.5]]
    notes = " ".join(tree[RUN].attrs["notes"])
    assert "obs_intervals" in notes
    assert why in notes


def epochs(*rows):
    starts, stops = zip(*rows, strict=True)
    return lambda f: table(f, "intervals/epochs", start_time=starts, stop_time=stops)


def test_epochs_count_where_all_data_lie_in_them(written):
    trains = [np.arange(0, 10, 0.1), np.arange(30, 99, 0.5)]
    tree = written(trains, epochs((30, 100), (0, 10)))
    assert of_session(tree[RUN]).seconds == 80
    np.testing.assert_allclose(na.firing_rate(tree[f"{RUN}/A"]), 100 / 80)
    area = na.align(tree, bin_width=1.0)[f"{RUN}/A"]
    assert np.array_equal(area["valid"], (area.time < 10) | (area.time > 30))
    assert "80 s" in str(na.describe(tree))
    late = written([*trains, np.array([15.0])], epochs((30, 100), (0, 10)))
    assert of_session(late[RUN]).seconds == 100
    assert "valid" not in na.align(late, bin_width=1.0)[f"{RUN}/A"]


def test_signals_are_recorded_where_no_unit_is(written):
    def more(file):
        obs_intervals([[0, 10]] * 4, [1, 2, 3, 4])(file)
        clock(file, 5, 50)

    tree = written(TRAINS, more)
    assert of_session(tree[RUN]).rows.round(6).tolist() == [[0, 49.5]]
    area = na.align(tree, bin_width=1.0, series="*")[f"{RUN}/A"]
    assert area["valid_units"].sum("time").values.tolist() == [10, 10]
    assert area.sizes["time"] == 50


# ------------------------------------------------------------------------------ it is kept


@settings(max_examples=6)
@given(st.sets(st.integers(0, 14), min_size=1), st.sampled_from(["tree", "sel", "area"]))
def test_choosing_units_changes_nothing_of_the_others(chosen, how):
    sample = na.load_sample()
    path = "A2929-200711"
    whole = {a: na.firing_rate(sample[f"{path}/{a}"]) for a in ("adn", "ca1")}
    cut = na.select_units(sample, f"unit_id in {sorted(chosen)}") if how == "tree" else sample
    for area, rates in whole.items():
        ids = [int(u) for u in rates["unit_id"] if int(u) in chosen]
        if not ids:
            continue
        node = cut[f"{path}/{area}"]
        if how == "sel":
            node = node.sel(unit_id=ids)
        elif how == "area":
            node = na.select_units(node, f"unit_id in {ids}")
        assert np.array_equal(na.firing_rate(node), rates.sel(unit_id=ids))
        assert na.bin_spikes(node, bin_width=0.5).sizes["time"] == 2400
    if how == "tree":
        assert na.align(cut, bin_width=0.5)[path].sizes["time"] == 2400


def test_occupancy_does_not_depend_on_the_units():
    sample = na.load_sample()
    few = na.select_units(sample, "unit_id == 14")
    maps = []
    for tree in (sample, few):
        area = na.align(tree, bin_width=0.1)["A2929-200711/ca1"]
        maps.append(na.tuning_curve(area, "position/x", bins=8).sel(unit_id=14))
    assert maps[0].equals(maps[1])
    assert maps[0]["occupancy"].equals(maps[1]["occupancy"])


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_archives_keep_it(written, tmp_path, suffix):
    tree = written(TRAINS, obs_intervals([[0, 10], [0, 40], [60, 100], [50, 60]], [1, 3, 4, 4]))
    again = na.open_datatree(na.save(tree, tmp_path / f"saved{suffix}"))
    assert again.identical(tree)
    part = na.open_datatree(tmp_path / f"saved{suffix}", areas="B")
    assert observed_of(part) == observed_of(tree)
    found = written(TRAINS)
    few = na.select_units(found, "unit_id == 2")
    kept = na.open_datatree(na.save(few, tmp_path / f"few{suffix}"))
    assert na.firing_rate(kept[f"{RUN}/A"]).equals(na.firing_rate(few[f"{RUN}/A"]))


def test_a_restricted_tree_was_recorded_in_what_is_left(written):
    for more in (None, obs_intervals([[0, 10], [0, 40], [60, 100], [50, 60]], [1, 3, 4, 4])):
        tree = written(TRAINS, more)
        cut = na.restrict(tree, [(5, 35), (70, 80)])
        want = of_session(tree[RUN]).within([(5, 35), (70, 80)])
        assert of_session(cut[RUN]).seconds == pytest.approx(want.seconds, abs=1e-9)
        for area in "AB":
            rates = na.firing_rate(tree[f"{RUN}/{area}"], [(5, 35), (70, 80)])
            np.testing.assert_allclose(na.firing_rate(cut[f"{RUN}/{area}"]), rates)
            alone = cut[f"{RUN}/{area}/spikes"].to_dataset()
            np.testing.assert_allclose(na.firing_rate(alone), rates)
        aligned = na.align(cut, bin_width=1.0)[f"{RUN}/B"]
        assert not aligned["valid"].sel(time=slice(35, 70)).any()


def test_invalid_times_are_no_time(written):
    def more(file):
        table(file, "intervals/invalid_times", start_time=[0], stop_time=[9])

    tree = written(TRAINS, more)
    assert observed_of(tree) == [[0.05, 99.5]]
    left = [one.seconds for one in counted_time(tree[f"{RUN}/A/spikes"].to_dataset(), tree[RUN])]
    assert left == [90.5, 90.5]
    np.testing.assert_allclose(na.firing_rate(tree[f"{RUN}/A"]), [10 / 90.5, 1 / 90.5])


# ------------------------------------------------------------------------------ who asks


def test_trials_outside_the_recording_do_not_count(written):
    tree = written(TRAINS)
    aligned = na.align(tree, [5.0, 99.4, 200.0], 0.1, window=(0, 0.3))[f"{RUN}/A"]
    assert aligned["valid"].values.tolist() == [[True] * 3, [True, True, False], [False] * 3]
    assert na.psth(aligned)["n"].values[0].tolist() == [2, 2, 1]


def test_a_session_of_events_alone_has_a_time():
    times = xr.Dataset({"event_time": ("event", [3.0, 9.0])})
    groups = add_observed({RUN: xr.Dataset(), f"{RUN}/events/licks": times}, RUN)
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    tree = xr.DataTree.from_dict({"/": root, **groups})
    assert observed_of(tree) == [[3, 9]]
    assert na.validate(tree) == []
    bare = xr.DataTree.from_dict({"/": root, f"{RUN}/events/licks": times})
    assert of_session(bare[RUN]).extent == (3, 9)
    assert of_session(xr.DataTree.from_dict({"/": root, RUN: xr.Dataset()})[RUN]).seconds == 0


@pytest.mark.parametrize("far", [-1e9, 1e10])
def test_one_absurd_time_costs_no_memory_and_is_named(written, far):
    trains = [np.sort(np.append(np.arange(0.0, 9.0), far)), np.arange(3.0, 5)]
    tree = written(trains)
    what = f"unit 0 of 'A' has a spike at {far:g} s"
    with pytest.raises(TooLarge, match=r"Give window=\(start, stop\) in seconds") as caught:
        na.align(tree, bin_width=0.02)
    assert what in str(caught.value)
    with pytest.raises(TooLarge, match="unit 0 of"):
        na.bin_spikes(tree[f"{RUN}/A"], bin_width=0.02)
    with pytest.raises(TooLarge, match="not in the tree reaches from"):
        na.align(na.select_units(tree, "unit_id == 1"), bin_width=0.02)
    assert na.align(tree, bin_width=0.02, window=(0, 10))[RUN].sizes["time"] == 500


def test_an_absurd_stop_of_a_table_is_named(written):
    tree = written(TRAINS, lambda f: table(f, "intervals/t", start_time=[2], stop_time=[1e12]))
    with pytest.raises(TooLarge, match="'presentations/t/stop_time' has a time of 1e\\+12 s"):
        na.align(tree, bin_width=0.02)


def test_one_absurd_presentation_is_named(written):
    tree = written(
        TRAINS, lambda f: table(f, "intervals/t", start_time=[2, 3, 5], stop_time=[3, 4, 1e12])
    )
    with pytest.raises(TooLarge, match="row 2 of 't' ends 1e.12 s after its onset"):
        na.align(tree, "t", 0.02)
    assert na.align(tree, "t", 0.02, window=(0, 1))[RUN].sizes["time"] == 50


def test_windows_are_refused_alike_whatever_units_there_are(written):
    tree = written(TRAINS)
    for one in (tree, na.select_units(tree, "unit_id == 2")):
        with pytest.raises(ValueError, match=r"which spans 0.050 to 99.500 s"):
            na.align(one, bin_width=1.0, window=(0, 120))
        assert na.align(one, bin_width=1.0, window=(0, 99))[RUN].sizes["time"] == 99


# ------------------------------------------------------------------------------ slow twins

rows_of = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=6)


@given(rows_of, rows_of, rows_of, st.integers(1, 7))
def test_stretches_against_a_twin_that_looks_at_every_moment(rows, gone, kept, width):
    def inside(moment, table):
        return any(a <= moment < a + n for a, n in table)

    begin = np.array([a for a, _ in rows], float)
    end = begin + [n for _, n in rows]
    made = Stretches.of(begin, np.nextafter(end, -np.inf), False)
    made = made.without([(a, a + n) for a, n in gone]) if gone else made
    made = made.within([(a, a + n) for a, n in kept]) if kept else made
    # Whole numbers: what holds half a unit later holds up to the next.
    moments = [
        m
        for m in range(60)
        if inside(m, rows) and not inside(m, gone) and (not kept or inside(m, kept))
    ]
    assert made.seconds == len(moments)
    bins = np.arange(0, 60 - width, dtype=float)
    want = [all(m + k in moments for k in range(width)) for m in range(60 - width)]
    assert made.covers(bins, bins + width).tolist() == want


@given(
    rows_of.filter(lambda rows: rows and all(n for _, n in rows)),
    st.lists(st.integers(0, 52), max_size=5),
)
def test_epochs_against_a_twin(rows, data):
    starts, stops = (np.array(c, float) for c in zip(*((a, a + n) for a, n in rows), strict=True))
    parts = (Part("data", np.array(data, float)),) if data else ()
    found = [LazyStretches(parts, (starts, stops), column).load() for column in (0, 1)]
    made = Stretches.of(*found, True)
    moments = {m for a, n in rows for m in range(a, a + n)}
    ends = [*data, *starts, *stops]
    low, high = int(min(ends)), int(max(ends))
    outer = set(range(low, int(starts.min()))) | set(range(int(stops.max()), high))
    moments |= outer
    between = [m for m in range(int(starts.min()), int(stops.max())) if m not in moments]
    if any(d in between and d - 1 in between for d in data):
        moments |= set(between)
    assert made.seconds == pytest.approx(len(moments), abs=1e-6)


def test_epochs_that_make_no_sense_are_the_extent_of_the_data():
    parts = (Part("data", np.array([1.0, 4.0])),)
    for rows in (([2.0, np.nan], [3.0, 5.0]), ([2.0, 6.0], [3.0, 5.5])):
        rows = tuple(np.array(column) for column in rows)
        starts, stops = (LazyStretches(parts, rows, column).load() for column in (0, 1))
        np.testing.assert_array_equal(starts, [1, np.nan])
        np.testing.assert_array_equal(stops, [4, np.nan])


def test_nothing_has_no_extent_and_holds_no_bin():
    nothing = Stretches.of(np.array([np.nan, 2.0]), np.array([1.0, 1.0]), True)
    assert np.isnan(nothing.extent).tolist() == [True, True]
    assert nothing.seconds == 0
    assert nothing.covers(np.zeros(2), np.ones(2)).tolist() == [False, False]
    assert Stretches.of(np.array([3.0]), np.array([4.0]), True).extent == (3.0, 4.0)


def test_bins_at_found_ends_are_whole():
    made = Stretches.of(np.array([1.25]), np.array([3.0]), True)
    edges = np.arange(0, 6.0)
    assert made.covers(edges[:-1], edges[1:]).tolist() == [False, True, True, True, False]
    said = Stretches.of(np.array([1.25]), np.array([3.0]), False)
    assert said.covers(edges[:-1], edges[1:]).tolist() == [False, False, True, False, False]


def test_bins_without_an_onset_lie_nowhere(written):
    tree = written(TRAINS)
    begin = np.array([[1.0], [np.nan], [500.0]])
    assert valid_bins(tree[RUN], begin, begin + 1).tolist() == [[True], [False], [False]]
    assert valid_bins(tree[RUN], begin[:2], begin[:2] + 1) is None
