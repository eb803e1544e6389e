"""Features, options and intervals that an answer cannot use are named."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na

N = 40


@pytest.fixture(scope="module")
def area():
    counts = np.random.default_rng(0).poisson(1, (N, 2)).astype("u1")
    time = ("time", (np.arange(N) + 0.5) / 10, {"bin_width": 0.1})
    data = {"spike_data": (("time", "unit_id"), counts)}
    signals = {name: xr.Dataset({"x": ("time", s * np.arange(N))}) for name, s in SIDES.items()}
    root = xr.Dataset(data, {"time": time, "unit_id": [3, 7]})
    return xr.DataTree.from_dict({"/": root} | signals)


SIDES = {"left": 1.0, "right": -1.0}


def feature(values, name="pos", dims=("time",), **attrs):
    return xr.DataArray(values, dims=dims, name=name, attrs=attrs)


RAMP = np.arange(N) / N
ANSWERS = [na.tuning_curve, na.bayesian_decoder]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (feature(["run", "rest"] * (N // 2)), na.SchemaError, "'pos' has .*expected one number"),
        (feature(np.zeros((N, 2)), dims=("time", "axis")), na.SchemaError, "expected one number"),
        (feature(np.full(N, 7.0)), ValueError, "'pos' is 7 at all times: give edges as bins"),
        (feature(np.full(N, np.nan)), ValueError, "no finite value"),
    ],
    ids=["text", "two columns", "constant", "unknown"],
)
def test_a_feature_that_cannot_be_binned_is_named(answer, wrong, error, said, area):
    with pytest.raises(error, match=said):
        answer(area, wrong, bins=4, folds=2) if answer is ANSWERS[1] else answer(
            area, wrong, bins=4
        )


def test_a_constant_feature_has_bins_where_edges_are_given_or_it_is_an_angle(area):
    curve = na.tuning_curve(area, feature(np.full(N, 7.0)), bins=[6.0, 8.0], min_occupancy=0)
    assert curve["occupancy"].values.tolist() == [pytest.approx(N / 10)]
    angle = na.tuning_curve(area, feature(np.full(N, 7.0), period=8.0), bins=2)
    assert angle["occupancy"].values.tolist() == pytest.approx([0, N / 10])


def test_features_of_one_name_do_not_overwrite_each_other(area):
    decoded = na.bayesian_decoder(area, ["left/x", "right/x"], bins=3, folds=2)
    assert decoded["posterior"].dims == ("time", "left_x_bin", "right_x_bin")
    assert decoded["left_x"].values.tolist() == (-decoded["right_x"]).values.tolist()
    twice = na.bayesian_decoder(area, [feature(RAMP), feature(RAMP)], bins=3, folds=2)
    assert twice["posterior"].dims == ("time", "first_bin", "second_bin")


@pytest.mark.parametrize("name", ["error", "fold", "posterior"])
def test_a_feature_cannot_have_the_name_of_a_part_of_the_result(name, area):
    with pytest.raises(ValueError, match=f"a feature is called '{name}'"):
        na.bayesian_decoder(area, feature(RAMP, name), bins=3, folds=2)
    with pytest.raises(ValueError, match="a feature is called 'unit_id'"):
        na.tuning_curve(area, feature(RAMP, "unit_id"), bins=3)


@pytest.mark.parametrize("wrong", [RAMP, RAMP.tolist(), 3, None, [feature(RAMP)] * 3])
def test_what_is_no_feature_is_told_in_a_line(wrong, area):
    with pytest.raises(ValueError, match=r"a DataArray along time.*found") as raised:
        na.tuning_curve(area, wrong, bins=3)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda area: na.spike_triggered_average(area, feature(RAMP), lags=2.5), "lags=2.5: exp"),
        (
            lambda area: na.bayesian_decoder(area, "left/x", folds=2.5),
            "folds=2.5: expected a whole",
        ),
        (lambda area: na.extremes(feature(RAMP), 0), "most=0: expected at least 1"),
        (lambda area: na.psth(trials(), 3), "by: expected a parameter .* found 3"),
        (lambda area: na.events_of(clocked(), 0.5, shortest=2, longest=1), "no event fits"),
    ],
    ids=["lags", "folds", "most", "by", "shortest"],
)
def test_options_that_are_no_whole_numbers_or_fit_nothing_are_named(call, said, area):
    with pytest.raises(ValueError, match=said):
        call(area)


def clocked():
    return feature(RAMP).assign_coords(time=np.arange(N) / 10)


def trials():
    counts = (("presentation_id", "unit_id", "time"), np.ones((4, 1, 3), "u1"))
    coords = {
        "presentation_id": range(4),
        "unit_id": [0],
        "side": ("presentation_id", list("lrlr")),
    }
    return xr.Dataset({"spike_data": counts}, coords)


def test_an_empty_list_is_no_intervals():
    intervals = na.intervals
    assert intervals.difference([(0.0, 2.0)], [])["stop_time"].values.tolist() == [2.0]
    for empty in (intervals.union([], []), intervals.intersection([(0.0, 2.0)], [])):
        assert empty.sizes["presentation_id"] == 0
    assert intervals.merge([])["start_time"].size == 0


@pytest.mark.parametrize("dtype", [">u1", ">u2"])
def test_counts_may_be_asked_for_in_any_byte_order(dtype):
    spikes = xr.Dataset(
        {"spike_times": ("spike", [0.1, 0.2]), "row_size": ("unit_id", [2])}, {"unit_id": [0]}
    )
    counts = na.bin_spikes(spikes, [0.0], 0.5, (0, 0.5), dtype=dtype)
    assert counts.values.ravel().tolist() == [2]


@pytest.fixture(scope="module")
def recording():
    ticks = np.arange(0.05, 20, 0.1)
    spikes = xr.Dataset(
        {"spike_times": ("spike", ticks), "row_size": ("unit_id", [ticks.size])}, {"unit_id": [0]}
    )
    nodes = {
        "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}),
        "/s/x/spikes": spikes,
        "/s/events/lick": xr.Dataset({"event_time": ("event", [1.0, 10.0])}),
        "/s/running": xr.Dataset(
            {"speed": ("time", np.arange(200.0))}, {"time": np.arange(200) / 10}
        ),
        "/s/presentations/rest": xr.Dataset(
            {
                name: ("presentation_id", [t])
                for name, t in (("start_time", 0.0), ("stop_time", 4.0))
            }
        ),
    }
    return xr.DataTree.from_dict(nodes)


def test_a_rate_in_the_intervals_of_a_table_by_its_name(recording):
    assert na.firing_rate(recording["s/x"], "rest").attrs["duration"] == 4.0
    with pytest.raises(na.NotInTree, match="no table of intervals 'sleep' in session 's'"):
        na.firing_rate(recording["s/x"], "sleep")


def test_an_average_around_point_events_takes_their_node(recording):
    speed = recording["s/running/speed"]
    around = na.event_triggered_average(recording["s/events/lick"], speed, (-0.1, 0.1))
    assert around["mean"].sel(lag=0).item() == pytest.approx(55.0)
    by_path = na.event_triggered_average(recording["s/events/lick"], "running/speed", (-0.1, 0.1))
    assert by_path["mean"].values.tolist() == around["mean"].values.tolist()


def test_an_area_on_one_clock_is_not_said_to_have_no_units(recording):
    clock = na.align(recording, bin_width=0.1)["s/x"]
    with pytest.raises(na.SchemaError, match="cut into presentations|align its recording"):
        na.psth(clock)


def test_columns_that_are_added_later_are_parameters(recording):
    tree = na.align(recording, [0.0, 2.0, 4.0, 6.0], 0.5, (0, 1))
    area = tree["s/x"].to_dataset()
    tree["s/x/presentations/day"] = xr.DataArray(list("aabb"), dims="presentation_id")
    for given in (tree["s/x"], area.assign(day=("presentation_id", list("aabb")))):
        assert na.psth(given, "day")["day"].values.tolist() == ["a", "b"]
    mixed = area.assign(day=("presentation_id", np.array([1, "a", 2, "a"], object)))
    with pytest.raises(
        ValueError, match="'day' has int and str: make all of them numbers or texts"
    ):
        na.psth(mixed, "day")
