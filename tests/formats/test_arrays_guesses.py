"""The mapping that `info` prints: what cannot be right is a comment, and every name is TOML."""

import tomllib

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.formats.arrays import outline

RNG = np.random.default_rng(0)


def guessed(path):
    text = outline(path)
    return tomllib.loads(text), text


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_the_name_of_a_file_makes_no_spikes(tmp_path):
    (tmp_path / "rec").mkdir()
    save(tmp_path / "rec" / "spikes-1.npz", t=np.arange(50) / 10, X=RNG.random(50))
    said, _ = guessed(tmp_path / "rec")
    assert "unknown/spikes" not in said
    assert said["t"] == {"time": "spikes-1.npz/t", "X": "spikes-1.npz/X"}


def test_the_name_of_a_file_counts_beside_labels(tmp_path):
    (tmp_path / "rec").mkdir()
    rows = "".join(
        f"{t:.3f},{int(u)}\n"
        for t, u in zip(np.sort(RNG.random(30)), RNG.integers(0, 3, 30), strict=True)
    )
    (tmp_path / "rec" / "spikes.csv").write_text("time,unit\n" + rows)
    said, _ = guessed(tmp_path / "rec")
    assert said["unknown/spikes"] == {"spike_times": "spikes.csv/time", "unit": "spikes.csv/unit"}
    assert na.open_datatree(tmp_path / "rec", engine="arrays", mapping=said)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"spike_times": np.sort(RNG.random(5000))}, "one unit would have 5,0"),
        ({"spike_samples": np.arange(0, 3000, 30)}, "it ticks every 30 s: a clock"),
        ({f"trial_{i}_spikes": RNG.random(5) for i in range(4)}, "an array per trial, not per unit"),
        ({f"unit{i}_spikes": np.sort(RNG.random(900)) for i in range(3)}, "one unit would have 9"),
    ],
)  # fmt: skip
def test_spikes_that_cannot_be_are_not_suggested(tmp_path, arrays, word):
    said, text = guessed(save(tmp_path / "a.npz", **arrays))
    assert "unknown/spikes" not in said
    assert f"may hold spikes, but {word}" in text or f"but there is {word}" in text


def test_traces_per_trial_are_no_units(tmp_path):
    said, text = guessed(
        save(tmp_path / "a.npz", **{f"trial{i}": RNG.random(20) for i in range(4)})
    )
    assert not any(isinstance(node, dict) for node in said.values())
    assert "an array per trial, not per unit" in text
    assert "nothing in it looks like a signal" in text


def test_as_many_units_as_trials_are_asked_about(tmp_path):
    (tmp_path / "rec").mkdir()
    np.save(tmp_path / "rec" / "dff.npy", RNG.random((7, 40)))
    save(tmp_path / "rec" / "trials.npz", start=np.arange(7.0), stop=np.arange(7.0) + 0.5)
    said, text = guessed(tmp_path / "rec")
    assert said["presentations/trials"]["start_time"] == "trials.npz/start"
    assert "# unit_id? presentations/trials has as many rows" in text


def test_one_of_two_clocks_of_one_length_is_said(tmp_path):
    arrays = {"cam_time": np.arange(30) / 30, "daq_time": np.arange(30) / 20, "x": RNG.random(30)}
    _, text = guessed(save(tmp_path / "a.npz", **arrays))
    assert (
        'time = "cam_time"  # in seconds? else {array = ..., scale = ...}; or "daq_time", which'
        in text
    )


def test_a_signal_goes_with_the_clock_beside_it(tmp_path):
    (tmp_path / "rec").mkdir()
    for name in ("a", "b"):
        save(tmp_path / "rec" / f"{name}.npz", time=np.arange(30.0), **{f"{name}x": RNG.random(30)})
    said, text = guessed(tmp_path / "rec")
    nodes = [node for node in said.values() if isinstance(node, dict)]
    assert {"time": "a.npz/time", "ax": "a.npz/ax"} in nodes
    assert {"time": "b.npz/time", "bx": "b.npz/bx"} in nodes
    assert "which is as long" not in text


def test_what_does_not_go_forward_is_no_clock(tmp_path):
    arrays = {"reaction_time": RNG.random(30), "choice": RNG.integers(0, 2, 30)}
    said, _ = guessed(save(tmp_path / "a.npz", **arrays))
    assert said["series"] == {"reaction_time": "reaction_time", "choice": "choice"}


NAMES = ['a"b', "a\\b", "a.b", "größe 1", "x\ty", "l\nm", "\x1b[31m", "d\x7f", "#c", "[t]", "a=b",
         "\u2028", "日本", "'q'", "\x85"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_is_toml(tmp_path, name):
    path = save(tmp_path / "a.npz", **{name: RNG.random((3, 40)), "fs": 20.0})
    said, text = guessed(path)
    assert not any(c != "\n" and (ord(c) < 32 or ord(c) == 127) for c in text)
    arrays = [v["array"] for node in said.values() if isinstance(node, dict)
              for v in node.values() if isinstance(v, dict) and "array" in v]  # fmt: skip
    assert arrays == [name]
    assert na.open_datatree(path, engine="arrays", mapping=said)


def test_the_name_of_the_file_is_toml(tmp_path):
    path = save(tmp_path / 'q"\n.npz', x=RNG.random(5))
    assert guessed(path)[0]["file"] == 'q"\n.npz'


def test_a_name_that_is_no_text_is_said(tmp_path):
    folder = tmp_path / "rec"
    folder.mkdir()
    with open(bytes(folder) + b"/\xff.npy", "wb") as file:
        np.save(file, RNG.random(5))
    said, text = guessed(folder)
    text.encode()
    assert "its name is not UTF-8" in text
    assert "series" not in said


def test_many_kinds_of_names_are_quick(tmp_path):
    """Each pattern used to be looked for among all names."""
    arrays = {
        f"{chr(97 + i % 26)}{'q' * (i // 26)}_{j}": np.float64(i)
        for i in range(600)
        for j in (1, 2)
    }
    _, text = guessed(save(tmp_path / "a.npz", **arrays))
    assert "1,200 arrays" in text
