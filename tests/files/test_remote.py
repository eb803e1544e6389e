"""Recordings behind an address, on a server of this machine: values, requests, secrets, and what goes wrong."""

import hashlib
import json
import os
import pickle
import re
import shutil
import socket
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.cli import main
from neuroarrays.errors import (
    FormatError,
    MissingDependency,
    MissingPath,
    NeuroArraysError,
    PathExists,
)
from neuroarrays.files import (
    addresses,
    digests,
    fetching,
    network,
    positioned,
    python_client,
    remote_file,
    sidecars,
    state,
)
from neuroarrays.files.locating import locate
from neuroarrays.files.opening import open_source
from neuroarrays.lazy.arrays import file_array
from neuroarrays.testing.loopback import Loopback
from neuroarrays.testing.processes import in_processes

pytest.importorskip("obstore")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
SIGNED = "X-Amz-Signature=abcdef0123456789&X-Amz-Expires=60"


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """A cache of one's own, and no credentials of this machine."""
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(python_client, "_PAUSE", 0.001)
    na.release()
    yield
    na.release()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def server(folder):
    with Loopback(folder) as running:
        yield running


@pytest.fixture
def numbers(folder):
    """An HDF5 file of 3 MB: small tables at its beginning and end, numbers between."""
    with h5py.File(folder / "x.h5", "w") as file:
        file["first"] = np.arange(20)
        file.create_dataset("rows", data=np.arange(400_000.0).reshape(-1, 4), chunks=(1000, 4))
        file.create_dataset("packed", data=np.arange(9000), chunks=(500,), compression="gzip")
        file["last"] = np.arange(30)
    return "x.h5"


def same(tree, expected):
    for node, other in zip(tree.subtree, expected.subtree, strict=True):
        xr.testing.assert_identical(
            node.to_dataset(inherit=False).load(), other.to_dataset(inherit=False).load()
        )


def words_of(error):
    """Everything that an error prints, with what led to it."""
    return "".join(traceback.format_exception(error))


# --------------------------------------------------------------------------------------- values


def test_a_recording_opens_as_the_file_does(folder, server):
    shutil.copy(SAMPLE, folder / "a b#1.nwb")
    address = server.url("a b#1.nwb")
    same(na.open_datatree(address), na.open_datatree(folder / "a b#1.nwb"))
    assert server.seen.requests <= 16
    table = na.catalog(address)
    local = na.catalog(folder / "a b#1.nwb")
    assert table.drop(columns="path").equals(local.drop(columns="path"))
    assert list(table["session"].unique()) == list(na.open_datatree(address).children)


