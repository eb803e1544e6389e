"""Recordings behind an address, on a server of this machine: values, requests, and addresses that lead nowhere."""

import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingDependency, MissingPath
from neuroarrays.files import positioned, python_client, remote_file
from neuroarrays.files.locating import locate
from neuroarrays.files.probe import probe_of
from neuroarrays.testing.comparing import assert_same_trees
from neuroarrays.testing.loopback import Loopback
from neuroarrays.testing.sources import open_source

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


def test_a_recording_opens_as_the_file_does(folder, server):
    shutil.copy(SAMPLE, folder / "a b#1.nwb")
    address = server.url("a b#1.nwb")
    assert_same_trees(na.open_datatree(address), na.open_datatree(folder / "a b#1.nwb"))
    assert server.seen.requests <= 16
    table = na.catalog(address)
    local = na.catalog(folder / "a b#1.nwb")
    names = ["path", "stamp"]
    assert table.drop(columns=names).equals(local.drop(columns=names))
    assert list(table["session"].unique()) == list(na.open_datatree(address).children)


def test_a_list_of_addresses_and_paths(folder, server):
    for name in "ab":
        shutil.copy(SAMPLE, folder / f"{name}.nwb")
    tree = na.open_datatree([server.url("a.nwb"), folder / "b.nwb"])
    assert list(tree.children) == ["a", "b"]
    assert na.open_datatree((folder / "a.nwb").as_uri()).equals(na.open_datatree(folder / "a.nwb"))


def test_blocks_are_fetched_once_and_neighbours_together(server, numbers):
    source = open_source(server.url(numbers))
    server.reset()
    expected = np.arange(400_000.0).reshape(-1, 4)
    assert np.array_equal(source.read("rows", (slice(10_000, 60_000),)), expected[10_000:60_000])
    assert server.seen.requests == 2  # the index of the chunks, and all of them
    assert np.array_equal(source.read("rows", (slice(20_000, 50_000),)), expected[20_000:50_000])
    assert server.seen.requests == 2
    assert np.array_equal(source.read("packed"), np.arange(9000))
    limit = remote_file._blocks.limit
    assert limit == 256 << 20
    assert 0 < remote_file._blocks.nbytes < limit


def test_a_long_read_shows_a_bar(server, folder, monkeypatch, capsys):
    pytest.importorskip("rich")
    (folder / "a.bin").write_bytes(bytes(3 << 20))
    file = locate(server.url("a.bin")).open()
    monkeypatch.setattr(remote_file, "_SHOWN", 0.0)
    file.prefetch([(1 << 20, 9), (2 << 20, 9)])
    assert capsys.readouterr().err == ""  # nobody looks
    monkeypatch.setattr(remote_file, "is_watched", lambda: True)
    remote_file._blocks.release()
    file.prefetch([(0, 9), (1 << 20, 9), (2 << 20, 9)])
    assert "a.bin" in capsys.readouterr().err


def test_a_bar_moves_as_bytes_arrive(server, folder, monkeypatch):
    (folder / "a.bin").write_bytes(bytes(3 << 20))
    file = locate(server.url("a.bin")).open()
    amounts = []
    monkeypatch.setattr(remote_file.Bar, "add", lambda _, amount: amounts.append(amount))
    monkeypatch.setattr(remote_file, "is_watched", lambda: True)
    file.prefetch([(1 << 20, 2 << 20)])  # one request
    assert len(amounts) > 2
    assert sum(amounts) == 2 << 20


def test_members_of_a_list_are_asked_side_by_side(server, folder, monkeypatch):
    for name in "abcd":
        (folder / name).write_bytes(b"12345")
    seen, together = python_client.get, threading.Barrier(4)

    def waiting(*arguments):
        together.wait(60)  # breaks unless four are under way
        return seen(*arguments)

    monkeypatch.setattr(python_client, "get", waiting)
    members = probe_of([server.url(name) for name in "abcd"]).children
    assert [member.head for member in members] == 4 * [b"12345"]
    assert server.seen.requests == 4


def test_many_sessions_are_opened_again_with_a_request_each(server, bucket, monkeypatch):
    for name in "ab":
        os.link(SAMPLE, bucket / f"{name}.nwb")
    listed = [server.url(f"lab/{name}.nwb") for name in "ab"]
    monkeypatch.setattr(remote_file._kept, "limit", 1)  # what is let go of comes from disk
    for given, requests in ((listed, 2), ("s3://lab/", 3)):
        assert list(na.open_datatree(given).children) == ["a", "b"]
        na.release()
        server.reset()
        assert list(na.open_datatree(given).children) == ["a", "b"]
        assert (server.seen.requests, server.seen.statuses[304]) == (requests, 2)


