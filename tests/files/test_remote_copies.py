"""Copies of what is behind an address."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays.cli import main
from neuroarrays.errors import (
    FormatError,
    MissingPath,
    PathExists,
)
from neuroarrays.files import (
    digests,
    fetching,
    remote_file,
)
from neuroarrays.testing.comparing import assert_same_trees
from neuroarrays.testing.loopback import Loopback

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


def test_a_prefix_is_fetched(bucket, folder, tmp_path, capsys):
    (bucket / "day 1" / "in").mkdir(parents=True)
    for name, count in (("a.bin", 70_000), ("in/b #.bin", 9), ("in/none.bin", 0), ("c.txt", 5)):
        (bucket / "day 1" / name).write_bytes(os.urandom(count))
    out = tmp_path / "out"
    assert main(["fetch", "s3://lab/day 1/", "-o", str(out), "--files", "*.bin"]) == 0
    assert "3 files copied" in capsys.readouterr().out
    for name in ("a.bin", "in/b #.bin", "in/none.bin"):
        assert (out / name).read_bytes() == (bucket / "day 1" / name).read_bytes()
    assert not (out / "c.txt").exists()
    again = fetching.fetch("s3://lab/day 1", out)
    assert (again.written, len(again.unchanged)) == ([out / "c.txt"], 3)
    (bucket / "day 1" / "a.bin").write_bytes(b"other")
    with pytest.raises(PathExists, match="another file exists already; --overwrite"):
        fetching.fetch("s3://lab/day 1", out)
    fetching.fetch("s3://lab/day 1", out, overwrite=True)
    assert (out / "a.bin").read_bytes() == b"other"
    with pytest.raises(MissingPath, match=r"no file fits \*.x; there is .*a\.bin"):
        fetching.fetch("s3://lab/day 1", out, ["*.x"])


def test_an_object_of_s3_is_compared_with_its_md5(bucket, tmp_path, monkeypatch):
    (bucket / "a.bin").write_bytes(os.urandom(300))
    assert fetching.fetch("s3://lab/a.bin", tmp_path / "out").notes == []
    read = remote_file.RemoteFile.fetched
    monkeypatch.setattr(
        remote_file.RemoteFile, "fetched", lambda *a: [b[:-1] + b"x" for b in read(*a)]
    )
    with pytest.raises(FormatError, match=r"a\.bin: .*the digest that is stated .MD5 of its ETag"):
        fetching.fetch("s3://lab/a.bin", tmp_path / "other")
    assert os.listdir(tmp_path / "other") == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    report = fetching.fetch("s3://lab/a.bin", tmp_path / "other")
    assert "encrypts with keys of their own" in report.notes[0]
    assert digests.from_etag('"0123456789abcdef0123456789abcdef-2"') is None


def test_an_interrupted_fetch_goes_on(folder, server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_PIECE", 100_000)
    monkeypatch.setattr(fetching, "_AT_ONCE", 1)
    content = os.urandom(1_000_000)
    (folder / "a.bin").write_bytes(content)
    out = tmp_path / "out"

    def stop(done, total, name):
        if done >= 600_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(server.url("a.bin", "r"), out, progress=stop)
    assert not (out / "a.bin").exists()
    server.reset()
    report = fetching.fetch(server.url("a.bin", "r"), out)
    assert report.resumed == 500_000  # the last piece arrived and was not written
    assert (out / "a.bin").read_bytes() == content
    assert server.seen.sent < 1_000_000
    assert os.listdir(out) == ["a.bin"]
    # A file that was exchanged meanwhile is begun anew.
    (out / "a.bin").unlink()
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(server.url("a.bin"), out, progress=stop)
    server.behaviour.salt = "new"
    assert fetching.fetch(server.url("a.bin"), out).resumed == 0


@pytest.mark.parametrize("cut", [0, 2])
def test_a_server_without_ranges_is_copied_from(folder, tmp_path, cut):
    (folder / "a.bin").write_bytes(os.urandom(400_000))
    with Loopback(folder, ranges=False, cut=cut) as server:
        fetching.fetch(server.url("a.bin"), tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == (folder / "a.bin").read_bytes()
    assert os.listdir(tmp_path / "out") == ["a.bin"]


def test_what_cannot_be_fetched(server, folder, tmp_path):
    with pytest.raises(MissingPath, match="nothing.bin: no such file or folder"):
        fetching.fetch(server.url("nothing.bin"), tmp_path)
    with pytest.raises(MissingPath, match="expected an address"):
        fetching.fetch(str(folder), tmp_path)
    assert not fetching._is_plain("../a")
    assert not fetching._is_plain("/a")
    assert not fetching._is_plain("a\\b")


def test_an_asset_by_its_number(archive, tmp_path):
    shutil.copy(SAMPLE, archive / "sub-1" / "a.nwb")
    address = f"dandi://asset/{b'000006/sub-1/a.nwb'.hex()}"
    assert_same_trees(na.open_datatree(address), na.open_datatree(archive / "sub-1" / "a.nwb"))
    assert fetching.fetch(address, tmp_path / "out").written == [tmp_path / "out" / "a.nwb"]


def test_a_dandiset_is_fetched_and_compared_with_its_digests(archive, tmp_path, monkeypatch):
    for name in ("a.nwb", "b.txt"):
        (archive / "sub-1" / name).write_bytes(os.urandom(300_000))
    out = tmp_path / "out"
    report = fetching.fetch("dandi://000006", out, ["*.nwb"])
    assert report.written == [out / "sub-1" / "a.nwb"]
    assert report.written[0].read_bytes() == (archive / "sub-1" / "a.nwb").read_bytes()
    assert fetching.fetch("dandi://000006/sub-1/a.nwb", out / "sub-1").unchanged == report.written
    monkeypatch.setattr(digests.Digest, "fits", lambda *_: False)
    with pytest.raises(FormatError, match="b.txt: expected a file of the digest .*dandi-etag"):
        fetching.fetch("dandi://000006/sub-1/b.txt", out)
    assert not (out / "b.txt").exists()
    monkeypatch.undo()


def test_digests_of_dandi(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12345")
    assert digests.from_dandi({"dandi:sha2-256": hashlib.sha256(b"12345").hexdigest()}).fits(
        tmp_path / "a"
    )
    assert digests.from_dandi({}) is None
    monkeypatch.setattr(digests, "_PART", 2)
    parts = b"".join(hashlib.md5(part).digest() for part in (b"12", b"34", b"5"))
    assert digests.dandi_etag(tmp_path / "a") == f"{hashlib.md5(parts).hexdigest()}-3"
