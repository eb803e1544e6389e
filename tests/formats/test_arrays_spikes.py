"""Spikes of a mapping: what belongs to a unit or a spike stays with it, and nothing goes silently."""

import pickle

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.formats.arrays.files import arrays_source, by_number, listing
from neuroarrays.formats.arrays.outlines import outline
from neuroarrays.schema.names import fitted, matches
from neuroarrays.testing.sources import close_all

TIMES, LABELS = np.array([1.0, 2, 3, 4, 5, 6]), np.array([6, 0, 3, 6, 6, 0])


def of_spikes(tree):
    """Notes, but on what is not in the mapping."""
    notes = tree["s"].attrs.get("notes", [])
    return [note for note in notes if not note.startswith("not in the mapping")]


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def sorted_by_phy(tmp_path):
    np.save(tmp_path / "t.npy", TIMES)
    np.save(tmp_path / "u.npy", LABELS)
    np.save(tmp_path / "amp.npy", TIMES * 10)
    np.save(tmp_path / "xy.npy", np.stack([TIMES, -TIMES], axis=1))
    (tmp_path / "info.tsv").write_text("cluster_id\tgroup\n6\tgood\n0\tmua\n3\tnoise\n")
    (tmp_path / "some.tsv").write_text("cluster_id\tgroup\n6\tgood\n9\tmua\n0\tmua\n")
    return tmp_path


def spikes(path, **node):
    mapping = {"session": "s", "x/spikes": {"spike_times": "t.npy", "unit": "u.npy", **node}}
    tree = na.open_datatree(path, engine="arrays", mapping=mapping)
    return tree["s/x/spikes"].to_dataset(), of_spikes(tree)


def trains(node):
    ends = np.cumsum(node["row_size"].values)
    return dict(
        zip(
            node["unit_id"].values.tolist(),
            [t.tolist() for t in np.split(node["spike_times"].values, ends[:-1])],
            strict=True,
        )
    )


def test_units_are_in_the_order_of_the_table_that_lists_them(sorted_by_phy):
    node, notes = spikes(sorted_by_phy, unit_id="info.tsv/cluster_id", group="info.tsv/group")
    assert trains(node) == {6: [1, 4, 5], 0: [2, 6], 3: [3]}
    assert node["group"].values.tolist() == ["good", "mua", "noise"]
    assert notes == []
    assert node.sel(unit_id=0)["group"].item() == "mua"


def test_units_that_a_table_leaves_out_are_said_and_those_without_spikes_stay(sorted_by_phy):
    node, notes = spikes(sorted_by_phy, unit_id="some.tsv/cluster_id", group="some.tsv/group")
    assert trains(node) == {6: [1, 4, 5], 9: [], 0: [2, 6]}
    assert notes == ["x/spikes: 1 of 6 spikes left out; unit_id does not list their units 3"]
    (sorted_by_phy / "some.tsv").write_text("cluster_id\tgroup\n6\tgood\n6\tmua\n0\tmua\n")
    with pytest.raises(FormatError, match="unit_id: expected each unit once; found 6 twice"):
        spikes(sorted_by_phy, unit_id="some.tsv/cluster_id")


def test_a_value_per_spike_goes_with_its_spike(sorted_by_phy):
    columns = {
        "amp": {"array": "amp.npy", "dims": ["spike"]},
        "xy": {"array": "xy.npy", "dims": ["spike", "axis"]},
    }
    for listed in ({}, {"unit_id": "some.tsv/cluster_id"}):
        node, _ = spikes(sorted_by_phy, **columns, **listed)
        np.testing.assert_array_equal(node["amp"], node["spike_times"] * 10)
        np.testing.assert_array_equal(node["xy"][:, 1], -node["spike_times"])
        assert node["xy"].isel(spike=2).values.tolist() == node["xy"].values[2].tolist()


def test_columns_without_ids_say_how_they_were_taken(sorted_by_phy):
    np.save(sorted_by_phy / "depth.npy", np.arange(3.0))
    node, notes = spikes(sorted_by_phy, depth="depth.npy")
    assert node["unit_id"].values.tolist() == [0, 3, 6]
    assert notes == [
        "x/spikes: the columns are taken to be in ascending order of the labels; "
        "unit_id = says it otherwise"
    ]
    np.save(sorted_by_phy / "depth.npy", np.arange(7.0))  # a row for every label there may be
    node, notes = spikes(sorted_by_phy, depth="depth.npy")
    assert node.sel(unit_id=6)["depth"] == 6
    assert trains(node)[5] == []
    assert "4 units have no spikes" in notes[0]
    np.save(sorted_by_phy / "depth.npy", np.arange(5.0))
    with pytest.raises(FormatError, match="say unit_id = the array that says whose row is whose"):
        spikes(sorted_by_phy, depth="depth.npy")


