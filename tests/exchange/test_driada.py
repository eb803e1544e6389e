"""Trees as what DRIADA's builder takes, against DRIADA where it is installed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree, PathExists, SchemaError

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(**options):
    names = ["speed", "licks", "trial_type", "big"]
    return na.open_datatree(GOLDEN / "driada" / "session.npz", features=names, **options)


def test_driada_arrays():
    tree = golden()
    found = na.to_driada(tree)
    area = tree["RT_A5_3D/unknown"]
    np.testing.assert_array_equal(found["calcium"], area["responses"].values.T)
    np.testing.assert_array_equal(found["spikes"], area["spike_data"].values.T)
    assert found["licks"].dtype == np.int64
    assert found["trial_type"].dtype == np.int64
    assert found["big"].shape == (3, 30)
    assert "valid" not in found
    with pytest.raises(NotInTree, match="did you mean"):
        na.to_driada(tree, area="RT_A5_3D/unknow")


def test_frames_that_are_not_valid_are_driadas_bad_frames():
    found = na.to_driada(golden(bad_frames=[3, 7], sampling_rate=20.0))
    assert found["_metadata"]["bad_frames"] == [3, 7]
    assert found["_metadata"]["fps"] == 20.0
    assert "bad_frames" not in na.to_driada(golden(bad_frames=[])).get("_metadata", {})


def test_signals_with_one_value_or_none_stay_in_the_tree_and_are_left_out_for_driada():
    tree = golden()
    area = tree["RT_A5_3D/unknown"]
    for name, value in (("still", 2.0), ("nothing", np.nan)):
        area[name] = xr.DataArray(np.full(area.sizes["time"], value), dims="time")
    found = na.to_driada(tree)
    assert not {"still", "nothing"} & set(found)
    assert found["_metadata"]["left_out"] == ["still", "nothing"]
    typed = na.feature_types(tree)["RT_A5_3D/unknown"]
    assert (
        typed["still"].attrs["feature_type"] == typed["nothing"].attrs["feature_type"] == "unknown"
    )


def test_driada_refusals():
    tree = na.open_datatree(GOLDEN / "driada" / "session.npz")
    with pytest.raises(SchemaError, match="'position' of .* have NaN"):
        na.to_driada(tree)
    with pytest.raises(
        SchemaError, match=r"found the area '/.*; give the whole tree, which is area\.root"
    ):
        na.to_driada(golden()["RT_A5_3D/unknown"])
    with pytest.raises(NotInTree, match="no area '3'"):
        na.to_driada(golden(), area=3)
    with pytest.raises(SchemaError, match="no responses.* a recording tree, give na.align"):
        na.to_driada(na.load_sample(), area="A2929-200711/adn")
    with pytest.raises(SchemaError, match="2 areas"):
        na.to_driada(na.load_sample())


def experiment(frames=60, rate=30.0, **more):
    rng = np.random.default_rng(0)
    time = np.arange(frames) / rate
    node = xr.Dataset(
        {
            "responses": (("time", "unit_id"), rng.random((frames, 3))),
            "spike_data": (("time", "unit_id"), rng.integers(0, 2, (frames, 3), dtype=np.uint8)),
            "x": ("time", rng.random(frames), {"feature_type": "linear"}),
            "xy": (("time", "axis"), rng.random((frames, 2))),
            "licks": ("time", rng.random(frames) > 0.5),
            "still": ("time", np.ones(frames)),
        },
        {"unit_id": np.arange(3), "time": time},
    ).assign(more)
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    return xr.DataTree.from_dict({"/": root, "s/unknown": node})


SIGNALS = ("responses", "spike_data", "x", "xy", "licks", "still")


def test_an_experiment_is_written_and_read_back(tmp_path):
    valid = xr.DataArray(~np.isin(np.arange(60), [7, 8, 40]), dims="time")
    tree = experiment(valid=valid)
    path = tmp_path / "Exp s.pickle"
    na.driada.write_experiment(tree, path)
    assert b"driada.experiment.exp_build\nload_exp_from_aligned_data" in path.read_bytes()[:100]
    again = na.open_datatree(path)
    area, before = again["s/unknown"], tree["s/unknown"]
    for name in (*SIGNALS, "valid"):
        np.testing.assert_array_equal(area[name], before[name])
    np.testing.assert_allclose(area["time"], before["time"])
    assert again["s"].attrs["sampling_rate"] == 30.0
    assert area["x"].attrs["feature_type"] == "linear"
    with pytest.raises(PathExists, match="overwrite=True"):
        na.driada.write_experiment(tree, path)
    na.driada.write_experiment(again, path, overwrite=True)
    np.testing.assert_array_equal(na.open_datatree(path)["s/unknown/xy"], before["xy"])


def test_gaps_of_the_clock_are_bad_frames_of_an_experiment(tmp_path):
    whole = experiment()
    kept = np.delete(np.arange(60), [0, 1, 20, 21, 59])
    tree = whole.map_over_datasets(lambda d: d.isel(time=kept) if "time" in d.dims else d)
    tree["s"].attrs["frames_deleted"] = 5
    path = tmp_path / "Exp s.pickle"
    na.driada.write_experiment(tree, path)
    area = na.open_datatree(path)["s/unknown"]
    np.testing.assert_array_equal(np.flatnonzero(area["valid"]), kept)
    np.testing.assert_array_equal(area["x"][kept], tree["s/unknown/x"])
    del tree["s"].attrs["frames_deleted"]  # of any other tree the clock begins with its first frame
    na.driada.write_experiment(tree, path, overwrite=True)
    area = na.open_datatree(path)["s/unknown"]
    np.testing.assert_array_equal(np.flatnonzero(area["valid"]), kept - 2)


def test_names_that_a_tree_has_for_something_else_are_given_back(tmp_path):
    random = np.random.default_rng(0)
    arrays = {"calcium": random.random((2, 50)), "speed": random.integers(0, 9, 50)}
    np.savez(tmp_path / "s.npz", **arrays, valid=random.integers(0, 2, 50))
    tree = na.open_datatree(tmp_path / "s.npz", sampling_rate=20.0)
    assert {"speed_feature", "valid_feature"} <= set(tree["s/unknown"].data_vars)
    assert set(na.to_driada(tree)) == {"calcium", "speed", "valid", "_metadata"}
    path = tmp_path / "Exp s.pickle"
    na.driada.write_experiment(tree, path)
    again = na.open_datatree(path)["s/unknown"]
    np.testing.assert_array_equal(again["speed_feature"], arrays["speed"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda node: node.drop_vars("time"), "no clock, and DRIADA would assume 20 Hz"),
        (lambda node: node.assign_coords(time=node["time"] ** 1.5), "its clock is not regular"),
        (lambda node: node.assign(x=node["x"].where(node["x"] > 0.5)), "'x' of .* have NaN"),
        (lambda node: node.drop_vars("responses"), "has no responses along"),
    ],
)
def test_experiments_that_cannot_be_written(tmp_path, change, message):
    tree = experiment()
    tree["s/unknown"].dataset = change(tree["s/unknown"].to_dataset())
    with pytest.raises(SchemaError, match=message):
        na.driada.write_experiment(tree, tmp_path / "Exp s.pickle")
    assert not list(tmp_path.iterdir())


def call(*arguments):
    """A pickle that names DRIADA's builder with some arguments."""
    name = b"driada.experiment.exp_build\nload_exp_from_aligned_data\n"
    return b"\x80\x04c" + name + pickle.dumps(arguments, 4)[:-1] + b"R."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lab", {}), "a pickled DRIADA experiment"),
        (("lab", {}, [1], [], None, [], {}), "a pickled DRIADA experiment"),
        (("lab", {}, {"x": np.arange(9.0)}, [], None, [], {}), "calcium: expected a matrix"),
        (("lab", {}, {"calcium": np.ones((2, 9))}, [], None, [9], {}), "frames from 0 to 8"),
        (("lab", {}, {"calcium": np.ones((2, 9))}, [], None, "all", {}), "bad_frames"),
        (("lab", {}, {"calcium": np.ones((2, 9))}, [], None, [True] * 12, {}), "np.flatnonzero"),
        (("lab", {}, {"calcium": np.ones((2, 9)), "x": np.ones(8)}, [], None, [], {}), "9 samples"),
    ],
)
def test_pickles_with_other_arguments(tmp_path, arguments, message):
    path = tmp_path / "Exp s.pickle"
    path.write_bytes(call(*arguments))
    with pytest.raises(FormatError, match=message):
        na.open_datatree(path, engine="driada")


