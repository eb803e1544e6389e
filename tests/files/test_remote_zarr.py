"""Zarr stores behind addresses: how many requests, assets of DANDI, stores without consolidated metadata."""

import hashlib
import json
import os
import pickle
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.cli import main
from neuroarrays.errors import FormatError, NeuroArraysError, PathExists
from neuroarrays.files import state, store_copies
from neuroarrays.files.fetching import fetch
from neuroarrays.testing.loopback import Loopback
from neuroarrays.testing.processes import in_processes

pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
pytest.importorskip("obstore", reason="the extra `remote` is not installed")
pytestmark = pytest.mark.usefixtures("alone")
GOLDEN = Path(__file__).parents[1] / "golden" / "nwb" / "hdmf_zarr"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    na.save(na.align(na.load_sample(), bin_width=0.5), folder / "aligned.zarr")
    shutil.copytree(GOLDEN / "current.nwb.zarr", folder / "zarr" / "one-two")
    return folder


def test_an_archive_opens_in_two_rounds_and_reads_its_tables_together(root):
    local = na.open_datatree(root / "aligned.zarr")
    with Loopback(root) as server:
        tree = na.open_datatree(server.url("aligned.zarr"))
        assert server.seen.requests <= 2  # the root, and the checksums
        server.reset()
        node = next(node for node in tree.subtree if "spike_data" in node.data_vars)
        assert node.to_dataset().load().identical(local[node.path].to_dataset().load())
        files = [entry[2] for entry in server.seen.log]
        assert len(files) == len(set(files))
        assert tree.identical(local)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads_a_store(root):
    with Loopback(root) as server:
        tree = na.open_datatree(server.url("aligned.zarr"))
        assert not state.forked_from_network()
        node = next(node for node in tree.subtree if node.data_vars)
        name = next(iter(node.data_vars))
        sent = pickle.dumps({name: node[name].variable})
        expected = na.open_datatree(root / "aligned.zarr")[node.path][name].values
        for found in in_processes("fork", sent, 2):
            assert np.array_equal(found[name], expected)


def test_a_part_of_a_file_of_many_chunks_is_fetched(tmp_path):
    ids = np.arange(600)
    data = np.random.default_rng(0).poisson(0.1, (600, 30, 50)).astype(np.uint8)
    tree = na.align(na.load_sample(), bin_width=0.5)
    tree = type(tree).from_dict({"/": tree.to_dataset(), "s/V1": _counts(ids, data)})
    path = na.save(tree, tmp_path / "x.zarr")
    whole = (path / "s/V1/spike_data/c/0/0/0").stat().st_size
    with Loopback(tmp_path) as server:
        opened = na.open_datatree(server.url("x.zarr"))["s/V1/spike_data"]
        server.reset()
        assert np.array_equal(opened[7].values, data[7])
        assert server.seen.requests == 2  # the index, and a chunk
        assert server.seen.sent < whole / 10
        server.reset()
        assert np.array_equal(opened[[5, 590, 7]].values, data[[5, 590, 7]])
        assert server.seen.requests <= 3


def _counts(ids, data):
    import xarray as xr

    dims = ("presentation_id", "unit_id", "time")
    coords = {"presentation_id": ids, "unit_id": np.arange(data.shape[1])}
    return xr.Dataset(
        {"spike_data": (dims, data)}, coords | {"time": np.arange(data.shape[2]) * 0.1}
    )


# ------------------------------------------------------------------------------------ of DANDI


