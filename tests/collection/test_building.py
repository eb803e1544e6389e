"""Building archives: what is in them, what an interruption leaves, what one bad session does."""

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.archive import index
from neuroarrays.archive import saving as store
from neuroarrays.collection import build_tasks, sources
from neuroarrays.collection import building as pipeline
from neuroarrays.collection.building import build
from neuroarrays.errors import (
    FormatError,
    NeuroArraysError,
    NotInTree,
    PathExists,
    SchemaError,
    WriteFailed,
)
from neuroarrays.files import writing
from neuroarrays.files.locating import locate
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.allen_binned.pipeline import published
from neuroarrays.synthetic import write_nwb
from neuroarrays.synthetic.allen import write_allen
from neuroarrays.tasks import runner as tasks
from neuroarrays.testing import assert_same_trees
from neuroarrays.testing.processes import LOADED
from neuroarrays.testing.sources import close_all

#: In this process, which costs a test no other one.
HERE = {"scheduler": "sync"}
TENTHS = {"bin_width": 0.1} | HERE


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


def write(folder, names=("a", "b", "c")):
    for i, name in enumerate(names):
        parts = ("units", "trials", "running", "pupil") if name == "b" else ("units", "trials")
        write_nwb(folder / f"{name}.nwb", seed=i, parts=parts)
    return [folder / f"{name}.nwb" for name in names]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write(tmp_path_factory.mktemp("written"))


@pytest.fixture
def sessions(written, tmp_path):
    return [Path(shutil.copy(path, tmp_path)) for path in written]


@pytest.fixture
def one(written, tmp_path):
    return [Path(shutil.copy(written[0], tmp_path))]


def test_the_archive_is_what_align_gives(sessions, tmp_path):
    report = build(sessions, tmp_path / "archive", **TENTHS)
    assert report.written == [tmp_path / "archive" / "trials.h5"]
    assert (report.parts_made, report.failures) == (3, [])
    tree = na.open_datatree(tmp_path / "archive")
    together = na.align(na.open_datatree(sessions), "trials", bin_width=0.1)
    assert list(tree["trials"].children) == ["a", "b", "c"]
    for path, node in together.subtree_with_keys:
        if path != ".":
            found = tree[f"trials/{path}"].to_dataset(inherit=False)
            assert found.drop_attrs().identical(node.to_dataset(inherit=False).drop_attrs()), path
    assert tree["trials"].attrs["stimulus"] == "trials"
    assert not (tmp_path / "archive" / ".build" / "parts").exists()


