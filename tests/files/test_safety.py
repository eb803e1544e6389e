"""Pointers that git-annex and Git LFS leave in the place of files."""

import os

import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import safety

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
    path = tmp_path / "gabors.h5"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        na.open_datatree(tmp_path if folder else path)
    for word in (str(path), *words):
        assert word in str(caught.value)


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
