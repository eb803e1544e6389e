"""Brain Observatory: golden file under the conformance suite, bad input, and the NWB 2 files that NWB's reader opens."""

import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, UnknownFormat
from neuroarrays.testing import ReaderTests

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
S = "501271265"
AREA, TABLES = f"{S}/VISp", f"{S}/presentations"
PIPELINE = "processing/brain_observatory_pipeline"


class TestGolden(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)
    reader = "allen_ophys"
    path = GOLDEN / "allen_ophys" / f"{S}.nwb"
    foreign = tuple(
        path
        for folder in sorted(GOLDEN.iterdir())
        if folder.is_dir() and folder.name != "allen_ophys"
        for path in sorted(folder.iterdir())
    )
    values = {
        (f"{AREA}/DfOverF", "DfOverF", (0, 0)): np.float32(0.01097064),
        (f"{AREA}/DfOverF", "DfOverF", (0, 1)): np.float32(0.043764766),
        (f"{AREA}/DfOverF", "DfOverF", (-1, -1)): np.float32(-0.053874895),
        (f"{AREA}/DfOverF", "time", 0): 8.5,
        (f"{AREA}/DfOverF", "time", -1): 31.8,
        (f"{AREA}/DfOverF", "unit_id", -1): 517410034,
        (f"{AREA}/DfOverF", "roi_id", -1): "589755797",
        (f"{AREA}/Fluorescence", "Fluorescence", (0, 0)): np.float32(100.54853),
        (f"{AREA}/Fluorescence", "Neuropil", (-1, -1)): np.float32(78.9225),
        (f"{AREA}/Fluorescence", "contamination_ratio", 0): 0.2787738155193603,
        (f"{S}/running", "speed", 0): 5.186797333639446,
        (f"{S}/running", "speed", -1): 7.77171732488995,
        (f"{S}/pupil", "y", -1): 1.4590180315017747,
        (f"{S}/pupil_spherical", "altitude", 0): -1.9046706811142937,
        (f"{S}/pupil_size", "pupil_size", 0): 20.80580832024707,
        (f"{TABLES}/drifting_gratings", "start_time", 0): 9.5,
        (f"{TABLES}/drifting_gratings", "stop_time", -1): 19.166666666666664,
        (f"{TABLES}/drifting_gratings", "orientation", 0): 225.0,
        (f"{TABLES}/drifting_gratings", "orientation", -1): np.nan,
        (f"{TABLES}/drifting_gratings", "blank", -1): True,
        (f"{TABLES}/natural_scenes", "start_time", 0): 19.833333333333336,
        (f"{TABLES}/natural_scenes", "blank", 0): True,
        (f"{TABLES}/natural_scenes", "frame", -1): 4,
        (f"{TABLES}/spontaneous", "stop_time", 0): 31.8,
        (f"{S}/stimulus/natural_scenes", "natural_scenes", (-1, -1, -1)): 172,
    }


def test_parameters_have_units():
    gratings = na.open_datatree(GOLDEN / "allen_ophys" / f"{S}.nwb")[f"{TABLES}/drifting_gratings"]
    units = {
        name: gratings[name].attrs.get("units") for name in ("orientation", "temporal_frequency")
    }
    assert units == {"orientation": "degrees", "temporal_frequency": "Hz"}


@pytest.fixture
def path(tmp_path):
    """A copy of the golden file, to be changed."""
    copy = tmp_path / f"{S}.nwb"
    copy.write_bytes((GOLDEN / "allen_ophys" / f"{S}.nwb").read_bytes())
    return copy


def change(path, name, values):
    """Replace an array; None takes it out."""
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values


def test_dff_is_what_presentations_are_aligned_to():
    tree = na.open_datatree(GOLDEN / "allen_ophys" / f"{S}.nwb")
    area = na.align(tree, "drifting_gratings", 0.2)[AREA]
    assert area["responses"].attrs["signal"] == "DfOverF"
    assert area["responses"].sizes["presentation_id"] == 9  # the blank sweep is left out


