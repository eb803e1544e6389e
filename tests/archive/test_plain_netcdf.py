"""Plain netCDF: our trees through xarray's own writers and readers, and what these do with NWB."""

import importlib.util

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.errors import FormatError

AREA = "session_0/VISp"
WRITERS = ["h5netcdf", "netcdf4", "zarr"]


def written(tree, path, engine):
    """A tree as xarray alone writes it."""
    if engine == "zarr":
        pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
        tree.to_zarr(path / "plain.zarr", write_empty_chunks=True)
        return path / "plain.zarr"
    if engine == "netcdf4":
        pytest.importorskip("netCDF4", reason="the extra `netcdf4` is not installed")
    tree.to_netcdf(path / "plain.nc", engine=engine)
    return path / "plain.nc"


@pytest.mark.filterwarnings("ignore:.*[Zz]arr")
@pytest.mark.parametrize("engine", WRITERS)
def test_a_tree_that_xarray_wrote_opens_as_it_was(tmp_path, engine):
    tree = synthetic.aligned_tree(2, presentations=6)
    area = tree[AREA].to_dataset()
    area["depth"] = ("unit_id", np.array([10.0, np.nan, 30.5, 40.0]), {"units": "um"})
    area["depth"].encoding = {"dtype": "int16", "_FillValue": -1, "scale_factor": 0.5}
    area["rank"] = ("unit_id", np.array([3, 1, 2, 4], np.int16), {"weights": [0.5, 1.5], "n": 7})
    area["good"] = ("unit_id", np.array([True, False, True, True]))
    area["label"] = ("unit_id", np.array(["a", "", "é", "b"], object))
    tree[AREA].dataset = area
    path = written(tree, tmp_path, engine)
    again = na.open_datatree(path)
    xr.testing.assert_identical(again, tree)
    assert np.isnan(again[AREA]["depth"].values[1])  # and no -1, nor half of it
    assert type(again[AREA]["rank"].attrs["n"]) is int
    part = na.open_datatree(path, areas="VISp", sessions="*_0")
    assert list(part["session_0"].children) == ["VISp"]


def test_what_xarray_wrote_is_read_when_it_is_indexed(tmp_path):
    tree = synthetic.aligned_tree(1, presentations=6)
    speed = tree[AREA]["speed"].values
    tree[AREA]["speed"].encoding = {"dtype": "int32", "_FillValue": -(2**31), "scale_factor": 1e-4}
    opened = na.open_datatree(written(tree, tmp_path, "h5netcdf"))[AREA]["speed"]
    assert not isinstance(opened.variable._data, np.ndarray)
    np.testing.assert_allclose(opened[4, :2].values, speed[4, :2], atol=1e-4)
    np.testing.assert_allclose(opened.values, speed, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*[Zz]arr")
def test_chunks_of_fill_values_that_xarray_leaves_out_are_read(tmp_path):
    pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
    tree = synthetic.aligned_tree(1, presentations=6)
    tree[AREA]["spike_data"] = tree[AREA]["spike_data"] * 0
    tree.to_zarr(tmp_path / "plain.zarr")
    assert not list((tmp_path / "plain.zarr" / AREA / "spike_data").rglob("c/*"))
    xr.testing.assert_identical(na.open_datatree(tmp_path / "plain.zarr"), tree)


@pytest.mark.filterwarnings("ignore:.*[Zz]arr")
def test_the_sample_through_zarr_of_xarray(tmp_path):
    pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
    tree = na.load_sample(areas="ca1")
    tree.to_zarr(tmp_path / "plain.zarr")
    xr.testing.assert_equal(na.open_datatree(tmp_path / "plain.zarr"), tree)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_ours_through_plain_xarray_and_back(tmp_path, engine):
    """An archive that xarray opens, and writes again, is the tree that was saved."""
    if importlib.util.find_spec({"netcdf4": "netCDF4"}.get(engine, engine)) is None:
        pytest.skip(f"{engine} is not installed")
    tree = na.load_sample(areas="ca1")
    with xr.open_datatree(
        na.save(tree, tmp_path / "ours.nc", compression="portable"), engine=engine
    ) as plain:
        plain.to_netcdf(tmp_path / "theirs.nc", engine=engine)
    xr.testing.assert_equal(na.open_datatree(tmp_path / "theirs.nc"), tree)


def test_xarray_takes_nwb_for_netcdf_where_no_engine_is_named():
    """The trap that docs/formats.md describes: raw groups, no error, and no tree of ours."""
    path = na.sample_path()
    with xr.open_datatree(path) as plain:
        assert "units" in plain.children
        assert "neuroarrays_schema" not in plain.attrs
    for tree in (na.open_datatree(path), xr.open_datatree(path, engine="nwb")):
        assert schema.kind_of(tree) == schema.RECORDING


@pytest.mark.filterwarnings("ignore:.*[Zz]arr")
def test_zarr_of_format_2_is_called_that(tmp_path):
    pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
    tree = synthetic.aligned_tree(1, presentations=2)
    tree.to_zarr(tmp_path / "plain.zarr", zarr_format=2)
    with pytest.raises(FormatError, match=r"Zarr format 3; found format 2; .*zarr_format=3"):
        na.open_datatree(tmp_path / "plain.zarr")
