"""Kinds of objects that few files have: pictures one by one, fibres, places of electrodes, several tables of units."""

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import NotInTree

TEXT = h5py.string_dtype()


def group(file, path, kind, **arrays):
    made = file.create_group(path)
    made.attrs["neurodata_type"] = kind
    for name, values in arrays.items():
        made[name] = values
    return made


def table(file, path, kind, **columns):
    made = group(file, path, kind, **columns)
    made.attrs["colnames"] = [name for name in columns if name != "id"]
    return made


def region(place, name, rows, target, ends=None):
    place[name] = np.asarray(rows)
    place[name].attrs["neurodata_type"] = "DynamicTableRegion"
    place[name].attrs["table"] = target.ref
    if ends is not None:
        place[f"{name}_index"] = np.asarray(ends)
        place[f"{name}_index"].attrs["neurodata_type"] = "VectorIndex"


def units(file, path, times, ends):
    made = table(file, path, "Units", id=np.arange(len(ends)), spike_times=np.asarray(times, "f8"))
    made["spike_times_index"] = np.asarray(ends)
    made["spike_times_index"].attrs["neurodata_type"] = "VectorIndex"
    return made


@pytest.fixture
def session(tmp_path):
    """`session(edit)` writes a file by `edit(file)` and opens it."""

    def opened(edit, **options):
        with h5py.File(tmp_path / "s.nwb", "w") as file:
            file.attrs["nwb_version"] = "2.8.0"
            edit(file)
        return na.open_datatree(tmp_path / "s.nwb", **options)["s"]

    return opened


# ------------------------------------------------------------------------------------- pictures


def pictures(file, order="cab", shapes=((2, 3),) * 3):
    made = group(file, "stimulus/templates/scenes", "Images")
    for number, (name, shape) in enumerate(zip("abc", shapes, strict=True)):
        made[name] = np.full(shape, number, "u1")
        made[name].attrs["neurodata_type"] = "GrayscaleImage"
    if order:
        made.create_dataset("order_of_images", (len(order),), h5py.ref_dtype)
        for row, name in enumerate(order):
            made["order_of_images"][row] = made[name].ref
    return made


def test_pictures_in_their_order_and_which_was_shown(session):
    def edit(file):
        made = pictures(file)
        shown = group(
            file, "stimulus/presentation/shown", "IndexSeries", data=[1, 0], timestamps=[0.0, 1.0]
        )
        shown["indexed_images"] = h5py.SoftLink(made.name)

    found = session(edit)
    node = found["stimulus/scenes"]
    assert node.images.dims[0] == "frame"
    assert node.images.values[:, 0, 0].tolist() == [2, 0, 1]
    assert node.image_name.values.tolist() == ["c", "a", "b"]
    shown = found["shown"].shown
    assert shown.attrs["frames_of"] == "stimulus/scenes"
    frames = found[shown.attrs["frames_of"]].images[shown.values]
    assert frames.values[:, 0, 0].tolist() == [0, 2]
    assert not any("scenes" in note for note in found.attrs["notes"])


def test_an_order_that_is_not_of_all_pictures_is_a_note(session):
    found = session(lambda file: pictures(file, "ca"))
    assert found["stimulus/scenes"].image_name.values.tolist() == ["a", "b", "c"]
    assert any("names 2 pictures, there are 3" in note for note in found.attrs["notes"])


def test_pictures_of_several_shapes_stand_one_by_one(session):
    found = session(lambda file: pictures(file, "", ((2, 3), (2, 3, 3), (4, 4))))
    assert {n: v.shape for n, v in found["stimulus/scenes"].data_vars.items()} == {
        "a": (2, 3), "b": (2, 3, 3), "c": (4, 4),
    }  # fmt: skip


def test_a_picture_in_a_file_that_is_not_there_is_a_note(session):
    def edit(file):
        made = pictures(file, "")
        made["d"] = np.array("photo.png", TEXT)

    found = session(edit)
    assert found["stimulus/scenes"].images.shape == (3, 2, 3)
    assert any("scenes/d (expected a file in the folder" in note for note in found.attrs["notes"])


# --------------------------------------------------------------------------------------- fibres


def fibres(file, rows, samples=5):
    places = np.array(["VTA", "NAc", "DMS"], TEXT)
    path = "general/fiber_photometry/fiber_photometry_table"
    target = table(file, path, "FiberPhotometryTable", id=[0, 1, 2], location=places.astype(TEXT))
    data = np.arange(samples * 2.0).reshape(samples, 2)
    made = group(
        file,
        "acquisition/dff",
        "FiberPhotometryResponseSeries",
        data=data,
        timestamps=np.arange(float(samples)),
    )
    region(made, "fiber_photometry_table_region", rows, target)


