"""Recordings as NWB files: the same tree again, what other tools see, and what such a file cannot hold."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.errors import NotInTree, PathExists, SchemaError
from neuroarrays.formats.nwb import layout
from neuroarrays.lazy.computed import Computed
from neuroarrays.synthetic import write_allen, write_nwb
from neuroarrays.testing import assert_same_trees

pynwb = pytest.importorskip(
    "pynwb", reason="pynwb is not installed: pip install 'neuroarrays[nwb]'"
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
#: What is about the file that was opened.
OF_FILE = ("source", "notes", "metadata_in_file", "nwb_version", "history")
BEGAN = "2020-07-11T09:30:00+02:00"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    write_nwb(path := tmp_path_factory.mktemp("recording") / "one.nwb", units=4)
    return na.open_datatree(path)


@pytest.fixture(scope="module")
def again(recording, tmp_path_factory):
    path = tmp_path_factory.mktemp("again") / "one.nwb"
    assert na.to_nwb(recording, path, identifier="mine", session_start_time=BEGAN) == []
    return path


def opened(name, folder):
    if name == "sample":
        return na.load_sample()
    if name == "allen":
        write_allen(folder / "session_715093703.nwb", units=12, channels=24)
        return na.open_datatree(folder / "session_715093703.nwb")
    if name in ("alf", "spikeinterface", "movement"):
        getattr(synthetic, f"write_{name}")(folder / f"{name}.nc")
        return na.open_datatree(folder / f"{name}.nc")
    return na.open_datatree(GOLDEN / name)


SLOW = (
    "sample", "allen", "alf", "spikeinterface", "movement", "nwb/session.nwb", "nwb/pose.nwb",
    "temporaldata/c_20131003_cut.h5", "arrays/lab.toml", "experanto/dynamic17797-4-7-Video-021a75_30hz",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["phy/probe_a", "suite2p/run_a", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)],
)
def test_opens_again_as_the_same_tree(name, tmp_path):
    tree = opened(name, tmp_path)
    (session,) = tree.children
    (tmp_path / "new").mkdir()
    path = tmp_path / "new" / f"{session}.nwb"
    assert na.to_nwb(tree, path, session_start_time=BEGAN) == []
    same = na.open_datatree(path)
    assert same.attrs["source"] == "nwb"
    assert_same_trees(same, tree, OF_FILE)


def test_opens_again_as_the_same_tree_with_every_kind_of_node(recording, again):
    same = na.open_datatree(again)
    assert_same_trees(same, recording, OF_FILE)
    assert "notes" not in same["one"].attrs
    some = na.open_datatree(again, areas="VISp")
    assert set(some["one"].children) & {"VISp", "CA1"} == {"VISp"}
    assert_same_trees(some["one/VISp"].copy(), recording["one/VISp"].copy(), OF_FILE)


def test_pynwb_reads_what_was_written(recording, again):
    with pynwb.NWBHDF5IO(again, "r") as reader:
        assert pynwb.validate(io=reader) == []
        file = reader.read()
        assert file.identifier == "mine"
        assert file.session_start_time == datetime.fromisoformat(BEGAN)
        node = recording["one/VISp/spikes"].to_dataset()
        frame = file.units.to_dataframe()
        for unit in node.unit_id.values.tolist():
            expected = node.sel(unit_id=unit).spike_times.values
            np.testing.assert_array_equal(frame.loc[unit, "spike_times"], expected)
        trials = recording["one/presentations/trials"].to_dataset()
        np.testing.assert_array_equal(file.trials["start_time"][:], trials.start_time.values)
        running = file.processing["behavior"]["running"]["speed"]
        np.testing.assert_array_equal(running.data[:], recording["one/running"].speed.values)
        assert running.unit == "cm/s"


def test_it_is_plain_nwb_without_what_stands_beside(recording, again, tmp_path):
    shutil.copy(again, path := tmp_path / "one.nwb")
    with h5py.File(path, "r+") as file:
        del file[layout.DESCRIPTION_PATH]
    tree = na.open_datatree(path)
    for area in ("VISp", "CA1"):
        node, expected = (t[f"one/{area}/spikes"].to_dataset() for t in (tree, recording))
        np.testing.assert_array_equal(node.spike_times.values, expected.spike_times.values)
        np.testing.assert_array_equal(node.unit_id.values, expected.unit_id.values)
    for name in ("running", "presentations/trials"):
        node, expected = (t[f"one/{name}"].to_dataset() for t in (tree, recording))
        for variable in expected.data_vars:
            np.testing.assert_array_equal(node[variable].values, expected[variable].values)


def test_what_was_added_since_is_read_and_what_is_missing_is_said(again, tmp_path):
    shutil.copy(again, path := tmp_path / "one.nwb")
    with h5py.File(path, "r+") as file:
        group = file["acquisition"].create_group("added")
        group.attrs["neurodata_type"] = "TimeSeries"
        group["data"], group["timestamps"] = np.arange(3.0), np.arange(3.0)
        file["units/later"] = np.arange(4)
        del file["processing/behavior/running/speed/data"]
    session = na.open_datatree(path)["one"]
    np.testing.assert_array_equal(session["added"].added.values, np.arange(3.0))
    assert "running" not in session
    assert any("units/later" in note for note in session.attrs["notes"])
    assert any("neuroarrays/running" in note for note in session.attrs["notes"])


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 9}', json.dumps({"version": 1})])
def test_a_text_that_says_nothing_is_a_note(text, again, tmp_path):
    shutil.copy(again, path := tmp_path / "one.nwb")
    with h5py.File(path, "r+") as file:
        file[layout.DESCRIPTION_PATH][()] = text
    session = na.open_datatree(path)["one"]
    assert "VISp" in session
    assert any("says nothing of a tree" in note for note in session.attrs["notes"])


def a_tree(nodes, **attrs):
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    return xr.DataTree.from_dict({"/": root, "/s": xr.Dataset(attrs=attrs), **nodes})


def signal(data, name="signal"):
    return xr.Dataset({name: ("time", data)}, {"time": np.arange(len(data)) / 2})


@pytest.mark.parametrize(
    "attrs", [{}, {"session_date": "last week"}, {"session_start_time": float("nan")}]
)
def test_the_start_of_a_session_is_asked_for(attrs, tmp_path):
    with pytest.raises(SchemaError, match="session_start_time='2020"):
        na.to_nwb(a_tree({"/s/a": signal(np.zeros(3))}, **attrs), tmp_path / "s.nwb")
    assert list(tmp_path.iterdir()) == []


def test_what_a_session_says_of_itself(tmp_path):
    attrs = {"start_time_unix": 0.0, "subject": "Mickey", "sex": "male", "subject_weight": "21.4"}
    na.to_nwb(a_tree({"/s/a": signal(np.zeros(3))}, **attrs, rig=3), tmp_path / "s.nwb")
    with pynwb.NWBHDF5IO(tmp_path / "s.nwb", "r") as reader:
        file = reader.read()
        assert file.session_start_time == datetime(1970, 1, 1, tzinfo=UTC)
        assert (file.subject.subject_id, file.subject.sex) == ("Mickey", "M")
        assert file.subject.weight is None
        assert len(file.identifier) == 36
    na.to_nwb(a_tree({"/s/a": signal(np.zeros(3))}, date="2020-01-01"), tmp_path / "none.nwb")
    with h5py.File(tmp_path / "none.nwb") as file:
        said = {name: text.asstr()[()] for name, text in file["general/subject"].items()}
    assert said == {"subject_id": "unknown", "sex": "U", "age": "P0D/"}
    assert na.open_datatree(tmp_path / "s.nwb")["s"].attrs["rig"] == 3


def test_odd_nodes(tmp_path):
    """No rows, names that NWB refuses, text, voltages, many dimensions, values without times."""
    ids = {"channel": [5, 3], "area": ("channel", np.array(["CA1", "CA3"], object))}
    clock = {"time": np.arange(4.0)}
    nodes = {
        "/s/none": signal(np.zeros(0)),
        "/s/odd:name": signal(np.array(["a", "b", ""], object), "a:b"),
        "/s/flag": signal(np.array([True, False])),
        "/s/lfp": xr.Dataset(
            {"lfp": (("time", "channel"), np.ones((4, 2), "f4"), {"units": "uV"})}, clock | ids
        ),
        "/s/counts": xr.Dataset(
            {"counts": (("time", "channel"), np.ones((4, 2), "i2"))}, clock | ids
        ),
        "/s/deep": xr.Dataset({"deep": (("time", *"abcd"), np.zeros((4, 1, 2, 1, 2)))}, clock),
        "/s/presentations/empty": xr.Dataset(
            {
                "start_time": ("presentation_id", np.zeros(0)),
                "pair": (("presentation_id", "two"), np.zeros((0, 2))),
            }
        ),
        "/s/stimulus/movie": xr.Dataset(
            {"movie": (("frame", "y", "x"), np.zeros((2, 3, 4), "u1"))}
        ),
        "/s/large": xr.Dataset({"table": (("a", "b"), np.zeros((60, 50)))}),
    }
    tree = a_tree(nodes, date="2020-01-01")
    left_out = na.to_nwb(tree, path := tmp_path / "s.nwb")
    assert left_out == ["large/table: NWB has no place for 3,000 values along a, b"]
    again = na.open_datatree(path)
    assert again["s"].attrs["notes"][-1] == f"not in the file: {left_out[0]}"
    del nodes["/s/large"]
    same = again.filter(lambda node: node.name != "large" and node.path != "/s/observed")
    assert_same_trees(same, a_tree(nodes, date="2020-01-01"), OF_FILE)
    with h5py.File(path) as file:
        assert file["acquisition/lfp/data"].attrs["conversion"] == 1e-6
        places = file["general/extracellular_ephys/electrodes/location"].asstr()[:2]
        assert places.tolist() == ["CA1", "CA3"]


def test_columns_that_nwb_needs_for_itself_and_missing_texts(tmp_path):
    columns = {
        "description": np.array(["a", None], object),
        "colnames": np.array(["b", np.nan], object),
        "place": np.array([b"caf\xe9", b"caf\xe8"]),  # as older programs write text
        "object_id": [1, 2],
        "neurodata_type": [3, 4],
        "id": [5, 6],
    }
    table = {name: ("presentation_id", values) for name, values in columns.items()}
    times = {"start_time": ("presentation_id", [0.0, 1.0])}
    tree = a_tree({"/s/presentations/bars": xr.Dataset(table | times)}, date="2020-01-01")
    path = tmp_path / "s.nwb"
    assert na.to_nwb(tree, path) == []
    again = na.open_datatree(path)["s/presentations/bars"]
    assert again["description"].values.tolist() == ["a", ""]
    assert again["colnames"].values.tolist() == ["b", ""]
    assert again["place"].values.tolist() == ["caf\xe9", "caf\xe8"]
    assert again["id"].values.tolist() == [5, 6]
    assert {"object_id", "neurodata_type"} <= set(again.data_vars)


def test_areas_of_other_labels_and_the_same_identifiers(tmp_path):
    def spikes(ids, sizes, **labels):
        times = np.arange(float(sum(sizes)))
        times[-1:] = np.nan
        labels = {name: ("unit_id", values) for name, values in labels.items()}
        variables = {"spike_times": ("spike", times), "row_size": ("unit_id", sizes)}
        return xr.Dataset(variables, {"unit_id": ids, **labels})

    nodes = {
        "/s/A/spikes": spikes([1, 2], [1, 0], snr=[1.5, 2.0], spike_times_index=[4, 5]),
        "/s/B/spikes": spikes([2], [3], good=[True], location=np.array(["layer 4"], object)),
        "/s/C/spikes": spikes(np.zeros(0, int), np.zeros(0, int)),
    }
    assert na.to_nwb(a_tree(nodes, date="2020-01-01"), tmp_path / "s.nwb") == []
    again = na.open_datatree(tmp_path / "s.nwb")
    for path, node in nodes.items():
        same = again[path].to_dataset().drop_vars(["observed_start", "observed_stop"])
        assert_same_trees(xr.DataTree(same), xr.DataTree(node))


def test_large_arrays_are_read_piece_by_piece(tmp_path):
    asked = []

    def rows(samples, columns):
        asked.append(samples.size)
        return np.broadcast_to(samples[:, None], (samples.size, columns.size)).astype("f4")

    values = Computed(rows, (50_000, 200), np.dtype("f4"))
    node = xr.Dataset({"video": values.variable(("time", "pixel"))}, {"time": np.arange(50_000.0)})
    na.to_nwb(a_tree({"/s/video": node}, date="2020-01-01"), tmp_path / "s.nwb")
    assert max(asked) * 200 * 4 <= 1 << 25
    assert sum(asked) == 50_000
    video = na.open_datatree(tmp_path / "s.nwb")["s/video"].video
    np.testing.assert_array_equal(video[::9_999, 7].values, np.arange(0.0, 50_000, 9_999))


def test_it_is_written_whole_or_not_at_all(tmp_path):
    def broken(samples):
        raise OSError(5, "gone")

    values = Computed(broken, (2_000_000,), np.dtype("f8"))
    node = xr.Dataset({"a": values.variable(("time",))}, {"time": np.arange(2e6)})
    with pytest.raises(na.WriteFailed):
        na.to_nwb(a_tree({"/s/a": node}, date="2020-01-01"), tmp_path / "s.nwb")
    assert list(tmp_path.iterdir()) == []


def test_one_session_by_its_name(recording, again):
    with pytest.raises(NotInTree, match="nobody"):
        na.to_nwb(recording, again, "nobody")
    with pytest.raises(PathExists):
        na.to_nwb(recording["one"], again, session_start_time=BEGAN)
    with pytest.raises(SchemaError, match="recording tree"):
        na.to_nwb(xr.DataTree(xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})), again)


@pytest.mark.slow
def test_nwbinspector_finds_nothing_critical(again, tmp_path):
    command = shutil.which("nwbinspector")
    if command is None:
        pytest.skip("nwbinspector is not installed: pip install nwbinspector")
    report = subprocess.run(
        [command, str(again), "--threshold", "CRITICAL"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "CRITICAL" not in report.stdout, report.stdout
    assert "ERROR" not in report.stdout, report.stdout
