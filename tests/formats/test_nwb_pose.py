"""Poses of ndx-pose: keypoints of one camera in one array, and what can be wrong with them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import ReaderTests, assert_same_trees

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CAMERA = "processing/behavior/LeftCamera"


class TestGolden(ReaderTests):
    """Written by pynwb 4.2.0 and ndx-pose 0.4.0, values read with h5py."""

    archives = (".zarr",)
    reader = "nwb"
    inert_options = {"units": "there are none"}
    path = GOLDEN / "nwb" / "pose.nwb"
    foreign = (GOLDEN / "movement" / "poses.nc",)
    values = {
        ("pose/SideCamera", "keypoint", 0): "snout",
        ("pose/SideCamera", "keypoint", -1): "tail",
        ("pose/SideCamera", "space", -1): "y",
        ("pose/SideCamera", "time", 0): 0.5,
        ("pose/SideCamera", "time", -1): 0.5 + 29 / 25,
        ("pose/SideCamera", "position", (0, 0, 0)): np.float32(182.7813),
        ("pose/SideCamera", "position", (0, 0, 1)): np.float32(212.08197),
        ("pose/SideCamera", "position", (0, 1, 0)): np.float32(186.79546),
        ("pose/SideCamera", "position", (29, 2, 1)): np.float32(216.11075),
        ("pose/SideCamera", "confidence", (0, 0)): np.float32(0.8860503),
        ("pose/SideCamera", "confidence", (29, 2)): np.float32(0.68418145),
    }

    def test_what_the_group_says(self):
        node = na.open_datatree(self.path)["pose/SideCamera"]
        attrs = node["position"].attrs
        assert attrs["edges"] == ["snout-ear", "ear-tail"]
        assert attrs["source_software_version"] == "3.0.0"
        assert attrs["original_videos"] == ["side.mp4"]
        assert "not in the tree" not in "".join(node.parent.attrs["notes"])


@pytest.fixture
def written(tmp_path):
    """A file with poses alone, and what was written."""
    path = tmp_path / "s.nwb"
    return path, write_nwb(path, parts=("pose",), duration=4.0)


def pose(path):
    return na.open_datatree(path)["s/LeftCamera"].to_dataset()


def notes(path):
    return "\n".join(na.open_datatree(path)["s"].attrs["notes"])


def replaced(path, place, values):
    na.release()
    with h5py.File(path, "r+") as file:
        del file[f"{CAMERA}/{place}"]
        if values is not None:
            file[f"{CAMERA}/{place}"] = values


def test_keypoints_stand_in_one_array_in_the_order_of_the_skeleton(written):
    path, truth = written
    node = pose(path)
    assert node.position.dims == ("time", "keypoint", "space")
    assert node.keypoint.values.tolist() == ["snout", "left ear", "pupil_top"]
    assert node.space.values.tolist() == ["x", "y"]
    np.testing.assert_array_equal(node.position.values, truth["pose"])
    np.testing.assert_array_equal(node.confidence.values, truth["pose_confidence"])
    np.testing.assert_array_equal(node.time.values, truth["pose_time"])
    assert node.position.attrs["units"] == "pixels"
    assert node.position.attrs["edges"] == ["snout-left ear", "snout-pupil_top"]
    assert node.position.attrs["source_software"] == "DeepLabCut"
    assert node.confidence.attrs["definition"] == "likelihood"
    assert "not in the tree" not in notes(path)


def test_a_pose_is_aligned_and_comes_back_from_an_archive(written, tmp_path):
    path, truth = written
    tree = na.open_datatree(path)
    aligned = na.align(tree, bin_width=0.1, series="LeftCamera")["s/LeftCamera"]
    frames = truth["pose"][24:28].astype(float)  # at 1.0, 1.033, 1.067 and 1.1 s
    mean = np.average(frames, axis=0, weights=[0.5, 1, 1, 0.5])  # half of the first lies before 1 s
    found = aligned.position.sel(time=1.05, method="nearest")
    np.testing.assert_allclose(found, mean, rtol=1e-6)
    na.save(tree, tmp_path / "saved.h5")
    assert_same_trees(na.open_datatree(tmp_path / "saved.h5"), tree)


def test_confidence_that_is_missing_is_not_one(written):
    path, truth = written
    replaced(path, "left ear/confidence", None)
    node = pose(path)
    assert np.isnan(node.confidence.sel(keypoint="left ear")).all()
    np.testing.assert_array_equal(
        node.confidence.sel(keypoint="snout"), truth["pose_confidence"][:, 0]
    )
    for name in ("snout", "pupil_top"):
        replaced(path, f"{name}/confidence", None)
    assert "confidence" not in pose(path)


@pytest.mark.parametrize("size", [7, 100])
def test_confidence_of_another_length_is_named_and_left_out(written, size):
    path, _ = written
    replaced(path, "snout/confidence", np.ones(size, np.float32))
    assert np.isnan(pose(path).confidence.sel(keypoint="snout")).all()
    assert f"LeftCamera/snout/confidence (shape ({size},), float32: expected 120 numbers)" in notes(
        path
    )


def test_positions_of_another_length_are_named_and_the_others_stay(written):
    path, _ = written
    replaced(path, "left ear/data", np.ones((119, 2), np.float32))
    assert pose(path).keypoint.values.tolist() == ["snout", "pupil_top"]
    assert "LeftCamera/left ear" in notes(path)
    assert "120" in notes(path)


def test_keypoints_on_clocks_of_their_own_are_nodes_of_their_own(written):
    path, truth = written
    times = truth["pose_time"] + 0.01
    replaced(path, "pupil_top/timestamps", times)
    camera = na.open_datatree(path)["s/LeftCamera"]
    assert set(camera.children) == {"left ear", "pupil_top"}
    assert camera["left ear"].keypoint.values.tolist() == ["snout", "left ear"]
    np.testing.assert_array_equal(camera["pupil_top"].time, times)


def test_three_columns_beside_two_stay_variables_of_their_own(written):
    path, truth = written
    deep = np.ones((len(truth["pose_time"]), 3), np.float32)
    replaced(path, "snout/data", deep)
    node = pose(path)
    assert "position" not in node
    np.testing.assert_array_equal(node["snout"].values, deep)
    assert "keypoints of different units, or not of x, y and z" in notes(path)


def test_time_out_of_order_is_kept_and_sorted_where_it_is_aligned(written):
    path, truth = written

    def aligned():
        tree = na.align(na.open_datatree(path), bin_width=0.2, window=(0, 4), series="LeftCamera")
        return tree["s/LeftCamera/position"].values

    expected = aligned()
    order = np.random.default_rng(0).permutation(len(truth["pose_time"]))
    na.release()
    with h5py.File(path, "r+") as file:
        file[f"{CAMERA}/snout/timestamps"][:] = truth["pose_time"][order]
        for column, name in enumerate(("snout", "left ear", "pupil_top")):
            file[f"{CAMERA}/{name}/data"][:] = truth["pose"][order, column]
    np.testing.assert_array_equal(pose(path).time.values, truth["pose_time"][order])
    np.testing.assert_allclose(aligned(), expected, rtol=1e-5)


def test_no_frames_at_all(tmp_path):
    write_nwb(tmp_path / "s.nwb", parts=("pose",), duration=0.0)
    node = pose(tmp_path / "s.nwb")
    assert node.position.shape == (0, 3, 2)
    assert node.confidence.shape == (0, 3)


def test_a_skeleton_that_contradicts_itself_is_named(written):
    path, truth = written
    with h5py.File(path, "r+") as file:
        del file["processing/behavior/Skeletons/mouse/edges"]
        file["processing/behavior/Skeletons/mouse/edges"] = np.array([[0, 9]], np.uint8)
    np.testing.assert_array_equal(pose(path).position.values, truth["pose"])
    assert "Skeletons/mouse/edges" in notes(path)


def test_a_body_part_called_like_an_event_is_none(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("pose",), duration=2.0)
    with h5py.File(path, "r+") as file:
        file.move(f"{CAMERA}/snout", f"{CAMERA}/lick_spout")
        for name in ("left ear", "pupil_top"):
            del file[f"{CAMERA}/{name}/timestamps"]
            file[f"{CAMERA}/{name}/timestamps"] = h5py.SoftLink(f"/{CAMERA}/lick_spout/timestamps")
    assert pose(path).keypoint.values.tolist() == ["left ear", "lick_spout", "pupil_top"]
