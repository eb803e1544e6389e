"""What every test file shares: flags, Hypothesis profiles, the place of the real recordings."""

import copy
import functools
import gc
import importlib
import importlib.util
import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from neuroarrays import synthetic
from neuroarrays.files import guard

# Of torch, and of processes that tests start: threads of these cost more than they save on arrays of tests.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# Tests keep nothing in the cache folder of whoever runs them; those of what is kept say where.
os.environ["NEUROARRAYS_CACHE"] = "off"

# CPU time, in seconds: of the workers of xdist that have ended, and of each test with its fixtures.
_cost = {"workers": 0.0, "started": 0.0, "tests": []}

# In runs of fewer tests the summary says nothing of it.
_MANY = 1000

REPOSITORY = Path(__file__).resolve().parents[1]

# Examples of each property: 25, and 200 with --run-slow. `tests/mutate.py` draws 25 as well, and 92 %
# of its errors are noticed by them. CI takes the same ones every time: what lands is not decided by a draw.
_STEADY = {
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
_PROFILE = "ci" if os.environ.get("CI") else "dev"
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=25, deadline=None, **_STEADY)
settings.register_profile("dev-slow", max_examples=200, deadline=None)
settings.register_profile("ci-slow", max_examples=200, deadline=None, **_STEADY)


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--peer", help="run the comparisons with this package, and nothing else")


def pytest_configure(config):
    settings.load_profile(_PROFILE + "-slow" * config.getoption("--run-slow"))
    gc.disable()  # importing all tests is walks through what stays: a fifth of its time


def pytest_collection_modifyitems(config, items):
    skip_slow = pytest.mark.skip(reason="slow: ask for it with --run-slow")
    only = config.getoption("--peer")
    if only:
        if importlib.util.find_spec(only) is None:
            raise pytest.UsageError(f"--peer {only}: not installed")
        chosen = [item for item in items if only in peers_of(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    for item in items:
        if "slow" in item.keywords and not config.getoption("--run-slow"):
            item.add_marker(skip_slow)
        for name in peers_of(item):
            if importlib.util.find_spec(name) is None:
                item.add_marker(pytest.mark.skip(reason=f"peers: {name} is not installed"))


def pytest_collection_finish():
    """Collect garbage more rarely: a sixth of the time went into walks through all that is imported."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 10, 10)


# ------------------------------------------------------------------------- files written once

# Where the writers themselves are tested, and are called each time.
_OF_WRITERS = ("tests/synthetic/", "tests/cli/")
_kept = {}


def kept(write):
    """A writer of example files that copies what it wrote before with the same options and seed."""

    @functools.wraps(write)
    def written(path, *options, **changes):
        target = Path(path)
        is_new = not target.exists() or (target.is_dir() and not any(target.iterdir()))
        if not is_new or os.environ.get("PYTEST_CURRENT_TEST", "").startswith(_OF_WRITERS):
            return write(path, *options, **changes)
        key = write.__name__, target.suffix, pickle.dumps((options, sorted(changes.items())))
        if key not in _kept:
            answer = write(path, *options, **changes)
            if not (isinstance(answer, dict) or answer == target):
                return answer
            _kept[key] = _folder() / str(len(_kept)), copy.deepcopy(answer)
            _copy(target, _kept[key][0])
            return answer
        source, answer = _kept[key]
        _copy(source, target)
        return target if isinstance(answer, Path) else copy.deepcopy(answer)

    return written


@functools.cache
def _folder():
    return Path(tempfile.mkdtemp(prefix="neuroarrays-tests-"))


def _copy(source, target):
    if source.is_dir():  # with new times of change, as if they were written
        shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def pytest_unconfigure():
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder(), ignore_errors=True)


for _name, _home in synthetic._HOME.items():
    if _name.startswith("write_"):
        _module = importlib.import_module(f"neuroarrays.synthetic.{_home}")
        setattr(_module, _name, kept(getattr(_module, _name)))


# ------------------------------------------------------------------------- children started once

# Where children are as users have them: each a Python of its own, which imports for a second or two.
_OF_CHILDREN = (
    "tests/files/test_guard.py::test_one_child_answers_all",
    "tests/files/test_guard.py::test_what_takes_all_memory_is_named",
)
_start = guard.start


def _start_child(environment):
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    if test.startswith(_OF_CHILDREN):
        return _start(environment)
    from neuroarrays.testing.processes import GuardChild

    return GuardChild(environment)


if "forkserver" in multiprocessing.get_all_start_methods():
    guard.start = _start_child
    multiprocessing.set_forkserver_preload(
        ["neuroarrays.testing.processes", "neuroarrays.testing.loaded"]
    )


# --------------------------------------------------------------------------------- what it costs


def cpu_seconds():
    """CPU time of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def pytest_runtest_logstart():
    _cost["started"] = cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call):
    report = yield
    if call.when == "teardown":  # a worker of xdist sends what a report carries
        report.cpu = cpu_seconds() - _cost["started"]
    return report


def pytest_runtest_logreport(report):
    if report.when == "teardown":
        _cost["tests"].append((getattr(report, "cpu", 0.0), report.nodeid))


def end_children():
    """End the processes that tests have left, so that what they took is counted."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    server = forkserver._forkserver
    if server._forkserver_pid is not None:  # what it and its children took counts once it has ended
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    end_children()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cpu"] = cpu_seconds()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    _cost["workers"] += getattr(node, "workeroutput", {}).get("cpu", 0.0)


def pytest_terminal_summary(terminalreporter):
    """Say what the run cost, so that one sees when a test becomes dear."""
    if len(_cost["tests"]) < _MANY:
        return
    own = time.process_time() if _cost["workers"] else cpu_seconds()
    total = _cost["workers"] + own
    terminalreporter.section(f"{total / 60:.1f} minutes of CPU; the dearest tests, in seconds")
    for seconds, test in sorted(_cost["tests"], reverse=True)[:10]:
        terminalreporter.line(f"{seconds:6.1f} {test}")


def peers_of(item):
    """Return the packages that a test compares with."""
    return {name for mark in item.iter_markers("peers") for name in mark.args}


@pytest.fixture
def collect_cycles():
    """Collect what this test left in cycles, and nothing older: a walk through all else takes a second."""
    gc.collect(0)
    gc.disable()  # so that what the test makes stays in the youngest generation
    yield lambda: gc.collect(0)
    gc.enable()


@pytest.fixture(scope="session")
def ticking():
    """A recording of one unit, which fires ten times a second for 20 s; not to be changed."""
    import numpy as np
    import xarray as xr

    ticks = np.arange(0.05, 20, 0.1)
    spikes = xr.Dataset(
        {"spike_times": ("spike", ticks), "row_size": ("unit_id", [ticks.size])}, {"unit_id": [0]}
    )
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    return xr.DataTree.from_dict({"/": root, "s": xr.Dataset(), "s/x/spikes": spikes})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings beside the checkout, or skip: they are never committed."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder
