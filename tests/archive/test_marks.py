"""The mark of a build: what it says is there, what is missing, and whose folder it is."""

import json

import pytest

from neuroarrays.archive.marks import WORK, Marks, unfinished
from neuroarrays.errors import PathExists
from neuroarrays.files.probe import probe_of


def said(archive):
    return unfinished(probe_of(archive))


def test_a_build_says_what_is_missing_until_it_is_there(tmp_path):
    assert said(tmp_path) == ""  # no build at all
    marks = Marks(tmp_path)
    marks.want({"gabors": "token 1", "flashes": "token 2"}, ["mouse 7: damaged"])
    for name, lacking in (("gabors", []), ("flashes", ["mouse 3"])):
        part = tmp_path / WORK / f"{name}.part"
        part.write_bytes(b"values of " + name.encode())
        marks.about_to(name, part, lacking)
        assert not marks.finished(name)  # not renamed yet
        assert "files are missing" in said(tmp_path)
        part.rename(tmp_path / f"{name}.h5")
    assert marks.finished("gabors")
    assert not marks.finished("flashes")  # a session is missing in it
    text = said(tmp_path)
    assert "files are missing" not in text
    assert "not in it: 'mouse 3 of flashes'" in text
    assert "not read: 'mouse 7: damaged'" in text
    again = Marks(tmp_path)  # as another process reads it
    assert (again.blocks, again.failures) == (marks.blocks, marks.failures)
    again.want({"gabors": "another recipe"}, [])
    assert not again.finished("gabors")


def test_marks_that_a_killed_build_was_writing_are_removed(tmp_path):
    marks = Marks(tmp_path)
    marks.want({"gabors": "token"}, [])
    killed = marks.work / ".build.json.2.part"
    killed.mkdir()
    (killed / "build.json").write_text("{")
    odd = marks.work / ".build.json.3.part"
    odd.write_text("a file: no build of ours writes one, and it harms none")
    kept = marks.work / "gabors.part"
    kept.mkdir()
    marks.clear()
    assert not killed.exists()
    assert kept.exists()
    assert odd.exists()
    assert Marks(tmp_path).blocks == marks.blocks


def test_what_no_build_made_is_left_alone(tmp_path):
    (tmp_path / "gabors.h5").write_bytes(b"somebody's")
    marks = Marks(tmp_path)
    with pytest.raises(PathExists, match=r"gabors\.h5: it exists and is not from a build"):
        marks.refuse_strangers(["flashes", "gabors"])
    marks.refuse_strangers(["flashes"])


@pytest.mark.parametrize("content", ["{", "[]", {"kind": "another", "blocks": {}, "failures": []}])
def test_a_mark_of_something_else_is_none(tmp_path, content):
    (tmp_path / WORK).mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / WORK / "build.json").write_text(text)
    assert said(tmp_path) == ""
    with pytest.raises(PathExists, match="it exists and is not from a build; move it"):
        Marks(tmp_path)