def test_what_older_pipelines_left_out_or_named_otherwise(path):
    with h5py.File(path, "a") as file:
        pipeline = file[PIPELINE]
        neuropil = "Fluorescence/imaging_plane_1_neuropil_response"
        pipeline["Fluorescence/imaging_plane_1/neuropil_traces"] = pipeline[f"{neuropil}/data"][:]
        for name in (
            neuropil,
            "Fluorescence/imaging_plane_1_demixed_signal",
            "EyeTracking",
            "PupilTracking",
        ):
            del pipeline[name]
        speed = pipeline["BehavioralTimeSeries/running_speed/data"][:, 0]
        del pipeline["BehavioralTimeSeries/running_speed/data"]
        pipeline["BehavioralTimeSeries/running_speed/data"] = speed
        images = pipeline["MotionCorrection/2p_image_series"]
        images.move("xy_translation", "xy_translations")
    session = na.open_datatree(path)[S]
    assert list(session["VISp/Fluorescence"].data_vars) == ["Fluorescence", "Neuropil"]
    assert "pupil" not in session.children
    assert session["running"].speed.values[0] == 5.186797333639446
    assert session["motion"].sizes == {"time": 700}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (f"{PIPELINE}/DfOverF/imaging_plane_1/timestamps", None, "timestamps.*numbers, s.*nothing"),
        (f"{PIPELINE}/DfOverF/imaging_plane_1/data", None, "DfOverF.*array"),
        (f"{PIPELINE}/DfOverF/imaging_plane_1/timestamps", np.arange(9.0), "3 ROIs, 9 frames"),
        (f"{PIPELINE}/ImageSegmentation/roi_ids", np.arange(2), "roi_id of each of 3 ROIs"),
        (f"{PIPELINE}/PupilTracking/pupil_size/data", np.zeros(5), "pupil_size/data.*700"),
        (
            f"{PIPELINE}/PupilTracking/pupil_size/timestamps",
            np.array([b"a"]),
            "pupil_size/timestamps.*numbers",
        ),
        (
            f"{PIPELINE}/EyeTracking/pupil_location/data",
            np.zeros((700, 3)),
            "pupil_location/data.*2",
        ),
        ("stimulus/presentation/natural_scenes_stimulus/frame_duration", None, "frame_duration"),
        (
            "stimulus/presentation/natural_scenes_stimulus/data",
            np.zeros(4),
            "frame_duration.*4 rows",
        ),
        (
            "stimulus/presentation/drifting_gratings_stimulus/features",
            None,
            "features.*a name for each",
        ),
        ("stimulus/presentation/spontaneous_stimulus/data", np.array([1, 1]), "a -1 after each 1"),
    ],
)
def test_what_contradicts_itself_is_named(path, name, values, message):
    change(path, name, values)
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(path)
    assert f"{S}.nwb" in str(caught.value)


def test_frames_that_are_not_there(path):
    frames = np.array([[440, 440], [900, 900]])
    change(path, "stimulus/presentation/spontaneous_stimulus/frame_duration", frames)
    rows = na.open_datatree(path)[f"{TABLES}/spontaneous"].to_dataset()
    with pytest.raises(FormatError, match="frames from 0 to 700.*900"):
        rows.stop_time.load()


def test_names_that_are_taken_and_what_is_no_stimulus(path):
    stimulus = "stimulus/presentation/drifting_gratings_stimulus/features"
    change(path, stimulus, np.array([b"start_time", b"orientation", b"orientation"]))
    with h5py.File(path, "a") as file:
        file["stimulus/presentation/numbers"] = [1, 2]
        file["stimulus/templates/colours_image_stack/data"] = np.zeros((2, 3, 4, 3), np.uint8)
    session = na.open_datatree(path)[S]
    rows = session["presentations/drifting_gratings"]
    assert rows.start_time.values[0] == 9.5
    assert {"start_time_", "orientation", "orientation_"} <= set(rows.data_vars)
    notes = "; ".join(session.attrs["notes"])
    assert "numbers not read" in notes
    assert "colours_image_stack/data not read" in notes


def test_specimens_that_two_rois_share_are_labels(path):
    change(path, f"{PIPELINE}/ImageSegmentation/cell_specimen_ids", np.array([5, -1, -1]))
    node = na.open_datatree(path)[f"{AREA}/DfOverF"]
    assert node.unit_id.values.tolist() == [0, 1, 2]
    assert node.cell_specimen_id.values.tolist() == [5, -1, -1]


def test_times_out_of_order_are_noted(path):
    name = f"{PIPELINE}/PupilTracking/pupil_size/timestamps"
    with h5py.File(path, "a") as file:
        file[name][:] = file[name][:][::-1]
    notes = na.validate(na.open_datatree(path), values=True)
    assert any("pupil_size" in note for note in notes)


