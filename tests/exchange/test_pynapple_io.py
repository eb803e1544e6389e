"""What pynapple asks of its own reading of npz and NWB, asked of ours: the same file in both."""

import datetime
import warnings

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import MissingPath, NotInTree

nap = pytest.importorskip("pynapple", reason="the extra `pynapple` is not installed")
pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
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


# ------------------------------------------------------------------------------- the same NWB


def nwb():
    """An empty session."""
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return pynwb.NWBFile("made", "m1", start)


def regular(file):
    file.add_acquisition(
        pynwb.TimeSeries("speed", data=np.arange(4.0), unit="cm/s", rate=10.0, starting_time=2.0)
    )


def irregular(file):
    stamps = np.array([0.0, 0.5, 0.75, 3.0])
    file.add_acquisition(
        pynwb.TimeSeries("speed", data=np.arange(4.0), unit="cm/s", timestamps=stamps)
    )


def columns(file):
    file.add_acquisition(
        pynwb.TimeSeries("speed", data=np.arange(12.0).reshape(4, 3), unit="V", rate=10.0)
    )


def stack(file):
    file.add_acquisition(
        pynwb.TimeSeries("speed", data=np.arange(24.0).reshape(4, 3, 2), unit="V", rate=10.0)
    )


def place(file):
    position = pynwb.behavior.Position()
    position.create_spatial_series(
        "speed", data=np.arange(8.0).reshape(4, 2), reference_frame="corner", rate=5.0
    )
    file.create_processing_module("behavior", "made").add(position)


@pytest.fixture
def written(tmp_path):
    """Write a file, and open it in both: objects by key, and the session."""
    opened = []

    def write(*fill):
        file = nwb()
        for part in fill:
            part(file)
        path = tmp_path / "m1.nwb"
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = nap.NWBFile(str(path))
        opened.append(theirs)
        return theirs, na.open_datatree(path)["m1"]

    yield write
    for file in opened:
        file.close()


def signals(session):
    """The series of a session, wherever they stand."""
    return [
        array
        for _, node in session.subtree_with_keys
        for name, array in node.data_vars.items()
        if str(name).startswith("speed")
    ]


@pytest.mark.parametrize("series", [regular, irregular, columns, stack])
def test_series(written, series):
    theirs, session = written(series)
    (ours,) = signals(session)
    expected = theirs["speed"]
    np.testing.assert_array_equal(ours.values, expected.values)
    np.testing.assert_array_equal(ours["time"].values, expected.index)
    (back,) = [each for each in na.to_pynapple(session.root).values() if hasattr(each, "values")]
    assert type(back) is type(expected)


def test_places_have_axes(written):
    theirs, session = written(place)
    (node,) = [each for _, each in session.subtree_with_keys if "x" in each.data_vars]
    for axis in theirs["speed"].columns:
        np.testing.assert_array_equal(node[axis].values, theirs["speed"][axis].values)
        np.testing.assert_array_equal(node["time"].values, theirs["speed"].index)


def test_intervals(written):
    def trials(file):
        file.add_trial_column("side", "of the screen")
        for start, side in ((0.0, "l"), (2.0, "r"), (5.0, "l")):
            file.add_trial(start_time=start, stop_time=start + 1.0, side=side)

    theirs, session = written(trials)
    expected = theirs["trials"]
    ours = na.to_pynapple(session.root)["m1/presentations/trials"]
    np.testing.assert_array_equal(ours.values, expected.values)
    assert list(ours["side"]) == list(expected["side"]) == ["l", "r", "l"]


def test_units(written):
    def units(file):
        file.add_unit_column("quality", "how good")
        for times, quality in (([0.1, 0.4], "good"), ([1.0], "mua"), ([0.2, 3.0, 4.0], "good")):
            file.add_unit(spike_times=times, quality=quality)

    theirs, session = written(units)
    expected = theirs["units"]
    objects = na.to_pynapple(session.root)
    (ours,) = [each for each in objects.values() if isinstance(each, nap.TsGroup)]
    assert list(ours.index) == list(expected.index)
    for unit in expected.index:
        np.testing.assert_array_equal(ours[unit].index, expected[unit].index)
    assert list(ours.get_info("quality")) == list(expected.get_info("quality"))


def test_two_of_one_name_are_both_there(written):
    """They stand in different places of the file."""

    def twice(file):
        regular(file)
        file.create_processing_module("behavior", "made").add(
            pynwb.TimeSeries("speed", data=np.arange(4.0) * 3, unit="cm/s", rate=10.0)
        )

    theirs, session = written(twice)
    ours = [array.values.tolist() for array in signals(session)]
    assert len(theirs) == len(ours) == 2
    assert sorted(ours) == [[0.0, 1.0, 2.0, 3.0], [0.0, 3.0, 6.0, 9.0]]


def test_files_and_keys_that_are_not_there(tmp_path, written):
    with pytest.raises(MissingPath, match=r"none\.nwb"):
        na.open_datatree(tmp_path / "none.nwb")
    with pytest.raises((TypeError, ValueError), match="1"):
        na.open_datatree(1)
    _, session = written(regular)
    with pytest.raises(NotInTree, match="no presentation table 'speed'"):
        na.align(session.root, "speed", bin_width=0.1)


def test_the_sample_is_theirs():
    """The head-direction recording that pynapple's own tests open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nap.NWBFile(str(na.sample_path()))
    found = na.to_pynapple(na.load_sample())
    by_name = {path.rpartition("/")[2]: each for path, each in found.items()}
    compared = 0
    for name in ("rx", "ry", "rz", "x", "y", "z"):
        if name in theirs and name in by_name:
            np.testing.assert_array_equal(by_name[name].values, theirs[name].values)
            np.testing.assert_array_equal(by_name[name].index, theirs[name].index)
            compared += 1
    assert compared
    theirs.close()
