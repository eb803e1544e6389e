"""Feature types of trees, features as components of one, angles as cosine and sine."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.lazy.arrays import LazyArray, array_of

N = 2000
TURN = 2 * np.pi
SESSION = "mouse/unknown"


def a_tree(attrs=(), **signals):
    """An aligned tree with three units and some signals on their clock."""
    rng = np.random.default_rng(1)
    attrs = dict(attrs)
    variables = {"responses": (("time", "unit_id"), rng.random((N, 3)))}
    variables |= {k: ("time", np.asarray(v), attrs.get(k, {})) for k, v in signals.items()}
    area = xr.Dataset(variables, {"time": np.arange(N) / 20, "unit_id": [3, 5, 8]})
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)),
            "mouse": xr.Dataset(),
            SESSION: area,
        }
    )


def walk(seed=0, step=0.2):
    return np.cumsum(np.random.default_rng(seed).normal(0, step, N))


def types(tree, path=SESSION):
    return {
        name: array.attrs["feature_type"]
        for name, array in tree[path].data_vars.items()
        if "feature_type" in array.attrs
    }


def test_every_signal_with_one_value_per_time_has_a_type_and_nothing_else():
    rng = np.random.default_rng(0)
    tree = a_tree(
        speed=np.abs(walk()),
        angle=walk() % TURN,
        licks=rng.random(N) < 0.1,
        constant=np.ones(N),
        trial_type=np.repeat(np.arange(N // 100) % 4, 100).astype("u1"),
        frame=np.arange(N),
        spikes_of_another=rng.poisson(2, N),
        valid=np.ones(N, bool),
        phase_name=np.repeat(["a", "b"], N // 2),
    )
    typed = na.feature_types(tree)
    assert types(typed) == {
        "speed": "linear",
        "angle": "circular",
        "licks": "binary",
        "constant": "unknown",
        "trial_type": "categorical",
        "frame": "timeline",
        "spikes_of_another": "count",
        "phase_name": "categorical",
    }
    assert typed[SESSION]["angle"].attrs["period"] == pytest.approx(TURN)
    assert 0.5 < typed[SESSION]["angle"].attrs["feature_type_score"] <= 1
    assert "period" not in typed[SESSION]["speed"].attrs
    assert types(tree) == {}, "the given tree was changed"
    for name, array in tree[SESSION].data_vars.items():
        xr.testing.assert_equal(array, typed[SESSION][name])
    na.validate(typed)


def test_a_period_that_a_file_brings_makes_an_angle():
    tree = a_tree({"wheel": {"period": 24.0}}, wheel=walk())
    attrs = na.feature_types(tree)[SESSION]["wheel"].attrs
    assert attrs == {"feature_type": "circular", "feature_type_score": 1.0, "period": 24.0}


def test_a_second_call_changes_nothing():
    once = na.feature_types(a_tree(heading=walk() % (2 * np.pi), x=walk(), lick=walk() > 0))
    twice = na.feature_types(once)
    for name, array in once[SESSION].data_vars.items():
        assert twice[SESSION][name].attrs == array.attrs
    assert 0 < once[SESSION]["heading"].attrs["feature_type_score"] < 1


def test_a_unit_or_a_name_may_say_that_it_is_an_angle():
    hugging = (walk(3, 0.05) * 0.2) % 360  # goes through the seam, and never far from it
    tree = a_tree(
        {"rx": {"units": "degree"}},
        rx=hugging,
        other=hugging,
        heading=hugging,
        headDirection=hugging,
        x=np.abs(walk()) % 180,
    )
    assert np.ptp(hugging) > 300
    assert types(na.feature_types(tree)) == {
        "rx": "circular",
        "other": "linear",
        "heading": "circular",
        "headDirection": "circular",
        "x": "linear",
    }


def test_driadas_names_of_types_are_taken():
    values = {
        "x": np.linspace(0, 1, 50) ** 2,
        "code": np.arange(50) // 9 % 3,
        "turn": np.arange(50.0),
    }
    node = xr.Dataset({k: ("time", v) for k, v in values.items()}, {"time": np.arange(50.0)})
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    tree = xr.DataTree.from_dict({"/": root, "/s/a": node})
    given = {"x": "c", "code": "discrete", "turn": ("phase", 50.0)}
    typed = na.feature_types(tree, given)["s/a"]
    found = [typed[name].attrs["feature_type"] for name in values]
    assert found == ["linear", "categorical", "circular"]
    again = na.feature_types(tree, {"x": "d", "code": "spike", "turn": "time"})["s/a"]
    found = [again[name].attrs["feature_type"] for name in values]
    assert found == ["categorical", "binary", "timeline"]


def test_overrides_by_name_and_path():
    tree = a_tree(a=walk(), b=walk() % TURN, c=walk() % 1.0, d=walk() % TURN)
    typed = na.feature_types(
        tree, {"a": "count", f"{SESSION}/b": "linear", "c": ("circular", 1.0), "d": "circular"}
    )
    assert types(typed) == {"a": "count", "b": "linear", "c": "circular", "d": "circular"}
    assert typed[SESSION]["c"].attrs["period"] == 1.0
    assert typed[SESSION]["d"].attrs["period"] == TURN
    assert "period" not in typed[SESSION]["b"].attrs
    again = na.feature_types(typed, {"d": "linear"})
    assert "period" not in again[SESSION]["d"].attrs


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        ({"sped": "linear"}, NotInTree, "no feature 'sped'.*did you mean 'speed'"),
        ({"speed": "round"}, ValueError, "expected one of 'binary', 'categorical'"),
        ({"speed": ("linear", 3.0)}, ValueError, r"expected \('circular', a full turn above 0\)"),
        ({"speed": ("circular", -1.0)}, ValueError, "a full turn above 0"),
        (
            {"speed": "circular"},
            ValueError,
            "a range of 1, which fits no angle.* give its full turn",
        ),
        ({"responses": "linear"}, NotInTree, "no feature 'responses'"),
    ],
)
def test_overrides_that_cannot_be(overrides, error, text):
    tree = a_tree(speed=np.linspace(0, 1, N) ** 2)
    with pytest.raises(error, match=text):
        na.feature_types(tree, overrides)


def test_an_angle_that_was_found_is_interpolated_along_the_shorter_arc():
    rng = np.random.default_rng(0)
    angle = np.cumsum(rng.normal(0, 10.0, N)) % 360
    typed = na.feature_types(a_tree(angle=angle))
    at = (np.arange(N - 1) + 0.5) / 20
    found = na.interpolate(typed[SESSION]["angle"], at).values
    away = (found - angle[:-1] + 180) % 360 - 180
    assert np.abs(away).max() < 40
    plain = na.interpolate(a_tree(angle=angle)[SESSION]["angle"], at).values
    assert np.abs(plain - found).max() > 100  # the long way round, where it wraps


def test_the_bundled_recording(tmp_path):
    tree = na.load_sample()
    typed = na.feature_types(tree)
    (session,) = typed.children
    assert types(typed, f"{session}/position") == dict.fromkeys("xyz", "linear")
    assert types(typed, f"{session}/head_direction") == dict.fromkeys(
        ("rx", "ry", "rz"), "circular"
    )
    found = alone(tree[f"{session}/head_direction/ry"].values)
    assert (found["feature_type"], found["period"]) == ("circular", TURN)
    na.save(typed, tmp_path / "typed.h5")
    again = na.open_datatree(tmp_path / "typed.h5")
    assert types(again, f"{session}/position") == dict.fromkeys("xyz", "linear")


def alone(values, name="signal"):
    """The attributes that a signal gets without what its file says of it."""
    node = xr.Dataset({name: ("time", values)}, {"time": np.arange(len(values)) / 30})
    marked = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    return na.feature_types(xr.DataTree.from_dict({"/": marked, "mouse/tracking": node}))[
        f"mouse/tracking/{name}"
    ].attrs


def test_real_tracking(shared_data):
    path = shared_data / "pynapple_A2929_HD_ephys" / "A2929-200711.nwb"
    (session,) = na.open_datatree(path).children.values()
    found = alone(session["head_direction/ry"].values)
    assert (found["feature_type"], found["period"]) == ("circular", TURN)
    assert found["feature_type_score"] > 0.8
    for name in "xyz":
        assert alone(session[f"position/{name}"].values)["feature_type"] == "linear"


@pytest.mark.parametrize(("name", "nodes"), [("miniscope", "position"), ("kramer", "position")])
def test_real_positions_are_linear(shared_data, name, nodes):
    mapping = Path(__file__).parents[2] / "docs" / "examples" / f"{name}.toml"
    file = tomllib.loads(mapping.read_text())["file"]
    tree = na.open_datatree(shared_data / file, engine="arrays", mapping=mapping)
    (session,) = tree.children
    assert set(types(na.feature_types(tree), f"{session}/{nodes}").values()) == {"linear"}


def test_a_node_gives_the_node():
    tree = a_tree(angle=walk() % TURN)
    node = na.feature_types(tree[SESSION])
    assert node.path == f"/{SESSION}"
    assert types(node, ".") == {"angle": "circular"}


# Components


def test_components_side_by_side_are_lazy():
    tree = na.load_sample()
    (session,) = tree.children
    made = na.aggregate(tree, {"position": ["z", "x"]})
    position = made[f"{session}/position/position"]
    data = array_of(position.variable)
    assert isinstance(data, LazyArray)
    assert position["position_component"].values.tolist() == ["z", "x"]
    for name in "zx":
        np.testing.assert_array_equal(
            position.sel(position_component=name).values, tree[f"{session}/position/{name}"].values
        )
    expected = position.values
    for key in [(slice(3, 9, 2), [1, 0]), (5, 1), ([4, 4, 2], slice(None)), (slice(0), slice(0))]:
        by_axis = np.ix_(
            *[np.atleast_1d(np.arange(n)[k]) for n, k in zip(expected.shape, key, strict=True)]
        )
        part = position.isel(time=key[0], position_component=key[1])
        np.testing.assert_array_equal(part.values, expected[by_axis].reshape(part.shape))
    na.validate(made)


def test_components_keep_the_attributes_that_all_have():
    tree = a_tree(
        {"x": {"units": "cm", "side": "l"}, "y": {"units": "cm", "side": "r"}},
        x=walk(0),
        y=walk(1).astype("f4"),
    )
    made = na.aggregate(tree, {"position": ["x", "y"]})[SESSION]["position"]
    assert made.attrs == {"units": "cm"}
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made.values, np.stack([walk(0), walk(1).astype("f4")], axis=1))


def test_components_that_are_not_there_or_have_a_taken_name():
    tree = a_tree(x=walk(0), y=walk(1))
    with pytest.raises(NotInTree, match="no node with the features 'x, z'; there are 'x', 'y'"):
        na.aggregate(tree, {"position": ["x", "z"]})
    with pytest.raises(ValueError, match=f"{SESSION} has 'y' already"):
        na.aggregate(tree, {"y": ["x", "y"]})


@pytest.mark.parametrize(("turn", "dtype"), [(TURN, "f8"), (360.0, "f4"), (360.0, "i2")])
def test_cosine_and_sine_of_an_angle(turn, dtype):
    angle = (walk() / TURN * turn % turn).astype(dtype)
    tree = a_tree({"hd": {"period": turn}}, hd=angle, speed=walk(1))
    made = na.circular_components(tree)[SESSION]
    assert set(made.data_vars) == {"responses", "hd", "speed", "hd_2d"}
    pair = made["hd_2d"]
    assert pair.dtype == (np.float32 if dtype == "f4" else np.float64)
    expected = np.exp(2j * np.pi * angle.astype(float) / turn)
    np.testing.assert_allclose(pair.sel(hd_2d_component="cos"), expected.real, atol=1e-6)
    np.testing.assert_allclose(pair.sel(hd_2d_component="sin"), expected.imag, atol=1e-6)
    np.testing.assert_array_equal(pair[7:30:5].values, pair.values[7:30:5])


def test_without_an_angle_there_are_no_circular_components():
    with pytest.raises(SchemaError, match=r"na\.feature_types\(tree\) sets it for angles"):
        na.circular_components(a_tree(x=walk()))


def test_components_can_be_chunked():
    tree = na.circular_components(a_tree({"hd": {"period": TURN}}, hd=walk() % TURN))
    pair = tree[SESSION]["hd_2d"]
    chunked = pair.chunk(time=500)
    np.testing.assert_array_equal(chunked.compute().values, pair.values)


def test_bins_of_behaviour_by_their_edges():
    from neuroarrays.analysis.signals import binned, bins_of

    x = xr.DataArray([-1.0, 0.0, 0.4, 0.5, 1.5, 2.0, np.nan], dims="time")
    (edges,) = bins_of(np.array([0.0, 0.5, 1.0, 1.5]), 1)
    assert binned(x, edges)[0].tolist() == [-1, 0, 0, 1, 2, -1, -1]
    angle = xr.DataArray([-90.0, 90.0, 270.0, 180.0], dims="time", attrs={"period": 360.0})
    assert binned(angle, np.array([-180.0, 0.0, 180.0]))[0].tolist() == [0, 1, 0, 0]
    assert bins_of((3, 4), 2) == [3, 4]
    assert [np.size(one) for one in bins_of(([0, 1, 2], 4), 2)] == [3, 1]
    assert bins_of([0, 1, 2], 1)[0].tolist() == [0, 1, 2]
    for wrong in (0, [1.0, 1.0, 1.0], [2.0, 1.0, 0.0], "x", [0.0, np.nan], (3, 0), True):
        with pytest.raises(ValueError, match="bins="):
            bins_of(wrong, 2)
    with pytest.raises(ValueError, match="more than a full turn"):
        binned(angle, np.array([0.0, 400.0]))


def test_overrides_are_a_dict():
    with pytest.raises(
        TypeError, match="overrides: expected a dict of types by name, found a list"
    ):
        na.feature_types(na.load_sample(), ["speed"])