@pytest.fixture
def dandi(root, monkeypatch):
    """An imitation of DANDI's interface, with a Zarr asset whose files lie below another address."""
    with Loopback(root) as server:

        class Interface(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                asset = {"path": "sub-1/a.nwb.zarr", "asset_id": "17", "zarr": "one-two", "size": 9}
                if parts.path == "/api/zarr/one-two/files/":
                    self.say(self.page(int(query.get("after", 0))))
                elif parts.path == "/api/assets/17/":
                    places = [
                        f"{interface}/api/assets/17/download/",
                        server.url("zarr/one-two") + "/",
                    ]
                    self.say({"path": asset["path"], "contentUrl": places})
                elif parts.path.endswith("/paths/"):
                    self.say({"results": [{"path": asset["path"], "asset": {"url": "x"}}]})
                elif parts.path.endswith("/assets/"):
                    fits = asset["path"].startswith(query.get("path", ""))
                    self.say({"results": [asset] * fits})
                else:
                    self.say({"detail": "no download of a Zarr asset"}, 400)

            def page(self, start):
                """A part of the list of the files of the store."""
                top = root / "zarr" / "one-two"
                files = [path for path in sorted(top.rglob("*")) if path.is_file()]
                after = f"{interface}/api/zarr/one-two/files/?after={start + 20}"
                entries = [
                    {
                        "Key": path.relative_to(top).as_posix(),
                        "Size": path.stat().st_size,
                        "ETag": f'"{hashlib.md5(path.read_bytes()).hexdigest()}"',
                        "LastModified": "2024-05-01T10:00:00+00:00",
                    }
                    for path in files[start : start + 20]
                ]
                return {"results": entries, "next": after if start + 20 < len(files) else None}

            def say(self, content, status=200):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        with ThreadingHTTPServer(("127.0.0.1", 0), Interface) as listening:
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            interface = f"http://127.0.0.1:{listening.server_port}"
            monkeypatch.setenv("NEUROARRAYS_DANDI_API", f"{interface}/api")
            yield server
            listening.shutdown()


@pytest.mark.parametrize("address", ["dandi://000006/sub-1/a.nwb.zarr", "dandi://asset/17"])
def test_a_zarr_asset_of_dandi(dandi, address):
    tree = na.open_datatree(address)
    known = na.open_datatree(GOLDEN / "current.nwb.zarr")["current"]
    assert list(tree.children) == ["a"]
    for node in known.subtree:
        assert node.to_dataset().identical(tree["a"][node.relative_to(known)].to_dataset()), node


def test_a_folder_of_zarr_assets_of_dandi(dandi):
    assert list(na.open_datatree("dandi://000006/sub-1").children) == ["a"]


# ------------------------------------------------------------------- without consolidated metadata


def plain(root):
    """Take the consolidated metadata out of the store of the asset."""
    path = root / "zarr" / "one-two" / "zarr.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"consolidated_metadata": None}))
    return path, kept


def test_a_zarr_asset_without_consolidated_metadata_is_listed_by_dandi(dandi, root):
    path, kept = plain(root)
    try:
        tree = na.open_datatree("dandi://000006/sub-1/a.nwb.zarr")
        known = na.open_datatree(GOLDEN / "current.nwb.zarr")["current"]
        for node in known.subtree:
            assert node.to_dataset().identical(tree["a"][node.relative_to(known)].to_dataset())
    finally:
        path.write_text(kept)


def content_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_zarr_asset_of_dandi_is_copied(dandi, root, tmp_path, monkeypatch):
    """Interrupted, it goes on; what is there is left; each file has the MD5 that is stated."""
    whole, arrived = content_of(root / "zarr" / "one-two"), []

    def interrupt(done, total, name):
        arrived.append(done)
        if done > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("dandi://000006/sub-1", tmp_path / "x", progress=interrupt)
    assert not (tmp_path / "x" / "a.nwb.zarr").exists()
    fetched = fetch("dandi://000006/sub-1", tmp_path / "x")
    assert fetched.resumed > 0
    assert fetched.written == [tmp_path / "x" / "a.nwb.zarr"]
    assert content_of(tmp_path / "x" / "a.nwb.zarr") == whole
    assert os.listdir(tmp_path / "x") == ["a.nwb.zarr"]
    again = fetch("dandi://000006/sub-1/a.nwb.zarr", tmp_path / "x")
    assert again.unchanged == [tmp_path / "x" / "a.nwb.zarr"]
    (tmp_path / "x" / "a.nwb.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(PathExists, match="another folder exists already; --overwrite"):
        fetch("dandi://000006/sub-1", tmp_path / "x")
    assert fetch("dandi://000006/sub-1", tmp_path / "x", overwrite=True).written
    monkeypatch.setattr(store_copies, "_whole", lambda address, path: path.write_bytes(b"other"))
    with pytest.raises(FormatError, match="the size and MD5 that are stated"):
        fetch("dandi://000006/sub-1", tmp_path / "y")


@pytest.mark.parametrize("name", ["aligned.zarr", "older.nwb.zarr"])
def test_a_store_of_a_web_server_is_copied(root, tmp_path, name, capsys):
    """Its metadata say which files there are: of formats 2 and 3, also in shards."""
    if not (root / name).exists():
        shutil.copytree(GOLDEN / name, root / name)
    with Loopback(root) as server:
        fetched = fetch(server.url(name), tmp_path)
        copied = tmp_path / name
        assert fetched.written == [copied]
        assert content_of(copied) == content_of(root / name)
        assert na.open_datatree(copied).identical(na.open_datatree(root / name))
        assert fetch(server.url(name), tmp_path).unchanged == [copied]
        if name == "aligned.zarr":  # the smaller one
            assert main(["fetch", server.url(name), "-o", str(tmp_path / "x")]) == 0
            assert "1 Zarr store copied" in capsys.readouterr().out


def test_a_store_on_a_web_server_without_consolidated_metadata_is_named(tmp_path):
    for writer, name in (("current", "zarr.json"), ("older", ".zmetadata")):
        path = shutil.copytree(GOLDEN / f"{writer}.nwb.zarr", tmp_path / f"{writer}.nwb.zarr")
        if name == ".zmetadata":
            (path / name).unlink()
        else:
            meta = json.loads((path / name).read_text())
            (path / name).write_text(json.dumps(meta | {"consolidated_metadata": None}))
        with Loopback(tmp_path) as server:
            address = server.url(f"{writer}.nwb.zarr")
            with pytest.raises(NeuroArraysError, match="consolidated metadata") as caught:
                na.open_datatree(address)
            assert "zarr.consolidate_metadata" in str(caught.value)
            assert "s3://" in str(caught.value)