def test_opening_again_moves_no_bytes(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"))
    for forget in (lambda: None, na.release):
        forget()
        server.reset()
        tree = na.open_datatree(server.url("a.nwb"))
        assert (server.seen.requests, server.seen.sent) == (1, 0)
        assert server.seen.statuses == {304: 1}
    same(tree, na.open_datatree(SAMPLE))


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


# ----------------------------------------------------------------------------- redirects, secrets


def test_a_redirect_is_followed_once(server, numbers):
    source = open_source(server.url(numbers, "r"))
    assert source.read("last").sum() == 435
    assert source.read("rows", (99_999,)).tolist() == [399_996.0, 399_997.0, 399_998.0, 399_999.0]
    assert server.seen.statuses[302] == 1


def test_where_a_redirect_led_has_expired(server, numbers):
    source = open_source(server.url(numbers, "r"))
    server.behaviour.expires = -1
    remote_file._blocks.release()

    def valid():
        server.behaviour.expires = 3600

    seen = network.first

    def renewed(*arguments, **options):
        valid()
        return seen(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "first", renewed)
        assert source.read("rows", (50_000,)).tolist() == [
            200_000.0,
            200_001.0,
            200_002.0,
            200_003.0,
        ]


def test_nothing_secret_is_said_or_kept(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    address = f"{server.url('a.nwb')}?versionId=7&{SIGNED}".replace("abcdef0123456789", f"{2e9}")
    secret = re.compile(r"2000000000|X-Amz-Signature")
    tree = na.open_datatree(address)
    spikes = tree["a/adn/spikes"]["spike_times"]
    said = [repr(tree), repr(spikes.variable._data), str(pickle.dumps(tree)), repr(locate(address))]
    said.append(str([path for _, path, _ in sidecars.every()]))
    na.save(na.align(tree, bin_width=1.0), tmp_path / "a.h5")
    said.append((tmp_path / "a.h5").read_bytes().decode("latin-1"))
    assert "versionId=7" in said[3]
    server.behaviour.deny = 403
    said += [path.read_bytes().decode("latin-1") for path in (tmp_path / "cache").iterdir()]
    assert sidecars.clear()  # a version that is named is not asked for again where it is kept
    na.release()
    for broken in (lambda: spikes.values, lambda: na.open_datatree(address)):
        with pytest.raises(FormatError, match="signature") as caught:
            broken()
        said.append(words_of(caught.value))
    assert not [text for text in said if secret.search(text)]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("HTTPS://user:word@host/a b#c%20d.nwb", "https://host/a%20b%23c%20d.nwb"),
        ("https://h/x?sv=2020&se=2&sig=xyz&versionId=9", "https://h/x?versionId=9"),
        ("https://h/x?id=3&download=1", "https://h/x?id=3&download=1"),
        ("https://h/x?a=" + 30 * "z", "https://h/x"),
        ("s3://bucket/a b#c?.nwb", "s3://bucket/a b#c?.nwb"),
    ],
)
def test_what_is_shown_of_an_address(address, shown):
    assert addresses.shown(address) == shown
    assert addresses.shown(shown) == shown
    assert locate(address).path == shown
    assert pickle.loads(pickle.dumps(locate(address))) == locate(shown)


def test_a_path_is_shown_as_it_is():
    assert addresses.shown("/A b/C#.nwb") == "/A b/C#.nwb"


def test_names_in_addresses():
    place = locate("https://h/a%20b/c.nwb?sig=abc")
    assert (place.name, place.parent.name) == ("c.nwb", "a b")
    assert place.parent.child("d e.nwb").path == "https://h/a%20b/d%20e.nwb"
    assert place.parent.child("d").address == "https://h/a%20b/d?sig=abc"
    assert locate("s3://b/f/x y.nwb").parent.child("z #.nwb").path == "s3://b/f/z #.nwb"


# ----------------------------------------------------------------------------------- the sidecar


def test_a_damaged_sidecar_is_none(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    expected = na.open_datatree(server.url("a.nwb"))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:40], b"", whole[:200] + b"x" + whole[201:]):
        file.write_bytes(damaged)
        na.release()
        server.reset()
        same(na.open_datatree(server.url("a.nwb")), expected)
        assert server.seen.sent > 0
    assert na.release() is None


def test_a_file_that_was_replaced_is_read_anew(folder, server):
    with h5py.File(folder / "x.h5", "w") as file:
        file["a"] = np.arange(100_000)
    source = open_source(server.url("x.h5"))
    assert source.read("a", (slice(3),)).tolist() == [0, 1, 2]
    with h5py.File(folder / "x.h5", "w") as file:
        file["a"] = -np.arange(100_000)
    with pytest.raises(FormatError, match=r"x\.h5.*as it was when it was opened.*open it again"):
        source.read("a", (slice(90_000, 90_003),))
    assert open_source(server.url("x.h5")).read("a", (slice(3),)).tolist() == [0, -1, -2]


@pytest.mark.parametrize("off", ["off", "0"])
def test_no_cache_if_so_wished(folder, server, tmp_path, monkeypatch, off):
    monkeypatch.setenv("NEUROARRAYS_CACHE", off)
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"))
    assert not (tmp_path / "cache").exists()
    assert sidecars.every() == []


