"""experanto sessions in tars: the conformance suite, the same tree as of the folder, ranges, bad tars."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import tars
from neuroarrays.files.probe import probe_of
from neuroarrays.synthetic.experanto import write_experanto
from neuroarrays.testing import ReaderTests, assert_same_trees
from neuroarrays.testing.loopback import Loopback

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "experanto"
NAME = "dynamic17797-4-7-Video-021a75_30hz"
FOLDER, S = GOLDEN / NAME, "17797-4-7"


def pack(folder, path, inside=NAME):
    with tarfile.open(path, "w") as archive:
        archive.add(folder, inside)
    return path


class TestTar(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)
    reader = "experanto"
    values = {  # as of the folder, read by hand
        (f"{S}/unknown/responses", "responses", (0, 0)): 0.738619863986969,
        (f"{S}/unknown/spikes", "spike_times", -1): 3.909114122390747,
        (f"{S}/eye_tracker", "eye_tracker", (-1, -1)): 1.5385345220565796,
        (f"{S}/screen", "stimulus", (44, 0, 1, 2)): 12,
        (f"{S}/presentations/screen", "tier", 2): "test",
    }

    def path(self, folder):
        return pack(FOLDER, folder / "session.tar")


@pytest.mark.parametrize("inside", [NAME, ".", "deep/folder"])
def test_a_tar_opens_like_its_folder(inside, tmp_path):
    tree = na.open_datatree(pack(FOLDER, tmp_path / "one.tar", inside))
    assert_same_trees(tree, na.open_datatree(FOLDER))
    assert [path.name for path in tmp_path.iterdir()] == ["one.tar"]


def test_tars_and_folders_side_by_side(tmp_path):
    """A session of each in a folder; and several sessions in one tar."""
    folder = tmp_path / "several"
    write_experanto(folder / "b", seconds=3.0, units=2)
    (folder / "b" / "meta.json").unlink()
    pack(FOLDER, folder / "a.tar", "inner")
    assert list(na.open_datatree(folder).children) == [S, "b"]
    shutil.copytree(FOLDER, folder / "c")
    (folder / "a.tar").unlink()
    whole = pack(folder, tmp_path / "all.tar", ".")
    assert_same_trees(na.open_datatree(whole), na.open_datatree(folder))


def test_members_are_listed_once_and_read_in_place(tmp_path, monkeypatch):
    path, listed = pack(FOLDER, tmp_path / "one.tar"), []
    original = tars._listed
    monkeypatch.setattr(tars, "_listed", lambda *given: listed.append(given) or original(*given))
    tree = na.open_datatree(path)
    picked = tree[f"{S}/unknown/responses"].responses[[0, 3], [1]].values
    assert len(listed) == 1
    signals = np.fromfile(FOLDER / "responses" / "data.mem", np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(picked, signals[[0, 3]][:, [1]])


def test_behind_an_address_ranges_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    path = pack(FOLDER, tmp_path / "one.tar")
    with path.open("ab") as file:  # more zeros, which nothing needs
        file.write(bytes(1 << 24))
    with Loopback(tmp_path) as server:
        tree = na.open_datatree(server.url("one.tar"))
        assert_same_trees(tree, na.open_datatree(path))
        assert server.seen.sent < 1 << 23
    na.release()


# ------------------------------------------------------------------------------------- bad input


def write(path, members, end=True):
    """A tar of (TarInfo, bytes)."""
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    if not end:
        path.write_bytes(path.read_bytes().rstrip(b"\0"))
    return path


def info(name, kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_cut_tar_is_named(share, tmp_path):
    path = pack(FOLDER, tmp_path / "cut.tar")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(FormatError, match=r"cut\.tar.*truncated"):
        na.open_datatree(path)


def test_a_tar_without_its_end_may_lack_members(tmp_path):
    path = pack(FOLDER, tmp_path / "cut.tar")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset])
    with pytest.raises(FormatError, match="zeros at the end of a tar"):
        na.open_datatree(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/x", "a/../../b"])
def test_names_that_lead_out_are_refused(name, tmp_path):
    path = write(tmp_path / "odd.tar", [(info(name), b"x")])
    with pytest.raises(FormatError, match="leads out of it"):
        na.open_datatree(path)


def test_links_are_not_followed(tmp_path):
    path = write(tmp_path / "odd.tar", [(info("a/link", tarfile.SYMTYPE, "/etc/passwd"), b"")])
    link = probe_of(path).inside.child("a/link")
    assert link.kind == "other"
    with pytest.raises(NeuroArraysError, match="a link in a tar"):
        link.read_bytes()


def test_of_two_members_of_one_name_the_last_counts(tmp_path):
    path = write(tmp_path / "two.tar", [(info("a/x"), b"old"), (info("./a/x"), b"newer")])
    folder = probe_of(path).inside
    assert folder.child("a/x").read_bytes() == b"newer"
    assert [child.name for child in folder.child("a").children] == ["x"]
    assert folder.location.folder().read("a/x", -2) == b"er"
    assert folder.location.folder().read("a/y") is None


def test_a_tar_that_changed_is_refused(tmp_path):
    path = pack(FOLDER, tmp_path / "one.tar")
    tree = na.open_datatree(path)
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(bytes(512))
    with pytest.raises(FormatError, match="open it again"):
        tree[f"{S}/treadmill"].treadmill.values  # noqa: B018


def test_other_tars_are_nobodys(tmp_path):
    path = write(tmp_path / "x.tar", [(info("readme"), b"text")])
    with pytest.raises(NeuroArraysError, match="a tar file"):
        na.open_datatree(path)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(FOLDER, NAME)
    with pytest.raises(NeuroArraysError, match="packed with gzip"):
        na.open_datatree(tmp_path / "x.tar.gz")


def test_a_tar_in_which_a_modality_is_damaged(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "bad")
    data = folder / "treadmill" / "data.mem"
    data.write_bytes(data.read_bytes()[:-8])
    path = pack(folder, tmp_path / "bad.tar", "bad")
    with pytest.raises(FormatError, match=r"bad\.tar/bad/treadmill/data\.mem"):
        na.open_datatree(path)
    left = na.open_datatree(path, skip_damaged=True)
    assert any("treadmill" in note for note in left[S].attrs["notes"])


def changed(tmp_path, name, content):
    """A tar of the session in which a member is another one, or (None) is not there."""
    folder = shutil.copytree(FOLDER, tmp_path / "changed")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return pack(folder, tmp_path / "changed.tar", "changed")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("treadmill/data.mem", None, r"treadmill/data\.mem"),
        ("responses/meta/unit_ids.npy", np.lib.format.magic(1, 0), r"unit_ids\.npy"),
        ("responses/meta.yml", b"!!python/object/apply:os.mkdir ['harm']", "modality"),
        ("screen/timestamps.npy", b"no npy file", r"timestamps\.npy"),
    ],
)
def test_a_member_that_is_missing_or_wrong_is_named(tmp_path, name, content, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = changed(tmp_path, name, content)
    with pytest.raises(NeuroArraysError, match=message) as caught:
        na.open_datatree(path).load()
    assert "changed.tar" in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_a_recording_without_samples(tmp_path):
    meta = (FOLDER / "treadmill" / "meta.yml").read_text()
    count = meta.partition("n_timestamps: ")[2].split()[0]
    folder = shutil.copytree(FOLDER, tmp_path / "changed")
    none = meta.replace(f"n_timestamps: {count}", "n_timestamps: 0")
    (folder / "treadmill" / "meta.yml").write_text(none)
    (folder / "treadmill" / "data.mem").write_bytes(b"")
    session = na.open_datatree(pack(folder, tmp_path / "none.tar"))[S].load()
    assert session["treadmill"].sizes["time"] == 0
    assert session["unknown/responses"].sizes["time"] > 0


def test_a_folder_of_tars_and_of_something_else_names_both_readers(tmp_path):
    pack(FOLDER, tmp_path / "one.tar")
    shutil.copytree(GOLDEN.parent / "phy" / "probe_a", tmp_path / "probe_a")
    with pytest.raises(NeuroArraysError, match="phy") as caught:
        na.open_datatree(tmp_path)
    assert "experanto" in str(caught.value)
    assert list(na.open_datatree(tmp_path, engine="experanto").children) == [S]
