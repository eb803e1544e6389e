"""Answers over sessions and trees: equal to areas by hand, conditions by value, faults named."""

import os
import re
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NeuroArraysError, NotInTree, SchemaError
from neuroarrays.files import state
from neuroarrays.synthetic.trees import aligned_tree

ONE = "session_0/VISp"


@pytest.fixture(scope="module")
def tree():
    return aligned_tree(sessions=3, presentations=24)


@pytest.fixture(scope="module")
def sample():
    return na.load_sample()


@pytest.fixture(scope="module")
def clock(sample):
    return na.align(sample, bin_width=1)


def changed(tree, path, change):
    """The tree with one node made anew."""
    nodes = {p: node.to_dataset(inherit=False) for p, node in tree.subtree_with_keys}
    nodes["/"] = nodes.pop(".")
    nodes[path] = change(nodes[path])
    return xr.DataTree.from_dict(nodes)


def areas_of(answer):
    """The answer about each area of an answer about several."""
    which = [f"{s}/{a}" for s, a in zip(answer.session.values, answer.area.values, strict=True)]
    return {
        path: answer.isel(unit_id=np.array(which) == path).drop_vars(["session", "area"])
        for path in dict.fromkeys(which)
    }


ANSWERS = {
    "psth": lambda x: na.psth(x, "orientation"),
    "two": lambda x: na.psth(x, ["orientation", "stimulus"], smooth=0.02),
    "firing_rate": na.firing_rate,
    "tuning_curve": lambda x: na.tuning_curve(x, "orientation", period=180),
    "reliability": lambda x: na.reliability(x, "stimulus"),
}
OF_RECORDINGS = {"firing_rate": na.firing_rate, "autocorrelogram": na.autocorrelogram}
OF_PAIRS = {
    "signal_correlation": lambda x: na.signal_correlation(x, "stimulus"),
    "noise_correlation": lambda x: na.noise_correlation(x, "stimulus"),
}


@pytest.mark.filterwarnings("ignore:.*one presentation")
@pytest.mark.parametrize("name", ANSWERS)
def test_a_tree_is_its_areas_one_after_another(tree, name):
    whole = ANSWERS[name](tree)
    parts = areas_of(whole)
    assert list(parts) == [f"session_{i}/{a}" for i in range(3) for a in ("VISp", "CA1")]
    for path, part in parts.items():
        alone = ANSWERS[name](tree[path])
        alone.attrs.pop("duration", None)
        known = {dim: alone[dim] for dim in alone.dims if dim != "unit_id"}
        part = part.sel({dim: labels.values for dim, labels in known.items()})
        xr.testing.assert_identical(part.drop_attrs(), alone.drop_attrs())
        assert part.attrs.get("units") == alone.attrs.get("units")
    session = areas_of(ANSWERS[name](tree["session_1"]))
    assert list(session) == ["session_1/VISp", "session_1/CA1"]


@pytest.mark.parametrize("name", OF_RECORDINGS)
def test_recordings(sample, name):
    for path, part in areas_of(OF_RECORDINGS[name](sample)).items():
        xr.testing.assert_equal(part, OF_RECORDINGS[name](sample[path]))


@pytest.mark.parametrize("name", OF_PAIRS)
def test_pairs_are_those_of_one_area(tree, name):
    pairs = OF_PAIRS[name](tree)
    for path in ("session_0/VISp", "session_2/CA1"):
        assert pairs[path].attrs == {"session": path[:9], "area": path[10:]}
        xr.testing.assert_identical(pairs[f"{path}/{name}"], OF_PAIRS[name](tree[path]))


def test_crosscorrelograms_and_decoders_stay_apart(sample, clock):
    path = "A2929-200711/adn"
    pairs = na.crosscorrelogram(sample, window=0.01)
    alone = na.crosscorrelogram(sample[path], window=0.01)
    xr.testing.assert_identical(pairs[f"{path}/crosscorrelogram"], alone)
    for decoder in (na.bayesian_decoder, na.population_vector):
        decoded = decoder(clock, "head_direction/ry", window=1, areas="adn")
        assert list(decoded["A2929-200711"].children) == ["adn"]
        found = decoded[path].to_dataset().drop_attrs()
        alone = decoder(clock[path], "head_direction/ry", window=1)
        xr.testing.assert_identical(found, alone.drop_attrs())