def test_a_session_of_no_length(path):
    with h5py.File(path, "a") as file:
        names = []
        file.visititems(
            lambda n, item: (
                names.append(n) if isinstance(item, h5py.Dataset) and item.ndim else None
            )
        )
        for name in names:
            values = file[name][:]
            along = (
                1
                if name.endswith("imaging_plane_1/data")
                or "signal/data" in name
                or "response/data" in name
                else 0
            )
            if not name.endswith(("_ids", "/r", "/rmse", "features")):
                del file[name]
                file[name] = values[:, :0] if along else values[:0]
    session = na.open_datatree(path)[S].load()
    assert session["VISp/DfOverF"].sizes == {"time": 0, "unit_id": 3}
    assert session["presentations/drifting_gratings"].sizes == {"presentation_id": 0}


def test_a_plane_without_cells(path):
    with h5py.File(path, "a") as file:
        names = []
        file[PIPELINE].visititems(lambda name, item: names.append((name, item)))
        arrays = {n: i[:] for n, i in names if isinstance(i, h5py.Dataset) and i.shape[:1] == (3,)}
        for name, values in arrays.items():
            del file[f"{PIPELINE}/{name}"]
            file[f"{PIPELINE}/{name}"] = values[:0]
    session = na.open_datatree(path)[S].load()
    assert session["VISp/DfOverF"].sizes == {"time": 700, "unit_id": 0}
    assert session["running"].speed.size == 700


def test_other_nwb_1_files_are_refused_by_the_reader_of_nwb(path):
    with h5py.File(path, "a") as file:
        file.move(PIPELINE, "processing/other")
    with pytest.raises(FormatError, match="found NWB"):
        na.open_datatree(path)


def test_a_folder_of_both_kinds_is_an_error_that_names_both(path):
    from neuroarrays.synthetic import write_nwb

    write_nwb(path.parent / "two.nwb", units=2)
    with pytest.raises(UnknownFormat, match="'nwb', 'allen_ophys'"):
        na.open_datatree(path.parent)


# --------------------------------------------------------------- NWB 2, as pynwb writes it


def _plane(file):
    device = file.create_device("Microscope")
    channel = pynwb.ophys.OpticalChannel(name="c", description="d", emission_lambda=520.0)
    return file.create_imaging_plane(
        name="ImagingPlane", optical_channel=channel, description="d", device=device,
        excitation_lambda=920.0, indicator="GCaMP6f", location="VISp", imaging_rate=30.0,
    )  # fmt: skip


def _traces(name, value, rois, times):
    return pynwb.ophys.RoiResponseSeries(
        name=name, data=np.full((50, 2), value), unit="a.u.", rois=rois, timestamps=times
    )


def _rois(file, module, name):
    table = pynwb.ophys.PlaneSegmentation(name=name, description="d", imaging_plane=_plane(file))
    table.add_column("global_roi_id", "d")
    for number in (7, 8):
        table.add_roi(id=number, global_roi_id=500 + number, pixel_mask=[(1, 2, 1.0)])
    module.add(pynwb.ophys.ImageSegmentation(name="ImageSegmentation", plane_segmentations=table))
    return table.create_roi_table_region("d", region=[0, 1])


@pytest.fixture
def nwb():
    global pynwb
    pynwb = pytest.importorskip("pynwb", reason="needs pynwb: pip install pynwb")
    now = datetime.datetime(2016, 6, 13, tzinfo=datetime.UTC)
    return pynwb.NWBFile("session", "501271265", now)


def _written(nwb, path):
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return na.open_datatree(path)[path.stem]


