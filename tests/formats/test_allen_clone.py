"""A clone of the published repository as it lies: every folder of it, and pointers of git-annex."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.formats.allen_binned.pipeline import published
from neuroarrays.synthetic.allen import write_allen
from neuroarrays.testing import same_values

pytest.importorskip("scipy")
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "allen_binned"
NUMBER = 715093703
SESSION = f"session_{NUMBER}"
POINTER = "../../.git/annex/objects/0p/1Q/MD5E-s661259383--{0}/MD5E-s661259383--{0}"
RENAMED = {"presentation_id": "stimulus_presentation_id", "time": "time_relative_to_stimulus_onset"}


def pointer(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(POINTER.format("881de83e91c14a1c043770e761a09506" + path.suffix), path)


def write_separate(folder, tree, stimulus):
    """The four files of one session and stimulus, as xarray writes them without netCDF4."""
    made = published(tree, stimulus)[SESSION]
    areas = [made[name] for name in made.children]
    spikes = xr.concat([area["spike_data"].reset_coords(drop=True) for area in areas], "unit_id")
    order = np.random.default_rng(0).permutation(spikes.sizes["unit_id"])  # theirs is another
    rows = areas[0]["presentations"].to_dataset(inherit=False)
    rows = rows.assign_coords(presentation_id=made["presentation_id"])
    speed = areas[0]["speed"].reset_coords(drop=True).rename("presentationwise_speed")
    gaze = areas[0]["pupil"].to_dataset().reset_coords(drop=True)
    contents = {
        "spike_counts": spikes.isel(unit_id=order).rename("spike_counts").to_dataset(),
        "running_speed": speed.to_dataset(),
        "gaze_data": gaze,
        "stimuli": rows,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, dataset in contents.items():
        known = {old: new for old, new in RENAMED.items() if old in dataset.variables}
        plain = dataset.rename(known).drop_attrs()
        kept = [name for name in plain.coords if name in plain.dims]
        plain = plain.reset_coords(drop=True)[[*plain.data_vars]].assign_coords(
            {name: plain[name] for name in kept}
        )
        plain.to_netcdf(folder / f"{stimulus}_{kind}.nc", engine="scipy")
    return made


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """One session of two stimuli, the rest of the repository's `data` around it."""
    root = tmp_path_factory.mktemp("clone")
    recording = tmp_path_factory.mktemp("recording") / f"{SESSION}.nwb"
    write_allen(
        recording, session_id=NUMBER, stimuli=("gabors", "natural_scenes"), sampling=0.2, rate=2.0
    )
    data, tree = root / "data", na.open_datatree(recording)
    folder = data / "01_sessions_presentations" / SESSION
    made = {name: write_separate(folder, tree, name) for name in ("gabors", "natural_scenes")}
    na.units(recording, compat="mlynarski").to_csv(data / "units.csv", index=False)
    (data / "presentations" / "presented_stimuli").mkdir(parents=True)
    tables = data / "presentations"
    rows = na.presentations(recording, compat="mlynarski")
    rows.to_csv(tables / "03_presentations_filtered_by_duration.csv", index=False)
    pointer(tables / "01_presentations_original.csv")
    shutil.copy(GOLDEN / "natural_scenes_frames.h5", tables / "presented_stimuli")
    for part in ("02_stimulus_types", "03_subset_natural_visual"):
        (data / part).mkdir()
        shutil.copy(GOLDEN / "natural_scenes.h5", data / part)
        pointer(data / part / "natural_movie_one.h5")
    return root, made, rows


@pytest.mark.parametrize(
    "place", ["01_sessions_presentations", f"01_sessions_presentations/{SESSION}"]
)
def test_separate_files_are_the_published_trees(clone, place):
    root, made, _ = clone
    tree = na.open_datatree(root / "data" / place)
    assert list(tree.children) == ["gabors", "natural_scenes"]
    for stimulus, session in made.items():
        opened = tree[f"{stimulus}/{SESSION}"]
        assert list(opened.children) == sorted(session.children)
        for area, node in session.children.items():
            ours = opened[area]
            assert ours["spike_data"].dims == ("presentation_id", "unit_id", "time")
            theirs = node["spike_data"].transpose(*ours["spike_data"].dims)
            chosen = theirs.sel(unit_id=ours["unit_id"])
            assert ours["spike_data"].dtype == np.int8
            assert same_values(ours["spike_data"].values, chosen.values)
            assert same_values(ours["speed"].values, node["speed"].values.T)
            assert same_values(ours["time"].values, node["time"].values)
            area_of_pupil = ours["pupil/raw_pupil_area"]
            assert same_values(area_of_pupil.values, node["pupil/raw_pupil_area"].values.T)
            table = ours["presentations"]
            for name, column in node["presentations"].data_vars.items():
                assert same_values(table[name].values, column.values)


def test_separate_files_without_areas_or_content(clone, tmp_path):
    root, made, _ = clone
    folder = tmp_path / SESSION
    shutil.copytree(root / "data" / "01_sessions_presentations" / SESSION, folder)
    tree = na.open_datatree(tmp_path)
    assert list(tree[f"gabors/{SESSION}"].children) == ["unknown"]
    assert any("units.csv" in note for note in tree.attrs["notes"])
    (folder / "gabors_gaze_data.nc").unlink()
    pointer(folder / "gabors_gaze_data.nc")
    (folder / "natural_scenes_spike_counts.nc").unlink()
    pointer(folder / "natural_scenes_spike_counts.nc")
    tree = na.open_datatree(folder)
    assert list(tree.children) == ["gabors"]
    assert "pupil" not in tree[f"gabors/{SESSION}/unknown"].children
    assert any("datalad get" in note and "gaze_data" in note for note in tree.attrs["notes"])
    assert na.catalog(folder)["presentations"].tolist() == [made["gabors"].sizes["presentation_id"]]
    with pytest.raises(NotInTree, match="session_1"):
        na.open_datatree(tmp_path, sessions="session_1")
    for path in folder.glob("*"):
        path.unlink()
        pointer(path)
    with pytest.raises(FormatError, match="661,259,383 bytes.*datalad get"):
        na.open_datatree(tmp_path)