@pytest.mark.peers("driada")
def test_driada_loads_what_is_written(tmp_path):
    exp = pytest.importorskip("driada.experiment")
    valid = xr.DataArray(~np.isin(np.arange(1200), range(300, 400)), dims="time")
    tree, path = experiment(1200, valid=valid), tmp_path / "Exp s.pickle"
    na.driada.write_experiment(tree, path)
    loaded = exp.load_exp_from_pickle(str(path), verbose=False)
    kept = tree["s/unknown"].to_dataset().isel(time=valid.values)
    assert loaded.signature == "Exp s"
    assert loaded.fps == 30.0
    assert sorted(loaded.dynamic_features) == ["licks", "x", "xy"]  # without the constant one
    np.testing.assert_array_equal(loaded.bad_frames_mask, ~valid)
    np.testing.assert_allclose(loaded.calcium.data, kept["responses"].T, atol=1e-7)
    np.testing.assert_array_equal(loaded.spikes.data, kept["spike_data"].T)
    np.testing.assert_array_equal(loaded.dynamic_features["xy"].data, kept["xy"].T)
    assert loaded.dynamic_features["x"].type_info.subtype == "linear"
    same = exp.load_exp_from_pickle(str(path), verbose=False)
    np.testing.assert_array_equal(same.calcium.data, loaded.calcium.data)

    saved = tmp_path / "Exp t.pickle"  # its own pickle, read by us and written back
    exp.save_exp_to_pickle(loaded, str(saved), verbose=False)
    na.driada.write_experiment(na.open_datatree(saved), path, overwrite=True)
    again = exp.load_exp_from_pickle(str(path), verbose=False)
    np.testing.assert_array_equal(again.bad_frames_mask, loaded.bad_frames_mask)
    np.testing.assert_allclose(again.calcium.data, loaded.calcium.data, atol=1e-7)
    for name, feature in loaded.dynamic_features.items():
        np.testing.assert_array_equal(again.dynamic_features[name].data, feature.data)


