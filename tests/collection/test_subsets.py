"""Parts of archives, NPY files of them, and the commands over them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.cli import options
from neuroarrays.collection import subsets as archives
from neuroarrays.errors import NeuroArraysError, NotInTree, PathExists
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import assert_same_trees
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).parents[1] / "golden" / "allen_binned" / "natural_scenes.h5"
FIRST, LAST = "session_715093703", "session_766640955"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def published(tmp_path):
    """A folder of the published archive."""
    folder = tmp_path / "published"
    folder.mkdir()
    for name in ("natural_scenes", "natural_movie_one", "gabors"):
        shutil.copy(GOLDEN, folder / f"{name}.h5")
    return folder


@pytest.fixture
def own(published, tmp_path):
    """The same in our own layout."""
    return archives.subset(published, tmp_path / "own")


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command; gives its exit code, output and errors."""

    def run(*argv):
        monkeypatch.setenv("COLUMNS", "200")
        code = cli.main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize("kind", ["published", "own"])
def test_a_subset_as_a_folder_and_as_one_file(request, kind, tmp_path):
    path = request.getfixturevalue(kind)
    out = archives.subset(path, tmp_path / "natural", "natural_*", areas="VIS*")
    assert sorted(p.name for p in out.iterdir()) == ["natural_movie_one.h5", "natural_scenes.h5"]
    tree = na.open_datatree(out)
    assert list(tree.children) == ["natural_movie_one", "natural_scenes"]
    assert [list(s.children) for s in tree["natural_scenes"].children.values()] == [["VISp"]] * 2
    expected = na.open_datatree(path)[f"natural_scenes/{LAST}/VISp"]
    found = tree[f"natural_scenes/{LAST}/VISp"]
    assert found.to_dataset().identical(expected.to_dataset())
    one = archives.subset(path, tmp_path / "natural.h5", "natural_*", areas="VIS*")
    assert_same_trees(na.open_datatree(one), tree, but=("source", "notes", "neuroarrays_schema"))


def test_sessions_without_the_area_are_not_in_it(published, tmp_path):
    tree = na.open_datatree(archives.subset(published, tmp_path / "x.h5", "gabors", areas="CA1"))
    assert [path for path in tree.groups if path.endswith("CA1")] == [f"/gabors/{FIRST}/CA1"]
    assert LAST not in tree["gabors"].children
    tree = na.open_datatree(archives.subset(GOLDEN, tmp_path / "one", sessions=LAST))
    assert tree.groups[1:3] == ("/natural_scenes", f"/natural_scenes/{LAST}")
    assert "stimulus" in tree[f"natural_scenes/{LAST}"]


@pytest.mark.filterwarnings("ignore:the layout allen_binned")
def test_a_subset_in_the_published_layout(own, tmp_path):
    out = archives.subset(own, tmp_path / "natural", "natural_scenes", layout="allen_binned")
    tree = na.open_datatree(out, engine="allen_binned")
    expected = na.open_datatree(own)[f"natural_scenes/{FIRST}/CA1/spike_data"]
    assert tree[f"natural_scenes/{FIRST}/CA1/spike_data"].identical(expected)


def test_what_is_not_there_and_what_is(published, tmp_path):
    with pytest.raises(NotInTree, match="no stimulus 'gabor'.*did you mean 'gabors'"):
        archives.subset(published, tmp_path / "x", "gabor")
    with pytest.raises(NotInTree, match="no area 'VISpp'"):
        archives.subset(published, tmp_path / "x", areas="VISpp")
    with pytest.raises(PathExists):
        archives.subset(published, published)
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["published", "own"])
def test_npy_files_have_the_published_names_and_axes(request, kind, tmp_path):
    path = request.getfixturevalue(kind)
    area = na.open_datatree(path)[f"gabors/{LAST}/VISp"]
    spikes = archives.export_npy(path, "gabors", "VISp", tmp_path / "npy")
    assert [p.name for p in spikes] == [
        f"{FIRST}-gabors-VISp-spike_data.npy",
        f"{LAST}-gabors-VISp-spike_data.npy",
    ]
    found = np.load(spikes[1])
    assert found.dtype == np.int8
    expected = area["spike_data"].transpose("unit_id", "presentation_id", "time")
    np.testing.assert_array_equal(found, expected.values)
    (_, speed) = archives.export_npy(path, "gabors", "VISp", tmp_path / "npy", "speed")
    assert speed.name == f"{LAST}-gabors-VISp-speed.npy"
    np.testing.assert_array_equal(
        np.load(speed), area["speed"].transpose("presentation_id", "time").values
    )
    (only,) = archives.export_npy(path, "gabors", "CA1", tmp_path / "npy")
    assert only.name == f"{FIRST}-gabors-CA1-spike_data.npy"


