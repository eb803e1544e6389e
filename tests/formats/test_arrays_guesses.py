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
        (
            {f"trial_{i}_spikes": RNG.random(5) for i in range(4)},
            "an array per trial, not per unit",
        ),
        ({f"unit{i}_spikes": np.sort(RNG.random(900)) for i in range(3)}, "one unit would have 9"),
    ],
)
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


NAMES = [
    'a"b',
    "a\\b",
    "a.b",
    "größe 1",
    "x\ty",
    "l\nm",
    "\x1b[31m",
    "d\x7f",
    "#c",
    "[t]",
    "a=b",
    "\u2028",
    "日本",
    "'q'",
    "\x85",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_is_toml(tmp_path, name):
    path = save(tmp_path / "a.npz", **{name: RNG.random((3, 40)), "fs": 20.0})
    said, text = guessed(path)
    assert not any(c != "\n" and (ord(c) < 32 or ord(c) == 127) for c in text)
    arrays = [
        v["array"]
        for node in said.values()
        if isinstance(node, dict)
        for v in node.values()
        if isinstance(v, dict) and "array" in v
    ]
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


def folder(path, **arrays):
    path.mkdir()
    for name, values in arrays.items():
        np.save(path / f"{name.replace('__', '.')}.npy", values)
    return path


def test_a_folder_of_objects_and_attributes(tmp_path):
    """ALF: times are those of spikes.times, not the first array along spikes; trials are no units."""
    path = folder(
        tmp_path / "alf",
        spikes__times=[0.3, 0.1, 0.2, 0.4],
        spikes__clusters=[1, 0, 1, 1],
        spikes__depths=[30.0, 10, 20, 40],
        clusters__channels=[5, 6],
        wheel__position=np.arange(4.0),
        wheel__timestamps=np.arange(4) / 10,
        trials__intervals=[[0.0, 1.0], [1.0, 2.0]],
        trials__choice=[1, -1],
        trials__stimOn_times=[0.1, 1.1],
        licks__times=[0.1, 0.2],
    )
    said, _ = guessed(path)
    tree = na.open_datatree(path, engine="arrays", mapping=said)["alf"]
    spikes = tree["unknown/spikes"].to_dataset()
    assert spikes.sel(unit_id=1).spike_times.values.tolist() == [0.3, 0.2, 0.4]
    assert spikes.sel(unit_id=1).spikes_depths.values.tolist() == [30, 20, 40]
    assert spikes.clusters_channels.values.tolist() == [5, 6]
    rows = tree["presentations/trials"].to_dataset()
    assert rows.stop_time.values.tolist() == [1, 2]
    assert rows.trials_choice.values.tolist() == [1, -1]
    assert tree["wheel_timestamps"].to_dataset().wheel_position.sizes == {"time": 4}
    assert tree["events/licks"].to_dataset().event_time.values.tolist() == [0.1, 0.2]
    assert "notes" not in tree.attrs


def test_a_table_that_lists_the_units_of_labels(tmp_path):
    path = folder(
        tmp_path / "phy",
        spike_times=np.array([[0.3], [0.1], [0.2], [0.05]]),
        spike_clusters=[4, 2, 4, 9],
        amplitudes=[[3.0], [1], [2], [0.5]],
    )
    (path / "cluster_info.tsv").write_text("cluster_id\tdepth\n9\t20.0\n4\t30.0\n2\t10.0\n")
    said, _ = guessed(path)
    spikes = na.open_datatree(path, engine="arrays", mapping=said)[
        "phy/unknown/spikes"
    ].to_dataset()
    assert spikes.unit_id.values.tolist() == [9, 4, 2]
    assert spikes.depth.values.tolist() == [20, 30, 10]
    assert spikes.sel(unit_id=4).amplitudes.values.tolist() == [3, 2]


def test_a_row_for_each_trace_is_no_series(tmp_path):
    traces = RNG.random((3, 50))
    path = folder(tmp_path / "plane0", F=traces, iscell=[[1, 0.9], [0, 0.1], [1, 0.8]])
    said, _ = guessed(path)
    node = na.open_datatree(path, engine="arrays", mapping=said)["plane0/unknown/F"].to_dataset()
    assert node.iscell.values.tolist() == [1, 0, 1]
    assert node.iscell_1.values.tolist() == [0.9, 0.1, 0.8]


def test_durations_are_seconds_and_what_is_not_named_is_said(tmp_path):
    starts = np.array([1000, 2500], "m8[ms]")
    path = folder(tmp_path / "d", starts=starts, other=np.zeros(3))
    save(tmp_path / "d.npz", starts=starts, months=np.array([1], "m8[M]"))
    for place, name in (
        (path, "starts.npy"),
        (path / "starts.npy", "starts"),
        (tmp_path / "d.npz", "starts"),
    ):
        tree = na.open_datatree(
            place, engine="arrays", mapping={"presentations/t": {"start_time": name}}
        )
        (session,) = tree.children.values()
        assert session["presentations/t"].to_dataset().start_time.values.tolist() == [1, 2.5]
    assert "months left out: timedelta64[M]" in session.attrs["notes"][0]
    tree = na.open_datatree(path, engine="arrays", mapping={"F": {"F": "starts.npy"}})
    assert tree["d"].attrs["notes"] == ["not in the mapping: 'other.npy'"]


def test_series_of_units_without_area(tmp_path):
    path = folder(tmp_path / "f", F=RNG.random((20, 3)))
    said = {"F": {"time": {"rate": 10.0}, "F": {"array": "F.npy", "dims": ["time", "unit_id"]}}}
    tree = na.open_datatree(path, engine="arrays", mapping=said)
    assert na.align(tree, bin_width=0.1)["f/unknown/responses"].sizes["unit_id"] == 3


def test_the_first_column_of_a_group_is_a_column(tmp_path):
    (tmp_path / "a.csv").write_text("a,a,b\nx,y,x\n0,1,2\n1,2,3\n")
    said, _ = guessed(tmp_path / "a.csv")
    assert sorted(said["series"].values()) == ["a/x", "a/y", "b/x"]
