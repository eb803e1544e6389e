"""The published binned archive: golden file under the conformance suite, then what can go wrong."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.formats.allen_binned import AllenBinnedReader
from neuroarrays.testing import ReaderTests, assert_same_trees, same_values
from neuroarrays.testing.sources import close_all

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "allen_binned"
GOLDEN = FOLDER / "natural_scenes.h5"
FOREIGN = tuple(
    path
    for folder in sorted(FOLDER.parent.iterdir())
    if folder.is_dir() and folder.name != "allen_binned"
    for path in sorted(folder.iterdir())
    if path.suffix not in (".py", ".md")
)
FIRST, LAST = "session_715093703", "session_766640955"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "allen_binned"
    path = GOLDEN
    foreign = (*FOREIGN, FOLDER / "natural_scenes_frames.h5")
    values = {
        (f"{FIRST}/CA1", "spike_data", (0, 0, 0)): 0,
        (f"{FIRST}/CA1", "spike_data", (0, 0, 1)): 1,  # presentation, unit, time
        (f"{FIRST}/CA1", "spike_data", (1, 1, 1)): 1,
        (f"{FIRST}/CA1", "spike_data", (3, 1, 0)): 1,
        (f"{FIRST}/CA1", "spike_data", (3, 1, 1)): 1,
        (f"{FIRST}/CA1", "spike_data", (-1, -1, -1)): 0,
        (f"{FIRST}/VISp", "unit_id", 0): 950912164,
        (f"{FIRST}/VISp", "unit_id", -1): 950912214,
        (f"{FIRST}/VISp", "frame", 1): 3.0,
        (f"{FIRST}/VISp/presentations", "frame", 0): 7.0,
        (f"{FIRST}/VISp/presentations", "frame", -1): 7.0,
        (f"{FIRST}/VISp/presentations", "start_time", 0): 1000.0999755859375,
        (f"{FIRST}/VISp/presentations", "start_time", -1): 1003.0999755859375,
        (FIRST, "presentation_id", 2): 54,
        (FIRST, "time", 0): 0.01,
        (FIRST, "time", -1): 0.05,
        (f"{LAST}/VISp", "speed", (0, 0)): 0.5,
        (f"{LAST}/VISp", "speed", (0, 1)): 4.5,
        (f"{LAST}/VISp", "speed", (-1, -1)): 11.5,
        (f"{LAST}/VISp/pupil", "raw_pupil_area", (0, 0)): 100.0,
        (f"{LAST}/VISp/pupil", "raw_pupil_area", (2, 1)): np.nan,
        (f"{LAST}/VISp/pupil", "raw_pupil_area", (-1, -1)): 111.0,
        (FIRST, "stimulus", (0, 0, 0, 1)): 10,
        (LAST, "stimulus", (-1, 0, -1, -1)): 230,
        (FIRST, "image_id", 0): 3,
    }


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "natural_scenes.h5"
    shutil.copy(GOLDEN, path)
    return path


def test_names_dims_and_labels():
    tree = na.open_datatree(GOLDEN)
    area = tree[f"{LAST}/VISp"]
    assert area["spike_data"].dims == ("presentation_id", "unit_id", "time")
    assert area["spike_data"].dtype == np.int8
    assert area["speed"].dims == ("presentation_id", "time")
    assert area["speed"].attrs["units"] == "cm/s"
    assert area["pupil/raw_screen_coordinates_x_cm"].attrs["units"] == "cm"
    assert area["pupil/raw_screen_coordinates_spherical_y_deg"].attrs["units"] == "degree"
    assert "pupil" not in tree[f"{FIRST}/VISp"].children
    means = area["spike_data"].groupby("frame").mean("presentation_id")
    assert means["frame"].values.tolist() == [3.0, 5.0, 7.0]
    assert tree[FIRST].attrs["session_id"] == "715093703"
    shown = tree[FIRST]["stimulus"].sel(image_id=area["frame"][0].astype(int))
    assert shown.dims == ("channel", "y", "x")


def test_values_are_those_of_plain_xarray():
    tree = na.open_datatree(GOLDEN)
    for engine in ("h5netcdf", "netcdf4"):
        with xr.open_datatree(GOLDEN, engine=engine) as peer:
            for session, areas in ((FIRST, ("CA1", "VISp")), (LAST, ("VISp",))):
                for area in areas:
                    theirs, ours = peer[f"{session}/{area}"], tree[f"{session}/{area}"]
                    for group, name in (("spike_data", "spike_data"), ("speed", "speed")):
                        xr.testing.assert_equal(
                            theirs[f"{group}/{name}"].transpose(*ours[name].dims).drop_vars("time"),
                            ours[name].reset_coords(drop=True).drop_vars("time"),
                        )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("sizes", [(4, 3, 2), (3, 3, 3), (4, 3, 3), (1, 1, 1), (0, 3, 2)])
def test_dims_in_any_order(tmp_path, order, sizes):
    dims = [("presentation_id", "time", "unit_id")[i] for i in order]
    of_dim = dict(zip(("presentation_id", "time", "unit_id"), sizes, strict=True))
    labels = {
        "presentation_id": np.arange(sizes[0], dtype="i4") * 2,
        "time": np.arange(sizes[1]) + 0.5,
        "unit_id": np.arange(sizes[2], dtype="i4") + 5,
    }
    values = np.random.default_rng(0).integers(0, 9, [of_dim[d] for d in dims]).astype("i1")
    path = tmp_path / "gabors.h5"
    spikes = xr.Dataset({"spike_data": (dims, values)}, labels)
    rows = xr.Dataset(
        {"start_time": ("presentation_id", np.arange(sizes[0], dtype="f4"))},
        {"presentation_id": labels["presentation_id"]},
    )
    spikes.to_netcdf(path, group="session_1/VISp/spike_data", engine="h5netcdf")
    rows.to_netcdf(path, mode="a", group="session_1/VISp/presentations", engine="h5netcdf")
    tree = na.open_datatree(path)
    found = tree["session_1/VISp/spike_data"]
    expected = spikes["spike_data"].transpose("presentation_id", "unit_id", "time")
    assert found.dims == expected.dims
    assert same_values(found.values, expected.values)
    assert same_values(found.transpose(*dims).values, values)
    assert "speed" not in tree["session_1/VISp"]


def test_a_folder_and_a_list_open_as_blocks(archive):
    other = archive.with_name("gabors.h5")
    shutil.copy(GOLDEN, other)
    shutil.copy(FOLDER / "natural_scenes_frames.h5", archive.parent)
    (archive.parent / "notes.txt").write_text("nothing")
    tree = na.open_datatree(archive.parent)
    assert list(tree.children) == ["gabors", "natural_scenes"]
    assert tree[f"gabors/{FIRST}/CA1/spike_data"].shape == (4, 2, 3)
    assert "stimulus" in tree[f"natural_scenes/{FIRST}"]
    assert "stimulus" not in tree[f"gabors/{FIRST}"]
    assert_same_trees(na.open_datatree([other, archive]), tree)
    rows = na.catalog(archive.parent)
    assert rows["block"].unique().tolist() == ["gabors", "natural_scenes"]
    assert len(rows) == 6


def test_sessions_and_areas_are_chosen_before_they_are_built(archive):
    tree = na.open_datatree(archive, areas="CA*")
    assert list(tree.children) == [FIRST]
    assert list(tree[FIRST].children) == ["CA1"]
    assert list(na.open_datatree(archive, sessions=LAST).children) == [LAST]
    with pytest.raises(NotInTree, match="no area 'VISpp'.*did you mean 'VISp'"):
        na.open_datatree(archive, areas="VISpp")
    with pytest.raises(NotInTree, match="no session 'session_1'"):
        na.open_datatree(archive, sessions="session_1")


def test_catalog_builds_no_tree(monkeypatch):
    monkeypatch.setattr(AllenBinnedReader, "open_groups_as_dict", None)
    rows = na.catalog(GOLDEN).set_index(["session", "area"])
    assert rows.loc[(FIRST, "VISp"), ["units", "presentations", "times"]].tolist() == [3, 4, 3]
    assert rows["has_pupil"].tolist() == [False, False, True]


def test_pupil_data_is_gaze_data(archive):
    before = na.open_datatree(archive)
    values = before[f"{LAST}/VISp/pupil/raw_eye_area"].values
    close_all()
    with h5py.File(archive, "a") as file:
        file.move(f"{LAST}/VISp/gaze_data", f"{LAST}/VISp/pupil_data")
    tree = na.open_datatree(archive)
    assert same_values(tree[f"{LAST}/VISp/pupil/raw_eye_area"].values, values)
    assert na.catalog(archive)["has_pupil"].tolist() == [False, False, True]


@pytest.mark.parametrize("gone", ["spike_data", "presentations", "spike_data/unit_id"])
def test_an_archive_that_was_not_written_to_its_end(archive, gone):
    with h5py.File(archive, "a") as file:
        del file[f"{LAST}/VISp/{gone}"]
    assert list(na.open_datatree(archive, sessions=FIRST).children) == [FIRST]
    with pytest.raises(FormatError, match=f"{LAST}/VISp/.*skip_damaged=True") as caught:
        na.open_datatree(archive)
    assert str(archive) in str(caught.value)
    tree = na.open_datatree(archive, skip_damaged=True)
    assert list(tree.children) == [FIRST]
    assert LAST in tree.attrs["notes"][0]


def test_groups_of_an_area_that_disagree(archive):
    with h5py.File(archive, "a") as file:
        file[f"{LAST}/VISp/speed/presentation_id"][0] = 9
    with pytest.raises(FormatError, match="VISp/speed: expected the presentation_id of the spikes"):
        na.open_datatree(archive)


def test_areas_of_other_presentations_keep_their_own(archive):
    with h5py.File(archive, "a") as file:
        for group in ("spike_data", "speed", "presentations"):
            file[f"{FIRST}/CA1/{group}/presentation_id"][0] = 9
    tree = na.open_datatree(archive)
    assert "presentation_id" not in tree[FIRST].coords
    assert tree[f"{FIRST}/CA1"]["presentation_id"].values.tolist() == [9, 52, 54, 57]
    assert tree[f"{FIRST}/VISp"]["presentation_id"].values.tolist() == [51, 52, 54, 57]


def test_one_session_in_two_files_of_one_name(tmp_path):
    paths = [tmp_path / name / "gabors.h5" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(GOLDEN, path)
    with pytest.raises(FormatError, match=f"gabors/{FIRST}.*in one file only"):
        na.open_datatree(paths)


def test_a_pointer_in_a_folder_is_noted(archive):
    (archive.parent / "gabors.h5").write_text("/annex/objects/MD5E-s123--0123.h5\n")
    tree = na.open_datatree(archive.parent)
    assert list(tree.children) == ["natural_scenes"]
    assert "datalad get" in tree.attrs["notes"][0]
    with pytest.raises(FormatError, match="git-annex pointer"):
        na.open_datatree([archive, archive.parent / "gabors.h5"])


def test_links_are_refused(archive):
    with h5py.File(archive, "a") as file:
        file[f"{LAST}/VISp/speed/other"] = h5py.ExternalLink("elsewhere.h5", "/x")
    with pytest.raises(FormatError, match="a link 'other'"):
        na.open_datatree(archive)


def test_frames_that_are_none_are_noted(archive):
    archive.with_name("natural_scenes_frames.h5").write_bytes(b"not HDF5")
    tree = na.open_datatree(archive)
    assert "stimulus" not in tree[FIRST]
    assert "natural_scenes_frames.h5 left out" in tree.attrs["notes"][0]


def test_an_outer_join_with_gaps_is_a_response(archive):
    with h5py.File(archive, "a") as file:
        group = file[f"{LAST}/VISp/spike_data"]
        scales = [group[name] for name in ("presentation_id", "time", "unit_id")]
        del group["spike_data"]
        group["spike_data"] = np.full((4, 3, 2), np.nan, "f4")
        for i, scale in enumerate(scales):
            group["spike_data"].dims[i].attach_scale(scale)
    assert na.open_datatree(archive)[f"{LAST}/VISp/responses"].dtype == np.float32


@pytest.mark.parametrize("given", ["", "data", "data/02_stimulus_types"])
def test_a_clone_opens_from_its_root(tmp_path, given):
    from neuroarrays.synthetic import aligned_tree

    folder = tmp_path / "data" / "02_stimulus_types"
    folder.mkdir(parents=True)
    with pytest.warns(UserWarning, match="no place for"):
        na.save(aligned_tree(1, presentations=6), folder / "gabors.h5", layout="allen_binned")
    tree = na.open_datatree(tmp_path / given)
    assert list(tree.children) == ["gabors"]


@pytest.mark.parametrize("given", ["", "data"])
def test_a_clone_without_contents_says_what_gets_them(tmp_path, given):
    folder = tmp_path / "data" / "02_stimulus_types"
    folder.mkdir(parents=True)
    (folder / "gabors.h5").write_text("/annex/objects/MD5E-s100--abc.h5\n")
    with pytest.raises(FormatError, match="git-annex pointer.*datalad get"):
        na.open_datatree(tmp_path / given)
