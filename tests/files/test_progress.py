"""The bar of a save or a build, without a save."""

import contextlib
import sys

import pytest

from neuroarrays.files import progress
from neuroarrays.files.progress import Bar

parts = pytest.importorskip("rich.progress", reason="the extra `cli` is not installed")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal


def task_of(bar):
    shown, task = bar._shown
    return next(t for t in shown.tasks if t.id == task)


@pytest.mark.parametrize(
    ("of_bytes", "amount"), [(True, parts.DownloadColumn), (False, parts.MofNCompleteColumn)]
)
def test_a_bar_says_how_much_of_what_is_done(of_bytes, amount, capsys):
    streams = sys.stdout, sys.stderr
    with Bar(True, "[red]x.h5", 10, of_bytes) as bar:
        bar.at("a" * 60 + "[b]end")
        bar.add(3)
        bar.add(1)
        task = task_of(bar)
        assert (task.completed, task.total) == (4, 10)
        assert task.fields["item"] == "a" * 44 + "[b]end"
        assert any(type(column) is amount for column in bar._shown[0].columns)
        assert (sys.stdout, sys.stderr) == streams  # they are left alone
    assert (task.completed, task.fields["item"]) == (10, "done")
    assert bar._shown[0].finished
    out, err = capsys.readouterr()
    assert out == ""
    assert "[red]x.h5" in err  # no markup


def test_an_item_is_shown_before_any_of_it_is_done():
    with Bar(True, "x", 10) as bar:
        bar.at("first\x1b[31m")
        task = task_of(bar)
        assert (task.completed, task.fields["item"]) == (0, "first\\x1b[31m")


def test_a_bar_of_what_failed_ends_where_it_was():
    bar = Bar(True, "x", 10)
    with contextlib.suppress(OSError), bar:
        bar.add(4)
        raise OSError
    assert (task_of(bar).completed, task_of(bar).fields["item"]) == (4, "not finished")


def test_when_there_is_none(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    bar = Bar(None, "x", 10)
    bar.add(1)
    assert bar._shown is None  # no terminal
    monkeypatch.setattr(progress, "DELAY", 1000.0)
    bar = Bar(True, "x", 10)
    bar.add(1)
    assert bar._shown is None
    assert bar.wanted
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    bar.add(1)
    assert bar._shown is None
    assert not bar.wanted
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert Bar(None, "x", 10).wanted