def test_areas_are_of_the_session_and_what_lacks_is_noted(clone, tmp_path):
    root, made, _ = clone
    data = tmp_path / "a clone # 1"
    folder = data / "01_sessions_presentations" / SESSION
    shutil.copytree(root / "data" / "01_sessions_presentations" / SESSION, folder)
    units = pd.read_csv(root / "data" / "units.csv")
    other = units.assign(ecephys_session_id=1, ecephys_structure_acronym="MOs")
    pd.concat([units, other]).to_csv(data / "units.csv")  # another session has the same identifiers
    (folder / "natural_scenes_stimuli.nc").unlink()
    (folder / "gabors_running_speed.nc").unlink()
    pointer(folder / "gabors_running_speed.nc")
    tree = na.open_datatree(folder.parent)
    areas = {str(area) for area in made["gabors"].children}
    assert set(tree[f"gabors/{SESSION}"].children) == areas
    notes = tree.attrs["notes"]
    assert any(
        "left out, without spike_counts or stimuli" in note and "scenes" in note for note in notes
    )
    assert any(f"datalad get '{folder.parent}'" in note for note in notes)  # as a shell takes it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.iloc[:0], "a row for each presentation; found no row"),
        (lambda rows: rows.drop(columns="session_id"), "no session_id"),
        (
            lambda rows: rows.assign(stimulus_presentation_id=np.nan),
            "csv:stimulus_presentation_id: expected whole numbers in every row; found float64",
        ),
        (lambda rows: rows.assign(start_time="early"), "csv:start_time: expected numbers"),
    ],
)
def test_tables_of_presentations_that_are_none(clone, tmp_path, change, message):
    path = tmp_path / "03_presentations_filtered_by_duration.csv"
    change(clone[2]).to_csv(path, index=False)
    with pytest.raises(FormatError, match=message):
        na.open_datatree(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_spikes_that_are_no_netcdf(clone, tmp_path, content):
    folder = tmp_path / SESSION
    shutil.copytree(clone[0] / "data" / "01_sessions_presentations" / SESSION, folder)
    (folder / "gabors_spike_counts.nc").write_bytes(content)
    with pytest.raises(
        FormatError, match=r"gabors_spike_counts.nc: expected a netCDF-3 file; found"
    ):
        na.open_datatree(folder)


def test_spikes_along_an_unlimited_dimension_are_called_that(clone, tmp_path):
    folder = tmp_path / SESSION
    shutil.copytree(clone[0] / "data" / "01_sessions_presentations" / SESSION, folder)
    path = folder / "gabors_spike_counts.nc"
    with xr.open_dataset(path, engine="scipy") as stored:
        loaded = stored.load()
    first = loaded["spike_counts"].dims[0]
    loaded.to_netcdf(path, engine="scipy", unlimited_dims=[first])
    with pytest.raises(FormatError, match=f"counts.nc:{first}: .*; found along an unlimited dim"):
        na.open_datatree(folder)


def test_files_that_do_not_belong_together(clone, tmp_path):
    root, _, _ = clone
    folder = tmp_path / SESSION
    shutil.copytree(root / "data" / "01_sessions_presentations" / SESSION, folder)
    shutil.copy(folder / "natural_scenes_stimuli.nc", folder / "gabors_stimuli.nc")
    with pytest.raises(FormatError, match=r"gabors_stimuli.nc: expected the presentation_id"):
        na.open_datatree(folder)
    whole = (folder / "gabors_spike_counts.nc").read_bytes()
    (folder / "gabors_spike_counts.nc").write_bytes(whole[:-100])
    with pytest.raises(FormatError, match=r"gabors_spike_counts.nc.*truncated"):
        na.open_datatree(folder)


@pytest.mark.parametrize(
    "place", ["", "data", "data/02_stimulus_types", "data/03_subset_natural_visual"]
)
def test_combined_files_have_their_frames(clone, place):
    root, _, _ = clone
    tree = na.open_datatree(root / place)
    assert list(tree.children) == ["natural_scenes"]
    assert any("natural_movie_one.h5" in n and "datalad get" in n for n in tree.attrs["notes"])
    shown = tree[f"natural_scenes/{SESSION}/stimulus"]
    with xr.open_dataset(GOLDEN / "natural_scenes_frames.h5") as beside:
        assert same_values(shown.values[:, 0], next(iter(beside.data_vars.values())).values)


def test_presentations_open_as_a_recording(clone):
    root, _, rows = clone
    folder = root / "data" / "presentations"
    for path in (folder, folder / "03_presentations_filtered_by_duration.csv"):
        tree = na.open_datatree(path)
        tables = tree[f"{SESSION}/presentations"]
        assert set(tables.children) == {"gabors", "natural_scenes"}
        gabors = rows[rows["stimulus_name"] == "gabors"]
        shown = tables["gabors"]
        assert (
            shown["presentation_id"].values.tolist() == gabors["stimulus_presentation_id"].tolist()
        )
        np.testing.assert_allclose(shown["start_time"], gabors["start_time"], rtol=0, atol=1e-9)
        assert "frame" not in shown
        assert "orientation" in shown
    with pytest.raises(FormatError, match="01_presentations_original.csv.*datalad get"):
        na.open_datatree(folder / "01_presentations_original.csv")
    assert len(na.presentations(folder)) == len(rows)
