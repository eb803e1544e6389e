"""What pynapple asks of its own reading of npz files and folders of them, asked of ours."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema

nap = pytest.importorskip("pynapple", reason="the extra `pynapple` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# ------------------------------------------------------------------------------ its npz files

SUPPORT = nap.IntervalSet(0, 40)
TRAINS = {3: nap.Ts([1.0, 2.5], time_support=SUPPORT), 8: nap.Ts([0.5, 30.0], time_support=SUPPORT)}
SAVED = {
    "Tsd": nap.Tsd(np.arange(5.0), np.arange(5) * 2),
    "Ts": nap.Ts([0.25, 1.5, 9.0]),
    "TsdFrame": nap.TsdFrame(np.arange(4.0), np.arange(8.0).reshape(4, 2), columns=["x", "y"]),
    "TsdFrame of units": nap.TsdFrame(
        np.arange(4.0), np.eye(4)[:, :2], columns=[4, 9], metadata={"layer": [2, 5]}
    ),
    "TsdTensor": nap.TsdTensor(np.arange(3.0), np.arange(12.0).reshape(3, 2, 2)),
    "TsGroup": nap.TsGroup(TRAINS, time_support=SUPPORT),
    "TsGroup of kinds": nap.TsGroup(TRAINS, time_support=SUPPORT, metadata={"kind": ["a", "b"]}),
    "TsGroup of Tsd": nap.TsGroup(
        {1: nap.Tsd([1.0, 2.0], [5.0, 6.0]), 2: nap.Tsd([3.0], [7.0])}, time_support=SUPPORT
    ),
    "IntervalSet": nap.IntervalSet([0.0, 5.0], [1.0, 6.0]),
    "IntervalSet of sides": nap.IntervalSet([0, 5], [1, 6], metadata={"side": ["l", "r"]}),
}


def holds(one, other):
    """Compare two objects of pynapple: times, values, metadata."""
    assert type(one) is type(other)
    if isinstance(one, nap.TsGroup):
        assert list(one.index) == list(other.index)
        for unit in one.index:
            holds(one[unit], other[unit])
    elif isinstance(one, nap.IntervalSet):
        np.testing.assert_allclose(one.values, other.values, atol=2e-6)
    else:
        np.testing.assert_array_equal(one.index, other.index)
        if not isinstance(one, nap.Ts):
            np.testing.assert_array_equal(one.values, other.values)
    for name in getattr(one, "metadata_columns", ()):
        values, others = (list(each.get_info(name)) for each in (one, other))
        assert values == (pytest.approx(others) if name == "rate" else others), name


@pytest.mark.parametrize("kind", sorted(SAVED))
def test_what_it_saved_goes_through_a_tree_and_our_archive(kind, tmp_path):
    file = tmp_path / "saved.npz"
    SAVED[kind].save(file)
    loaded = nap.load_file(file)
    tree = na.from_pynapple({"x": loaded})
    na.validate(tree, values=True)
    archived = na.open_datatree(na.save(tree, tmp_path / "tree.h5"))
    found = na.to_pynapple(archived)
    (path,) = [name for name in found if not name.endswith(schema.OBSERVED)]
    if kind == "Ts":  # one unit
        holds(nap.TsGroup({0: loaded}, time_support=loaded.time_support), found[path])
    else:
        holds(loaded, found[path])


# ------------------------------------------------------------------------------------ its folders


@pytest.fixture
def folder(tmp_path):
    """Two sessions of one animal as pynapple keeps them: a file per object, with a description."""
    paths = [tmp_path / "project" / "sub-A" / name for name in ("ses-1", "ses-2")]
    for path in paths:
        path.mkdir(parents=True)
        for name in ("Tsd", "Ts", "TsdFrame", "TsGroup", "IntervalSet"):
            SAVED[name].save(path / f"{name}.npz")
        nap.Folder(str(path)).save("more", nap.Tsd([0.0, 1.0], [5.0, 6.0]), "a description")
    return nap.Folder(str(tmp_path / "project"))


def test_a_folder_is_a_session(folder):
    inside = folder["sub-A"]["ses-1"]
    found = na.to_pynapple(na.from_pynapple(inside, session="m1"))
    assert {path.split("/")[0] for path in found} == {"m1"}
    for name, path in {
        "Tsd": "m1/Tsd/Tsd",
        "TsdFrame": "m1/TsdFrame/TsdFrame",
        "TsGroup": "m1/TsGroup/spikes",
        "IntervalSet": "m1/presentations/IntervalSet",
        "more": "m1/more/more",
    }.items():
        theirs = inside[name]
        assert type(found[path]) is type(theirs)
        if name == "TsGroup":
            assert [len(found[path][unit]) for unit in theirs.index] == [2, 2]
        else:
            np.testing.assert_array_equal(found[path].values, theirs.values)
    np.testing.assert_array_equal(found["m1/Ts/spikes"][0].index, inside["Ts"].index)


def test_folders_in_a_folder_are_sessions(folder):
    tree = na.from_pynapple(folder)
    na.validate(tree, values=True)
    assert list(tree.children) == ["sub-A_ses-1", "sub-A_ses-2"]
    assert list(na.from_pynapple(folder["sub-A"]).children) == ["ses-1", "ses-2"]
    np.testing.assert_array_equal(tree["sub-A_ses-2/more/more"], [5.0, 6.0])


@pytest.mark.parametrize("session", [3, "a/b", "../a"])
def test_a_session_has_one_name(session):
    with pytest.raises((TypeError, ValueError), match="expected"):
        na.from_pynapple({"speed": nap.Tsd([0.0], [1.0])}, session=session)


def test_names_in_a_mapping_are_paths():
    tree = na.from_pynapple({"port": {"lick": nap.Ts([1.0]), "drop": nap.Ts([2.0])}})
    assert set(tree["session/port"].children) == {"lick", "drop"}
    with pytest.raises(ValueError, match="port/a:b"):
        na.from_pynapple({"port": {"a:b/..": nap.Ts([1.0])}})
