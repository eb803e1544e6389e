"""movement: golden file under the conformance suite, then names of dimensions, clocks and bad input."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, UnknownFormat
from neuroarrays.synthetic import write_movement
from neuroarrays.testing import ReaderTests

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
POSE = "poses/pose"


class TestGolden(ReaderTests):
    """Written by movement 0.15.0, values read with netCDF4."""

    archives = (".zarr",)
    reader = "movement"
    path = GOLDEN / "movement" / "poses.nc"
    foreign = tuple(
        path
        for folder in sorted(GOLDEN.iterdir())
        if folder.is_dir() and folder.name != "movement"
        for path in sorted(folder.iterdir())
    )
    options = {"sampling_rate": 25.0}
    values = {
        (POSE, "keypoint", 0): "snout",
        (POSE, "keypoint", -1): "tail_base",
        (POSE, "individual", -1): "Bob",
        (POSE, "space", -1): "y",
        (POSE, "time", 0): 0.0,
        (POSE, "time", -1): 39 / 30,
        (POSE, "position", (0, 0, 0, 0)): np.float32(331.81458),
        (POSE, "position", (0, 0, 0, 1)): np.float32(365.96167),
        (POSE, "position", (0, 0, 1, 0)): np.float32(272.9256),
        (POSE, "position", (0, 1, 0, 0)): np.float32(272.77417),
        (POSE, "position", (39, 1, 2, 1)): np.float32(312.82626),
        (POSE, "position", (5, 1, 2, 0)): np.nan,
        (POSE, "confidence", (0, 0, 0)): np.float32(0.8620156),
        (POSE, "confidence", (0, 0, 2)): np.float32(0.5783306),
        (POSE, "confidence", (0, 1, 0)): np.float32(0.79941964),
        (POSE, "confidence", (39, 1, 2)): np.float32(0.55741996),
    }


@pytest.fixture
def written(tmp_path):
    return write_movement(tmp_path / "s.nc", frames=60)


def pose(path, **options):
    return na.open_datatree(path, **options)["s/pose"].to_dataset()


@pytest.mark.parametrize("plural", [False, True])
@pytest.mark.parametrize("time_unit", ["seconds", "frames"])
def test_names_of_dimensions_and_clocks_of_any_version(tmp_path, plural, time_unit):
    path = write_movement(tmp_path / "s.nc", frames=60, plural=plural, time_unit=time_unit)
    node = pose(path)
    with xr.open_dataset(path, decode_times=False) as theirs:
        stored = theirs["position"].values
    assert node.position.dims == ("time", "individual", "keypoint", "space")
    np.testing.assert_array_equal(node.position.values, stored.transpose(0, 3, 2, 1))
    np.testing.assert_array_equal(node.time.values, np.arange(60) / 50)


def test_what_else_lies_along_time_comes_along(written, tmp_path):
    with xr.open_dataset(written) as poses:
        poses = poses.load()
    poses["velocity"] = poses.position.differentiate("time").assign_attrs(log="[]", units="px/s")
    poses["speed"] = np.hypot(poses.velocity.sel(space="x"), poses.velocity.sel(space="y"))
    poses["mean_place"] = poses.position.mean("time")
    poses = poses.transpose("time", "individual", "keypoint", "space")  # as before 0.0.21
    encoding = {"position": {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -9999}}
    target = tmp_path / "more.nc"
    poses.to_netcdf(target, encoding=encoding)
    tree = na.open_datatree(target)
    node = tree["more/pose"]
    np.testing.assert_allclose(node["position"], poses.position, atol=0.051)
    np.testing.assert_array_equal(node["velocity"], poses.velocity)
    np.testing.assert_array_equal(node["speed_signal"], poses.speed)
    assert node["velocity"].attrs["units"] == "px/s"
    assert "mean_place" in "".join(tree["more"].attrs["notes"])


def test_boxes_have_no_keypoints(written, tmp_path):
    with xr.open_dataset(written) as poses:
        boxes = poses.load().isel(keypoint=0, drop=True).assign_attrs(ds_type="bboxes")
    boxes["shape"] = boxes.position * 0 + 40
    boxes.to_netcdf(tmp_path / "b.nc")
    node = na.open_datatree(tmp_path / "b.nc")["b/boxes"]
    assert node["shape"].dims == ("time", "individual", "space")


def changed(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_frames_without_a_rate_ask_for_one(tmp_path):
    path = write_movement(tmp_path / "s.nc", frames=60, time_unit="frames")
    changed(path, lambda file: file.attrs.pop("fps"))
    with pytest.raises(FormatError, match="frames per second.*sampling_rate=30"):
        pose(path)
    assert pose(path, sampling_rate=20).time.values[-1] == 59 / 20


def test_a_rate_for_seconds_is_refused(written):
    with pytest.raises(ValueError, match="in seconds already"):
        pose(written, sampling_rate=30)


def test_a_clock_of_another_unit_is_refused(written):
    changed(written, lambda file: file.attrs.update(time_unit="hours"))
    with pytest.raises(FormatError, match="time_unit='hours'"):
        pose(written)


def test_without_positions_it_is_no_file_of_movement(written):
    def remove(file):
        del file["position"]

    changed(written, remove)
    with pytest.raises(UnknownFormat):
        pose(written)
    with pytest.raises(FormatError, match="position"):
        pose(written, engine="movement")


def test_labels_that_disagree_with_positions_are_named(written):
    def shorten(file):
        for dim in ("time", "keypoint"):
            scale = file[dim]
            values = scale[:-1]
            file.move(dim, f"_{dim}")
            file[dim] = values
            file[dim].make_scale(dim)
            for name in ("position", "confidence"):
                axis = [a for a in file[name].dims if len(a) and a[0].name == f"/_{dim}"]
                for one in axis:
                    one.detach_scale(file[f"_{dim}"])
                    one.attach_scale(file[dim])
            del file[f"_{dim}"]

    changed(written, shorten)
    with pytest.raises(FormatError, match=r"time.*\(60,\)|\(60,\).*time"):
        pose(written)


def test_times_out_of_order_are_sorted_where_they_are_aligned(written):
    def aligned():
        tree = na.align(na.open_datatree(written), bin_width=0.1, window=(0, 1.2), series="pose")
        return tree["s/pose/position"].values

    expected = aligned()
    order = np.random.default_rng(0).permutation(60)

    def shuffle(file):
        for name in ("time", "position", "confidence"):
            file[name][...] = file[name][:][order]

    na.release()
    changed(written, shuffle)
    np.testing.assert_allclose(aligned(), expected, rtol=1e-6)


def test_no_frames_at_all(tmp_path):
    node = pose(write_movement(tmp_path / "s.nc", frames=0))
    assert node.position.shape == (0, 2, 3, 2)


def test_a_folder_is_one_tree(tmp_path):
    for name in "ab":
        write_movement(tmp_path / f"{name}.nc", frames=10)
    assert set(na.open_datatree(tmp_path).children) == {"a", "b"}


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(tmp_path):
    write_movement(tmp_path / "s.nc", frames=10)
    (tmp_path / "one.nwb").write_bytes((GOLDEN / "nwb" / "session.nwb").read_bytes())
    with pytest.raises(UnknownFormat, match="movement") as caught:
        na.open_datatree(tmp_path)
    assert "nwb" in str(caught.value)
    assert pose(tmp_path, engine="movement").sizes["time"] == 10
