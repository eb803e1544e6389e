"""Files are read in a child that may hang, crash or run out of memory."""

import os

import h5py
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NotInTree, SchemaError
from neuroarrays.files import guard, state
from neuroarrays.formats import checking

HERE = "neuroarrays.testing.guarded"
NAME = "os.path:basename"


@pytest.fixture(autouse=True, scope="module")
def _no_child_left():
    yield
    state.release()


def test_one_child_answers_all():
    assert guard.in_child(NAME, "a/b") == "b"
    first = guard._children.get(0).process.pid
    assert guard.in_child(NAME, "a/c") == "c"
    assert guard._children.get(0).process.pid == first
    state.keep_for("another session")  # starting a child takes longer than most files
    assert guard._children.get(0).process.pid == first


def test_errors_come_back_as_they_were(tmp_path):
    with pytest.raises(MissingPath, match="no such file"):
        guard.in_child("neuroarrays.formats.checking:touch", str(tmp_path / "x.nwb"), options={})
    with pytest.raises(NotInTree, match="no area 'VISp'"):
        na.open_datatree(na.sample_path(), areas="VISp", probe=True)
    with pytest.raises(TypeError, match="no option"):
        na.open_datatree(na.sample_path(), probe=True, colour="red")
    with pytest.raises(FormatError, match=r"a\.nwb: expected a file .*; found ValueError: no such"):
        guard.in_child(f"{HERE}:refuse", "a.nwb")
    with pytest.raises(FormatError, match=r"b\.nwb: expected one thing; found another; do this"):
        guard.in_child(f"{HERE}:name", "b.nwb")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no limits here")
@pytest.mark.parametrize(
    ("harm", "said"),
    [("spin", "does not end within 0 s"), ("crash", "ends the process"), ("wait", "does not end")],
)
def test_what_does_not_come_back_is_named(monkeypatch, harm, said):
    monkeypatch.setattr(guard, "SECONDS", 30.0 if harm == "crash" else 0.1)
    monkeypatch.setattr(guard, "_MINUTE", 60.0 if harm == "spin" else 3.0)
    with pytest.raises(FormatError, match=rf"{harm}\.h5: .*{said}"):
        guard.in_child(f"{HERE}:{harm}", f"{harm}.h5")
    monkeypatch.undo()
    assert guard.in_child(NAME, "a/b") == "b"


@pytest.mark.skipif(not os.path.exists("/proc"), reason="memory has no bound here")
def test_what_takes_all_memory_is_named(monkeypatch):
    monkeypatch.setattr(guard, "MEMORY", 1 << 29)
    monkeypatch.setattr(guard, "_physical", lambda: 0)
    with pytest.raises(
        FormatError, match=r"grow\.h5: expected values that fit into 536,870,912 by"
    ):
        guard.in_child(f"{HERE}:grow", "grow.h5")


def test_a_child_of_a_child_makes_its_own():
    assert guard.in_child(f"{HERE}:again", "a/b") == "b"


def test_probe_and_check_of_a_good_file():
    assert na.open_datatree(na.sample_path(), probe=True).identical(na.load_sample())
    notes, faults = checking.checked(na.sample_path())
    assert faults == []
    assert all(note.startswith("A2929-200711: ") for note in notes)


def test_check_says_what_is_wrong(tmp_path):
    path = na.save(na.load_sample(), tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["A2929-200711/adn/spikes/row_size"]
    with pytest.raises(SchemaError, match="A2929-200711/adn/spikes: spike_times has dims"):
        checking.checked(path)
