"""What a build takes: tables or events, any reader, rows of a table; and what it does with bad input."""

import os

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import NothingLeft, NotInTree, QueryError
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import assert_same_trees

HERE = {"scheduler": "sync", "bin_width": 0.1}
READER = '''
import os, time
from neuroarrays.formats.nwb import NWBReader

class Bad(NWBReader):
    """As NWB, but for files that hang, and those that end the process, once they are to be read."""

    def open_groups_as_dict(self, probe, **options):
        name = os.path.basename(str(probe))
        if options.get("areas"):
            if name.startswith("hangs"):
                time.sleep(600)
            if name.startswith("dies"):
                os.kill(os.getpid(), 9)
        return super().open_groups_as_dict(probe, **options)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions")
    for i, name in enumerate(("a", "b")):
        write_nwb(folder / f"{name}.nwb", seed=i, parts=("units", "trials"))
    return folder


@pytest.fixture(scope="module")
def licking(tmp_path_factory):
    path = tmp_path_factory.mktemp("licking") / "l.nwb"
    write_nwb(path, seed=1, parts=("units", "trials", "licks"))
    return path


BUT = ("history", "stimulus", "event_clock")


def test_units_areas_events_and_dtype_are_those_of_align(folder, tmp_path):
    options = {"bin_width": 0.1, "event": "cue_time", "dtype": "uint16", "clip": False}
    report = na.build(
        folder, tmp_path / "archive", units="unit_id < 40", areas="VISp", **HERE | options
    )
    assert report.failures == []
    few = na.select_units(na.open_datatree(folder, areas="VISp"), "unit_id < 40")
    expected = na.align(few, "trials", **options)
    tree = na.open_datatree(tmp_path / "archive" / "trials.h5")
    assert_same_trees(tree, expected, but=BUT)
    assert tree["a/VISp/spike_data"].dtype == np.uint16


def test_rows_of_a_table_are_built(folder, tmp_path):
    rows = na.units(folder, "unit_id < 30 and session == 'b'", cache=False)
    na.build(rows, tmp_path / "archive", **HERE)
    tree = na.open_datatree(tmp_path / "archive" / "trials.h5")
    assert_same_trees(tree, na.align(na.open_datatree(rows), "trials", bin_width=0.1), but=BUT)
    assert list(tree.children) == ["b"]
    again = na.build(rows, tmp_path / "archive", **HERE)
    assert (again.parts_made, again.parts_reused, len(again.unchanged)) == (0, 0, 1)
    with pytest.raises(ValueError, match="without rows"):
        na.build(rows[:0], tmp_path / "other", **HERE)
    with pytest.raises(ValueError, match="without the column 'path'"):
        na.build(rows[["session"]], tmp_path / "other", **HERE)


def test_a_recording_of_several_sessions(folder, tmp_path):
    both = na.save(na.open_datatree(folder), tmp_path / "both.h5")
    na.build(both, tmp_path / "archive", **HERE)
    na.build(folder, tmp_path / "each", **HERE)
    one, other = (na.open_datatree(tmp_path / name / "trials.h5") for name in ("archive", "each"))
    for name in ("a", "b"):
        assert_same_trees(one[name], other[name])
    assert list(one.children) == ["a", "b"]


def test_what_is_aligned_already_is_refused(folder, tmp_path):
    aligned = na.align(na.open_datatree(folder), "trials", bin_width=0.2)
    path = na.save(aligned, tmp_path / "aligned.h5")
    with pytest.raises(na.NeuroArraysError, match=r"aligned\.h5 is aligned already"):
        na.build(path, tmp_path / "archive", **HERE)
    assert not (tmp_path / "archive").exists()


def test_point_events_are_onsets(licking, tmp_path):
    name = "lick_left"
    with pytest.raises(ValueError, match=rf"{name}: point events have no stop. Give a window"):
        na.build(licking, tmp_path / "archive", stimuli=name, **HERE)
    na.build(licking, tmp_path / "archive", stimuli=name, window=(-0.2, 0.3), **HERE)
    expected = na.align(na.open_datatree(licking), name, bin_width=0.1, window=(-0.2, 0.3))
    assert_same_trees(na.open_datatree(tmp_path / "archive" / f"{name}.h5"), expected, but=BUT)


def test_what_nothing_fits_is_named(folder, tmp_path):
    out = tmp_path / "archive"
    with pytest.raises(NothingLeft, match="in 2 sessions: no unit fits 'unit_id > 1000'"):
        na.build(folder, out, units="unit_id > 1000", **HERE)
    with pytest.raises(NothingLeft, match="no column 'colour' in the units"):
        na.build(folder, out, units="colour == 'red'", **HERE)
    with pytest.raises(NotInTree, match="no area 'V9'"):
        na.build(folder, out, areas="V9", **HERE)
    report = na.build(folder, out, units="unit_id < 30 and session == 'a'", **HERE)
    assert report.notes == ["no unit fits \"unit_id < 30 and session == 'a'\": b"]
    assert list(na.open_datatree(out / "trials.h5").children) == ["a"]


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("units", "unit_id <", QueryError),
        ("dtype", "float32", ValueError),
        ("blanks", "perhaps", ValueError),
        ("event_clock", "wall", ValueError),
        ("method", "median", ValueError),
        ("timeout", 0, ValueError),
        ("timeout", "soon", ValueError),
    ],
)
def test_options_are_checked_before_anything_is_read(tmp_path, option, value, error):
    with pytest.raises(error):
        na.build(tmp_path / "gone.nwb", tmp_path / "archive", **{option: value})
    assert not (tmp_path / "archive").exists()


def test_files_that_hang_or_end_their_process_are_named_and_the_build_goes_on(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "bad_lab.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    for name in ("a", "b"):
        os.symlink(folder / f"{name}.nwb", sessions / f"{name}.nwb")
    for name in ("dies", "hangs"):
        write_nwb(sessions / f"{name}.nwb", parts=("units", "trials"))
    archive = tmp_path / "archive"
    options = {"bin_width": 0.1, "workers": 2, "timeout": 8}
    report = na.build(sessions, archive, engine="bad_lab:Bad", **options)
    reasons = dict(report.failures)
    assert sorted(reasons) == ["dies, trials", "hangs, trials"]
    assert "does not end within 8 s" in reasons["hangs, trials"]
    assert "its process was killed (signal 9)" in reasons["dies, trials"]
    assert str(sessions / "hangs.nwb") in reasons["hangs, trials"]
    assert list(na.open_datatree(archive / "trials.h5").children) == ["a", "b"]
    with pytest.warns(UserWarning, match="not in it: 'dies of trials', 'hangs of trials'"):
        na.open_datatree(archive)
    mended = na.build(sessions, archive, **HERE)
    assert mended.failures == []
    assert list(na.open_datatree(archive)["trials"].children) == ["a", "b", "dies", "hangs"]
