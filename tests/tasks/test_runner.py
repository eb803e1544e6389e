"""Tasks here and elsewhere: what dies is named, nothing else is lost."""

import os
import shutil
import signal
import sys

import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.collection.recipes import Recipe
from neuroarrays.collection.sources import Source
from neuroarrays.collection.surveys import SurveyTask, survey
from neuroarrays.errors import NeuroArraysError, warn
from neuroarrays.files.locating import locate
from neuroarrays.synthetic.trees import write_archive
from neuroarrays.tasks.runner import Outcome, Runner, current_client


def silent(*_):
    """Tell nobody how far it is."""


def twice(number):
    return Outcome(str(number), 2 * number)


def at_odds(number):
    return Outcome(str(number), error="odd" if number % 2 else "", result=number)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_results_failures_and_progress(scheduler):
    seen = []
    run = Runner(2, scheduler, False, lambda *told: seen.append(told))
    assert sorted(run(twice, [1, 2, 3])) == [2, 4, 6]
    assert sorted(each[:2] for each in seen) == [(1, 3), (2, 3), (3, 3)]
    assert sorted(run(at_odds, [1, 2, 3])) == [2]
    assert sorted(run.failures) == [("1", "odd"), ("3", "odd")]
    with pytest.raises(NeuroArraysError, match="1: odd"):
        Runner(1, scheduler, True, silent)(at_odds, [1, 2])
    assert run(twice, []) == []


def warns(task):
    warn("odd")
    return Outcome(task, task)


SLOW = [pytest.param(where, marks=pytest.mark.slow) for where in ("processes", "children")]


@pytest.mark.parametrize("scheduler", ["sync", "threads", *SLOW])
def test_a_warning_of_a_task_points_to_the_line_that_waits_for_it(scheduler):
    limited = scheduler == "children"
    options = {"limit": lambda task: 60.0} if limited else {}
    tasks = [locate("a")] if limited else ["a"]
    run = Runner(1, "processes" if limited else scheduler, True, silent)
    try:
        with pytest.warns(UserWarning, match="odd") as warned:
            assert len(run(warns, tasks, **options)) == 1
    finally:
        run.close()
    assert [each.filename for each in warned] == [__file__]


def test_a_process_of_its_own():
    """Started with nothing of this one in it, and given back its result."""
    run = Runner(2, "processes", False, silent)
    try:
        assert run(Outcome, ["a"]) == [None]
        (child,) = run.pool._processes.values()
        assert type(child).__name__ == "SpawnProcess"
    finally:
        run.close()
    assert not child.is_alive()


def test_places_that_are_none():
    for wrong in ("cluster", 3):
        with pytest.raises(ValueError, match="scheduler=.*expected 'processes', 'threads', 'sync'"):
            Runner(1, wrong, True, silent)
    with pytest.raises(ValueError, match="workers=0: expected 1 or more"):
        Runner(0, None, True, silent)
    assert current_client() is None


# ------------------------------------------------------------------------------------------ cluster


def dies(area):
    if "session_1" in area.path:
        os.kill(os.getpid(), signal.SIGKILL)
    return na.firing_rate(area)


def lack():
    sys.modules["neuroarrays"] = None


def have():
    del sys.modules["neuroarrays"]


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip(
        "distributed", reason="pip install 'neuroarrays[distributed]'"
    )
    with distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "archive.h5")


@pytest.mark.slow
def test_a_cluster_changes_nothing_and_what_it_lacks_is_named(cluster, archive):
    distributed = pytest.importorskip("distributed")
    tree = na.open_datatree(archive)
    expected = na.psth(tree, "orientation")
    address = na.psth(tree, "orientation", scheduler=cluster.scheduler_address)
    xr.testing.assert_identical(address, expected)
    with distributed.Client(cluster) as client:
        assert current_client() is client
        xr.testing.assert_identical(na.psth(tree, "orientation"), expected)
        xr.testing.assert_identical(na.psth(tree, "orientation", scheduler=client), expected)
        elsewhere = archive.with_name("elsewhere.h5")
        shutil.move(archive, elsewhere)
        with pytest.raises(NeuroArraysError, match=r"no such file.*on the worker tcp.*same files"):
            na.psth(na_closed(tree), "orientation")
        shutil.move(elsewhere, archive)
        client.run(lack)
        with pytest.raises(NeuroArraysError, match=r"do not have neuroarrays .*no neuroarrays \("):
            na.psth(tree, "orientation")
        client.run(have)  # other tests use the cluster


@pytest.mark.slow
def test_a_task_on_a_cluster_that_does_not_come_back_is_ended(cluster, archive):
    there, gone = str(archive), str(archive.with_name("gone.nwb"))
    run = Runner(1, cluster.scheduler_address, False, silent)
    looks = [SurveyTask(Recipe(), Source(locate(path)), True) for path in (there, gone)]
    assert run(survey, looks, limit=lambda look: 1e-3 if look.path == there else 60.0) == []
    errors = dict(run.failures)
    assert "reading that does not end within" in errors[there]
    assert "on the worker tcp" in errors[gone]
    assert "same files under the same paths" in errors[gone]


def na_closed(tree):
    """The tree, nothing of which this process has open."""
    na.release()
    return tree


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_is_killed(archive):
    distributed = pytest.importorskip("distributed")
    tree = na.open_datatree(archive)
    with (
        distributed.LocalCluster(1, threads_per_worker=1, dashboard_address=None) as cluster,
        pytest.raises(NeuroArraysError, match="session_1: its worker was killed"),
    ):
        na.over(tree, dies, scheduler=cluster.scheduler_address)