def test_tables_of_many_sessions_are_brought_up_to_date_with_a_request_each(server, bucket):
    pytest.importorskip("pyarrow", reason="tables are kept with it: pip install pyarrow")
    for name in "ab":
        os.link(SAMPLE, bucket / f"{name}.nwb")
    listed = [server.url(f"lab/{name}.nwb") for name in "ab"]
    for given, requests in ((listed, 2), ("s3://lab/", 3)):  # a prefix is listed too
        na.presentations(given)
        for table in (na.catalog, na.units, na.presentations):
            table(given)
            na.release()
            server.reset()
            assert table(given)["path"].nunique() == 2
            assert (server.seen.requests, server.seen.statuses[304]) == (requests, 2)
    (bucket / "b.nwb").unlink()
    shutil.copy(SAMPLE, bucket / "b.nwb")
    os.utime(bucket / "b.nwb", (1, 1))
    assert len(na.catalog(listed).attrs["notes"]) == 1


def test_an_npz_and_a_zipped_recording(folder, server):
    np.savez(folder / "a.npz", x=np.arange(200_000), y=np.ones((3, 4)))
    source = open_source(server.url("a.npz"))
    assert source.names() == ["x", "y"]
    assert np.array_equal(source.read("x", (slice(5, 9),)), np.arange(5, 9))
    assert np.array_equal(source.read("x"), np.arange(200_000))
    np.save(folder / "a.npy", np.arange(300_000).reshape(3, -1))
    source = open_source(server.url("a.npy"))
    assert np.array_equal(
        source.read("a", (slice(None), slice(7, 9))),
        [[7, 8], [100_007, 100_008], [200_007, 200_008]],
    )
    assert np.array_equal(source.read("a", (1, np.array([99_999, 3]))), [199_999, 100_003])


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"deny": 403}, "no permission .*ask its owner"),
        ({"ranges": False}, "sends files only whole; copy it first .neuroarrays fetch http"),
        ({"deny": 500}, "a server that fails .status 500.; try again later"),
    ],
)
def test_a_server_that_does_not_give_it(folder, behaviour, message):
    shutil.copy(SAMPLE, folder / "a.nwb")
    named = pytest.raises(FormatError, match=rf"127.0.0.1:\d+/f/a\.nwb: .*{message}")
    with Loopback(folder, **behaviour) as server, named:
        na.open_datatree(server.url("a.nwb"))


def test_a_busy_server_and_cut_answers_are_survived(folder):
    shutil.copy(SAMPLE, folder / "a.nwb")
    with Loopback(folder, fail=7, cut=5) as server:
        assert_same_trees(na.open_datatree(server.url("a.nwb")), na.open_datatree(folder / "a.nwb"))
        assert 503 in server.seen.statuses


def test_addresses_that_lead_nowhere(server, folder):
    with pytest.raises(
        MissingPath, match=r"nothing\.nwb: no such file or folder; compare the address"
    ):
        na.open_datatree(server.url("nothing.nwb"))
    with pytest.raises(FormatError, match="redirects in a circle"):
        na.open_datatree(server.url("a.nwb", "loop"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(FormatError, match="takes no connection; see that the server runs"):
        na.open_datatree(f"http://127.0.0.1:{port}/a.nwb")
    with pytest.raises(
        MissingPath, match="ftp://host/a.nwb: addresses of this kind cannot be read"
    ):
        na.open_datatree("ftp://me:word@host/a.nwb?sig=1")
    with pytest.raises(MissingPath, match="the address has no server"):
        na.open_datatree("https://")
    with pytest.raises(
        MissingPath, match="https:/host/a.nwb: expected an address with two slashes.*pathlib"
    ):
        na.open_datatree(Path("https://host/a.nwb?token=1"))


def test_an_unknown_host(monkeypatch):
    def nobody(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(FormatError, match="no server of that name; compare the name"):
        na.open_datatree("http://nowhere.example/a.nwb")


def test_without_obstore(monkeypatch, server, numbers):
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(MissingDependency, match=r"pip install 'neuroarrays\[remote\]'"):
        na.open_datatree(server.url(numbers))


def test_positioned_reads_without_those_of_the_system(folder, monkeypatch):
    """As on Windows, which has no pread."""
    np.save(folder / "a.npy", np.arange(300_000).reshape(3, -1))
    np.savez(folder / "a.npz", x=np.arange(2000))
    monkeypatch.setattr(positioned, "_POSITIONED", False)
    monkeypatch.setattr(os, "preadv", None)
    assert open_source(folder / "a.npz").read("x", (slice(5, 9),)).tolist() == [5, 6, 7, 8]
    source = open_source(folder / "a.npy")
    assert source.read("a", (slice(None), slice(7, 9)))[2].tolist() == [200_007, 200_008]
    assert np.array_equal(source.read("a"), np.arange(300_000).reshape(3, -1))