def test_npy_files_of_one_archive(tmp_path):
    paths = archives.export_npy(GOLDEN, "natural_scenes", "VISp", tmp_path)
    assert len(paths) == 2
    with pytest.raises(NotInTree, match="did you mean 'natural_scenes'"):
        archives.export_npy(GOLDEN, "natural_scene", "VISp", tmp_path)
    with pytest.raises(NotInTree, match="no area 'VISl'"):
        archives.export_npy(GOLDEN, "natural_scenes", "VISl", tmp_path)
    with pytest.raises(ValueError, match="data='pupil'"):
        archives.export_npy(GOLDEN, "natural_scenes", "VISp", tmp_path, "pupil")


def test_npy_of_what_no_session_has(tmp_path):
    write_nwb(tmp_path / "s.nwb", parts=("units", "trials"))
    tree = na.align(na.open_datatree(tmp_path / "s.nwb"), "trials", bin_width=0.5)
    path = na.save(tree, tmp_path / "trials.h5")
    with pytest.raises(NeuroArraysError, match="no session has speed"):
        archives.export_npy(path, "trials", "VISp", tmp_path, "speed")


# ------------------------------------------------------------------------------- the commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.02", 0.02), ("20ms", 0.02), ("20 ms", 0.02), ("0.5s", 0.5), ("1e-2", 0.01)],
)
def test_durations(text, expected):
    assert options.seconds(text) == expected


def test_a_duration_that_is_none(run, tmp_path):
    code, _, err = run("build", GOLDEN, "-o", tmp_path / "x", "--bin-width", "20minutes")
    assert code == 2
    assert "'20minutes' is not a duration" in err


def test_build_and_catalog(run, tmp_path):
    for i, name in enumerate(("a", "b")):
        write_nwb(tmp_path / f"{name}.nwb", seed=i, parts=("units", "trials", "running", "pupil"))
    command = ("build", tmp_path / "a.nwb", tmp_path / "b.nwb", "-o", tmp_path / "archive")
    code, out, err = run(*command, "--stimuli", "trials", "--areas", "VIS*", "--bin-width", "100ms")
    assert (code, err) == (0, "")
    assert "2 parts made, 0 from an earlier run" in out
    code, out, _ = run("catalog", tmp_path / "archive", "--figure", tmp_path / "catalog.png")
    assert code == 0
    columns = [*na.catalog(tmp_path / "archive").columns]
    assert out.split()[:7] == [c for c in columns if c not in ("path", "node", "format", "stamp")]
    assert out.splitlines()[-1].split() == ["trials", "b", "VISp", "3", "True", "6", "20"]
    assert (tmp_path / "catalog.png").read_bytes().startswith(b"\x89PNG")


def test_build_reports_a_bad_session(run, tmp_path):
    write_nwb(tmp_path / "a.nwb", parts=("units", "trials"))
    (tmp_path / "b.nwb").write_text("junk")
    code, out, err = run("build", tmp_path, "-o", tmp_path / "archive", "--bin-width", "0.5")
    assert code == 1
    assert "trials.h5" in out
    assert err.startswith(f"not in the archive: {tmp_path / 'b.nwb'}: ")
    for name in "cdefg":
        (tmp_path / f"{name}.nwb").write_text("junk")
    code, _, err = run("build", tmp_path, "-o", tmp_path / "archive", "--bin-width", "0.5")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith(f"not in the archive: 6 for one reason: {tmp_path / 'b.nwb'}; ")
    assert f"{tmp_path / 'e.nwb'} and 2 more: " in line
    code, _, err = run("build", tmp_path, "-o", tmp_path / "strict", "--strict")
    assert code == 2
    assert "b.nwb" in err


def test_subset_and_export(run, published, tmp_path):
    out = tmp_path / "natural.h5"
    code, said, _ = run("subset", published, "-o", out, "--stimuli", "natural_*", "--areas", "VIS*")
    assert (code, str(out) in said) == (0, True)
    assert list(na.open_datatree(out).children) == ["natural_movie_one", "natural_scenes"]
    code, said, _ = run("export-npy", out, "natural_scenes", "VISp", tmp_path / "npy")
    assert code == 0
    assert len(said.splitlines()) == 2
    code, _, err = run("export-npy", out, "natural_scens", "VISp", tmp_path / "npy")
    assert code == 2
    assert "did you mean 'natural_scenes'" in err


def test_figure_of_a_catalog(published):
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = na.plot.catalog(na.catalog(published))
    assert [t.get_text() for t in axes["units"].get_xticklabels()] == ["CA1", "VISp"]
    assert axes["units"].get_ylabel() == "2 sessions"
    assert axes["units_total"].get_title() == "7 units, 2 areas"
    assert axes["presentations_total"].get_title() == "24 presentations, 3 stimuli"
    names = {"block": "stimulus", "presentations": "n_presentations", "units": "n_units"}
    renamed = na.catalog(published).rename(columns=names)  # as the published table has them
    assert na.plot.catalog(renamed)["presentations"].images[0].get_array().shape == (2, 3)
    with pytest.raises(ValueError, match="'units'"):
        na.plot.catalog(renamed.drop(columns="n_units"))
    plt.close("all")
