"""From names and rows to a tree: one session of a folder, the units of a table."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.synthetic.nwb import write_nwb

SMALL = {"parts": ("units", "trials"), "units": 6, "duration": 5.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four sessions of two areas, with notes beside one of them."""
    top = tmp_path_factory.mktemp("day")
    for number in range(4):
        write_nwb(top / f"s{number}.nwb", seed=number, **SMALL)
    (top / "s1.txt").write_text("a good day")
    return top


@pytest.fixture(scope="module")
def table(folder):
    return na.units(sorted(map(str, folder.glob("*.nwb"))))


@pytest.fixture
def opened(monkeypatch):
    """Names of the HDF5 files that are opened."""
    names = []
    na.release()
    made = HDF5Source._file

    def noted(self, *args, **kwargs):
        names.append(self.path.rpartition("/")[2])
        return made(self, *args, **kwargs)

    monkeypatch.setattr(HDF5Source, "_file", noted)
    return names


# -------------------------------------------------------------------- one session of a folder


@pytest.mark.parametrize("wanted", ["s2", ["s2"], "s1", ["s3", "s1"]])
def test_a_session_asked_for_by_name_opens_its_file_alone(folder, opened, wanted):
    tree = na.open_datatree(folder, sessions=wanted)
    names = [wanted] if isinstance(wanted, str) else sorted(wanted)
    assert list(tree.children) == names
    assert {name.partition(".")[0] for name in opened} == set(names)
    whole = na.open_datatree(folder)
    for name in names:
        assert tree[name].identical(whole[name])


def test_a_name_that_no_file_has_is_looked_for_in_all(folder):
    with pytest.raises(NotInTree, match="no session 's7'.*'s0', 's1', 's2', 's3'"):
        na.open_datatree(folder, sessions="s7")
    assert list(na.open_datatree(folder, sessions="s[01]").children) == ["s0", "s1"]
    with pytest.raises(NotInTree, match="VISx"):
        na.open_datatree(folder, sessions="s1", areas="VISx")


# ------------------------------------------------------------------------- the rows of a table


def test_rows_open_their_sessions_areas_and_units(folder, table, opened):
    rows = table[(table["area"] == "VISp") & table["session"].isin(["s1", "s3"])]
    rows = rows[rows["unit_id"] > 10].sort_values("snr", ascending=False)
    tree = na.open_datatree(rows)
    assert set(opened) == {"s1.nwb", "s3.nwb"}
    assert list(tree.children) == ["s1", "s3"] or list(tree.children) == ["s3", "s1"]
    for name, session in tree.children.items():
        assert [child for child in session.children if child[0] == "V"] == ["VISp"]
        assert "CA1" not in session.children
        spikes = session["VISp/spikes"]
        ids = rows.loc[rows["session"] == name, "unit_id"]
        assert spikes["unit_id"].values.tolist() == sorted(ids)  # as the file has them
        whole = na.open_datatree(folder / f"{name}.nwb")[f"{name}/VISp/spikes"].to_dataset()
        expected = na.select_units(whole, "unit_id > 10")
        assert spikes.to_dataset()["spike_times"].identical(expected["spike_times"])
    assert "sessions_asked" not in tree.attrs


def test_a_row_twice_counts_once_and_without_units_areas_are_whole(table):
    twice = pd.concat([table.iloc[[0, 1]], table.iloc[[0]]])
    assert sum(len(node.get("unit_id", ())) for node in na.open_datatree(twice).subtree) == 2
    areas = table[["path", "session", "area"]].drop_duplicates().iloc[:1]
    assert na.open_datatree(areas)["s0/VISp/spikes"].sizes["unit_id"] == 3
    some = pd.concat([areas, table[table["area"] == "CA1"].iloc[:1]])  # unit_id is missing in one
    tree = na.open_datatree(some)
    sizes = [tree[f"s0/{area}/spikes"].sizes["unit_id"] for area in ("VISp", "CA1")]
    assert sizes == [3, 1]
    sessions = table[["path", "session"]].drop_duplicates()
    assert len(na.open_datatree(sessions, areas="VISp").children) == 4


def test_sessions_of_one_name_are_kept_apart(folder, tmp_path):
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
    shutil.copy(folder / "s0.nwb", tmp_path / "monday" / "s0.nwb")
    shutil.copy(folder / "s1.nwb", tmp_path / "tuesday" / "s0.nwb")
    table = na.units([tmp_path / "monday" / "s0.nwb", tmp_path / "tuesday" / "s0.nwb"])
    assert table["unit_id"].duplicated().any()
    tree = na.open_datatree(table)
    assert list(tree.children) == ["monday_s0", "tuesday_s0"]
    assert tree["tuesday_s0"].attrs["name_in_file"] == "s0"
    again = na.open_datatree(folder / "s1.nwb")["s1/VISp/spikes"]
    np.testing.assert_array_equal(tree["tuesday_s0/VISp/spikes/spike_times"], again["spike_times"])


def test_a_unit_id_that_an_area_has_twice_is_chosen_by_its_place(tmp_path):
    path = tmp_path / "twice.nwb"
    write_nwb(path, **SMALL)
    with h5py.File(path, "r+") as file:
        file["units/id"][...] = 7
    table = na.units(path)
    tree = na.open_datatree(table[(table["area"] == "VISp") & (table["row"] == 1)])
    spikes = tree["twice/VISp/spikes"]
    whole = na.open_datatree(path)["twice/VISp/spikes"].to_dataset()
    assert spikes["unit_id"].values.tolist() == [7]
    assert spikes["snr"].item() == whole["snr"].values[1]


# ----------------------------------------------------------------------------------- bad input


def test_rows_that_open_nothing(table):
    with pytest.raises(ValueError, match="without the column 'session'"):
        na.open_datatree(table.drop(columns="session"))
    with pytest.raises(ValueError, match="a table without rows"):
        na.open_datatree(table[:0])
    with pytest.raises(ValueError, match="a row has no path or no session"):
        na.open_datatree(table.assign(session=None))
    with pytest.raises(ValueError, match="rows with unit_id and without area"):
        na.open_datatree(table.assign(area=np.nan))
    with pytest.raises(na.MissingPath, match="s9.nwb: .*relative to its folder"):
        na.open_datatree(table.assign(path="s9.nwb"))
    with pytest.raises(NotInTree, match="'s9'"):
        na.open_datatree(table.assign(session="s9"))
    with pytest.raises(
        FormatError, match="s0/VISp: expected the units of the table, 99 among them"
    ):
        na.open_datatree(table.iloc[:1].assign(unit_id=99))
