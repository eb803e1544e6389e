"""suite2p: golden folder under the conformance suite, then planes, options, rates and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.synthetic.suite2p import RATE, write_suite2p
from neuroarrays.testing import ReaderTests

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
S = "run_a"
NODE = f"{S}/unknown/fluorescence"


class TestGolden(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)  # npy files: those of phy are read after the others too
    reader = "suite2p"
    path = GOLDEN / "suite2p" / S
    foreign = (GOLDEN / "phy" / "probe_a", GOLDEN / "arrays" / "lab", GOLDEN / "experanto")
    options = {"sampling_rate": 7.5}
    values = {
        (NODE, "F", (0, 0)): 653.7354736328125,
        (NODE, "F", (29, 3)): 642.6011962890625,
        (NODE, "F", (0, 4)): 643.2194213867188,
        (NODE, "F", (28, 6)): 641.48876953125,
        (NODE, "F", (29, 6)): np.nan,
        (NODE, "Fneu", (0, 0)): 199.40695190429688,
        (NODE, "Fneu", (28, 6)): 202.1267852783203,
        (NODE, "spks", (0, 0)): 14.150585174560547,
        (NODE, "spks", (5, 0)): 66.1610107421875,
        (NODE, "time", 1): 1 / 15,
        (NODE, "time", -1): 29 / 15,
        (NODE, "unit_id", -1): 6,
        (NODE, "plane", 3): 0,
        (NODE, "plane", 4): 1,
        (NODE, "roi", -1): 2,
        (NODE, "iscell", 1): 0.0,
        (NODE, "iscell_probability", 0): 0.40446781080043415,
        (NODE, "iscell_probability", -1): 0.36934767870073304,
        (NODE, "y", 0): 21,
        (NODE, "x", 0): 25,
        (NODE, "x", -1): 16,
        (NODE, "npix", -1): 37,
        (NODE, "radius", 0): 2.753707562817565,
        (NODE, "ypix", (0, 0)): 19,
        (NODE, "xpix", (0, 0)): 24,
        (NODE, "ypix", (6, 36)): 20,
        (NODE, "ypix", (6, 37)): np.nan,
        (NODE, "lam", (0, 0)): 1.0395216941833496,
        (NODE, "lam", (6, 36)): 0.9531503319740295,
    }


@pytest.fixture
def run(tmp_path):
    """A copy of the golden folder, to be changed."""
    return Path(shutil.copytree(GOLDEN / "suite2p" / S, tmp_path / S))


def opened(folder, **options):
    return na.open_datatree(folder, **options)[f"{folder.name}/unknown/fluorescence"].to_dataset()


def notes(folder):
    return "\n".join(na.open_datatree(folder)[folder.name].attrs["notes"])


def change(path, function):
    np.save(path, function(np.load(path, allow_pickle=True)), allow_pickle=True)


def test_a_plane_by_itself(run):
    node = opened(run / "plane1")
    assert dict(node.sizes) == {"time": 29, "unit_id": 3, "pixel": 37}
    assert node.plane.values.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(node.F.values, np.load(run / "plane1" / "F.npy").T)


def test_all_planes_in_the_folder_of_suite2p(tmp_path):
    run = write_suite2p(tmp_path / "combined_run", rois=3, seconds=1.0, combined=True)
    assert "combined was passed over" in notes(run)
    node, of_combined = opened(run), opened(run / "combined")
    assert node.plane.values.tolist() == of_combined.plane.values.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(node.F[:-1].values, of_combined.F[:-1].values)
    assert np.isnan(node.F[-1, -1])
    assert of_combined.F[-1, -1] == 0
    for plane in run.glob("plane*"):
        shutil.rmtree(plane)
    assert opened(run).identical(of_combined)


def test_sessions_in_a_folder(tmp_path):
    for day in ("2022_08_08", "2022_08_09"):
        shutil.copytree(GOLDEN / "suite2p" / S, tmp_path / "mouse" / day / "suite2p")
    assert list(na.open_datatree(tmp_path / "mouse").children) == ["2022_08_08", "2022_08_09"]
    assert list(na.open_datatree(tmp_path / "mouse" / "2022_08_08").children) == ["2022_08_08"]


def test_settings_of_newer_versions(run):
    for plane in run.iterdir():
        (plane / "ops.npy").unlink()
        np.save(plane / "settings.npy", {"fs": 30.0, "tau": 0.7}, allow_pickle=True)
        np.save(plane / "db.npy", {"nplanes": 2, "Ly": 64}, allow_pickle=True)
    tree = na.open_datatree(run)
    assert tree[NODE].time.values[1] == 1 / 30
    assert tree[S].attrs["nplanes"] == 2


def test_cells_are_selected_and_aligned(run):
    cells = na.select_units(na.open_datatree(run), "iscell == 1 and plane == 0")
    assert cells[NODE].unit_id.values.tolist() == [0, 2, 3]
    aligned = na.align(cells, bin_width=1 / RATE)
    assert aligned[f"{S}/unknown"].responses.attrs["signal"] == "F"
    assert {"Fneu", "spks"} <= set(aligned[f"{S}/unknown"].data_vars)


# ------------------------------------------------------------------------------------- bad input


def test_planes_without_cells(run):
    (run / "plane2").mkdir()
    shutil.copy(run / "plane0" / "ops.npy", run / "plane2")
    for name in ("F", "Fneu", "spks", "iscell", "stat"):
        change(run / "plane1" / f"{name}.npy", lambda values: values[:0])
    assert opened(run).plane.values.tolist() == [0] * 4
    assert "plane2: neither F.npy nor stat.npy" in notes(run)
    assert dict(opened(run / "plane1").load().sizes) == {"time": 29, "unit_id": 0}


def test_a_recording_without_frames(run):
    for name in ("F", "Fneu", "spks"):
        for plane in run.iterdir():
            change(plane / f"{name}.npy", lambda values: values[:, :0])
    assert opened(run).load().F.shape == (0, 7)


def test_members_that_are_not_there(run):
    for name in ("spks.npy", "stat.npy"):
        (run / "plane1" / name).unlink()
    node = opened(run)
    assert np.isnan(node.spks[0, 4:]).all()
    assert np.isnan(node.radius[4:]).all()
    assert "plane1: no spks.npy" in notes(run)
    assert "plane1: no stat.npy" in notes(run)
    (run / "plane0" / "F.npy").unlink()
    with pytest.raises(MissingPath, match=r"plane0.F\.npy"):
        opened(run)


@pytest.mark.parametrize("rate", [None, 0.0, -1.0, np.nan, "30", True])
def test_a_rate_that_is_none_says_how_to_give_one(run, rate):
    change(run / "plane1" / "ops.npy", lambda ops: ops.item() | {"fs": rate})
    with pytest.raises(FormatError, match=r"plane1.*fs.*sampling_rate="):
        opened(run)
    assert opened(run, sampling_rate=30).time.values[-1] == 29 / 30


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ops.npy", {"fs": 7.5}, "planes of one rate.*sampling_rate="),
        ("ops.npy", [1, 2], "dict of options|Python objects"),
        ("Fneu.npy", np.zeros((3, 28)), r"plane1.Fneu.*\(3, 29\), as F"),
        ("F.npy", np.zeros(29), "numbers along 2 axes"),
        ("F.npy", np.array([[{}]], object), "never unpickled"),
        ("iscell.npy", np.zeros((2, 2)), r"iscell.*\(3, 2\).*cut short"),
        ("stat.npy", np.array([{"npix": 3}, {}], object), "3 ROIs.*found 2"),
        ("stat.npy", np.array([{}, {}, 1], object), "ROI 2.*a dict"),
        ("stat.npy", np.zeros(3), "Python objects"),
        ("stat.npy", np.array([{"ypix": np.arange(2), "lam": np.arange(3)}] * 3), "2 numbers"),
    ],
)
def test_what_contradicts_itself_is_named(run, name, content, message):
    np.save(run / "plane1" / name, content, allow_pickle=True)
    with pytest.raises(FormatError, match=message):
        opened(run).load()


class Harm:
    """What runs where Python unpickles it."""

    def __reduce__(self):
        return Path.mkdir, (Path("harm"),)


def test_a_signal_that_only_the_shorter_plane_has(run):
    (run / "plane0" / "Fneu.npy").unlink()
    neuropil = opened(run).Fneu
    stored = np.load(run / "plane1" / "Fneu.npy")
    assert np.isnan(neuropil[:, :4]).all()
    assert np.isnan(neuropil[-1]).all()
    np.testing.assert_array_equal(neuropil[:-1, 4:], stored.T)


def test_what_lies_beside_the_planes_is_noted(run):
    (run / "plane1").rename(run / "Plane1")
    (run / "plane0" / "iscell.npy").unlink()
    assert "passed over beside the planes: 'Plane1'" in notes(run)
    assert "plane0: no iscell.npy, so nothing says which ROIs are cells" in notes(run)


def test_iscell_of_its_own_file_before_that_of_the_rois(run):
    rois = np.load(run / "plane0" / "stat.npy", allow_pickle=True)
    rois[0]["iscell"] = 9
    np.save(run / "plane0" / "stat.npy", rois, allow_pickle=True)
    stored = np.load(run / "plane0" / "iscell.npy")
    np.testing.assert_array_equal(opened(run).iscell[:4], stored[:, 0])
    assert "plane0/stat.npy: not read: iscell, which have files" in notes(run)


@pytest.mark.parametrize("rate", [np.array(20.0), np.array([20.0])])
def test_a_rate_in_an_array_of_one(run, rate):
    for plane in ("plane0", "plane1"):
        options = np.load(run / plane / "ops.npy", allow_pickle=True).item()
        np.save(run / plane / "ops.npy", options | {"fs": rate}, allow_pickle=True)
    assert opened(run).time[1] == 1 / 20


def test_pickles_are_never_run(run, monkeypatch):
    monkeypatch.chdir(run)
    np.save(run / "plane1" / "stat.npy", np.array([Harm()] * 3, object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"stat\.npy:ROI 0: expected a dict"):
        opened(run)
    np.save(
        run / "plane1" / "stat.npy", np.array([{"npix": 1, "x": Harm()}] * 3), allow_pickle=True
    )
    change(run / "plane1" / "ops.npy", lambda ops: ops.item() | {"date_proc": Harm()})
    assert opened(run).npix.values[-1] == 1
    assert not (run / "harm").exists()


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(run):
    shutil.copytree(GOLDEN / "phy" / "probe_a", run / "plane0", dirs_exist_ok=True)
    with pytest.raises(NeuroArraysError, match="phy") as caught:
        na.open_datatree(run / "plane0")
    assert "suite2p" in str(caught.value)
    assert opened(run / "plane0", engine="suite2p").unit_id.size == 4