@pytest.mark.peers("driada")
def test_driada_takes_them(tmp_path):
    build = pytest.importorskip("driada.experiment.exp_build").load_exp_from_aligned_data
    from driada.experiment import save_exp_to_pickle

    rng = np.random.default_rng(0)
    node = xr.Dataset(
        {
            "responses": (("time", "unit_id"), rng.random((1200, 3))),
            "spike_data": (("time", "unit_id"), rng.integers(0, 2, (1200, 3), dtype=np.uint8)),
            "x": ("time", rng.random(1200)),
            "xy": (("time", "axis"), rng.random((1200, 2))),
            "licks": ("time", rng.random(1200) > 0.5),
            "still": ("time", np.ones(1200)),
        },
        {"unit_id": np.arange(3), "time": np.arange(1200) / 20},
    )
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)), "s/unknown": node}
    )
    arrays = na.to_driada(tree)
    made = build("lab", {"name": "s"}, arrays)
    assert made.fps == 20.0
    assert made.n_cells == 3
    assert "still" not in made.dynamic_features
    np.testing.assert_array_equal(made.dynamic_features["x"].data, node["x"])
    np.testing.assert_array_equal(made.dynamic_features["xy"].data, node["xy"].values.T)
    np.testing.assert_array_equal(made.dynamic_features["licks"].data, node["licks"])
    np.testing.assert_array_equal(made.spikes.data, node["spike_data"].values.T)
    np.testing.assert_allclose(made.calcium.data, node["responses"].values.T, atol=1e-7)

    valid = ~np.isin(np.arange(1200), range(300, 400))
    tree["s/unknown/valid"] = xr.DataArray(valid, dims="time")
    arrays = na.to_driada(tree)
    made = build("lab", {"name": "s"}, arrays, bad_frames=arrays["_metadata"]["bad_frames"])
    assert made.n_frames == 1100
    path = tmp_path / "Exp s.pickle"
    save_exp_to_pickle(made, str(path), verbose=False)
    again = na.open_datatree(path)["s/unknown"]
    np.testing.assert_array_equal(again["time"], np.delete(np.arange(1200), range(300, 400)) / 20)