def test_an_opening_without_the_cache(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"), cache=False)
    assert not (tmp_path / "cache").exists()
    na.open_datatree(server.url("a.nwb"))
    na.release()
    server.reset()
    na.open_datatree(server.url("a.nwb"), cache=False)
    assert server.seen.sent > 100_000


def test_a_description_says_what_is_kept(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    tree = na.open_datatree(server.url("a.nwb"))
    said = " ".join(str(na.describe(tree)).split())
    assert re.search(r"a\.nwb: [1-9]\d* kB are kept on disk .*, [1-9],\d+ kB in memory", said)
    assert "kept on disk" not in str(na.describe(na.open_datatree(folder / "a.nwb")))


def test_an_address_of_a_version_is_not_asked_again(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    address = f"{server.url('a.nwb')}?versionId=7"
    expected = na.open_datatree(address)
    na.release()
    server.reset()
    tree = na.open_datatree(address)
    assert server.seen.requests == 0
    same(tree, expected)
    blob = "https://dandiarchive.s3.amazonaws.com/blobs/b1a/29b/b1a29b"
    assert addresses.is_fixed(blob)
    assert not addresses.is_fixed("https://elsewhere.org/blobs/b1a/29b/b1a29b")
    assert not addresses.is_fixed("https://dandiarchive.s3.amazonaws.com/zarr/b1a/29b")
    assert not addresses.is_fixed("s3://lab/a?versionId=7")


def test_sidecars_are_bounded_and_cleared(folder, server, tmp_path, monkeypatch):
    for name in "abc":
        shutil.copy(SAMPLE, folder / f"{name}.nwb")
        na.open_datatree(server.url(f"{name}.nwb"))
    size = sidecars.every()[0][2]
    assert sorted(path[-5:] for _, path, _ in sidecars.every()) == ["a.nwb", "b.nwb", "c.nwb"]
    monkeypatch.setattr(sidecars, "LIMIT", 2 * size + 100)
    shutil.copy(SAMPLE, folder / "d.nwb")
    na.open_datatree(server.url("d.nwb"))
    assert len(sidecars.every()) == 2
    assert sidecars.clear() == 2
    assert not list((tmp_path / "cache").iterdir())


# --------------------------------------------------------------------------------- bad addresses


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
        same(na.open_datatree(server.url("a.nwb")), na.open_datatree(SAMPLE))
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
    with pytest.raises(MissingPath, match="ftp://host/a.nwb: addresses of this kind are not read"):
        na.open_datatree("ftp://me:word@host/a.nwb?sig=1")
    with pytest.raises(MissingPath, match="an address without a server"):
        na.open_datatree("https://")


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


# ------------------------------------------------------------------------------------- processes


def rows_of(source):
    """Two rows of the file as a lazy variable, pickled."""
    array = file_array(source, "rows").variable(("row", "column"))[60_000:60_002]
    sent = pickle.dumps({"rows": array})
    assert len(sent) < 2000
    return sent


EXPECTED = [
    [240_000.0, 240_001.0, 240_002.0, 240_003.0],
    [240_004.0, 240_005.0, 240_006.0, 240_007.0],
]


def test_a_lazy_array_travels_to_other_processes(server, numbers):
    (found,) = in_processes("spawn", rows_of(open_source(server.url(numbers))), 1)
    assert found["rows"].tolist() == EXPECTED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads(server, numbers):
    source = open_source(server.url(numbers))
    source.read("rows", (slice(0, 2),))
    assert not state.forked_from_network()
    found = in_processes("fork", rows_of(source), 2)
    assert [one["rows"].tolist() for one in found] == [EXPECTED, EXPECTED]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("way", ["memory", "file", pytest.param("run", marks=pytest.mark.slow)])
def test_workers_of_loaders_are_started_so_that_they_can_read(server, folder, way):
    torch = pytest.importorskip("torch")
    aligned = na.align(na.open_datatree(SAMPLE), "sleep_ripples", bin_width=0.05)
    na.save(aligned, folder / "a.h5")
    trees = na.open_datatree(server.url("a.h5")), na.open_datatree(folder / "a.h5")
    remote, local = (
        na.torch.TrialDataset(tree["A2929-200711/adn"], ["spike_data"], cache=way == "memory")
        for tree in trees
    )
    loader = na.torch.Loader(remote, na.torch.Batches(len(remote), 16), num_workers=1)
    loader._choose_start()
    beside = na.torch.Loader(
        torch.utils.data.Subset(local, [0]), na.torch.Batches(1, 1), num_workers=1
    )
    beside._choose_start()
    assert beside.multiprocessing_context is None
    if way == "memory":
        remote.load()
        loader.multiprocessing_context = None
        loader._choose_start()
        assert loader.multiprocessing_context is None
        return
    assert loader.multiprocessing_context.get_start_method() == "forkserver"
    if way == "run":
        batches = [batch["spike_data"] for batch in loader]
        expected = na.torch.Loader(local, na.torch.Batches(len(local), 16))
        for batch, other in zip(batches, expected, strict=True):
            torch.testing.assert_close(batch, other["spike_data"], equal_nan=True)


def test_dask_reads_in_threads(server, numbers):
    dask = pytest.importorskip("dask")
    rows = file_array(open_source(server.url(numbers)), "rows").variable(("row", "column"))
    with dask.config.set(scheduler="threads"):
        assert rows.chunk({"row": 9000}).sum().compute() == 400_000 * 399_999 / 2


def test_a_build_from_signed_addresses(server, folder, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    server.behaviour.signed = True
    address = f"{server.url('a.nwb')}?X-Amz-Signature=2000000000"
    options = {"stimuli": "sleep_ripples", "bin_width": 0.1, "scheduler": "threads"}
    report = na.build(address, tmp_path / "archive", **options)
    assert (report.made, report.failures) == (1, [])
    assert na.units(address)["path"].unique().tolist() == [server.url("a.nwb")]
    for file in (tmp_path / "archive").rglob("*"):
        assert file.is_dir() or b"2000000000" not in file.read_bytes()
    with pytest.raises(NeuroArraysError, match="no permission"):
        na.build(server.url("a.nwb"), tmp_path / "other", **options)


# -------------------------------------------------------------------- prefixes, Zarr, archives


@pytest.fixture
def bucket(folder, server, monkeypatch):
    """A folder served as the bucket s3://lab, public."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{server.base}/s3")
    (folder / "lab").mkdir()
    return folder / "lab"


def test_an_object_of_a_bucket(bucket):
    shutil.copy(SAMPLE, bucket / "a b#1.nwb")
    same(na.open_datatree("s3://lab/a b#1.nwb"), na.open_datatree(bucket / "a b#1.nwb"))


def test_a_prefix_is_a_folder_of_sessions(bucket, server):
    (bucket / "day 1").mkdir()
    for name in "ab":
        shutil.copy(SAMPLE, bucket / "day 1" / f"{name}.nwb")
    (bucket / "day 1" / "notes.txt").write_text("none")
    same(na.open_datatree("s3://lab/day 1"), na.open_datatree(bucket / "day 1"))
    assert na.catalog("s3://lab/day 1/")["session"].tolist() == ["a", "a", "b", "b"]
    with pytest.raises(MissingPath, match="s3://lab/none: no such file or folder"):
        na.open_datatree("s3://lab/none")
    (bucket / "texts").mkdir()
    (bucket / "texts" / "a.txt").write_text("hello")
    with pytest.raises(
        NeuroArraysError, match="s3://lab/texts: expected a file or folder that one"
    ):
        na.open_datatree("s3://lab/texts")


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_objects_of_google_cloud_and_azure(bucket, server, monkeypatch, kind):
    key = {"gcs_base_url": f"{server.base}/f", "disable_oauth": True}
    key |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{server.base}/f")
    np.save(bucket / "a.npy", np.arange(9))
    assert open_source(f"{kind}://lab/a.npy").read("a").tolist() == list(range(9))
    with pytest.raises(MissingPath, match=f"{kind}://lab/b.npy: no such file"):
        locate(f"{kind}://lab/b.npy").open()


def test_a_private_bucket_without_credentials(bucket, server):
    shutil.copy(SAMPLE, bucket / "a.nwb")
    server.behaviour.deny = 403
    with pytest.raises(
        FormatError, match="s3://lab/a.nwb: .*no permission.*AWS_ACCESS_KEY_ID, .*profile"
    ):
        na.open_datatree("s3://lab/a.nwb")


def test_credentials_are_used_and_said_nowhere(bucket, server, monkeypatch, tmp_path):
    shutil.copy(SAMPLE, bucket / "a.nwb")
    (tmp_path / "keys").write_text(
        "[mine]\naws_access_key_id = AKID7\naws_secret_access_key = xyz7\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    tree = na.open_datatree("s3://lab/a.nwb")
    assert "AKID7" in str(server.seen.headers[0])
    for text in (repr(tree), str(pickle.dumps(tree))):
        assert "AKID7" not in text
        assert "xyz7" not in text


@pytest.mark.parametrize("way", ["http", "s3"])
def test_archives_of_ours(bucket, server, way):
    pytest.importorskip("zarr")
    aligned = na.align(na.open_datatree(SAMPLE), "sleep_ripples", bin_width=0.02)
    for name in ("a.h5", "a.zarr"):
        na.save(aligned, bucket / name)
        address = f"s3://lab/{name}" if way == "s3" else server.url(f"lab/{name}")
        same(na.open_datatree(address), na.open_datatree(bucket / name))


def test_a_zarr_store_of_nwb_in_a_bucket(bucket):
    pytest.importorskip("zarr")
    golden = next(
        path
        for path in Path("tests/golden/nwb").iterdir()
        if path.suffix == ".zarr" or path.is_dir()
    )
    shutil.copytree(golden, bucket / golden.name)
    same(na.open_datatree(f"s3://lab/{golden.name}"), na.open_datatree(golden))


# ------------------------------------------------------------------------------------------ DANDI


@pytest.fixture
def archive(folder, server, monkeypatch):
    """An imitation of DANDI's interface, whose downloads are redirects to the server."""

    class Interface(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            if parts.path.endswith("/download/"):
                self.send_response(302)
                self.send_header(
                    "Location", server.url(bytes.fromhex(parts.path.split("/")[-3]).decode(), "r")
                )
                self.end_headers()
                return
            if parts.path.startswith("/api/assets/"):
                stated = folder / bytes.fromhex(parts.path.split("/")[-2]).decode()
                etag = {"dandi:dandi-etag": digests.etag_of(stated)}
                self.say({"path": f"sub-1/{stated.name}", "digest": etag})
                return
            _, _, _, dandiset, _, version, *_ = parts.path.split("/")
            known = (folder / dandiset).is_dir() and version in ("draft", "0.1")
            top = folder / dandiset
            if "path_prefix" in query:
                below = top / query["path_prefix"]
                inside = sorted(below.iterdir()) if below.is_dir() else []
                results = [
                    {
                        "path": p.relative_to(top).as_posix(),
                        "asset": {"url": "x"} if p.is_file() else None,
                    }
                    for p in inside
                ]
            else:
                files = [p for p in sorted(top.rglob("*")) if p.is_file()]
                names = [p.relative_to(top).as_posix() for p in files]
                results = [
                    {"path": n, "asset_id": f"{dandiset}/{n}".encode().hex(), "size": 9}
                    for n in names
                    if n.startswith(query.get("path", ""))
                ]
            self.say({"results": results, "next": None}, 200 if known else 404)

        def say(self, content, status=200):
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Interface) as interface:
        threading.Thread(target=interface.serve_forever, daemon=True).start()
        monkeypatch.setenv("NEUROARRAYS_DANDI_API", f"http://127.0.0.1:{interface.server_port}/api")
        (folder / "000006" / "sub-1").mkdir(parents=True)
        yield folder / "000006"
        interface.shutdown()


def test_assets_of_dandi(archive, server):
    for name in ("a.nwb", "a.nwb2", "b.nwb"):
        shutil.copy(SAMPLE, archive / "sub-1" / name)
    tree = na.open_datatree("dandi://000006/sub-1/a.nwb")
    same(tree, na.open_datatree(archive / "sub-1" / "a.nwb"))
    assert server.seen.statuses[302] == 1
    assert pickle.loads(pickle.dumps(tree)).equals(tree)
    (archive / "sub-1" / "a.nwb2").unlink()
    assert list(na.open_datatree("dandi://000006@0.1/sub-1").children) == ["a", "b"]
    with pytest.raises(MissingPath, match="dandi://000006/sub-1/c.nwb: no such file"):
        na.open_datatree("dandi://000006/sub-1/c.nwb")
    with pytest.raises(NeuroArraysError, match="another form than dandi://DANDISET"):
        na.open_datatree("dandi://six/c.nwb")


# ---------------------------------------------------------------------------------------- copies


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
    with pytest.raises(PathExists, match="another file already; --overwrite"):
        fetching.fetch("s3://lab/day 1", out)
    fetching.fetch("s3://lab/day 1", out, overwrite=True)
    assert (out / "a.bin").read_bytes() == b"other"
    with pytest.raises(MissingPath, match=r"no file fits \*.x; there is .*a\.bin"):
        fetching.fetch("s3://lab/day 1", out, ["*.x"])


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
    with pytest.raises(MissingPath, match="fetch copies what is behind an address"):
        fetching.fetch(str(folder), tmp_path)
    assert not fetching._is_plain("../a")
    assert not fetching._is_plain("/a")
    assert not fetching._is_plain("a\\b")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://dandiarchive.org/dandiset/000006", "dandi://000006"),
        (
            "https://dandiarchive.org/dandiset/000006/draft/files?location=sub-1%2F&page=1",
            "dandi://000006/sub-1",
        ),
        (
            "https://gui.dandiarchive.org/#/dandiset/000006/0.220126.1855",
            "dandi://000006@0.220126.1855",
        ),
        (
            f"https://api.dandiarchive.org/api/assets/{36 * 'a'}/download/",
            f"dandi://asset/{36 * 'a'}",
        ),
        (
            f"https://api.dandiarchive.org/api/dandisets/000006/versions/draft/assets/{36 * 'a'}/",
            f"dandi://asset/{36 * 'a'}",
        ),
        ("https://dandiarchive.org/search?q=a", "https://dandiarchive.org/search?q=a"),
    ],
)
def test_addresses_of_pages_of_dandi(address, expected):
    assert addresses.of_dandi(address) == expected


def test_an_asset_by_its_number(archive, tmp_path):
    shutil.copy(SAMPLE, archive / "sub-1" / "a.nwb")
    address = f"dandi://asset/{b'000006/sub-1/a.nwb'.hex()}"
    same(na.open_datatree(address), na.open_datatree(archive / "sub-1" / "a.nwb"))
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
    assert digests.of_dandi({"dandi:sha2-256": hashlib.sha256(b"12345").hexdigest()}).fits(
        tmp_path / "a"
    )
    assert digests.of_dandi({}) is None
    monkeypatch.setattr(digests, "_PART", 2)
    parts = b"".join(hashlib.md5(part).digest() for part in (b"12", b"34", b"5"))
    assert digests.etag_of(tmp_path / "a") == f"{hashlib.md5(parts).hexdigest()}-3"


# ------------------------------------------------------------------------- what stands beside it


def test_the_command_lists_and_clears_what_is_kept(folder, server, capsys, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    assert main(["info", f"{server.url('a.nwb')}?{SIGNED}"]) == 2  # the signature has expired
    assert main(["info", server.url("a.nwb")]) == 0
    assert main(["cache"]) == 0
    said = capsys.readouterr()
    assert "X-Amz" not in said.out + said.err
    assert server.url("a.nwb") in said.out
    assert main(["cache", "--clear"]) == 0
    assert "1 file deleted" in capsys.readouterr().out
    assert not list((tmp_path / "cache").iterdir())


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
