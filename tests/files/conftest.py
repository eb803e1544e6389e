"""Servers of this machine that imitate those elsewhere."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.files import digests, network, python_client
from neuroarrays.testing.loopback import Loopback


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A cache of one's own, and no credentials of this machine."""
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(python_client, "_PAUSE", 0.001)
    # The server is a thread here: on a machine that is busy it may take long, and that is no fault.
    monkeypatch.setattr(network, "_CONNECT", 300)
    monkeypatch.setattr(network, "PATIENCE", 600)
    monkeypatch.setattr(python_client, "PATIENCE", 600)
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


@pytest.fixture
def bucket(folder, server, monkeypatch):
    """A folder served as the bucket s3://lab, public."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{server.base}/s3")
    (folder / "lab").mkdir()
    return folder / "lab"


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
                etag = {"dandi:dandi-etag": digests.dandi_etag(stated)}
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