def test_the_tenth_unit_is_the_tenth(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(11):
            file[f"unit_{i}/times"] = np.full(2, float(i))
        file["depth"] = np.arange(11.0)
    mapping = {"x/spikes": {"spike_times": "*/times", "depth": "depth"}}
    node = na.open_datatree(tmp_path / "a.h5", engine="arrays", mapping=mapping)["a/x/spikes"]
    np.testing.assert_array_equal(node["depth"], node["spike_times"].values[::2])
    assert by_number(["a10", "a2", "b1"]) == ["a2", "a10", "b1"]
    assert by_number(["b", "a10", "a2"]) == ["b", "a10", "a2"]  # somebody's own order


def test_columns_per_unit_of_other_units_than_have_spikes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in (1, 2, 3):
            file[f"u/{i}/t"] = np.arange(3.0)
        for i in (1, 2, 4):
            file[f"u/{i}/depth"] = float(i)
    mapping = {"x/spikes": {"spike_times": "u/*/t", "depth": "u/*/depth"}}
    with pytest.raises(
        FormatError, match=r'depth: expected the same "\*" as spike_times; found \'3\', \'4\''
    ):
        na.open_datatree(tmp_path / "a.h5", engine="arrays", mapping=mapping)


def test_scaled_times_are_doubles(tmp_path):
    """In float32 a sample number over 30 kHz would miss the edge of a bin."""
    np.savez(
        tmp_path / "a.npz", t=np.array([1, 30_001], "u2"), c=np.array([1, 3], "u2"), x=[1.0, 2]
    )
    scaled = {"scale": 1 / 30_000}
    mapping = {
        "x/spikes": {"spike_times": {"array": "t", **scaled}},
        "pos": {"x": "x", "time": {"array": "c", **scaled}},
    }
    session = na.open_datatree(tmp_path / "a.npz", engine="arrays", mapping=mapping)["a"]
    assert session["x/spikes/spike_times"].values.tolist() == [1 / 30_000, 30_001 / 30_000]
    assert session["pos/time"].values.tolist() == [1 / 30_000, 3 / 30_000]


@pytest.mark.parametrize("rows", [[[0, 0.5], [9, 9.5]], [[0, 0.5], [4, 4.5], [9, 9.5]]])
def test_a_clock_by_some_of_its_samples(tmp_path, rows):
    np.savez(tmp_path / "a.npz", t=np.array(rows), x=np.arange(10.0))
    mapping = {"wheel": {"time": "t", "x": "x"}}
    node = na.open_datatree(tmp_path / "a.npz", engine="arrays", mapping=mapping)["a/wheel"]
    np.testing.assert_allclose(node["time"], 0.5 + np.arange(10))
    assert node["time"][3:5].values.tolist() == pytest.approx([3.5, 4.5])
    np.savez(tmp_path / "b.npz", t=np.array(rows), x=np.arange(12.0))
    with pytest.raises(FormatError, match=r"rows of \(sample, time\) from 0 to 11"):
        na.open_datatree(tmp_path / "b.npz", engine="arrays", mapping=mapping)


# ------------------------------------------------------------------------- what cannot be read


def test_a_damaged_member_of_a_folder_is_named(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"unit{i}.npy", np.arange(5.0))
    np.save(tmp_path / "x.npy", np.arange(4.0))
    whole = (tmp_path / "unit1.npy").read_bytes()
    (tmp_path / "unit1.npy").write_bytes(whole[:-8])
    broken = {}
    assert "unit1.npy" not in listing(arrays_source(tmp_path), broken)
    assert list(broken) == ["unit1.npy"]
    for node in ({"x/spikes": {"spike_times": "unit*.npy"}}, {"s": {"x": "unit1.npy"}}):
        with pytest.raises(FormatError, match=r"unit1\.npy: .*truncated"):
            na.open_datatree(tmp_path, engine="arrays", mapping=node)
    tree = na.open_datatree(
        tmp_path, engine="arrays", mapping={"session": "s", "p": {"x": "x.npy"}}
    )
    assert of_spikes(tree) == [
        "unit1.npy left out: expected 40 bytes of values, found 32; the file is truncated; "
        "compare its size with the original"
    ]
    np.savez(tmp_path / "rec.npz", a=np.arange(3.0))
    (tmp_path / "rec.npz").write_bytes((tmp_path / "rec.npz").read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"rec\.npz"):
        na.open_datatree(tmp_path, engine="arrays", mapping={"p": {"x": "rec.npz/a"}})


def test_objects_beside_arrays_are_noted(tmp_path):
    np.save(tmp_path / "F.npy", np.arange(4.0))
    np.save(tmp_path / "ops.npy", {"fs": 30.0}, allow_pickle=True)
    tree = na.open_datatree(
        tmp_path, engine="arrays", mapping={"session": "s", "p": {"F": "F.npy"}}
    )
    assert "ops.npy left out" in tree["s"].attrs["notes"][0]
    assert "never unpickled" in tree["s"].attrs["notes"][0]


def test_fields_of_records_are_arrays(tmp_path):
    """The table format of pandas: a block of columns in one field, their names in a pickle."""
    columns = [("dlc", "nose", "x"), ("dlc", "nose", "y"), ("dlc", "tail", "x")]
    records = np.zeros(5, [("index", "i8"), ("values_block_0", "f8", (3,)), ("flag", "?")])
    records["index"], records["values_block_0"] = np.arange(5) + 7, np.arange(15.0).reshape(5, 3)
    pickled = "(l" + "".join(f"(V{a}\nV{b}\nV{c}\nta" for a, b, c in columns) + "."
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/table"] = records
        file["df/table"].attrs["values_block_0_kind"] = np.bytes_(pickled)
        file["plain"] = records
    mapping = {
        "pose": {
            "time": {"array": "df/table/index", "scale": 0.5},
            "x": "df/table/tail/x",
            "flag": "plain/flag",
            "both": {"array": "plain/values_block_0", "column": 1},
        },
    }
    node = na.open_datatree(tmp_path / "a.h5", engine="arrays", mapping=mapping)["a/pose"]
    assert node["x"].values.tolist() == [2, 5, 8, 11, 14]
    assert node["time"].values.tolist() == [3.5, 4, 4.5, 5, 5.5]
    assert node["both"].values.tolist() == [1, 4, 7, 10, 13]
    assert node["flag"].values.tolist() == [False] * 5
    assert node["x"][1:3].values.tolist() == [5, 8]


# ------------------------------------------------------------------------------------- globs


@pytest.mark.parametrize(
    ("name", "pattern", "found"),
    [
        ("spikes/3/time", "spikes/*/time", ("3",)),
        ("spikes/time", "spikes/*/time", None),
        ("a/b/c", "a/*", None),
        ("u1_2_3", "u*_*", ("1_2", "3")),
        ("ab", "a*b", ("",)),
        ("ab", "ab", ()),
        ("aba", "*a*", ("ab", "")),
        ("x.npy", "*.npy", ("x",)),
        ("a+b", "a+*", ("b",)),
        ("aa", "aa*a", None),
    ],
)
def test_a_star_stands_for_text_of_one_level(name, pattern, found):
    assert fitted(name, pattern) == found


def test_many_stars_take_no_longer():
    """By backtracking the first would take years."""
    name = "a" * 500 + "b"
    assert fitted(name, "*a" * 40 + "*c") is None
    assert fitted(name, "*a" * 40 + "*b")[0] == "a" * 460
    assert not matches(name, "*a" * 40 + "*c")
    assert matches(name, "*a" * 40 + "*b")


def test_cells_that_share_what_they_hold_are_looked_at_once(tmp_path, monkeypatch):
    from neuroarrays.files.hdf5 import HDF5Source

    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        one = file.create_dataset("#refs#/a", data=np.arange(3.0)[None])
        one.attrs["MATLAB_class"] = np.bytes_("double")
        cells = file.create_dataset("cells", (500, 1), h5py.ref_dtype)
        cells[:, 0] = [one.ref] * 500
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
    with (tmp_path / "a.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    looked = []
    real = HDF5Source.attrs
    monkeypatch.setattr(
        HDF5Source, "attrs", lambda self, name="/": looked.append(name) or real(self, name)
    )
    mapping = {"x/spikes": {"spike_times": "cells/*"}}
    node = na.open_datatree(tmp_path / "a.mat", engine="arrays", mapping=mapping)["a/x/spikes"]
    assert node.sizes["unit_id"] == 500
    assert looked.count("/#refs#/a") == 1


TRAINS = [np.array([0.1, 0.2]), np.array([0.5]), np.zeros(0)]


def ragged(path, kind):
    """Write a spike train for each unit as Python and h5py do; return the pattern of the trains."""
    cells = np.empty(len(TRAINS), object)
    cells[:] = TRAINS
    if kind == "npz":
        np.savez(path / "t.npz", trains=cells)
    elif kind == "npy":
        np.save(path / "trains.npy", cells, allow_pickle=True)
    else:
        with h5py.File(path / "t.h5", "w") as file:
            file.create_dataset("trains", data=cells, dtype=h5py.vlen_dtype("f8"))
    return {"npz": "t.npz/trains/*", "npy": "trains.npy/*", "h5": "t.h5/trains/*"}[kind]


@pytest.mark.parametrize("kind", ["npz", "npy", "h5"])
def test_an_array_in_each_cell_is_an_array_for_each_unit(tmp_path, kind):
    times = {"array": ragged(tmp_path, kind), "scale": 2.0}
    tree = na.open_datatree(
        tmp_path, engine="arrays", mapping={"session": "s", "x/spikes": {"spike_times": times}}
    )
    spikes = pickle.loads(pickle.dumps(tree))["s/x/spikes"]
    assert spikes["row_size"].values.tolist() == [2, 1, 0]
    assert spikes["spike_times"].values.tolist() == [0.2, 0.4, 1.0]
    assert "trains/*" in outline(tmp_path) or "trains.npy/*" in outline(tmp_path)


def test_records_of_npy_are_arrays_of_numbers_and_text(tmp_path):
    records = np.array([(0.5, b"l"), (1.5, b"\xfc")], [("t", "f8"), ("side", "S1")])
    np.save(tmp_path / "e.npy", records)
    mapping = {"session": "s", "events/e": {"event_time": "e.npy/t", "side": "e.npy/side"}}
    events = na.open_datatree(tmp_path, engine="arrays", mapping=mapping)["s/events/e"]
    assert events["event_time"].values.tolist() == [0.5, 1.5]
    assert events["side"].values.tolist() == ["l", "ü"]


def test_columns_of_pandas_have_their_names_in_a_folder_too(tmp_path):
    (tmp_path / "in").mkdir()
    columns = b"(lp0\n(Vdlc\nVnose\nVx\ntp1\na(Vdlc\nVnose\nVy\ntp2\na."
    with h5py.File(tmp_path / "in/a.h5", "w") as file:
        records = np.zeros(3, [("index", "i8"), ("values_block_0", "f8", (2,))])
        records["values_block_0"][:, 1] = [1, 2, 3]
        file["df/table"] = records
        file["df/table"].attrs["values_block_0_kind"] = columns.decode()
    mapping = {"session": "s", "nose": {"time": {"rate": 2.0}, "y": "in/a.h5/df/table/y"}}
    tree = na.open_datatree(tmp_path, engine="arrays", mapping=mapping)
    assert tree["s/nose/y"].values.tolist() == [1, 2, 3]


def test_what_the_file_states_of_an_array_is_used_or_said(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"], file["x"] = np.arange(3) * 1000.0, np.arange(3)
        file["t"].attrs["units"] = "ms"
        file["x"].attrs.update(units="cm", scale_factor=0.5, _FillValue=2)
    mapping = {"session": "s", "p": {"time": "t", "x": "x"}}
    with pytest.raises(FormatError, match=r"t in ms, as the file states; say .*scale = 0\.001"):
        na.open_datatree(tmp_path / "a.h5", engine="arrays", mapping=mapping)
    mapping["p"]["time"] = {"array": "t", "scale": 0.001}
    session = na.open_datatree(tmp_path / "a.h5", engine="arrays", mapping=mapping)["s"]
    assert session["p/time"].values.tolist() == [0, 1, 2]
    assert session["p/x"].attrs["units"] == "cm"
    first, second = session.attrs["notes"]
    assert "x: values are as stored; the file states scale_factor = 0.5" in first
    assert "x: the file states _FillValue = 2" in second


@pytest.mark.parametrize("first", ["2024-01-01 10:00", "1,000.5", "00:00:01"])
def test_times_that_are_text_are_named(tmp_path, first):
    (tmp_path / "t.csv").write_text(f'start_time;side\n"{first}";a\n"{first}";b\n')
    mapping = {"presentations/t": {"start_time": "t.csv/start_time"}}
    with pytest.raises(FormatError, match=rf"presentations/t/start_time.*the first \['{first}'"):
        na.open_datatree(tmp_path, engine="arrays", mapping=mapping)


def test_a_table_without_rows_opens(tmp_path):
    (tmp_path / "t.csv").write_text("start_time,side\n")
    mapping = {"session": "s", "presentations/t": {n: f"t.csv/{n}" for n in ("start_time", "side")}}
    tree = na.open_datatree(tmp_path, engine="arrays", mapping=mapping)
    assert tree["s/presentations/t"].sizes["presentation_id"] == 0
