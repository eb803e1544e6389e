"""What a process keeps: bounds, letting go, threads and forks."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.files import forks, hdf5, state
from neuroarrays.files.npz import npz_source
from neuroarrays.testing.sources import open_source
from neuroarrays.tree import trains

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(autouse=True)
def _nothing_kept():
    na.release()
    yield
    na.release()


def cache(limit, **options):
    """A cache of numbers that weigh what they are; gone with the test."""
    made = state.Cache(limit, int, **options)
    state._CACHES.remove(made)
    return made


# --------------------------------------------------------------------------------------- bounds


def test_the_least_recently_used_go_first():
    kept = cache(10)
    for key in (4, 3, 2):
        kept.put(key, key)
    assert kept.get(4) == 4  # used: 3 is the oldest now
    kept.put(5, 5)
    assert (kept.keys(), kept.nbytes) == ([4, 5], 9)
    kept.put(99, 99)  # too large for the bound: alone
    assert (kept.keys(), kept.nbytes) == ([99], 99)
    kept.drop(lambda key: key == 99)
    assert (len(kept), kept.nbytes, kept.get(99)) == (0, 0, None)


def test_what_goes_is_closed_and_the_first_value_stays():
    closed = []
    kept = cache(1000, entries=lambda: 2, close=closed.append)
    for key in (1, 2, 3):
        kept.put(key, key)
    assert closed == [1]
    assert kept.put(3, 4) == 3  # another thread was first
    assert kept.get_or_make(2, lambda: 9) == 2
    kept.release()
    assert sorted(closed) == [1, 2, 3]


def test_release_closes_files_and_forgets_values(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(5)
    source = open_source(tmp_path / "a.h5")
    source.read("x")
    tree = na.load_sample()
    na.firing_rate(tree["A2929-200711/adn"])
    assert len(hdf5.handles)
    assert len(trains._buffers)
    na.release()
    assert len(hdf5.handles) == len(trains._buffers) == 0
    with h5py.File(tmp_path / "a.h5", "a"):  # nothing of ours is in the way
        pass
    assert np.isfinite(na.firing_rate(tree["A2929-200711/adn"])).all()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are not listed here")
def test_few_descriptors_are_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5.safety, "descriptors", lambda: 32)
    for i in range(12):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["x"] = np.full(5000, i)
    before = len(os.listdir("/proc/self/fd"))
    sources = [open_source(tmp_path / f"{i}.h5") for i in range(12)]
    assert [int(one.read("x")[0]) for one in sources] == list(range(12))
    assert len(os.listdir("/proc/self/fd")) - before <= 8
    assert len(hdf5.handles) == 4


# ---------------------------------------------------------------------------------------- forks


def in_child(work, seconds=60):
    """Exit status of a forked child that does `work`; -1 if it hangs."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return -1


@contextlib.contextmanager
def meanwhile(*works):
    """Threads that each do one thing over and over."""
    stop = threading.Event()

    def loop(work):
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=loop, args=(w,), daemon=True) for w in works]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"


@FORKS
def test_children_use_what_other_threads_are_using(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(4000.0), chunks=(100,), compression="gzip")
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(4000.0))
    stored, packed = open_source(tmp_path / "a.h5"), npz_source(tmp_path / "a.npz")
    spikes = na.load_sample()["A2929-200711/adn/spikes"].to_dataset()
    handle = trains.trains_of(spikes)
    every = np.arange(handle.first.size)

    def read():
        assert stored.read("x").sum() == packed.read("x").sum() == 7998000
        state.pool("chunks", 2).submit(int).result(60)
        assert handle.load(every).size

    def forget():
        na.release()
        read()

    read()
    with meanwhile(read, read, forget):
        assert [in_child(read) for _ in range(4)] == [0] * 4


@FORKS
def test_no_lock_stays_held_in_a_child():
    """A thread is inside each of our locks that a fork does not wait for."""
    own, inside, leave = state.Lock(), threading.Event(), threading.Event()

    def hold():
        with own:
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    inside.wait(60)

    def use():
        with own, state.hdf5, state._tables:
            pass

    assert in_child(use) == 0
    leave.set()
    thread.join(60)


@FORKS
def test_a_fork_waits_for_the_import_of_another_thread(tmp_path, monkeypatch):
    """Python gives a child the lock of a module whose importing thread it does not have."""
    (tmp_path / "slow_module_of_a_test.py").write_text("import time\ntime.sleep(0.3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    thread = threading.Thread(target=__import__, args=("slow_module_of_a_test",))
    thread.start()
    while "slow_module_of_a_test" not in sys.modules:
        time.sleep(0.001)
    assert in_child(lambda: __import__("slow_module_of_a_test"), 10) == 0
    thread.join()


@FORKS
def test_a_child_has_values_but_no_open_files(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(5)
    source = open_source(tmp_path / "a.h5")
    source.read("x")
    na.firing_rate(na.load_sample()["A2929-200711/adn"])

    def look():
        assert len(hdf5.handles) == 0
        assert len(trains._buffers) == 1
        assert source.read("x")[3] == 3

    assert in_child(look) == 0
    assert source.read("x")[3] == 3


def test_everything_loads_where_there_is_no_fork():
    """As on Windows."""
    code = (
        "import os\n"
        "for name in ('register_at_fork', 'fork', 'preadv', 'pread'):\n"
        "    if hasattr(os, name): delattr(os, name)\n"
        "import sys; sys.modules['resource'] = None\n"
        "import neuroarrays as na\n"
        "from neuroarrays.formats.registry import FORMATS\n"
        "for one in FORMATS: one.load()\n"
        "tree = na.load_sample()\n"
        "assert na.firing_rate(tree['A2929-200711/adn']).size == 7\n"
        "na.release()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_module_that_another_thread_is_importing_is_imported_anew(tmp_path, monkeypatch):
    """Also where that began after the fork had looked."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.5)\nvalue = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(forks, "_IMPORTS", 0.0)
    thread = threading.Thread(target=__import__, args=("slow_to_import",))
    thread.start()
    while "slow_to_import" not in forks.imported_elsewhere():
        time.sleep(0.01)
    if (child := os.fork()) == 0:
        signal.alarm(20)
        import slow_to_import

        os._exit(0 if slow_to_import.value == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()


@FORKS
def test_a_forked_child_does_not_wait_for_what_a_thread_computes():
    started, go = threading.Event(), threading.Event()

    class Slow:
        @state.cached_property
        def value(self):
            if self is first:
                started.set()
                assert go.wait(60)
            return 3

    first, second = Slow(), Slow()
    thread = threading.Thread(target=lambda: first.value)
    thread.start()
    assert started.wait(60)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=lambda: theirs.send(second.value))
    child.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == 3
    finally:
        go.set()
        child.kill()
        thread.join()
    assert first.value == 3
    assert "value" in vars(first)
