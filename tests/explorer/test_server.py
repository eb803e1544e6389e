"""The command: its address, ports in use, paths that are none."""

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.explorer import server
from neuroarrays.explorer.server import PORT, free_port, names_of


def test_a_port_in_use_is_said_and_another_is_taken_where_none_is_asked_for():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(na.NeuroArraysError, match="--port"):
            free_port("127.0.0.1", taken.getsockname()[1])
        assert free_port("127.0.0.1", None) > 0
    assert PORT


def test_what_is_no_recording_is_one_line(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for words in (["absent.nwb"], [str(tmp_path / "notes.txt")], ["a.nwb", "--port", "70000"]):
        assert cli.main(["explore", "--no-browser", *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("neuroarrays: error: ")
        assert err.count("\n") == 1


class Stopped:
    """A server that somebody stops with Ctrl-C at once."""

    port = 5006
    io_loop = asyncio_loop = property(lambda self: self)

    def start(self):
        if self.started:
            raise KeyboardInterrupt
        self.started = True

    def stop(self):
        self.started = None

    def set_exception_handler(self, handler):
        self.handler = handler

    started = False


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_what_the_terminal_says(monkeypatch, host):
    lines, stopped = [], Stopped()
    monkeypatch.setattr(server, "make_server", lambda *_: stopped)
    monkeypatch.setattr(server.webbrowser, "open", lambda _: False)
    server.serve(None, host, None, True, lines.append)
    text = "\n".join(lines)
    assert "Ctrl-C" in lines[0]
    assert "no browser could be opened here" in text
    assert ("ssh -N -L" in text) == (host == "127.0.0.1")
    assert ("sees this recording" in text) == (host == "0.0.0.0")
    assert "http://0.0.0.0" not in text
    assert lines[-1] == "stopped"
    assert stopped.started is None


def test_names_by_which_pages_may_be_reached():
    assert names_of("127.0.0.1") == {"127.0.0.1", "localhost"}
    assert names_of("10.0.0.7") == {"10.0.0.7", socket.gethostname()}
    assert {"localhost", "127.0.0.1", socket.gethostname()} <= names_of("0.0.0.0")
    assert "0.0.0.0" not in names_of("0.0.0.0")


def test_a_page_that_is_closed_while_it_is_drawn_is_no_failure():
    said = []

    class Loop:
        default_exception_handler = staticmethod(said.append)

    server._failed(Loop, {"exception": server.WebSocketClosedError()})
    assert said == []
    server._failed(Loop, {"exception": ValueError("lost")})
    assert said == [{"exception": said[0]["exception"]}]


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(nwb):
    command = [sys.executable, "-m", "neuroarrays", "explore", str(nwb), "--no-browser", "--port", "0"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[0]
        assert "ssh -N -L" in process.stdout.readline()
        text = urllib.request.urlopen(address, timeout=60).read().decode()
        assert "<title>neuroarrays</title>" in text
        assert str(nwb) not in text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "stopped" in process.stdout.read()
