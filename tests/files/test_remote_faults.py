"""Servers that say what is not so, say nothing, or want a password; addresses that are none."""

import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import zlib

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import addresses, network, python_client, sidecars
from neuroarrays.files.locating import locate
from neuroarrays.files.responses import NetworkError
from neuroarrays.testing.loopback import Loopback

DATA = bytes(range(256)) * 4000


class Liar(socketserver.StreamRequestHandler):
    """Answers in the manner that the first part of the path names."""

    def handle(self):
        while line := self.rfile.readline():
            headers = {}
            while text := self.rfile.readline().strip().decode():
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            start, last = map(int, re.findall(r"\d+", headers.get("range", "0-0")))
            manner = line.split()[1].decode().split("/")[1]
            self.server.seen.append((manner, headers))
            if manner == "closed":
                return
            getattr(self, manner)(start, DATA[start : last + 1])

    def say(self, body, said, code=206, more=""):
        head = f'HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\nETag: "x"\r\n{more}'
        span = f"Content-Range: bytes {said}\r\n" if said else ""
        self.wfile.write(f"{head}{span}\r\n".encode() + body)

    def well(self, start, body):
        self.say(body, f"{start}-{start + len(body) - 1}/{len(DATA)}")

    def short(self, start, body):
        self.say(body[:-9], f"{start}-{start + len(body) - 1}/{len(DATA)}")

    def elsewhere(self, start, body):
        self.say(body, f"{start + 7}-{start + 6 + len(body)}/{len(DATA)}")

    def unsized(self, start, body):
        self.say(body, f"{start}-{start + len(body) - 1}/*")

    def unnamed(self, start, body):
        self.say(body, "")

    def packed(self, start, body):
        span = f"{start}-{start + len(body) - 1}/{len(DATA)}"
        self.say(zlib.compress(body), span, more="Content-Encoding: deflate\r\n")

    def refusing(self, start, body):
        self.say(b"", "", 451)

    def silent(self, start, body):
        self.server.hold.wait(30)

    def trickling(self, start, body):
        self.wfile.write(b"HTTP/1.1 206 X\r\nContent-Length: 100\r\n")
        self.wfile.write(f"Content-Range: bytes 0-99/{len(DATA)}\r\n\r\n".encode())
        while not self.server.hold.wait(0.02):
            self.wfile.write(b"x")

    def private(self, start, body):
        headers = self.server.seen[-1][1]
        if headers.get("authorization") == "Basic bWU6cEB3":
            self.well(start, body)
        else:
            self.say(b"", "", 401)

    def leading(self, start, body):
        self.say(
            b"", "", 302, f"Location: http://localhost:{self.server.server_address[1]}/well/\r\n"
        )


@pytest.fixture
def liar(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(python_client, "_PAUSE", 0.001)
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Liar) as server:
        server.handle_error = lambda *_: None
        server.block_on_close = False
        server.seen, server.hold = [], threading.Event()
        server.base = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.hold.set()
        server.shutdown()
    na.release()


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("short", "an answer of other bytes than were asked for; try again later"),
        ("elsewhere", "a part of the file of which the server does not say which"),
        ("unsized", "a part of the file of which the server does not say which, or of how much"),
        ("unnamed", "a part of the file of which the server does not say which"),
        ("packed", "a server that packs what it sends; copy it first"),
        ("refusing", r"a server that fails \(status 451\); .*ask who runs the server"),
        ("closed", "an answer that ends early"),
    ],
)
def test_answers_that_are_none(liar, manner, words):
    with pytest.raises(
        NeuroArraysError, match=rf"{liar.base}/{manner}/a\.nwb: .*{words}"
    ) as caught:
        na.open_datatree(f"{liar.base}/{manner}/a.nwb?token=secretsecret")
    assert "secretsecret" not in f"{caught.value!r}{caught.value.__context__!r}"


