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
from neuroarrays.explorer.server import PORT, free_port


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
