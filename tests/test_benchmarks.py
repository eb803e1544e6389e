"""Benchmarks run, once and small; the tables of the pages are what they wrote down."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("bench_*.py"))


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_runs(name, capsys, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)  # as if it was run as a script
    load(name).main(["--small"])
    assert capsys.readouterr().out.strip()


def test_the_pages_hold_the_tables():
    table = load("table")
    for page in (table.README, table.PAGE):
        assert table.put_in(page) == page.read_text(encoding="utf-8")
    known = [row[0] for row in table.ROWS]
    assert all(work in known for work in table.SHOWN)
