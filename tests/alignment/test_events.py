"""Events and behaviour without units: counted, masked, answered about, drawn, kept in archives."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.kernels import grid

mpl.use("Agg")


def events(times, **columns):
    variables = {"event_time": ("event", np.asarray(times, float), {"units": "s"})}
    return xr.Dataset(variables | {name: ("event", values) for name, values in columns.items()})


def session(licks=(0.1, 0.4, 0.4, 1.9), rewards=(0.5, 1.5), **nodes):
    """A session without units: licks, rewards, trials, a wheel at 20 Hz."""
    trials = {"start_time": [0.2, 1.0], "stop_time": [0.9, 2.0], "choice": ["left", "right"]}
    table = xr.Dataset(
        {name: ("presentation_id", np.asarray(column)) for name, column in trials.items()},
        {"presentation_id": [0, 1]},
    )
    clock = np.arange(41) / 20
    groups = {
        "s/events/licks": events(licks),
        "s/events/rewards": events(rewards, volume=np.arange(len(rewards)) * 1.0),
        "s/presentations/trials": table,
        "s/wheel": xr.Dataset({"angle": ("time", clock * 2)}, {"time": clock}),
    } | nodes
    attrs = schema.root_attrs("recording")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs)} | groups)


ticks = st.integers(-20, 260).map(lambda tick: tick / 100)


@given(
    st.lists(st.one_of(ticks, st.floats(-1, 4), st.just(np.nan)), max_size=30),
    st.lists(ticks, min_size=1, max_size=5),
    st.sampled_from([0.1, 0.02, 0.03]),
    st.booleans(),
)
def test_counts_equal_a_slow_twin(times, onsets, width, binarize):
    tree = session(licks=times)
    options = {"binarize": binarize, "clip": False}
    trials = na.align(tree, np.array(onsets), width, (-0.3, 0.6), **options)["s/events"]
    clock = na.align(tree, bin_width=width, window=(0.0, 3.0), **options)["s/events"]

    def twin(edges):
        found = np.array([sum(a <= t < b for t in times) for a, b in itertools.pairwise(edges)])
        return found > 0 if binarize else found

    number = trials.sizes["time"]
    for row, onset in enumerate(onsets):
        edges = grid.bin_edges(onset - 0.3, number, width)
        np.testing.assert_array_equal(trials["licks"][row], twin(edges))
    edges = grid.bin_edges(0.0, clock.sizes["time"], width)
    np.testing.assert_array_equal(clock["licks"], twin(edges))
    assert trials["licks"].dtype == np.uint8


def test_events_and_behaviour_need_no_units():
    tree = session()
    aligned = na.align(tree, "trials", bin_width=0.1)
    na.validate(aligned, values=True)
    assert aligned["s/events/licks"].dims == ("presentation_id", "time")
    assert aligned["s/events/licks"].values.sum() == 3  # 0.1 lies before the first trial
    assert aligned["s"].coords["choice"].values.tolist() == ["left", "right"]
    assert not aligned["s/events/valid"][0, 7:].any()
    xr.testing.assert_identical(aligned["s/valid"].variable, aligned["s/events/valid"].variable)
    assert aligned["s/wheel/angle"].sel(presentation_id=1)[0] == pytest.approx(2.1)
    described = str(na.describe(tree)), str(na.describe(aligned))
    assert "licks 4, rewards 2" in described[0]
    assert "licks, rewards" in described[1]
    with pytest.raises(
        SchemaError, match="no units, signals or events to align; it has presentations"
    ):
        na.align(
            xr.DataTree.from_dict(
                {"/": tree.to_dataset(), "/s/presentations": tree["s/presentations"].to_dataset()}
            )
        )


def test_events_stand_below_every_area_and_change_nothing_of_it():
    spikes = na.load_sample()["A2929-200711/adn/spikes"].to_dataset()
    with_units = session(**{"s/adn/spikes": spikes})
    aligned = na.align(with_units, "trials", bin_width=0.1)
    alone = na.align(session(), "trials", bin_width=0.1)
    np.testing.assert_array_equal(aligned["s/adn/events/licks"], alone["s/events/licks"])
    assert "wheel" not in aligned["s/adn"].children  # of a session with units only behaviour
    found, expected = na.psth(aligned["s/adn/events"]), na.psth(alone["s/events"])
    xr.testing.assert_identical(found, expected)


@pytest.mark.filterwarnings("ignore:.*only one presentation")
def test_a_psth_of_events_is_that_of_a_unit_with_their_times():
    tree = session()
    unit = xr.Dataset(
        {
            "spike_times": ("spike", tree["s/events/licks"].event_time.values),
            "row_size": ("unit_id", [4]),
        },
        {"unit_id": [0]},
    )
    aligned = na.align(session(**{"s/x/spikes": unit}), "trials", bin_width=0.1)
    licks = na.psth(aligned["s/x/events"], by="choice", smooth=0.1).sel(event="licks")
    as_unit = na.psth(aligned["s/x"], by="choice", smooth=0.1).sel(unit_id=0)
    for name in ("mean", "sem", "n"):
        np.testing.assert_array_equal(licks[name], as_unit[name])
    assert licks["mean"].attrs["units"] == "events/s"
    rate = na.firing_rate(aligned["s/x/events"]).sel(event="licks")
    assert float(rate) == float(na.firing_rate(aligned["s/x"])[0])


def test_point_events_are_onsets_too():
    aligned = na.align(session(), "rewards", bin_width=0.1, window=(-0.2, 0.2))
    assert aligned["s/presentations"].start_time.values.tolist() == [0.5, 1.5]
    assert aligned["s/presentations"].volume.values.tolist() == [0.0, 1.0]
    assert aligned["s/events/rewards"].values.tolist() == [[0, 0, 1, 0]] * 2
    assert aligned["s/events/licks"].values.tolist() == [[0, 2, 0, 0], [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="window="):
        na.align(session(), "rewards")
    with pytest.raises(NotInTree, match="rewards"):
        na.align(session(), "reward", window=(0, 1))


@pytest.mark.parametrize("presentations", ["trials", None])
def test_what_is_restricted_saved_and_opened_stays(tmp_path, presentations):
    tree = session()
    window = None if presentations else (0.0, 2.0)
    aligned = na.align(tree, presentations, bin_width=0.1, window=window)
    again = na.open_datatree(na.save(aligned, tmp_path / "a.nc"))
    xr.testing.assert_identical(again["s/events"].to_dataset(), aligned["s/events"].to_dataset())
    assert set(again["s"].coords) == set(aligned["s"].coords)
    cut = na.restrict(aligned, [(0.0, 0.5), (0.95, 2.0)])
    if presentations:
        assert cut["s/events"].sizes["presentation_id"] == 1
    else:
        assert cut["s/events/valid"].values.tolist() == [True] * 5 + [False] * 5 + [True] * 10
        assert (cut["s/valid"] == cut["s/events/valid"]).all()


def test_events_are_drawn():
    import matplotlib.pyplot as plt

    tree = session()
    axes = na.plot.raster(tree["s/events"], (0.0, 1.0), ax=plt.figure().gca())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["licks", "rewards"]
    assert sum(len(c.get_segments()) for c in axes.collections) == 4
    single = na.plot.raster(tree["s/events/licks"], (0.0, 1.0), ax=plt.figure().gca())
    assert sum(len(c.get_segments()) for c in single.collections) == 3
    with pytest.raises(NotInTree, match="no event 'lick'"):
        na.plot.raster(tree["s/events"], (0.0, 1.0), order=["lick"])
    na.plot.psth(na.psth(na.align(tree, "trials", 0.1)["s/events"]), ax=plt.figure().gca())
    made = na.plot.overview(na.align(tree, "trials", 0.1))
    assert any("wheel/angle" in t.get_text() for t in made["timeline"].get_yticklabels())
    plt.close("all")


def test_what_is_no_area_says_that_events_are_asked_for():
    tree = session()
    with pytest.raises(SchemaError, match=r"it has no units; give its events: \['events'\]"):
        na.psth(na.align(tree, "trials", 0.1)["s"])
    with pytest.raises(SchemaError, match=r"na.align\(tree, 'trials'\)\['s/events'\]"):
        na.psth(tree["s/events"])


def test_events_are_features_of_an_area_and_inputs_of_batches():
    spikes = na.load_sample()["A2929-200711/adn/spikes"].to_dataset()
    clock = na.align(session(**{"s/adn/spikes": spikes}), bin_width=0.1, window=(0, 2.0))["s/adn"]
    curve = na.tuning_curve(clock, "events/licks", bins=3, min_occupancy=0)
    assert float(curve.occupancy.sum()) == pytest.approx(2.0)
    datasets = pytest.importorskip("neuroarrays.torch.datasets", reason="torch is not installed")
    alone = na.align(session(), bin_width=0.1, window=(0, 2.0))["s"]
    clips = datasets.ClipDataset(alone, ["events/licks", "wheel/angle"], 0.5)
    assert clips[0]["events/licks"].tolist() == [0, 1, 0, 0, 2]


def test_events_are_counted_by_label_too():
    tree = session(
        **{"s/events/ttl": events([0.1, 0.2, 1.3], label=np.array(["a", "c", "a"], object))}
    )
    counted = na.align(tree, [0.0, 1.0], 0.5, (0, 1), clip=False)["s/events"].to_dataset()
    assert counted["ttl"].values.tolist() == [[2, 0], [1, 0]]
    assert counted["ttl_a"].values.tolist() == [[1, 0], [1, 0]]
    assert counted["ttl_c"].values.tolist() == [[1, 0], [0, 0]]
    assert na.psth(na.align(tree, "trials", 0.1)["s/events"])["event"].values.tolist() == [
        "licks",
        "rewards",
        "ttl",
        "ttl_a",
        "ttl_c",
    ]


def test_counts_of_events_say_what_they_are():
    said = {"description": "tongue", "comments": "left spout", "units": "s", "resolution": -1.0}
    times = xr.Dataset({"event_time": ("event", [0.1, 0.1], said)})
    tree = session(**{"s/events/licks": times})
    found = na.align(tree, bin_width=0.5, window=(0.0, 2.0), dtype="u2")["s/events/licks"]
    assert found.attrs == {
        "units": "1",
        "long_name": "events per bin",
        "description": "tongue",
        "comments": "left spout",
    }
    assert found.dtype == np.uint16
    assert found.values.tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize("method", ["sum", "max"])
def test_amounts_of_events_equal_a_slow_twin(method):
    """Drops of water in bins: nothing is 0 of a sum and missing of a largest, also beside all events."""
    times, volume = [0.1, 0.4, 0.4, 0.8, 1.9, np.nan], [1.0, 2.0, 3.0, np.nan, 5.0, 9.0]
    tree = session(**{"s/events/drops": events(times, volume=volume)})
    clock = na.align(tree, bin_width=0.1, window=(0, 2.0), method=method)["s"]
    trials = na.align(tree, "trials", 0.1, (-0.1, 0.9), method=method, clip=False)["s"]

    def twin(left):
        inside = [v for t, v in zip(times, volume, strict=True) if left <= t < round(left + 0.1, 9)]
        if method == "sum":
            return np.sum(inside)
        return max((v for v in inside if v == v), default=np.nan)

    lefts = np.round(clock.time.values - 0.05, 9)
    expected = [twin(left) for left in lefts]
    np.testing.assert_array_equal(clock["amounts/drops_volume"], expected)
    rows = [[twin(round(t + on - 0.05, 9)) for t in trials.time.values] for on in (0.2, 1.0)]
    np.testing.assert_array_equal(trials["amounts/drops_volume"], rows)
    assert "rewards_volume" in clock["amounts"]
    assert clock["events/drops"].sum() == 5  # the counts stand beside them
    assert "amounts" not in na.align(tree, bin_width=0.1, window=(0, 1))["s"].children


def test_answers_about_events_are_about_counts(tmp_path):
    tree = na.align(session(), "trials", 0.1, (0, 0.7), method="sum")
    assert na.psth(tree["s/events"])["event"].values.tolist() == ["licks", "rewards"]
    na.save(tree, tmp_path / "a.h5")
    saved = na.open_datatree(tmp_path / "a.h5")["s/amounts"]
    np.testing.assert_array_equal(saved["rewards_volume"], tree["s/amounts/rewards_volume"])