def test_behaviour_with_the_same_bins_is_along_units(clock):
    curves = na.tuning_curve(clock, "head_direction/ry", bins=6, min_occupancy=0)
    assert curves.dims == ("unit_id", "ry")
    adn = curves.sel(unit_id=curves.area == "adn")
    alone = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry", bins=6, min_occupancy=0)
    np.testing.assert_array_equal(adn, alone)
    np.testing.assert_array_equal(adn.preferred, alone.preferred)
    np.testing.assert_array_equal(curves.occupancy, alone.occupancy)


def test_bins_of_behaviour_that_differ_are_refused(clock):
    other = changed(clock, "A2929-200711/ca1/position", lambda node: node.assign(x=node["x"] * 2))
    with pytest.raises(SchemaError, match=r"the bins of 'x' differ.*adn.*ca1.*bins=np.linspace"):
        na.tuning_curve(other, "position/x")
    edges = np.linspace(-1, 1, 9)
    curves = na.tuning_curve(other, "position/x", bins=edges, min_occupancy=0)
    assert curves.sizes["x"] == 8
    assert curves.occupancy.dims == ("unit_id", "x")  # it differs


def test_a_film_before_spikes(tree):
    flashed = xr.DataArray(
        np.random.default_rng(0).normal(size=(24, 2, 3)), dims=("presentation_id", "y", "x")
    )
    nodes = {
        p: node.to_dataset().sum("time", keep_attrs=True)[["spike_data"]]
        for p, node in tree.subtree_with_keys
        if "spike_data" in node.data_vars
    }
    counts = xr.DataTree.from_dict({"/": tree.to_dataset(), **nodes})
    whole = na.spike_triggered_average(counts, flashed, lags=1)
    assert whole["z"].dims == ("unit_id", "lag", "y", "x")
    alone = na.spike_triggered_average(counts[ONE], flashed, lags=1)
    xr.testing.assert_identical(areas_of(whole)[ONE].drop_attrs(), alone.drop_attrs())