@pytest.mark.parametrize(
    "scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_workers_change_nothing(sessions, tmp_path, monkeypatch, scheduler):
    """Of processes that need not import everything anew; `tests/tasks/test_runner.py` has spawned ones."""
    damage(sessions[1])
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.set_forkserver_preload([*LOADED])
        context = multiprocessing.get_context("forkserver")
        monkeypatch.setattr(
            tasks, "_processes", lambda workers: ProcessPoolExecutor(workers, mp_context=context)
        )
    alone = build(sessions, tmp_path / "alone", **TENTHS)
    options = TENTHS | {"workers": 2, "scheduler": scheduler}
    many = build(sessions, tmp_path / scheduler, **options)
    assert many.parts_made == alone.parts_made == 2
    assert many.failures == alone.failures
    assert_same_trees(
        na.open_datatree(tmp_path / "alone" / "trials.h5"),
        na.open_datatree(tmp_path / scheduler / "trials.h5"),
    )


@pytest.mark.slow
def test_a_cluster_changes_nothing(sessions, tmp_path):
    distributed = pytest.importorskip("distributed")
    build(sessions, tmp_path / "one", **TENTHS)
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        report = build(
            sessions, tmp_path / "two", **TENTHS | {"scheduler": cluster.scheduler_address}
        )
    assert report.parts_made == 3
    assert_same_trees(
        na.open_datatree(tmp_path / "one" / "trials.h5"),
        na.open_datatree(tmp_path / "two" / "trials.h5"),
    )


def test_bins_are_those_of_the_longest_presentation_of_all_sessions(sessions, tmp_path):
    paths = sessions[:2]
    with h5py.File(paths[1], "a") as file:
        file["intervals/trials/stop_time"][2] = file["intervals/trials/start_time"][2] + 2.75
    build(paths, tmp_path / "archive", **TENTHS)
    tree = na.open_datatree(tmp_path / "archive")["trials"]
    assert tree["a"].sizes["time"] == tree["b"].sizes["time"] == 28
    assert not tree["a/VISp"]["valid"][:, -1].any()


def test_areas_and_stimuli(one, tmp_path):
    build(one, tmp_path / "archive", stimuli="tri*", areas="VIS*", **TENTHS)
    assert na.catalog(tmp_path / "archive")["area"].unique().tolist() == ["VISp"]
    with pytest.raises(NotInTree, match="no stimulus 'trails'.*did you mean 'trials'"):
        build(one, tmp_path / "other", stimuli="trails", **HERE)
    with pytest.raises(NotInTree, match="no area 'VISpp'"):
        build(one, tmp_path / "other", areas="VISpp", **HERE)


def test_a_session_without_an_area_or_a_stimulus_is_noted(one, tmp_path):
    write_nwb(tmp_path / "d.nwb", areas=("LGd",), parts=("units", "trials"))
    write_nwb(tmp_path / "e.nwb", parts=("units",))
    paths = [*one, tmp_path / "d.nwb", tmp_path / "e.nwb"]
    report = build(paths, tmp_path / "archive", stimuli="trials", areas="VIS*", **TENTHS)
    assert report.failures == []
    assert "trials: not in e" in report.notes
    assert "no units in the areas asked for: d" in report.notes
    assert list(na.open_datatree(tmp_path / "archive" / "trials.h5").children) == ["a"]


def test_nothing_that_a_build_wrote_is_looked_at_again(sessions, tmp_path, monkeypatch):
    """What writes a file knows what is in it: of the parts, and of what is put together."""
    scan = index.scan_hdf5
    with monkeypatch.context() as patch:
        patch.setattr(index, "scan_hdf5", lambda location: pytest.fail(f"scanned {location.path}"))
        build(sessions[:2], tmp_path / "archive", **TENTHS)
    path = tmp_path / "archive" / "trials.h5"
    stored = index.load(probe_of(path))
    fresh = index.from_nodes(str(path), scan(locate(path)))
    stored.fetch(stored.sessions)
    for nodes in stored.loaded.values():
        for node in nodes.values():
            for variable in node["vars"].values():
                variable.pop("c", None), variable.pop("v", None)
    for part in ("nodes", "sessions", "rows", "loaded"):
        assert json.loads(json.dumps(getattr(fresh, part))) == getattr(stored, part), part
    assert list(stored.sessions) == list(fresh.sessions)


def test_each_session_is_opened_once_for_all_its_stimuli(one, tmp_path, monkeypatch):
    with h5py.File(one[0], "a") as file:
        file.copy("intervals/trials", "intervals/later")
    opened = []
    door = sources.open_datatree
    monkeypatch.setattr(
        sources, "open_datatree", lambda *args, **how: opened.append(args) or door(*args, **how)
    )
    assert build(one, tmp_path / "archive", **TENTHS).parts_made == 2
    assert len(opened) == 2  # to look at it, and to read it


def test_window_clip_binarize_and_joined_tables_are_those_of_align(sessions, tmp_path):
    paths = sessions[:2]
    for path, other in zip(paths, ("early", "late"), strict=True):
        with h5py.File(path, "a") as file:
            file.copy("intervals/trials", f"intervals/{other}")
    build(
        paths,
        tmp_path / "archive",
        stimuli="early + late",
        **TENTHS,
        window=(-0.2, 0.4),
        clip=False,
        binarize=True,
    )
    tree = na.open_datatree(tmp_path / "archive" / "early+late.h5")
    given = {"window": (-0.2, 0.4), "clip": False, "binarize": True, "bin_width": 0.1}
    together = na.align(na.open_datatree(paths), "early + late", **given)
    assert_same_trees(tree, together, but=("history", "stimulus", "event_clock"))
    with pytest.raises(NotInTree, match="no stimulus 'lake'.*'late'"):
        build(paths, tmp_path / "other", stimuli="early + lake", **HERE)
    with pytest.raises(ValueError, match="decides the bins; leave out window, binarize"):
        build(paths, tmp_path / "other", compat="mlynarski", window=(0, 1), binarize=True)


# -------------------------------------------------------------------------------- interruption


KILLED = """
import sys, time
from neuroarrays.archive import chunk_shapes, hdf5_writer
from neuroarrays.collection import building

make = building.make_part

def stuck(*_):
    print("writing", flush=True)
    time.sleep(60)

def make_slowly(job):
    if job.session != "b":  # the larger one, which is made first
        hdf5_writer._write_chunks, chunk_shapes.SMALL = stuck, 0
    return make(job)

building.make_part = make_slowly
building.build(sys.argv[1:-1], sys.argv[-1], bin_width=0.1, scheduler="sync")
"""


def test_a_build_that_was_killed_goes_on(sessions, tmp_path):
    archive, sessions = tmp_path / "archive", sessions[:2]
    command = [sys.executable, "-c", KILLED, *map(str, sessions), str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"  # in the middle of session a
        process.kill()
        process.wait()
    parts = archive / ".build" / "parts" / "trials"
    (finished,) = [path for path in parts.iterdir() if path.suffix == ".h5"]
    assert finished.name.startswith("b-")
    assert [path for path in parts.iterdir() if path.name.startswith(".a-")]  # half-written
    assert not (archive / "trials.h5").exists()
    (archive / ".mine").mkdir()
    with pytest.raises(FormatError, match=r"none yet: .* 1 of 1 files are missing \('trials'\)"):
        na.open_datatree(archive)
    stamp = finished.stat().st_mtime_ns
    seen = []

    def progress(done, total, name):
        seen.append((name, finished.stat().st_mtime_ns))

    report = build(sessions, archive, **TENTHS, progress=progress)
    assert (report.parts_made, report.parts_reused) == (1, 1)
    assert {at for _, at in seen} == {stamp}
    assert [name for name, _ in seen if ", trials" in name] == ["a, trials"]
    build(sessions, tmp_path / "fresh", **TENTHS)
    assert_same_trees(
        na.open_datatree(archive / "trials.h5"), na.open_datatree(tmp_path / "fresh" / "trials.h5")
    )


@pytest.mark.parametrize("place", ["before a name", "after a name"])
def test_a_build_that_was_killed_says_so_and_goes_on(one, tmp_path, monkeypatch, place):
    """At each moment at which something is there and something is not."""
    archive = tmp_path / "archive"

    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        if place == "before a name":
            patch.setattr(pipeline, "replace", killed)
        else:
            give = pipeline.replace
            patch.setattr(pipeline, "replace", lambda *at, **how: (give(*at, **how), killed()))
        with pytest.raises(Killed):
            build(one, archive, **TENTHS)
    if place == "after a name":  # the file is there and marked, only the parts are left over
        assert list(na.open_datatree(archive)["trials"].children) == ["a"]
    else:
        with pytest.raises(FormatError, match="1 of 1 files are missing"):
            na.open_datatree(archive)
    report = build(one, archive, **TENTHS)
    assert len(report.written) == (place != "after a name")
    assert sorted(os.listdir(archive)) == [".build", "trials.h5"]
    assert os.listdir(archive / ".build") == ["build.json"]


def test_an_archive_says_which_stimuli_and_sessions_it_lacks(one, tmp_path, capsys):
    archive = tmp_path / "archive"
    build(one, archive, **TENTHS)
    assert "notes" not in na.open_datatree(archive).attrs
    marks = pipeline.Marks(archive)
    marks.want(
        {"trials": marks.blocks["trials"].wanted, "flashes": "of a build that was killed"}, []
    )
    said = "not finished: 1 of 2 files are missing ('flashes')"
    with pytest.warns(UserWarning, match=re.escape(said)):
        tree = na.open_datatree(archive)
    assert said in tree.attrs["notes"][0]
    with pytest.warns(UserWarning, match="Run the same build again"):
        na.catalog(archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli.main(["check", str(archive)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    shutil.copytree(archive, tmp_path / "copy")
    with pytest.warns(UserWarning, match=re.escape(said)):
        na.open_datatree(tmp_path / "copy")


def test_what_a_build_did_not_make_is_not_cleared(one, tmp_path):
    archive = tmp_path / "archive"
    mine = [archive / ".trials.h5.part", archive / ".other.h5.part"]
    for folder in mine:
        folder.mkdir(parents=True)
        (folder / "save.json").write_text("{}")
    build(one, archive, **TENTHS)
    assert all(os.listdir(folder) == ["save.json"] for folder in mine)
    other = tmp_path / "other"
    (other / ".build").mkdir(parents=True)
    (other / ".build" / "parts").mkdir()
    with pytest.raises(PathExists, match=r"\.build: it exists and is not from a build"):
        build(one, other, **TENTHS)
    assert os.listdir(other / ".build") == ["parts"]
    (tmp_path / "bare" / ".build").mkdir(parents=True)  # of a build that was killed at once
    (tmp_path / "bare" / ".build" / ".build.json.ab12.part").mkdir()
    build(one, tmp_path / "bare", **TENTHS)
    assert os.listdir(tmp_path / "bare" / ".build") == ["build.json"]
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / ".build").symlink_to(archive / ".build")
    with pytest.raises(PathExists, match="not from a build"):
        build(one, tmp_path / "third", **TENTHS)


def test_a_full_disk_while_a_build_joins(one, tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    put = writing.Output._put

    def full(self, view):
        if joining:
            raise OSError(28, "No space left on device")
        put(self, view)

    joining = []
    join = build_tasks.store.join
    with monkeypatch.context() as patch:
        patch.setattr(writing.Output, "_put", full)
        patch.setattr(
            build_tasks.store, "join", lambda *a, **k: (joining.append(1), join(*a, **k))[1]
        )
        with pytest.raises(WriteFailed, match=r"trials\.h5: no room left on the disk"):
            build(one, archive, **TENTHS)
    assert os.listdir(archive) == [".build"]
    report = build(one, archive, **TENTHS)
    assert (report.parts_made, report.parts_reused, len(report.written)) == (0, 1, 1)


def test_parts_of_another_recipe_are_not_taken(one, tmp_path, monkeypatch):
    """The window is the same in both recipes, so that nothing but the recipe tells parts apart."""
    with h5py.File(one[0], "a") as file:
        file["intervals/trials/stop_time"][2] = file["intervals/trials/start_time"][2] + 2.5
    archive = tmp_path / "archive"

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_tasks.store, "join", killed)
        with pytest.raises(KeyboardInterrupt):
            build(one, archive, **TENTHS)
    report = build(one, archive, **HERE, bin_width=0.05)
    assert (report.parts_made, report.parts_reused) == (1, 0)
    assert na.open_datatree(archive / "trials.h5")["a"].sizes["time"] == 50


def test_what_is_finished_is_not_made_again(one, tmp_path):
    archive, sessions = tmp_path / "archive", one
    build(sessions, archive, **TENTHS)
    before = (archive / "trials.h5").stat().st_mtime_ns
    report = build(sessions, archive, **TENTHS)
    assert (report.parts_made, report.written, report.unchanged) == (0, [], [archive / "trials.h5"])
    assert (archive / "trials.h5").stat().st_mtime_ns == before
    report = build(sessions, archive, **HERE, bin_width=0.2)
    assert (report.parts_made, len(report.written)) == (1, 1)
    assert na.open_datatree(archive / "trials.h5")["a"].sizes["time"] == 10
    time.sleep(0.01)
    os.utime(sessions[0])
    assert build(sessions, archive, **HERE, bin_width=0.2).parts_made == 1


def test_a_file_that_no_build_made_is_not_replaced(one, tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "trials.h5").write_bytes(b"precious")
    with pytest.raises(PathExists, match=r"trials\.h5"):
        build(one, tmp_path / "archive", **TENTHS)
    assert (tmp_path / "archive" / "trials.h5").read_bytes() == b"precious"


# ------------------------------------------------------------------------------- bad sessions


def damage(path):
    path.write_bytes(path.read_bytes()[:20_000])


def test_one_bad_session_is_reported_and_the_others_are_built(written, sessions, tmp_path):
    sessions = sessions[:2]  # of which b has the longer presentations
    damage(sessions[0])
    report = build(sessions, tmp_path / "archive", **TENTHS)
    ((name, error),) = report.failures
    assert name == str(sessions[0])
    assert "truncated" in error
    assert list(na.open_datatree(tmp_path / "archive" / "trials.h5").children) == ["b"]
    for where in ({}, {"workers": 2, "scheduler": "threads"}):
        with pytest.raises(NeuroArraysError, match=r"a\.nwb"):
            build(sessions, tmp_path / "strict", **TENTHS | where, strict=True)
    shutil.copy(written[0], sessions[0])
    report = build(sessions, tmp_path / "archive", **TENTHS)
    assert report.failures == []
    assert report.parts_reused == 1
    assert list(na.open_datatree(tmp_path / "archive" / "trials.h5").children) == ["a", "b"]


def test_a_session_that_cannot_be_aligned_is_reported(sessions, tmp_path, monkeypatch):
    def broken(tree, *args, **kwargs):
        if "b" in tree.children:
            msg = "no such luck"
            raise ValueError(msg)
        return align(tree, *args, **kwargs)

    align = build_tasks.align
    monkeypatch.setattr(build_tasks, "align", broken)
    report = build(sessions[:2], tmp_path / "archive", **TENTHS)
    assert report.failures == [("b, trials", "ValueError: no such luck")]
    assert list(na.open_datatree(tmp_path / "archive" / "trials.h5").children) == ["a"]


def test_nothing_but_bad_sessions(tmp_path):
    (tmp_path / "a.nwb").write_text("junk")
    (tmp_path / "b.nwb").write_text("/annex/objects/MD5E-s12--0123.nwb\n")
    with pytest.raises(NeuroArraysError, match="datalad get"):
        build([tmp_path], tmp_path / "archive", **HERE)
    with pytest.raises(NeuroArraysError, match="no sessions"):
        build([], tmp_path / "archive", **HERE)
    assert not (tmp_path / "archive").exists()


def test_two_files_of_one_session(tmp_path):
    for day in ("mon", "tue"):
        (tmp_path / day).mkdir()
        write(tmp_path / day, ("a",))
    paths = [tmp_path / "mon", tmp_path / "tue"]
    with pytest.raises(FormatError, match=r"mon.a\.nwb too") as caught:
        build(paths, tmp_path / "archive", **HERE)
    assert str(tmp_path / "tue" / "a.nwb") in str(caught.value)


def test_options_are_checked(one, tmp_path):
    with pytest.raises(ValueError, match="workers=0"):
        build(one, tmp_path / "archive", workers=0)
    with pytest.raises(ValueError, match="workers='two'"):
        build(one, tmp_path / "archive", workers="two")
    with pytest.raises(TypeError, match="expected a name or a list of names, found 3"):
        build(one, tmp_path / "archive", stimuli=3)
    with pytest.raises(ValueError, match="binarize='x': expected True or False"):
        build(one, tmp_path / "archive", binarize="x")
    with pytest.raises(ValueError, match="scheduler='dask'"):
        build(one, tmp_path / "archive", scheduler="dask")


# ----------------------------------------------------------------------------------- of Allen


@pytest.fixture(scope="module")
def allen(tmp_path_factory):
    """Two sessions that are only read."""
    folder = tmp_path_factory.mktemp("allen")
    small = {"rows": 5, "movie": (2, 5), "sampling": 0.1}
    small |= {"structures": ("VISp", "CA1")}
    shown = ("gabors", "natural_movie_one", "flashes")  # of which the last is not asked for
    write_allen(folder / "a.nwb", session_id=715093703, seed=1, stimuli=shown, **small)
    shown = ("gabors", "natural_movie_one_more_repeats")
    write_allen(
        folder / "b.nwb",
        session_id=766640955,
        seed=2,
        stimuli=shown,
        parts=("running",),
        **small,
    )
    return folder


def test_an_allen_archive_has_a_file_per_stimulus(allen, tmp_path):
    wanted = ("gabors", "natural_movie_one*")
    report = build([allen], tmp_path / "archive", stimuli=wanted, **HERE)
    assert report.failures == []
    rows = na.catalog(tmp_path / "archive")
    assert rows["block"].unique().tolist() == [
        "gabors",
        "natural_movie_one",
        "natural_movie_one_more_repeats",
    ]
    tree = na.open_datatree(tmp_path / "archive")
    session = tree["gabors/session_715093703"]
    alone = na.align(na.open_datatree(allen), "gabors")["session_715093703"]
    for area in alone.children:
        np.testing.assert_array_equal(
            session[area]["spike_data"].values, alone[area]["spike_data"].values
        )


def test_the_published_archive_once_more(allen, tmp_path):
    wanted = ("gabors", "natural_movie_one*")
    report = build([allen], tmp_path / "archive", stimuli=wanted, compat="mlynarski", **HERE)
    assert report.failures == []
    rows = na.catalog(tmp_path / "archive", engine="allen_binned")
    assert rows["block"].unique().tolist() == ["gabors", "natural_movie_one"]
    assert rows["session"].unique().tolist() == ["session_715093703", "session_766640955"]
    assert set(rows.loc[rows["session"] == "session_766640955", "has_pupil"]) == {False}
    tree = na.open_datatree(tmp_path / "archive")
    expected = published(na.open_datatree(allen), "gabors")
    areas = [path for path in expected.groups if path.count("/") == 2]
    assert len(areas) == len(rows[rows["block"] == "gabors"])
    for path in areas:
        theirs = expected[path]["spike_data"].transpose("presentation_id", "unit_id", "time")
        np.testing.assert_array_equal(tree[f"gabors{path}"]["spike_data"].values, theirs.values)


def test_archives_that_share_a_session_are_not_joined(sessions, tmp_path):
    tree = na.align(na.open_datatree(sessions[0]), "trials", bin_width=0.1)
    parts = [na.save(tree, tmp_path / f"{i}.h5") for i in range(2)]
    with pytest.raises(SchemaError, match=r"a is in .*0\.h5 and in .*1\.h5"):
        store.join(parts, tmp_path / "both.h5")


def test_parts_of_another_form_are_written_anew(sessions, tmp_path, monkeypatch):
    from neuroarrays.archive import chunk_shapes

    paths = sessions[:2]
    trees = [na.align(na.open_datatree(path), "trials", bin_width=0.01) for path in paths]
    parts = [na.save(tree, tmp_path / f"{i}.h5") for i, tree in enumerate(trees)]
    monkeypatch.setattr(chunk_shapes, "CHUNK", 1 << 11)
    path = store.join(parts, tmp_path / "all.h5")
    assert path.stat().st_size > 0
    joined = na.open_datatree(path)
    for name, tree in zip("ab", trees, strict=True):
        for area in ("VISp", "CA1"):
            place = f"{name}/{area}"
            np.testing.assert_array_equal(
                joined[place]["spike_data"].values, tree[place]["spike_data"].values
            )


@pytest.mark.parametrize(
    ("option", "value"), [("compat", "allen"), ("layout", "nwb"), ("bin_width", 0)]
)
def test_an_option_that_there_is_not_is_refused_before_anything_is_read(tmp_path, option, value):
    with pytest.raises(ValueError, match=option):
        build([tmp_path / "gone.nwb"], tmp_path / "archive", **{option: value})
    assert not (tmp_path / "archive").exists()


def test_what_we_say_ourselves_has_no_type_before_it(one, tmp_path):
    """Without stops there is no length: the report says what to give, in the user's words."""
    (path,) = one
    with h5py.File(path, "a") as file:
        file["intervals/trials/stop_time"][:] = np.nan
    report = na.build(path, tmp_path / "archive", **TENTHS)
    ((what, why),) = report.failures
    assert what == "a, trials"
    assert why.startswith("no presentation has a stop time")
    assert "window" in why
