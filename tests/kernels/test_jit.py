"""Compiled code is kept where it can be, and is compiled where it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuroarrays.kernels import jit

KERNELS = Path(jit.__file__).parent
ADD = """\
from neuroarrays.kernels.jit import compiled

@compiled
def add(a):
    return a.sum() + 1
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a small kernel from a folder of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load():
        (tmp_path / "kernel_of_a_test.py").write_text(ADD)
        sys.modules.pop("kernel_of_a_test", None)
        return __import__("kernel_of_a_test")

    yield load
    sys.modules.pop("kernel_of_a_test", None)


def test_there_is_a_word_for_no_place(monkeypatch):
    def nowhere(function):
        raise RuntimeError("no locator available")

    assert Path(jit.kept_in()).name
    monkeypatch.setattr(jit, "_DiskCache", nowhere)
    assert jit.kept_in() == ""


def test_without_a_place_to_write_it_is_compiled_each_time(module, monkeypatch):
    def nowhere(self, function):
        raise RuntimeError("cannot cache function 'add': no locator available for file 'x'")

    monkeypatch.setattr(jit._DiskCache, "__init__", nowhere)
    assert module().add(np.arange(4)) == 7


def test_a_disk_that_fills_up_costs_nothing_but_time(module, monkeypatch):
    def full(self, sig, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit.FunctionCache, "save_overload", full)
    assert module().add(np.arange(4)) == 7


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), EOFError()])
def test_where_code_cannot_be_kept_it_is_tried_once(monkeypatch, error):
    def fails(self, *arguments):
        raise error

    cache = jit._DiskCache(fails)
    monkeypatch.setattr(jit.FunctionCache, "load_overload", fails)
    monkeypatch.setattr(jit.FunctionCache, "save_overload", fails)
    flushed = []
    monkeypatch.setattr(jit.FunctionCache, "flush", lambda self: flushed.append(self))
    assert cache.load_overload(None, None) is None
    cache.enable()
    cache.save_overload(None, None)
    assert not cache._enabled
    assert flushed == ([] if isinstance(error, OSError) else [cache])  # a damaged one is emptied


@pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled, so nothing is kept"
)
def test_kept_code_that_is_damaged_is_compiled_anew(module, tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", "")  # beside the module, whatever is asked for
    assert module().add(np.arange(4)) == 7
    kept = [path for path in tmp_path.rglob("*.nb[ci]")]
    assert kept
    for path in kept:
        os.truncate(path, path.stat().st_size // 2)
    assert module().add(np.arange(4)) == 7


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="folders are not read-only elsewhere")
def test_a_read_only_install_without_a_home_counts(tmp_path):
    shutil.copytree(
        KERNELS.parent, tmp_path / "neuroarrays", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file in tmp_path.rglob("*"):
        file.chmod(0o555 if file.is_dir() else 0o444)
    code = (
        "import neuroarrays as na; tree = na.load_sample()\n"
        "print(int(na.bin_spikes(tree['A2929-200711/adn'], bin_width=1.0).sum()))"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "HOME": os.devnull,
        "NUMBA_CACHE_DIR": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    for file in tmp_path.rglob("*"):
        file.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_whoever_waits_for_the_compiler_is_told_once(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(jit.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(jit, "_is_watched", lambda: True)
    waiting = jit.Waiting()
    for seconds in (0.4, 0.4, 0.4, 5.0):
        waiting.begin()
        waiting.begin()  # one function compiles another
        now[0] += seconds / 2
        waiting.end("here")
        now[0] += seconds / 2
        waiting.end("here")
    assert waiting.seconds == pytest.approx(6.2)
    assert capsys.readouterr().err == "neuroarrays: compiling kernels once (cached in here)\n"
    monkeypatch.setattr(jit, "_is_watched", lambda: False)
    quiet = jit.Waiting()
    quiet.begin()
    now[0] += 5
    quiet.end("here")
    assert capsys.readouterr().err == ""


def test_functions_of_kernels_alone_are_compiled_inside_them():
    @jit.compiled(inner=True)
    def twice(x):
        return 2 * x

    @jit.compiled
    def four_times(x):
        return twice(twice(x))

    assert four_times(3.0) == 12.0