def test_visual_coding_as_dandi_000728_has_it(nwb, tmp_path):
    times = np.arange(50) / 30 + 5
    ophys = nwb.create_processing_module("ophys", "d")
    rois = _rois(nwb, ophys, "PlaneSegmentation")
    kinds = {
        "Fluorescence": ("Neuropil", "Corrected", "Demixed"),
        "DfOverF": ("DfOverF", "DfOverFEvents"),
    }
    for container, names in kinds.items():
        inside = [_traces(name, float(i), rois, times) for i, name in enumerate(names)]
        ophys.add(getattr(pynwb.ophys, container)(name=container, roi_response_series=inside))
    behavior = nwb.create_processing_module("behavior", "d")
    speed = pynwb.TimeSeries(
        name="running_speed", data=np.arange(50.0), unit="cm/s", timestamps=times
    )
    behavior.add(pynwb.behavior.BehavioralTimeSeries(time_series=speed))
    for name, kind, unit in (
        ("pupil_location", "EyeTracking", "m"),
        ("pupil_location_spherical", "CompassDirection", "degrees"),
    ):
        gaze = pynwb.behavior.SpatialSeries(
            name=name, data=np.ones((50, 2)), timestamps=times, unit=unit, reference_frame="r"
        )
        behavior.add(getattr(pynwb.behavior, kind)(spatial_series=gaze))
    gratings = pynwb.epoch.TimeIntervals(name="drifting_gratings", description="d")
    gratings.add_column("orientation_in_degrees", "d")
    gratings.add_interval(start_time=5.5, stop_time=6.0, orientation_in_degrees=45.0)
    nwb.add_stimulus(gratings)
    movie = pynwb.image.ImageSeries(
        name="natural_movie_one",
        data=np.zeros((3, 4, 5), np.uint8),
        unit="n.a.",
        starting_time=0.0,
        rate=30.0,
    )
    nwb.add_stimulus_template(movie)
    session = _written(nwb, tmp_path / "sub-1_ses-501271265.nwb")
    assert session["VISp/DfOverF"].unit_id.values.tolist() == [7, 8]
    assert session["VISp/DfOverF"].global_roi_id.values.tolist() == [507, 508]
    assert {"DfOverF", "DfOverFEvents", "Corrected", "Neuropil", "Demixed"} <= set(
        session["VISp"].children
    )
    assert session["running"].speed.values[-1] == 49
    assert session["presentations/drifting_gratings"].orientation_in_degrees.values.tolist() == [45]
    assert session["stimulus/natural_movie_one"].sizes["frame"] == 3
    assert "pupil" in session.children
    aligned = na.align(session.root, "drifting_gratings", 0.1)["sub-1_ses-501271265/VISp"]
    assert aligned["responses"].attrs.get("signal", aligned.attrs.get("signal")) == "DfOverF"


def test_visual_behavior_ophys(nwb, tmp_path):
    times = np.arange(50) / 30 + 5
    ophys = nwb.create_processing_module("ophys", "d")
    rois = _rois(nwb, ophys, "cell_specimen_table")

    def traces(name):
        return _traces(name, 1.0, rois, times)

    ophys.add(pynwb.ophys.DfOverF(name="dff", roi_response_series=traces("traces")))
    ophys.add(
        pynwb.ophys.Fluorescence(
            name="corrected_fluorescence", roi_response_series=traces("traces")
        )
    )
    ophys.add(traces("event_detection"))
    for module, names in {
        "running": ["speed"],
        "licking": ["licks"],
        "rewards": ["volume", "autorewarded"],
    }.items():
        made = nwb.create_processing_module(module, "d")
        for name in names:
            unit = "cm/s" if name == "speed" else "n.a."
            made.add(
                pynwb.TimeSeries(
                    name=name, data=np.arange(4.0), unit=unit, timestamps=[5.0, 5.4, 6.0, 6.2]
                )
            )
    nwb.add_trial_column("change_time", "d")
    nwb.add_trial(start_time=5.0, stop_time=6.0, change_time=5.5)
    shown = pynwb.epoch.TimeIntervals(name="natural_images_presentations", description="d")
    shown.add_column("image_name", "d")
    shown.add_interval(start_time=5.1, stop_time=5.35, image_name="im065")
    nwb.add_time_intervals(shown)
    session = _written(nwb, tmp_path / "behavior_ophys_experiment_951980471.nwb")
    assert {"event_detection", "traces"} <= set(session["VISp"].children)
    assert set(session["presentations"].children) == {"trials", "natural_images_presentations"}
    assert session["running"].speed.attrs["units"] == "cm/s"
    assert session["events/licks"].event_time.size == 4
    assert any("volume" in name or "rewards" in name for name in session["events"].children)
    aligned = na.align(session.root, "natural_images_presentations", 0.05)
    area = aligned["behavior_ophys_experiment_951980471/VISp"]
    assert "dff" in str(area["responses"].attrs.get("nwb_path"))
