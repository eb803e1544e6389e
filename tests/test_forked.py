"""`forked.py`: what happens in one of its processes is reported as if there were one process only."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFTEST = """
import pytest
from tests.forked import Forked

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    Forked(session).run(2)
    return True

@pytest.fixture(scope="session")
def shared():
    yield
    raise ValueError("at the end of all")
"""
FILES = {
    "conftest.py": CONFTEST,
    "test_a.py": """
import os, warnings
def test_passes(): print("said")
def test_fails(): print("said before"); assert [1, 2] == [1, 3]
def test_ends_its_process(): os._exit(3)
def test_follows(): warnings.warn("careful", DeprecationWarning)
""",
    "test_b.py": "def test_last(shared): pass\n",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere tests run in processes of xdist")
def test_nothing_that_happens_in_a_forked_process_is_lost(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", ".", "-c", os.devnull, "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout
    assert done.returncode == 1, said + done.stderr
    assert re.search(r"\n=+ 3 failed, 3 passed, 1 warning in ", said), said
    assert "At index 1 diff: 2 != 3" in said
    assert "-- Captured stdout call --" in said
    assert "said before" in said
    assert re.search(
        r"FAILED \S*test_a.py::test_ends_its_process - the process ended .*: 3\n", said
    )
    assert re.search(r"FAILED \S*test_b.py::test_last - Traceback", said)
    assert "ValueError: at the end of all" in said
    assert "DeprecationWarning: careful" in said
