"""Zarr stores behind addresses: how many requests, assets of DANDI, stores without consolidated metadata."""

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
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import state
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
        assert server.seen.requests <= 4  # the root in three spellings, and the checksums
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
                if parts.path == "/api/assets/17/":
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


def test_stores_that_are_not_copied_are_named(dandi, root, tmp_path):
    with pytest.raises(FormatError, match="a Zarr store; open it where it lies"):
        fetch("dandi://000006/sub-1/a.nwb.zarr", tmp_path)
    with pytest.raises(MissingPath, match="no file; a.nwb.zarr: a Zarr asset of DANDI, not copied"):
        fetch("dandi://000006/sub-1", tmp_path)
    with Loopback(root) as server, pytest.raises(FormatError, match="a Zarr store; open it where"):
        fetch(server.url("aligned.zarr"), tmp_path)


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