def test_deconvolved_areas_stay_lazy():
    time = np.arange(40) / 20
    traces = np.zeros((40, 2))
    traces[15:] = np.exp(-np.arange(25) / 10)[:, None]
    node = xr.Dataset(
        {"responses": (("time", "unit_id"), traces)}, {"time": time, "unit_id": [0, 1]}
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    tree = xr.DataTree.from_dict({"/": root, "a/V1": node, "b/V1": node.isel(unit_id=[1])})
    events = na.deconvolve(tree, "threshold")
    assert events["b/V1/responses"].sizes == {"time": 40, "unit_id": 1}
    np.testing.assert_array_equal(events["a/V1/responses"], na.deconvolve(node, "threshold"))


def test_types_of_features_of_a_whole_tree_are_those_of_its_sessions(clock):
    path = "A2929-200711/adn/head_direction"
    whole = na.feature_types(clock)
    assert (
        whole[path]["ry"].attrs
        == na.feature_types(clock["A2929-200711"])["adn/head_direction/ry"].attrs
    )


# --------------------------------------------------------------------- conditions that sessions lack


@settings(max_examples=25)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 22.5, 90.0, -45.0]), min_size=2, max_size=6),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 9),
)
def test_conditions_are_matched_by_value(shown, seed):
    random = np.random.default_rng(seed)
    nodes = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))}
    for i, orientations in enumerate(shown):
        n_units = int(random.integers(0 if i else 1, 3))
        counts = random.poisson(2, (len(orientations), n_units, 3)).astype(np.uint8)
        nodes[f"s{i}/V1"] = xr.Dataset(
            {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
            {
                "presentation_id": np.arange(len(orientations)),
                "unit_id": np.arange(n_units),
                "time": ("time", (np.arange(3) + 0.5) * 0.1, {"units": "s", "bin_width": 0.1}),
                "orientation": ("presentation_id", orientations),
            },
        )
    tree = xr.DataTree.from_dict(nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = na.psth(tree, "orientation")
        alone = {path: na.psth(tree[path], "orientation") for path in list(nodes)[1:]}
    assert whole["n"].dtype.kind == "i"
    np.testing.assert_array_equal(whole.orientation, np.unique(np.concatenate(shown)))
    parts = areas_of(whole)
    for path, of_area in alone.items():
        if not of_area.sizes["unit_id"]:
            assert path not in parts
            continue
        found = parts[path]
        for value in whole.orientation.values:
            here = found.sel(orientation=value)
            if value in of_area.orientation.values:
                xr.testing.assert_equal(here, of_area.sel(orientation=value))
            else:
                assert np.isnan(here["mean"]).all()
                assert np.isnan(here["sem"]).all()
                assert (here["n"] == 0).all()


def test_labels_in_single_precision_are_the_same_conditions(tree):
    half = changed(
        tree, ONE, lambda n: n.assign_coords(orientation=(n.orientation / 7).astype("f4"))
    )
    for path in areas_of(na.firing_rate(tree)):
        if path != ONE:
            half = changed(half, path, lambda n: n.assign_coords(orientation=n.orientation / 7))
    whole = na.tuning_curve(half, "orientation")
    np.testing.assert_array_equal(whole.orientation, np.array([0, 45, 90, 135]) / 7)
    assert np.isfinite(whole).all()


def test_another_unit_or_type_of_a_parameter_is_named(tree):
    def in_degrees(node):
        return node.assign_coords(orientation=node.orientation.assign_attrs(units="rad"))

    with pytest.raises(
        SchemaError,
        match=r"unit of 'orientation' differs.*rad in 'session_0/VISp'; \(none\) in 'ses",
    ):
        na.psth(changed(tree, ONE, in_degrees), "orientation")
    text = changed(tree, ONE, lambda n: n.assign_coords(orientation=n.orientation.astype(str)))
    with pytest.raises(SchemaError, match=r"type of 'orientation'.*text in .*numbers in .*convert"):
        na.tuning_curve(text, "orientation")


def test_other_windows_and_bin_widths_are_named(tree):
    wide = changed(tree, ONE, lambda n: n.assign_coords(time=n.time * 2))
    with pytest.raises(SchemaError) as caught:
        na.psth(wide)
    assert re.search(
        r"bins of 'time' differ.*5 0.04 apart from 0.02 to 0.18 in 'session_0/VISp'; 5 0.02 apart "
        r".*same bin_width= and window=",
        str(caught.value),
    )
    short = {"/": tree.to_dataset(), ONE: tree[ONE].to_dataset()}
    short["session_2/CA1"] = tree["session_2/CA1"].to_dataset().isel(time=slice(3))
    short = xr.DataTree.from_dict(short)
    with pytest.raises(SchemaError, match=r"3 0.02 apart from 0.01 to 0.05 in 'session_2/CA1'"):
        na.psth(short)
    apart = na.over(short, na.psth, as_tree=True)
    assert apart["session_2/CA1"].sizes["time"] == 3


def test_counts_and_signals_are_not_put_together(tree):
    signals = changed(
        tree,
        ONE,
        lambda n: n.rename(spike_data="responses").astype(float),
    )
    with pytest.raises(SchemaError, match=r"unit of 'mean' differs.*session_0/VISp.*spikes/s in"):
        na.psth(signals)


def test_units_of_one_name_stay_apart(tree):
    rates = na.firing_rate(tree)
    assert (rates.unit_id.values == 0).sum() == 3
    assert rates.sel(unit_id=(rates.session == "session_1") & (rates.unit_id == 0)).size == 1
    assert rates.groupby("area").mean().sizes == {"area": 2}
    own = changed(tree, ONE, lambda n: n.assign_coords(area=("unit_id", list("abcd"))))
    rates = na.firing_rate(own)
    assert rates.area_in_file.values[:5].tolist() == ["a", "b", "c", "d", ""]
    assert rates.area.values[0] == "VISp"


# ------------------------------------------------------------------ sessions that lack something, fail


def test_a_session_without_the_parameter_is_left_out_or_an_error(tree):
    without = changed(tree, ONE, lambda n: n.drop_vars("orientation"))
    without = changed(without, f"{ONE}/presentations", lambda n: n.drop_vars("orientation"))
    found = na.tuning_curve(without, "orientation")
    assert ONE not in areas_of(found)
    assert found.sizes["unit_id"] == 20
    (note,) = found.attrs["notes"]
    assert note.startswith(
        f"{ONE}: not in this result, no column 'orientation' in the presentations"
    )
    with pytest.raises(NotInTree, match="'orientation' in the presentations of session_0/VISp"):
        na.tuning_curve(without, "orientation", missing="raise")
    with pytest.raises(NotInTree, match=r"no column 'direction' in the presentations.*there are"):
        na.tuning_curve(tree, "direction")


def test_a_parameter_that_is_missing_in_all_presentations_of_a_session(tree):
    def blank(node):
        return node.assign_coords(orientation=node["orientation"].astype(float) * np.nan)

    without = changed(tree, ONE, blank)
    found = na.tuning_curve(without, "orientation", missing="skip")
    assert ONE not in areas_of(found)
    (note,) = found.attrs["notes"]
    assert note.startswith(f"{ONE}: not in this result, the parameter 'orientation' is missing in")
    with pytest.raises(na.errors.NothingLeft, match=f"{ONE}: the parameter 'orientation' is miss"):
        na.tuning_curve(without, "orientation", missing="raise")


def test_a_session_without_the_area(tree):
    nodes = {"/" if p == "." else p: n.to_dataset(inherit=False) for p, n in tree.subtree_with_keys}
    nodes = {p: n for p, n in nodes.items() if not p.startswith("session_1/CA1")}
    without = xr.DataTree.from_dict(nodes)
    found = na.firing_rate(without, areas="CA*")
    assert set(found.session.values) == {"session_0", "session_2"}
    assert found.attrs["notes"] == ["session_1: not in this result, no such area"]
    with pytest.raises(SchemaError, match=r"1 session without area 'CA\*'.*'session_1'"):
        na.firing_rate(without, areas="CA*", missing="raise")
    without.attrs[schema.SESSIONS_ASKED] = "by name"  # as in align
    with pytest.raises(SchemaError, match="'session_1'"):
        na.firing_rate(without, areas="CA*")
    with pytest.raises(NotInTree, match="no area 'CA2'; there are 'VISp', 'CA1'"):
        na.firing_rate(tree, areas="CA2")


def fails(area):
    if "session_1" in area.path:
        raise ValueError("damaged beyond repair")
    return na.firing_rate(area)


def dies(area):
    if "session_1" in area.path:
        os.kill(os.getpid(), signal.SIGKILL)
    return na.firing_rate(area)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_a_bad_session_is_skipped_only_when_asked(tree, scheduler):
    with pytest.raises(ValueError, match=r"^session_1/VISp: damaged beyond repair"):
        na.over(tree, fails, scheduler=scheduler)
    with pytest.warns(UserWarning, match="1 of 3 sessions failed: session_1: .*beyond repair"):
        found = na.over(tree, fails, scheduler=scheduler, errors="skip")
    assert set(found.session.values) == {"session_0", "session_2"}
    assert "beyond repair" in found.attrs["notes"][0]
    with pytest.raises(NeuroArraysError, match="3 of 3 sessions failed: session_0: Zero"):
        na.over(tree, lambda area: 1 / 0, errors="skip")


def test_options_that_are_none(tree):
    for wrong in ({"missing": "no"}, {"errors": "no"}, {"scheduler": "cluster"}, {"workers": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            na.firing_rate(tree, **wrong)
    with pytest.raises(TypeError, match=r"psth\(\) got an unexpected keyword argument 'smoth'"):
        na.psth(tree, smoth=1)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_what_areas_warn_of_is_said_once(tree, scheduler):
    with pytest.warns(UserWarning, match="areas: orientation") as caught:
        na.psth(tree.sel(presentation_id=slice(0, 3)), "orientation", scheduler=scheduler)
    assert len({str(w.message) for w in caught}) == len(caught)
    assert all(w.filename == __file__ for w in caught)


# --------------------------------------------------------------------------- functions of the user's


def test_over_gives_what_the_function_gives_in_one_piece(tree):
    number = na.over(tree, lambda area: area.sizes["unit_id"] * 2.5)
    assert number.dims == ("path",)
    assert number.sel(path="session_2/CA1") == 10
    assert number.groupby("session").sum().values.tolist() == [20, 20, 20]
    course = na.over(tree, lambda area: area["spike_data"].mean(["presentation_id", "unit_id"]))
    assert course.dims == ("path", "time")
    table = na.over(tree, lambda a: pd.DataFrame({"unit": a.unit_id, "rate": na.firing_rate(a)}))
    assert table.columns.tolist() == ["session", "area", "unit", "rate"]
    assert len(table) == 24
    both = na.over(
        tree, lambda area: xr.Dataset({"a": area["spike_data"].sum(["presentation_id"])})
    )
    assert both["a"].dims == ("unit_id", "time")
    some = na.over(tree, lambda area: None if area.name == "CA1" else 1)
    assert some.area.values.tolist() == ["VISp"] * 3
    assert na.over(tree[ONE], lambda area: area.name) == "VISp"
    apart = na.over(tree, lambda area: 3, as_tree=True)
    assert apart["session_0/CA1/<lambda>"] == 3


def test_what_does_not_fit_together_is_named(tree):
    with pytest.raises(SchemaError, match="returned list; expected a DataArray"):
        na.over(tree, lambda area: [1])
    with pytest.raises(SchemaError, match="a number or text in .*; a DataFrame in "):
        na.over(tree, lambda a: pd.DataFrame({"x": [1]}) if "_1" in a.path else 1)
    with pytest.raises(SchemaError, match=r"length of k differs.*2 in .*; 3 in 'session_1"):
        na.over(tree, lambda a: xr.DataArray(np.ones(3 if "_1" in a.path else 2), dims="k"))
    with pytest.raises(SchemaError, match="no area with units in"):
        na.over(xr.DataTree(xr.Dataset(attrs=schema.root_attrs("aligned"))), len)


def test_what_was_read_of_a_session_is_let_go_of(monkeypatch, sample):
    monkeypatch.setattr("neuroarrays.analysis.running.KEPT", 0)
    na.release()
    kept = []
    cache = state.Cache(1 << 30, lambda array: array.nbytes)

    def reads(area):
        cache.put(area.path, np.zeros(10))
        kept.append(len(cache))
        return 1

    tree = aligned_tree(sessions=3, areas=("V1", "V2"))
    na.over(tree, reads)
    assert kept == [1, 2] * 3
    assert len(cache) == 0
    monkeypatch.setattr("neuroarrays.analysis.running.KEPT", 1000)
    na.over(tree, reads)
    assert len(cache) == 6


# ---------------------------------------------------------------------------------- other processes


@pytest.mark.slow
def test_processes_change_nothing_and_their_death_is_named(tree):
    expected = na.psth(tree, "orientation")
    found = na.psth(tree, "orientation", scheduler="processes", workers=2)
    xr.testing.assert_identical(found, expected)
    lengths = na.over(tree, lambda area: area.sizes["unit_id"], scheduler="processes", workers=1)
    assert lengths.values.tolist() == [4] * 6
    with pytest.raises(ValueError, match="^session_1/VISp: damaged"):
        na.over(tree, fails, scheduler="processes", workers=2)
    with pytest.raises(NeuroArraysError, match="session_1: its process ended.*killed"):
        na.over(tree, dies, scheduler="processes", workers=2)
    with pytest.warns(UserWarning, match="1 of 3 sessions failed: session_1: its process ended"):
        found = na.over(tree, dies, scheduler="processes", workers=2, errors="skip")
    assert set(found.session.values) == {"session_0", "session_2"}


def test_what_one_area_lacks_or_stores_in_another_way(tree):
    def answer(area):
        few = area.path.endswith("CA1")
        shape = (1 if few else 2, area.sizes["unit_id"])
        text = np.array(["a"] if few else ["a", "b"], object if few else "U1")
        data = {"n": (("c", "unit_id"), np.ones(shape)), "kind": (("c",), text)}
        return xr.Dataset(data, {"c": [0] if few else [0, 1], "unit_id": area["unit_id"]})

    out = na.over(tree["session_0"], answer)
    assert out["n"].sel(c=1).values.tolist() == [1] * 4 + [0] * 4  # a number of trials, as a float
    assert out["kind"].sel(c=1).values.tolist() == ["b"] * 4 + [""] * 4


def test_values_that_single_precision_cannot_tell_apart_are_refused(tree):
    def answer(area):
        fine = np.array([0.1, 0.1 + 1e-10])
        labels = np.float32([0.1]) if area.path.endswith("CA1") else fine
        return xr.DataArray(np.ones(labels.size), {"x": labels}, ["x"])

    with pytest.raises(SchemaError, match="session_0/VISp: some values of 'x' are equal in single"):
        na.over(tree["session_0"], answer)


def test_columns_of_a_table_hide_no_area(tree):
    table = na.over(tree["session_0"], lambda area: pd.DataFrame({"area": ["mine"]}))
    assert table["area"].tolist() == ["VISp", "CA1"]
    assert table["area_in_file"].tolist() == ["mine", "mine"]


def test_workers_alone_are_processes(tree, monkeypatch):
    from neuroarrays.analysis import running

    asked = []

    class Noted(running.Runner):
        def __init__(self, workers, scheduler, *rest):
            asked.append((workers, scheduler))
            super().__init__(1, "sync", *rest)

    monkeypatch.setattr(running, "Runner", Noted)
    monkeypatch.setattr(running.Run, "_tasks", lambda self, where: [])
    for options in ({"workers": 2}, {"workers": 2, "scheduler": "threads"}, {}):
        with pytest.raises(SchemaError):
            na.over(tree, na.firing_rate, **options)
    assert [where for _, where in asked] == ["processes", "threads", "sync"]
    assert asked[0][0] == 2
