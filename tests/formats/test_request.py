"""What the base of readers does for all of them: sessions, areas, variables to leave out."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.archive.reader import ArchiveReader
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.formats.reader import Reader, _named_among
from neuroarrays.formats.registry import FORMATS
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions
from neuroarrays.synthetic import aligned_tree

BINNED = Path(__file__).parents[1] / "golden/allen_binned/natural_scenes.h5"
AREAS = {"a": ("V1", "V2"), "b": ("V1", "CA1")}


class MadeUp(Reader):
    """Two sessions, the areas of which are made whether they are asked for or not."""

    name = "made_up"
    description = "nothing"
    kind = schema.ALIGNED

    def recognise(self, probe):
        return False

    def list_sessions(self, probe):
        return AREAS

    def open_session(self, session, name, request, *, scale=1.0):
        values = {"x": ("unit_id", np.full(2, scale)), "y": ("unit_id", np.zeros(2))}
        area = xr.Dataset(values, {"unit_id": [0, 1]})
        return {"": xr.Dataset()} | dict.fromkeys(session, area)


class InBlocks(MadeUp):
    """Two blocks, one session damaged."""

    blocks = ("train", "test")

    def list_sessions(self, probe):
        return Sessions(AREAS | {"c": FormatError("c.h5", "", "sound bytes", "none")}, ["d left"])

    def open_session(self, session, name, request):
        inside = super().open_session(session, name, request)
        return {
            f"{b}/{p}".rstrip("/"): node for b in self.blocks[::-1] for p, node in inside.items()
        }


class OneArea(MadeUp):
    """As retinas are; opening it is a failure."""

    only_area = "retina"

    def open_session(self, session, name, request):
        raise TypeError("opened")


def paths(**options):
    return sorted(k for k in MadeUp().open_groups_as_dict("f", **options) if "/" in k[1:])


def test_sessions_and_areas_are_names_lists_or_globs():
    assert paths() == ["a/V1", "a/V2", "b/CA1", "b/V1"]
    assert paths(sessions="b") == ["b/CA1", "b/V1"]
    assert paths(areas="V*") == ["a/V1", "a/V2", "b/V1"]
    assert paths(sessions=["a", "b"], areas=["CA?", "V2"]) == ["a/V2", "b/CA1"]


@pytest.mark.parametrize("method", ["open_datatree", "open_groups_as_dict", "catalog"])
def test_what_is_nowhere_is_refused_by_name(method):
    opened = getattr(MadeUp(), method)
    with pytest.raises(NotInTree, match="no session 'c'; there are 'a', 'b'"):
        opened("f", sessions=["a", "c"])
    with pytest.raises(NotInTree, match="no area 'CA3'; there are 'V1', 'V2', 'CA1'"):
        opened("f", areas=["V1", "CA3"])
    with pytest.raises(NotInTree, match="no area 'CA1'; there are 'V1', 'V2'"):
        opened("f", sessions="a", areas="CA1")
    with pytest.raises(
        TypeError, match="its options are 'sessions', 'areas', 'skip_damaged', 'scale'"
    ):
        opened("f", scales=2)


def test_a_damaged_session_is_an_error_or_a_note():
    with pytest.raises(FormatError, match=r"c\.h5: .*; skip_damaged=True opens the other"):
        InBlocks().open_groups_as_dict("f")
    notes = InBlocks().open_groups_as_dict("f", skip_damaged=True)["/"].attrs["notes"]
    assert notes == ["d left", "c left out: c.h5: expected sound bytes; found none"]
    with pytest.raises(FormatError, match="a session that can be read; found d left; c left out"):
        InBlocks().open_groups_as_dict("f", sessions="c", skip_damaged=True)


def test_blocks_stand_above_sessions_all_of_one_before_the_next():
    found = InBlocks().open_groups_as_dict("f", sessions=["a", "b"], areas="V1")
    below = [f"{block}/{p}" for block in ("train", "test") for p in ("a", "a/V1", "b", "b/V1")]
    assert list(found) == ["/", "train", "test", *below]


def test_a_session_says_when_it_was_recorded_unless_the_reader_does():
    class Recording(MadeUp):
        kind = schema.RECORDING
        own = False

        def open_session(self, session, name, request):
            times = xr.Dataset({"x": ("time", [0.0, 1.0])}, {"time": ("time", [2.0, 5.0])})
            rows = xr.Dataset({"start_time": ("interval", [7.0]), "stop_time": ("interval", [9.0])})
            return {"": xr.Dataset(), "position": times} | ({"observed": rows} if self.own else {})

    assert Recording().open_groups_as_dict("f")["a/observed"].stop_time.values.tolist() == [5]
    Recording.own = True
    assert Recording().open_groups_as_dict("f")["a/observed"].stop_time.values.tolist() == [9]


def test_where_there_is_one_area_another_is_refused_before_opening():
    with pytest.raises(NotInTree, match="no area 'V1'; there are 'retina'"):
        OneArea().open_groups_as_dict("f", areas="V1")
    for areas in (None, "retina", "ret*"):
        with pytest.raises(TypeError, match="opened"):
            OneArea().open_groups_as_dict("f", areas=areas)


@pytest.mark.parametrize(
    "dropped", ["y", ["y", "no_such"], ("y",), iter(["y"])], ids=lambda names: type(names).__name__
)
def test_variables_are_left_out_of_every_node(dropped):
    groups = MadeUp().open_groups_as_dict("f", drop_variables=dropped)
    assert all(set(node.data_vars) <= {"x"} for node in groups.values())
    assert all("x" in groups[path] for path in paths())


def test_variables_are_left_out_at_every_door(tmp_path):
    tree = aligned_tree()
    path = na.save(tree, tmp_path / "a.h5")
    place = next(p for p, role, _ in schema.roles(tree) if role == "area")
    has = set(tree[place].to_dataset().variables)
    gone = {"spike_data", "time"}
    assert gone <= has
    opened = {
        "na": na.open_datatree(path, drop_variables=gone)[place].to_dataset(),
        "tree": xr.open_datatree(path, engine="neuroarrays", drop_variables=gone)[
            place
        ].to_dataset(),
        "groups": xr.open_groups(path, engine=ArchiveReader, drop_variables=gone)[place.strip("/")],
        "one": xr.open_dataset(path, engine=ArchiveReader, group=place, drop_variables=gone),
    }
    for door, node in opened.items():
        assert set(node.variables) & gone == set(), door
        assert set(node.variables) >= has - gone - {"presentation_id"}, door


@pytest.mark.parametrize("name", [format_.name for format_ in FORMATS])
def test_no_reader_does_it_again(name):
    reader = type(next(format_ for format_ in FORMATS if format_.name == name).load())
    assert "open_groups_as_dict" not in vars(reader)
    assert list(reader.options())[:2] == ["sessions", "areas"]


def test_a_catalogue_is_of_what_is_asked_for(tmp_path):
    """Also where it is read without opening."""
    archive = na.save(aligned_tree(sessions=2), tmp_path / "a.h5")
    for path in (BINNED, archive):
        rows = na.catalog(path)
        one = rows.iloc[-1]
        found = na.catalog(path, sessions=one["session"], areas=one["area"])
        assert found.to_dict("records") == rows[
            (rows["session"] == one["session"]) & (rows["area"] == one["area"])
        ].to_dict("records")
        assert 0 < len(found) < len(rows)
        with pytest.raises(NotInTree, match="no session 'no such'"):
            na.catalog(path, sessions="no such")
        with pytest.raises(NotInTree, match="no area 'no such'"):
            na.catalog(path, areas="no such")


def test_a_missing_session_says_where_it_was_looked_for_and_what_was_passed_over():
    class Elsewhere(Request):
        def sessions(self, names):
            raise NotInTree("session", "c", names, "look", "a.zip")

    sessions = Sessions({"a": 1, "b": 2}, ["passed over: 'd.txt'"])
    with pytest.raises(NotInTree, match="no session 'c' in a.zip; .*; look; passed over: 'd.txt'"):
        _named_among(Elsewhere(), sessions)


def test_rows_of_sessions_without_areas_stay():
    rows = [{"session": "a", "area": ""}, {"session": "b", "area": "V1"}]
    assert Request(None, "V1").rows(rows) == rows
    assert Request("a").rows(rows) == rows[:1]
