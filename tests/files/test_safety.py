"""Pointers that git-annex and Git LFS leave in the place of files."""

import os
import re
import shlex
import struct

import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NotInTree
from neuroarrays.files import hdf5, safety
from neuroarrays.testing.sources import open_source

KEY = "MD5E-s2834812--0123456789abcdef0123456789abcdef.h5"
ANNEX = f"/annex/objects/{KEY}\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ANNEX, ("git-annex pointer", "2,834,812 bytes", "datalad get ")),
        (f"../.git/annex/objects/aa/bb/{KEY}/{KEY}", ("git-annex pointer", "datalad get ")),
        (LFS, ("Git LFS pointer", "12,345 bytes", "git lfs pull", "datalad get ")),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_a_pointer_is_called_one(tmp_path, text, words, folder):
    path = tmp_path / "all gabors.h5"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        na.open_datatree(tmp_path if folder else path)
    for word in (f"{path}: ", *words):
        assert word in str(caught.value)
    gets = re.findall("(?:datalad get|--include) (.*?)(?:;|$)", str(caught.value))
    assert {tuple(shlex.split(get)) for get in gets} == {(str(path),)}


def test_a_link_into_an_annex_that_leads_nowhere(tmp_path):
    path = tmp_path / "gabors.h5"
    path.symlink_to(f".git/annex/objects/aa/bb/{KEY}/{KEY}")
    with pytest.raises(FormatError, match="git-annex pointer"):
        na.open_datatree(path)


@pytest.mark.parametrize(
    "content", [b"", b"spikes were fine today\n", b"\x89HDF\r\n\x1a\n" + bytes(99)]
)
def test_other_files_are_none(tmp_path, content):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    safety.check_pointer(path)
    os.mkfifo(tmp_path / "fifo")
    for nothing in (tmp_path, tmp_path / "gone", tmp_path / "fifo", "\0"):
        safety.check_pointer(nothing)
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(MissingPath):
        na.open_datatree(tmp_path / "broken")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            PermissionError(13, "Permission denied", "b.h5"),
            FormatError,
            "b.h5: .*no permission; ask",
        ),
        (
            OSError(24, "Too many open files"),
            FormatError,
            r"a\.h5: .*too many open files; raise the",
        ),
        (OSError(5, "Input/output error"), FormatError, r"a\.h5: .*found Input/output error"),
        (
            FileNotFoundError(2, "No such file", "c.h5"),
            MissingPath,
            r"c\.h5: no such file or folder",
        ),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), FormatError, "rename the file"),
        (KeyError("x"), FormatError, r"a\.h5: .*found KeyError: 'x'"),
        (RecursionError("deep"), FormatError, r"a\.h5: .*RecursionError: deep"),
        (OverflowError("large"), FormatError, r"a\.h5: .*OverflowError: large"),
        (TypeError("an option"), TypeError, "an option"),
        (MemoryError(), FormatError, r"a\.h5: expected values that fit into memory"),
    ],
)
def test_errors_from_inside_name_the_file(error, kind, words):
    with pytest.raises(kind, match=words), safety.named("a.h5"):
        raise error


def test_reading_with_no_descriptor_left_closes_what_is_kept(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"] = [1, 2]
    first, open_file = open_source(tmp_path / "a.h5"), hdf5.open_file
    first.read("x")

    def full(*opening):
        if len(hdf5.handles):
            raise OSError(24, "Too many open files")
        return open_file(*opening)

    monkeypatch.setattr(hdf5, "open_file", full)
    assert open_source(tmp_path / "b.h5").read("x").tolist() == [1, 2]

    def always(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(hdf5, "open_file", always)
    na.release()
    with pytest.raises(FormatError, match=r"a\.h5: .*too many open files; raise the limit"):
        first.read("x")


def test_close_lets_go_of_the_files_of_a_tree(tmp_path):
    one = na.open_datatree(na.save(na.load_sample(), tmp_path / "a.h5"))
    two = na.open_datatree(na.save(na.load_sample(), tmp_path / "b.h5"))
    for tree in (one, two):
        _ = tree["A2929-200711/adn/spikes/spike_times"].values
    one.close()
    kept = {key.path for key in list(hdf5.handles.keys())}
    assert str(tmp_path / "b.h5") in kept
    assert str(tmp_path / "a.h5") not in kept
    assert one.identical(na.load_sample())  # read anew


def test_what_a_library_raises_names_the_file_and_ours_passes():
    with (
        pytest.raises(
            FormatError, match=r"a\.h5:x: expected numbers; found error: struct cut.*checksum"
        ),
        safety.readable("a.h5", "x", "numbers"),
    ):
        raise struct.error("struct cut")
    for ours in (NotInTree("area", "x", ["y"]), MemoryError("8 GB")):
        with pytest.raises(type(ours)) as caught, safety.readable("a.h5", "x", "numbers"):
            raise ours
        assert caught.value is ours


def test_a_file_of_a_newer_hdf5_says_what_to_update():
    with (
        pytest.raises(FormatError, match="newer version of HDF5.*update h5py"),
        safety.readable("a.h5", "x", "HDF5"),
    ):
        raise RuntimeError("Can't open (bad version number for datatype message)")
