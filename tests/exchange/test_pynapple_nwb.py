"""What pynapple asks of its own reading of NWB, asked of ours: the same file in both."""

import datetime
import warnings

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import MissingPath, NotInTree

nap = pytest.importorskip("pynapple", reason="the extra `pynapple` is not installed")
pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def nwb():
    """An empty session."""
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return pynwb.NWBFile("made", "m1", start)


def regular(file):
    file.add_acquisition(
        pynwb.TimeSeries(
            name="speed", data=np.arange(4.0), unit="cm/s", rate=10.0, starting_time=2.0
        )
    )


def irregular(file):
    stamps = np.array([0.0, 0.5, 0.75, 3.0])
    file.add_acquisition(
        pynwb.TimeSeries(name="speed", data=np.arange(4.0), unit="cm/s", timestamps=stamps)
    )


def columns(file):
    file.add_acquisition(
        pynwb.TimeSeries(name="speed", data=np.arange(12.0).reshape(4, 3), unit="V", rate=10.0)
    )


def stack(file):
    file.add_acquisition(
        pynwb.TimeSeries(name="speed", data=np.arange(24.0).reshape(4, 3, 2), unit="V", rate=10.0)
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


def test_units_whose_electrode_is_a_row_of_the_electrodes(written):
    """Its place and group follow the units, whatever the column is called."""

    def units(file):
        for probe in "BA":
            device = file.create_device(f"device {probe}")
            group = file.create_electrode_group(f"probe{probe}", "made", f"V{probe}", device)
            for row in range(3):
                file.add_electrode(x=float(row), location=f"V{probe}", group=group)
        for start in range(4):
            file.add_unit(spike_times=[start + 0.25, start + 0.5])
        file.units.add_column(
            "max_electrode", "largest waveform", data=[3, 4, 0, 1], table=file.electrodes
        )

    theirs, session = written(units)
    expected = theirs["units"]
    groups = dict(zip(expected.index, expected.get_info("group_name"), strict=True))
    objects = na.to_pynapple(session.root)
    for area, ids in {"VA": [0, 1], "VB": [2, 3]}.items():
        ours = objects[f"m1/{area}/spikes"]
        assert list(ours.index) == ids
        assert list(ours.get_info("max_electrode_group_name")) == [groups[unit] for unit in ids]
        assert list(ours.get_info("max_electrode_location")) == [area, area]
        for unit in ids:
            np.testing.assert_array_equal(ours[unit].index, expected[unit].index)


def electrode(file):
    """An intracellular electrode."""
    device = file.create_device("amplifier")
    return file.create_icephys_electrode(name="pipette", description="made", device=device)


def made_with(kind):
    """The conversion of a series to its unit; pynwb gives none to one without current."""
    return 1.0 if kind == "IZeroClampSeries" else 1e-3


def light(file):
    """A place of stimulation with light."""
    device = file.create_device("laser")
    return file.create_ogen_site(
        name="site", device=device, description="made", excitation_lambda=473.0, location="VISp"
    )


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("VoltageClampSeries", "amperes"),
        ("VoltageClampStimulusSeries", "volts"),
        ("CurrentClampSeries", "volts"),
        ("CurrentClampStimulusSeries", "amperes"),
        ("IZeroClampSeries", "volts"),
    ],
)
def test_series_of_an_intracellular_electrode(written, kind, unit):
    def series(file):
        facts = {"gain": 0.02, "sweep_number": np.uint64(7)}
        made = getattr(pynwb.icephys, kind)(
            name="speed",
            data=np.arange(6.0),
            electrode=electrode(file),
            rate=20.0,
            starting_time=3.0,
            conversion=made_with(kind),
            **facts,
        )
        (file.add_stimulus if "Stimulus" in kind else file.add_acquisition)(made)

    theirs, session = written(series)
    (ours,) = signals(session)
    expected = theirs["speed"]
    assert type(expected) is nap.Tsd
    np.testing.assert_array_equal(ours.values, np.asarray(expected.values) * made_with(kind))
    np.testing.assert_array_equal(ours["time"].values, expected.index)
    assert (ours.attrs["units"], ours.attrs["gain"]) == (unit, 0.02)


def test_light_for_stimulation(written):
    def series(file):
        made = pynwb.ogen.OptogeneticSeries(
            name="speed", data=np.array([0.0, 0.5, 0.5, 0.0]), rate=10.0, site=light(file)
        )
        file.add_stimulus(made)

    theirs, session = written(series)
    (ours,) = signals(session)
    np.testing.assert_array_equal(ours.values, theirs["speed"].values)
    np.testing.assert_array_equal(ours["time"].values, theirs["speed"].index)
    assert ours.attrs["units"] == "watts"


