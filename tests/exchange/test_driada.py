"""Trees as what DRIADA's builder takes, against DRIADA where it is installed."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError

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
    with pytest.raises(SchemaError, match="no responses"):
        na.to_driada(na.load_sample(), area="A2929-200711/adn")
    with pytest.raises(SchemaError, match="2 areas"):
        na.to_driada(na.load_sample())


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