@pytest.mark.parametrize("samples", [5, 2])
def test_columns_of_fibre_photometry_are_fibres(session, samples):
    node = session(lambda file: fibres(file, [2, 0], samples))["dff"]
    assert node.dff.dims == ("time", "channel")
    assert node.channel.values.tolist() == [2, 0]
    assert node.location.values.tolist() == ["DMS", "VTA"]
    assert set(node.data_vars) == {"dff"}


def test_a_fibre_that_is_no_row_is_a_note(session):
    found = session(lambda file: fibres(file, [2, 7]))
    assert found["dff"].channel.values.tolist() == [0, 1]
    assert any("1 of 2 row numbers are no row" in note for note in found.attrs["notes"])


# ------------------------------------------------------------------------------ units and places


def sorted_units(file, rows=(1, 2, 0), ends=(2, 2, 3)):
    path = "general/extracellular_ephys/electrodes"
    places = np.array(["CA1", "CA1", "CA3"], object)
    target = table(
        file, path, "DynamicTable", id=[4, 5, 6], x=[1.0, 2.0, 3.0], rel_y=np.array([10, 20, 30])
    )
    target["location"] = places.astype(TEXT)
    made = units(file, "units", [0.1, 0.2, 0.3], [1, 2, 3])
    region(made, "electrodes", rows, target, ends)


def test_where_the_electrode_of_a_unit_is_stands_beside_it(session):
    found = session(sorted_units)
    node = found["CA1/spikes"]
    assert node.unit_id.values.tolist() == [0, 2]
    assert node.electrode_x.values.tolist() == [2.0, 1.0]
    assert node.electrode_rel_y.values.tolist() == [20.0, 10.0]
    assert np.isnan(found["unknown/spikes"].electrode_x.values).all()


def test_an_electrode_that_is_no_row_is_nowhere(session):
    found = session(lambda file: sorted_units(file, rows=(9, 2, 0)))
    assert np.isnan(found["unknown/spikes"].electrode_x.values).all()
    assert any("1 of 3 row numbers are no row" in note for note in found.attrs["notes"])


def several(file):
    units(file, "units", [0.1, 0.2], [2])
    units(file, "processing/ecephys/curated", [1.0, 2.0, 3.0], [1, 3])


@pytest.mark.parametrize(
    ("chosen", "sizes"),
    [("units", [2]), ("curated", [1, 2]), ("/processing/ecephys/curated", [1, 2])],
)
def test_one_of_several_tables_of_units_by_its_name(session, chosen, sizes):
    found = session(several, units=chosen)
    assert [node.path for node in found.subtree if node.name == "spikes"] == ["/s/unknown/spikes"]
    assert found["unknown/spikes"].row_size.values.tolist() == sizes
    assert "notes" not in found.attrs


def test_all_tables_of_units_or_none_of_that_name(session, tmp_path):
    assert {"unknown", "curated_unknown"} <= set(session(several).children)
    with pytest.raises(NotInTree, match=r"sorted.*curated"):
        na.open_datatree(tmp_path / "s.nwb", units="sorted")


# --------------------------------------------------------------------------------------- events


def test_events_of_every_version_of_the_extension(session):
    """ndx-events 0.2: series and a table of kinds; 0.4, and NWB itself since 2.10: tables of events."""

    def edit(file):
        group(file, "acquisition/licks", "Events", timestamps=[1.0, 2.0])
        made = group(
            file, "acquisition/cues", "LabeledEvents", timestamps=[1.0, 2.0], data=np.array([1, 0])
        )
        made["data"].attrs["labels"] = ["left", "right"]
        kinds = table(
            file,
            "processing/events/kinds",
            "AnnotatedEventsTable",
            id=[0, 1],
            event_times=[3.0, 1.0, 2.0],
        )
        kinds["event_times_index"] = np.array([1, 3])
        kinds["event_times_index"].attrs["neurodata_type"] = "VectorIndex"
        kinds["label"] = np.array(["a", "b"], object).astype(TEXT)
        late = table(
            file,
            "processing/events/stimuli",
            "EventsTable",
            id=[0, 1],
            timestamp=[1.0, 2.0],
            duration=[0.1, 0.2],
        )
        own = table(file, "events/pulses", "EventsTable", id=[0, 1], timestamp=[5.0, 6.0])
        for made in (late, own):
            made["timestamp"].attrs["neurodata_type"] = "TimestampVectorData"

    events = session(edit)["events"]
    assert set(events.children) == {"licks", "cues", "kinds", "stimuli", "pulses"}
    assert events["cues"].label.values.tolist() == ["right", "left"]
    assert events["kinds"].event_time.values.tolist() == [1.0, 2.0, 3.0]
    assert events["kinds"].label.values.tolist() == ["b", "b", "a"]
    assert events["stimuli"].duration.values.tolist() == [0.1, 0.2]
    assert events["pulses"].event_time.values.tolist() == [5.0, 6.0]