@pytest.mark.parametrize("manner", ["silent", "trickling"])
def test_a_server_that_says_nothing_is_given_up_once(liar, monkeypatch, manner):
    monkeypatch.setattr(python_client, "PATIENCE", 0.1)
    with pytest.raises(NetworkError, match="no answer in time"):
        network.first(f"{liar.base}/{manner}/", 100)
    assert len(liar.seen) == 1


def test_a_user_and_a_password(liar):
    address = liar.base.replace("//", "//me:p%40w@") + "/private/x"
    location = locate(address)
    file = location.open()
    assert file.read(700_000, 9) == DATA[700_000:700_009]
    assert "p%40w" not in f"{location!r}{location.path}{file.version!r}"
    na.release()
    with pytest.raises(FormatError, match="no permission .status 401."):
        locate(f"{liar.base}/private/x").open()


def test_a_password_stays_on_its_server(liar):
    file = locate(liar.base.replace("//", "//me:p%40w@") + "/leading/x").open()
    file.read(700_000, 9)
    assert file.version.address.startswith("http://localhost:")
    assert not [h for manner, h in liar.seen if manner == "well" and "authorization" in h]


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hunter2@127.0.0.1:x/a.nwb?token=hunter2",
        "http://me:hun?ter2@host/a.nwb",
        "http://me:hun/ter2@host/a.nwb",
        "http://[::1/a.nwb",
        "http://host:99999/a.nwb",
        "http://ho st/a.nwb",
        "s3://KEY:hunter2@bucket/a.nwb",
    ],
)
def test_addresses_that_are_none(address):
    with pytest.raises(
        MissingPath, match=r"valid server and port|environment or profile"
    ) as caught:
        locate(address)
    assert "hun" not in str(caught.value)


def test_a_web_page_in_place_of_a_file(tmp_path):
    (tmp_path / "a.nwb").write_text("\n <!DOCTYPE html><html>Log in</html>")
    with pytest.raises(FormatError, match=r"found a web page \(HTML\)"):
        na.open_datatree(tmp_path / "a.nwb")


def test_keys_of_doors_are_secret():
    shown = addresses.without_secrets("https://host/a?key=AIzaSyAbcdef&id=7")
    assert shown == "https://host/a?id=7"
    assert addresses.without_secrets("https://host/a?key=b/c.nwb") == "https://host/a?key=b%2Fc.nwb"


def test_a_damaged_head_of_a_sidecar_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "s").mkdir()
    with h5py.File(tmp_path / "s" / "x.h5", "w") as file:
        file["a"] = np.arange(5)
    with Loopback(tmp_path / "s") as server:
        address = server.url("x.h5")
        version = locate(address)._look()
        version.touched = [(0, 96)]
        sidecars.keep(locate(address), version)
    ((file, _, _),) = sidecars.every()
    raw = file.read_bytes()
    assert sidecars.load(addresses.without_secrets(address)).kept.starts == [0]
    for good, bad in (
        (b'"starts":[0]', b'"starts":[8]'),
        (b'"starts":[0]', b'"starts":[' + b"[" * 9),
    ):
        assert good in raw
        file.write_bytes(raw.replace(good, bad))
        assert sidecars.load(addresses.without_secrets(address)) is None


INTERRUPTED = """
import sys
from neuroarrays.files.locating import locate
print("begun", flush=True)
file = locate(sys.argv[1]).open()
print("open", flush=True)
file.read(700_000, 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a child there")
def test_ctrl_c_ends_at_once(liar, tmp_path):
    liar.RequestHandlerClass = type("Later", (Liar,), {"well": _first_well})
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, f"{liar.base}/well/x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while child.stdout.readline() != "open\n":
        assert child.poll() is None
    while len(liar.seen) < 2:
        assert not liar.hold.wait(0.01)
    child.send_signal(signal.SIGINT)
    _, words = child.communicate(timeout=20)
    assert "KeyboardInterrupt" in words


def _first_well(self, start, body):
    if start:
        self.server.hold.wait(30)
    else:
        self.say(body, f"0-{len(body) - 1}/{len(DATA)}")