def plane(file):
    """A plane segmentation of five ROIs, numbered from 10."""
    device = file.create_device("microscope")
    channel = pynwb.ophys.OpticalChannel(name="green", description="made", emission_lambda=500.0)
    imaged = file.create_imaging_plane(
        name="plane",
        optical_channel=channel,
        description="made",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6f",
        location="VISl",
        imaging_rate=30.0,
    )
    segmentation = pynwb.ophys.ImageSegmentation()
    file.create_processing_module("ophys", "made").add(segmentation)
    table = segmentation.create_plane_segmentation("made", imaged, name="rois")
    for roi in range(5):
        table.add_roi(image_mask=np.eye(4) * roi, id=10 + roi)
    return imaged, table


@pytest.mark.parametrize("container", [None, "DfOverF", "Fluorescence"])
def test_traces_of_rois(written, container):
    def traces(file):
        _, table = plane(file)
        rois = table.create_roi_table_region("four", region=[4, 0, 2, 3])
        made = pynwb.ophys.RoiResponseSeries(
            name="speed",
            data=np.arange(24.0).reshape(6, 4),
            unit="n.a.",
            rois=rois,
            rate=30.0,
            starting_time=1.0,
        )
        file.add_acquisition(getattr(pynwb.ophys, container)(made) if container else made)

    theirs, session = written(traces)
    expected = theirs["speed"]
    (back,) = na.to_pynapple(session.root).values()
    assert type(back) is type(expected) is nap.TsdFrame
    assert list(back.columns) == list(expected.columns) == [14, 10, 12, 13]
    np.testing.assert_array_equal(back.values, expected.values)
    np.testing.assert_array_equal(back.index, expected.index)


@pytest.mark.parametrize("kind", ["OnePhotonSeries", "TwoPhotonSeries"])
def test_movies_of_a_microscope(written, kind):
    def movie(file):
        frames = np.arange(60, dtype="u2").reshape(3, 4, 5)
        imaged, _ = plane(file)
        made = getattr(pynwb.ophys, kind)(
            name="speed", data=frames, imaging_plane=imaged, rate=30.0, unit="a.u."
        )
        file.add_acquisition(made)

    theirs, session = written(movie)
    (ours,) = signals(session)
    np.testing.assert_array_equal(ours.values, theirs["speed"].values)
    np.testing.assert_array_equal(ours["time"].values, theirs["speed"].index)


@pytest.mark.parametrize("fill", [electrode, light, plane])
def test_a_device_alone_is_no_signal(written, fill):
    theirs, session = written(fill)
    assert len(theirs) == len(na.to_pynapple(session.root)) == 0


def test_times_of_annotations(written):
    def notes(file):
        file.add_acquisition(
            pynwb.misc.AnnotationSeries(name="notes", data=["a", "b"], timestamps=[1.5, 4.0])
        )

    theirs, session = written(notes)
    ours = na.to_pynapple(session.root)["m1/events/notes"]
    assert type(ours) is type(theirs["notes"]) is nap.Ts
    np.testing.assert_array_equal(ours.index, theirs["notes"].index)
    assert session["events/notes"]["value"].values.tolist() == ["a", "b"]


@pytest.mark.parametrize("names", [["lick_times"], ["lick_times", "drop_times"]])
def test_tables_of_times(written, names):
    """A table without starts: each of its columns of times is events."""

    def table(file):
        rows = [np.arange(4.0) + i for i in range(len(names))]
        made = [
            pynwb.core.VectorData(name=name, data=times, description="made")
            for name, times in zip(names, rows, strict=True)
        ]
        made.append(pynwb.core.VectorData(name="side", data=list("lrlr"), description="made"))
        file.add_acquisition(pynwb.core.DynamicTable(name="port", description="made", columns=made))

    theirs, session = written(table)
    expected = theirs["port"] if len(names) > 1 else {names[0]: theirs["port"]}
    objects = na.to_pynapple(session.root)
    for name in names:
        path = f"m1/events/port{f'_{name}' if len(names) > 1 else ''}"
        np.testing.assert_array_equal(objects[path].index, expected[name].index)
        assert session.root[path]["side"].values.tolist() == list("lrlr")
    assert len(objects) == len(names)


def test_columns_of_a_spatial_series_are_its_axes(written):
    def anywhere(file):
        file.add_acquisition(
            pynwb.behavior.SpatialSeries(
                name="speed", data=np.arange(12.0).reshape(4, 3), reference_frame="corner", rate=5.0
            )
        )

    theirs, session = written(anywhere)
    expected = theirs["speed"]
    assert list(expected.columns) == ["x", "y", "z"]
    for axis in expected.columns:
        np.testing.assert_array_equal(session["speed"][axis].values, expected[axis].values)


def test_two_of_one_name_are_both_there(written):
    """They stand in different places of the file."""

    def twice(file):
        regular(file)
        file.create_processing_module("behavior", "made").add(
            pynwb.TimeSeries(name="speed", data=np.arange(4.0) * 3, unit="cm/s", rate=10.0)
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
