"""One odd object costs that object and a note, never the file, and never later.

A good small file, one thing changed in it; what is still good is there, what is odd is in the
tree as it must be or in the notes by its path, and everything in the tree can be read.
"""

import json
import re
import shutil

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import load
from neuroarrays.testing.sources import close_all

TEXT = h5py.string_dtype()
TRIALS, UNITS = "intervals/trials", "units"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "s.nwb"
    write_nwb(path, parts=("units", "trials"), units=4, trials=6)
    return path


@pytest.fixture
def changed(tmp_path, good, accounts):
    """`changed(edit)` writes a file, lets `edit(file)` change it, and opens and reads it all."""

    def open_changed(edit):
        path = shutil.copy(good, tmp_path / "s.nwb")
        with h5py.File(path, "a") as file:
            edit(file)
        tree = na.open_datatree(path, engine="nwb")
        load(tree)
        na.validate(tree, values=True)
        assert accounts.lost(path, tree["s"]) == []
        return tree["s"]

    yield open_changed
    close_all()


def notes(session):
    return "; ".join(np.atleast_1d(session.attrs.get("notes", [])).tolist())


def put(file, path, data, **attrs):
    """A dataset in the place of what may be there."""
    if path in file:
        del file[path]
    made = file.create_dataset(path, data=data)
    made.attrs.update(attrs)
    return made


def series(file, path, data, times=None, rate=None, unit="V", kind="TimeSeries", **attrs):
    group = file.create_group(path)
    group.attrs["neurodata_type"] = kind
    put(group, "data", data, unit=unit, **attrs)
    if times is not None:
        put(group, "timestamps", times)
    if rate is not None:
        put(group, "starting_time", 0.0, rate=rate)
    return group


def table(file, path, kind, index=None, **columns):
    group = file.create_group(path)
    group.attrs["neurodata_type"] = kind
    for name, values in columns.items():
        values = np.asarray(values)
        put(group, name, values.astype(TEXT) if values.dtype.kind == "U" else values)
    for name, ends in (index or {}).items():
        put(group, f"{name}_index", ends, neurodata_type="VectorIndex")
    return group


REFERENCE = h5py.Reference
COLUMNS = {
    "compound": (np.zeros(6, [("a", "f8")]), "compound values"),
    "complex": (np.zeros(6, complex), "values of type complex128"),
    "opaque": (np.zeros(6, "V2"), "opaque values"),
    "scalar": (3.0, r"shape \(\) for 6 rows"),
    "too_long": (np.zeros(7), r"shape \(7,\) for 6 rows"),
    "nothing": (h5py.Empty("f8"), r"shape \(0,\) for 6 rows"),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("place", [TRIALS, UNITS])
def test_a_column_that_cannot_be_one(changed, place, name):
    data, reason = COLUMNS[name]
    if place == UNITS and np.shape(data) == (6,):
        data = data[:4]
    session = changed(lambda file: put(file, f"{place}/{name}", data))
    reason = reason if place == TRIALS else reason.replace("6", "4")
    assert re.search(rf"{place}/{name} \({reason}", notes(session))
    assert session["presentations/trials"].sizes["presentation_id"] == 6
    assert name not in session["presentations/trials"]


@pytest.mark.parametrize("kind", ["vlen", "region", "external", "dangling", "circle", "storage"])
def test_a_column_that_is_elsewhere_or_of_arrays(changed, kind):
    def edit(file):
        group = file[TRIALS]
        if kind == "vlen":
            group.create_dataset("odd", (6,), h5py.vlen_dtype("f8"))
        elif kind == "region":
            group.create_dataset("odd", (6,), h5py.regionref_dtype)
        elif kind == "storage":
            group.create_dataset("odd", (6,), "f8", external=[("elsewhere.bin", 0, 48)])
        else:
            links = {
                "external": h5py.ExternalLink("elsewhere.h5", "/odd"),
                "dangling": h5py.SoftLink("/elsewhere"),
                "circle": h5py.SoftLink("odd"),
            }
            group["odd"] = links[kind]

    session = changed(edit)
    assert "odd" not in session["presentations/trials"]
    assert re.search(r"intervals/trials/odd \(", notes(session))


def test_references_to_nothing_are_empty_text(changed):
    def edit(file):
        gone = file.create_dataset("gone", data=1).ref
        rows = file[TRIALS].create_dataset("of", (6,), h5py.ref_dtype)
        rows[0], rows[1] = file["units"].ref, gone
        del file["gone"]

    session = changed(edit)
    assert session["presentations/trials"]["of"].values.tolist() == ["/units", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([2, 4], "expected 6 row ends, found 2"),
        ([1, 2, 3, 4, 5, 90], "at most 6, found values from 1 to 90"),
        ([3, 2, 3, 4, 5, 6], "row ends that grow"),
        ([0.5, 1, 2, 3, 4, 5], "row ends that grow"),
        ([[1, 2, 3], [4, 5, 6]], "a list of row ends"),
    ],
)
def test_an_index_that_does_not_fit_costs_its_column(changed, ends, reason):
    def edit(file):
        put(file, f"{TRIALS}/v", np.arange(6.0))
        put(file, f"{TRIALS}/v_index", ends, neurodata_type="VectorIndex")

    session = changed(edit)
    assert "v" not in session["presentations/trials"]
    assert f"{TRIALS}/v ({TRIALS}/v_index: expected" in notes(session)
    assert reason in notes(session)


def test_values_of_no_row_are_said(changed):
    def edit(file):
        put(file, f"{TRIALS}/v", np.arange(9.0))
        put(file, f"{TRIALS}/v_index", [1, 2, 3, 4, 5, 6], neurodata_type="VectorIndex")
        file["units/spike_times_index"][-1] -= 3

    session = changed(edit)
    assert session["presentations/trials"]["v"].values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert f"{TRIALS}/v: the last 3 of 9 values belong to no row" in notes(session)
    assert "units/spike_times: the last 3 of" in notes(session)


def test_ragged_of_ragged_of_ragged(changed):
    def edit(file):
        put(file, f"{TRIALS}/v", np.arange(7.0))
        put(file, f"{TRIALS}/w", np.array(list("abcdefg"), TEXT))
        for name in "vw":
            put(file, f"{TRIALS}/{name}_index", [2, 3, 7], neurodata_type="VectorIndex")
            put(file, f"{TRIALS}/{name}_index_index", [1, 3], neurodata_type="VectorIndex")
            ends = [0, 1, 1, 2, 2, 2]
            put(file, f"{TRIALS}/{name}_index_index_index", ends, neurodata_type="VectorIndex")

    session = changed(edit)
    values = session["presentations/trials"]["v"].values
    assert values.shape == (6, 1, 2, 4)
    np.testing.assert_array_equal(values[1, 0, 0], [0, 1, np.nan, np.nan])
    np.testing.assert_array_equal(values[3, 0], [[2, np.nan, np.nan, np.nan], [3, 4, 5, 6]])
    assert np.isnan(values[[0, 2, 4, 5]]).all()
    texts = session["presentations/trials"]["w"].values.tolist()
    assert texts == ["", "a, b", "", "c; d, e, f, g", "", ""]


def test_one_long_row_is_not_padded_to_gigabytes(changed):
    def edit(file):
        put(file, f"{TRIALS}/v", np.zeros(2_000_000, "i1"))
        ends = np.full(6, 2_000_000)
        put(file, f"{TRIALS}/v_index", ends, neurodata_type="VectorIndex")

    session = changed(edit)
    assert f"{TRIALS}/v (expected rows of about the same length" in notes(session)


def test_columns_that_end_in_index(changed):
    def edit(file):
        for name, values in (("stimulus", list("abcdef")), ("stimulus_index", range(6))):
            values = np.array(values, TEXT if name == "stimulus" else int)
            put(file, f"{TRIALS}/{name}", values, neurodata_type="VectorData")
        put(file, f"{TRIALS}/block_index", np.arange(6))

    rows = changed(edit)["presentations/trials"]
    assert rows["stimulus_index"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["block_index"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["stimulus"].values.tolist() == list("abcdef")


@pytest.mark.parametrize("named", [True, False])
def test_enumerated_columns_are_their_labels(changed, named):
    def edit(file):
        labels = put(file, "units/kind_elements", np.array(["good", "mua"], TEXT))
        column = put(file, "units/kind", np.array([1, 0, 1, 7], "u1"), neurodata_type="EnumData")
        if named:
            column.attrs["elements"] = labels.ref

    session = changed(edit)
    kinds = {}
    for node in session.subtree:
        assert "kind_elements" not in node.variables
        if "kind" in node.variables:
            kinds |= dict(
                zip(node["unit_id"].values.tolist(), node["kind"].values.tolist(), strict=True)
            )
    assert [kinds[unit] for unit in sorted(kinds)] == ["mua", "good", "mua", ""]
    assert "units/kind: 1 of 4 codes have no label" in notes(session)


def test_rows_of_a_table_that_are_none(changed):
    def edit(file):
        column = put(file, f"{TRIALS}/unit", np.array([0, 1, 2, 3, 4, -1]))
        column.attrs["neurodata_type"], column.attrs["table"] = (
            "DynamicTableRegion",
            file["units"].ref,
        )

    session = changed(edit)
    assert session["presentations/trials"]["unit"].attrs["rows_of"] == "units"
    assert f"{TRIALS}/unit: 2 of 6 row numbers are no row of units" in notes(session)


@pytest.mark.parametrize("place", [TRIALS, UNITS])
@pytest.mark.parametrize(
    "ids", [None, [5], np.arange(90), [[1, 2]], 4, list("abcdefghi"), np.full(9, np.nan)], ids=str
)
def test_identifiers_that_are_none(changed, place, ids):
    n = 6 if place == TRIALS else 4
    short = isinstance(ids, list | np.ndarray) and np.shape(ids) == (9,)

    def edit(file):
        del file[f"{place}/id"]
        if ids is not None:
            values = np.asarray(ids[:n] if short else ids)
            put(file, f"{place}/id", values.astype(TEXT) if values.dtype.kind == "U" else values)

    session = changed(edit)
    nodes = (
        [session["presentations/trials"]]
        if place == TRIALS
        else [node for node in session.subtree if node.name == "spikes"]
    )
    dim = "presentation_id" if place == TRIALS else "unit_id"
    found = sorted(i for node in nodes for i in node[dim].values.tolist())
    assert found == list(range(n))
    if ids is not None and not (isinstance(ids, list) and ids[0] == "a"):
        assert f"{place}/" in notes(session)


def test_text_identifiers_are_labels(changed):
    session = changed(lambda file: put(file, f"{TRIALS}/id", np.array(list("abcdef"), TEXT)))
    assert session["presentations/trials"]["id"].values.tolist() == list("abcdef")


def test_fewer_ends_than_units_leave_the_others_out(changed):
    def edit(file):
        ends = file["units/spike_times_index"][()]
        put(file, "units/spike_times_index", ends[:3], neurodata_type="VectorIndex")
        edit.ids, edit.lost = file["units/id"][()].tolist(), int(ends[3] - ends[2])

    session = changed(edit)
    units = [u for node in session.subtree if node.name == "spikes" for u in node["unit_id"].values]
    assert sorted(units) == sorted(edit.ids[:3])
    assert "ends of 3 units for 4 identifiers; of the last 1 unit no spikes" in notes(session)
    assert f"units/spike_times: the last {edit.lost} of" in notes(session)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("spike_times", np.array(["1"] * 5, object)),
        ("spike_times", np.zeros((5, 1))),
        ("spike_times", 1.0),
        ("spike_times", None),
        ("spike_times_index", None),
        ("spike_times_index", [9, 1, 2, 3]),
    ],
)
def test_units_that_cannot_be_read_cost_the_units(changed, name, data):
    def edit(file):
        del file[f"units/{name}"]
        if data is not None:
            put(file, f"units/{name}", data)

    session = changed(edit)
    assert session.attrs["notes"][0] == "no units with spikes"
    assert re.search(r"units \(.*spike_times", notes(session))
    assert "trials" in session["presentations"]


def test_whole_seconds_are_times(changed):
    def edit(file):
        put(file, f"{TRIALS}/start_time", np.arange(6))
        put(file, f"{TRIALS}/stop_time", np.arange(6) + 1)
        put(file, "units/spike_times", np.arange(file["units/spike_times"].size))
        series(file, "acquisition/x", np.zeros(3), times=np.arange(3))

    session = changed(edit)
    assert session["presentations/trials"]["stop_time"].dtype == float
    assert session["x"]["time"].values.tolist() == [0, 1, 2]
    assert "units/spike_times: whole numbers" in notes(session)


@pytest.mark.parametrize("odd", ["text", "scalar", "2d", "missing"])
def test_presentations_without_starts_cost_their_table(changed, odd):
    data = {"text": np.array(list("abcdef"), TEXT), "scalar": 1.0, "2d": np.zeros((6, 2))}

    def edit(file):
        del file[f"{TRIALS}/start_time"]
        if odd in data:
            put(file, f"{TRIALS}/start_time", data[odd])

    session = changed(edit)
    assert "presentations" not in session
    assert f"{TRIALS} (" in notes(session)


# ------------------------------------------------------------------------------------- series


@pytest.mark.parametrize(
    "times",
    [
        np.arange(3.0),
        np.arange(9.0),
        np.zeros(0),
        np.zeros((5, 2)),
        1.0,
        np.array(["0"] * 5, object),
    ],
    ids=["short", "long", "none", "2d", "scalar", "text"],
)
def test_time_stamps_that_do_not_fit_cost_their_series(changed, times):
    def edit(file):
        series(file, "acquisition/odd", np.arange(5.0), times)
        series(file, "acquisition/good", np.arange(5.0), np.arange(5.0))

    session = changed(edit)
    assert "odd" not in session
    assert session["good"]["good"].values.tolist() == [0, 1, 2, 3, 4]
    assert "acquisition/odd (acquisition/odd/timestamps: expected" in notes(session)


SHAPES = {"row": lambda v: v[None], "column": lambda v: v[:, None]}


@pytest.mark.parametrize("shape", SHAPES)
def test_lists_of_matlab_may_be_a_row_or_a_column(changed, good, shape):
    names = [
        *(f"{TRIALS}/{name}" for name in ("id", "start_time", "stop_time")),
        *(f"{UNITS}/{name}" for name in ("id", "spike_times", "spike_times_index")),
    ]

    def edit(file):
        series(
            file, "processing/running/speed", np.arange(5.0)[None], np.arange(1.0, 6.0), unit="cm/s"
        )
        put(file, f"{TRIALS}/side", np.arange(6))
        for name in (*names, f"{TRIALS}/side", "processing/running/speed/timestamps"):
            attrs, values = dict(file[name].attrs), file[name][:]
            put(file, name, SHAPES[shape](values), **attrs)

    session = changed(edit)
    plain = na.open_datatree(good)["s"]
    for path in ("presentations/trials", "VISp/spikes"):
        wanted = plain[path].to_dataset()
        assert session[path].to_dataset().drop_vars("side", errors="ignore").identical(wanted)
    assert session["presentations/trials"]["side"].dims == ("presentation_id",)
    assert session["running"]["time"].values.tolist() == [1, 2, 3, 4, 5]
    assert "not in the tree" not in notes(session)


def test_a_table_of_one_row_may_be_of_single_values(changed):
    def edit(file):
        del file[TRIALS], file[UNITS]
        table(file, TRIALS, "TimeIntervals", id=7, start_time=0.5, stop_time=1.5, side="left")
        table(file, UNITS, "Units", id=3, spike_times=0.75, index={"spike_times": 1})

    session = changed(edit)
    rows = session["presentations/trials"].to_dataset().to_dataframe()
    assert rows.reset_index().values.tolist() == [[7, 0.5, 1.5, "left"]]
    spikes = session["unknown/spikes"]
    assert (spikes["unit_id"].values.tolist(), spikes["spike_times"].values.tolist()) == (
        [3],
        [0.75],
    )


def test_spikes_of_one_unit_need_no_index(changed):
    def edit(file):
        del file[UNITS]
        table(file, UNITS, "Units", id=[3], spike_times=[0.25, 0.75])

    assert changed(edit)["unknown/spikes"]["row_size"].values.tolist() == [2]


def test_spikes_without_an_index_are_of_nobody(changed):
    session = changed(lambda file: file.pop(f"{UNITS}/spike_times_index"))
    assert "expected spike_times_index, which tells whose" in notes(session)
    assert "found none, for 4 identifiers" in notes(session)


def test_ends_of_rows_may_be_floats(changed, good):
    def edit(file):
        ends = file[f"{UNITS}/spike_times_index"][:]
        put(file, f"{UNITS}/spike_times_index", ends.astype(float))

    spikes = changed(edit)["VISp/spikes"].to_dataset()
    assert spikes.identical(na.open_datatree(good)["s/VISp/spikes"].to_dataset())


@pytest.mark.parametrize(("unit", "rate"), [("milliseconds", 1e3), ("us", 1e6), ("seconds", 1.0)])
def test_times_in_a_stated_unit_are_seconds(tmp_path, good, unit, rate):
    path = shutil.copy(good, tmp_path / "s.nwb")
    with h5py.File(path, "a") as file:
        series(file, "acquisition/x", np.zeros(3), times=np.arange(3) * rate)
        for name in ("spike_times", "start_time", "stop_time"):
            place = UNITS if name == "spike_times" else TRIALS
            file[f"{place}/{name}"][...] *= rate
            file[f"{place}/{name}"].attrs["unit"] = unit
        file["acquisition/x/timestamps"].attrs["unit"] = unit
    session, plain = na.open_datatree(path)["s"], na.open_datatree(good)["s"]
    assert session["x"]["time"].values.tolist() == [0, 1, 2]
    for node, name in (
        ("VISp/spikes", "spike_times"),
        ("presentations/trials", "stop_time"),
        ("observed", "stop_time"),
    ):
        np.testing.assert_allclose(session[node][name].values, plain[node][name].values)
    close_all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "ids", [[1, np.nan, 2, 3], [1.5, 2, 3, 4], np.array([2**63, 1, 2, 3], "u8")]
)
def test_identifiers_that_are_no_whole_numbers_are_numbered(changed, ids):
    session = changed(lambda file: put(file, f"{UNITS}/id", ids))
    assert session["VISp/spikes"]["unit_id"].values.tolist() == [0, 2]
    assert "units/id (not all are whole numbers" in notes(session)


def test_an_enumerated_type_gives_its_names(changed):
    sides = h5py.enum_dtype({"left": 0, "right": 1}, basetype="u1")
    codes = np.array([0, 1, 1, 0, 1, 2], "u1")

    def edit(file):
        file[TRIALS].create_dataset("side", data=codes, dtype=sides)
        group = series(file, "acquisition/ttl", np.zeros(6), times=np.arange(6.0))
        del group["data"]
        group.create_dataset("data", data=codes, dtype=sides)

    session, texts = changed(edit), ["left", "right", "right", "left", "right", "2"]
    assert session["presentations/trials"]["side"].values.tolist() == texts
    assert session["events/ttl"]["value"].values.tolist() == texts


def test_text_that_is_no_utf8_keeps_its_letters(changed):
    def edit(file):
        put(
            file,
            f"{TRIALS}/side",
            np.array([text.encode("latin-1") for text in ["für", "för"] * 3]),
        )
        series(file, "acquisition/x", np.zeros(3), rate=1.0, unit=np.bytes_(b"\xb5V"))

    session = changed(edit)
    assert session["presentations/trials"]["side"].values.tolist() == ["für", "för"] * 3
    assert session["x"]["x"].attrs["units"] == "µV"


@pytest.mark.parametrize(("unit", "stored"), [("meters per second", 0.5), ("cm/sec", 50.0)])
def test_running_speed_in_other_words_is_cm_per_second(changed, unit, stored):
    def edit(file):
        series(file, "processing/running/speed", np.full(3, stored), np.arange(3.0), unit=unit)

    speed = changed(edit)["running"]["speed"]
    assert (speed.values.tolist(), speed.attrs["units"]) == ([50.0] * 3, "cm/s")


def test_an_area_may_be_called_as_a_node_of_the_tree(changed):
    def edit(file):
        electrodes = "general/extracellular_ephys/electrodes/location"
        names = {b"VISp": "observed", b"CA1": "events"}
        put(file, electrodes, np.array([names[area] for area in file[electrodes][:]], TEXT))

    session = changed(edit)
    assert session["observed_area/spikes"].sizes["unit_id"] == 2
    assert session["events_area/spikes"].sizes["unit_id"] == 2
    assert set(session["observed"].to_dataset()) == {"start_time", "stop_time"}


def test_electrodes_tell_which_axis_of_an_electrical_series_is_time(changed):
    def edit(file):
        electrodes = "general/extracellular_ephys/electrodes"
        del file[electrodes]
        table(file, electrodes, "DynamicTable", id=[5, 6, 7])
        group = series(
            file, "acquisition/lfp", np.arange(12).reshape(3, 4), rate=10.0, conversion=0.5
        )
        put(group, "electrodes", [0, 1, 2])
        put(group, "channel_conversion", [1.0, 2.0, 4.0])

    lfp = changed(edit)["lfp"]
    assert (lfp["channel"].values.tolist(), lfp.sizes["time"]) == ([5, 6, 7], 4)
    assert lfp["lfp"].values[1].tolist() == [0.5, 5.0, 18.0]


@pytest.mark.parametrize("what", ["external", "dangling", "circle", "loop"])
def test_links_of_series(changed, what):
    def edit(file):
        links = {
            "external": h5py.ExternalLink("raw.nwb", "/acquisition/raw"),
            "dangling": h5py.SoftLink("/nowhere"),
            "circle": h5py.SoftLink("raw"),
        }
        file["acquisition/raw"] = links.get(what) or file["/"]

    session = changed(edit)
    assert "acquisition/raw (" in notes(session)
    if what == "dangling":
        assert "a link to /nowhere, which is not there" in notes(session)


def test_names_that_are_no_utf8(changed):
    def edit(file):
        group = h5py.Group(h5py.h5g.create(file.require_group("acquisition").id, b"caf\xe9"))
        group["data"] = np.arange(3.0)
        put(group, "starting_time", 0.0, rate=1.0)

    session = changed(edit)
    assert session["caf_"]["caf\\udce9"].values.tolist() == [0, 1, 2]


def test_scalars_that_are_arrays_of_one(changed):
    def edit(file):
        group = series(file, "acquisition/x", np.arange(4.0), conversion=np.array([2.0]))
        put(group, "starting_time", np.array([0.5]), rate=np.array([2.0]))

    session = changed(edit)
    assert session["x"]["time"].values.tolist() == [0.5, 1, 1.5, 2]
    assert session["x"]["x"].values.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("conversion", [np.nan, 0.0, "x", [1.0, 2.0]])
def test_a_conversion_that_is_no_factor(changed, conversion):
    session = changed(
        lambda file: series(file, "acquisition/x", np.arange(4.0), rate=1.0, conversion=conversion)
    )
    assert session["x"]["x"].values.tolist() == [0, 1, 2, 3]
    assert "units" not in session["x"]["x"].attrs
    assert "acquisition/x/data: conversion is" in notes(session)


def test_a_factor_for_each_channel(changed):
    def edit(file):
        stored = np.arange(12, dtype="i2").reshape(4, 3)
        group = series(file, "acquisition/es", stored, rate=10.0, conversion=0.5, offset=0.25)
        put(group, "channel_conversion", [1.0, 2.0, 4.0], axis=1)
        short = series(file, "acquisition/bad", stored, rate=10.0)
        put(short, "channel_conversion", [1.0, 2.0])

    session = changed(edit)
    es = session["es"]["es"]
    expected = np.arange(12).reshape(4, 3) * [0.5, 1, 2] + 0.25
    np.testing.assert_allclose(es.values, expected)
    np.testing.assert_allclose(es[2, 1:].values, expected[2, 1:])
    np.testing.assert_allclose(es[::2, 0].values, expected[::2, 0])
    assert float(es[1, 2]) == expected[1, 2]
    assert "bad" not in session
    assert "channel_conversion: expected a factor for each of 3 columns" in notes(session)


def test_rows_of_samples(changed):
    def edit(file):
        times = np.arange(5.0)
        series(file, "processing/running/speed", times[None], times, unit="cm/s")
        xy = np.stack([times, -times])
        series(file, "processing/behavior/Position/xy", xy, times, unit="cm", kind="SpatialSeries")

    session = changed(edit)
    assert session["running"]["speed"].values.tolist() == [0, 1, 2, 3, 4]
    assert session["position"]["x"].values.tolist() == [0, 1, 2, 3, 4]
    assert session["position"]["y"].values.tolist() == [0, -1, -2, -3, -4]
    assert "unknown" not in session


@pytest.mark.parametrize(
    ("container", "kind", "name", "unit", "halfway"),
    [
        ("hd", "CompassDirection", "theta", "degrees", 0),
        ("m", "", "heading", "deg", 0),
        ("m", "", "elevation", "degrees", 180),
        ("c", "CompassDirection", "wheel", "degrees", 180),
        ("hd", "CompassDirection", "theta", "cm", 180),
    ],
)
def test_what_is_an_angle(changed, container, kind, name, unit, halfway):
    def edit(file):
        path = f"processing/behavior/{container}/{name}"
        series(file, path, [350.0, 10.0], [0.0, 1.0], unit=unit, kind="SpatialSeries")
        file[f"processing/behavior/{container}"].attrs["neurodata_type"] = kind

    session = changed(edit)
    node = next(node for node in session.subtree if name in node.data_vars)
    assert float(na.interpolate(node.to_dataset()[name], [0.5])[0]) == halfway


def test_nan_among_time_stamps(changed):
    def edit(file):
        times = np.arange(21) / 10
        times[5] = np.nan
        series(file, "processing/running/speed", np.arange(21.0), times, unit="cm/s")

    session = changed(edit)
    found = na.interpolate(session["running"].to_dataset()["speed"], [0.4, 0.5, 0.6])
    np.testing.assert_allclose(found, [4, 5, 6])
    said = na.validate(session.root, values=True)
    assert any("s/running: 1 of 21 time stamps are NaN" in note for note in said)
    aligned = na.align(session.root, "trials", 0.5)["s"]
    values = next(n[v].values for n in aligned.subtree for v in n.data_vars if v == "speed")
    assert np.isfinite(values).any()


def test_an_infinite_time_stamp_has_no_part_in_a_rate(changed):
    def edit(file):
        times = np.append(np.arange(20) / 10, np.inf)
        series(file, "processing/running/speed", np.arange(21.0), times, unit="cm/s")

    assert "running 10.5 Hz" in str(na.describe(changed(edit).root))


def test_rois_of_another_number_are_not_made_up(changed):
    def edit(file):
        rois = table(
            file,
            "processing/ophys/ImageSegmentation/PS",
            "PlaneSegmentation",
            id=[7, 8, 9, 10, 11],
            iscell=[1.0, 0, 1, 1, 0],
        )
        for name, rows in (("many", [1, 2, 4, 0, 3]), ("out", [0, 1, 9]), ("right", [4, 0, 2])):
            group = series(file, f"processing/ophys/F/{name}", np.zeros((9, 3)), rate=10.0)
            put(group, "rois", rows).attrs["table"] = rois.ref

    session = changed(edit)
    for name in ("many", "out"):
        node = session[f"unknown/{name}"]
        assert node["unit_id"].values.tolist() == [0, 1, 2]
        assert "iscell" not in node.variables
    assert session["unknown/right"]["unit_id"].values.tolist() == [11, 7, 9]
    assert session["unknown/right"]["iscell"].values.tolist() == [0, 1, 1]
    assert "F/many/rois: 5 rows for 3 columns" in notes(session)
    assert "F/out/rois: 1 of 3 row numbers are no row" in notes(session)


# -------------------------------------------------------------------------- events and samples


def test_a_table_of_events(changed):
    def edit(file):
        kinds = table(
            file,
            "processing/events/kinds",
            "EventTypesTable",
            id=[0, 1],
            event_name=["lick", "tone"],
        )
        events = table(
            file,
            "events/licks",
            "EventsTable",
            timestamp=[0.1, 0.2, 0.3],
            duration=[0.5, np.nan, 1.0],
            side=["l", "r", "l"],
        )
        put(events, "what", [1, 0, 1], neurodata_type="DynamicTableRegion").attrs["table"] = (
            kinds.ref
        )
        put(events, "id", np.arange(3))

    node = changed(edit)["events/licks"]
    assert node["event_time"].values.tolist() == [0.1, 0.2, 0.3]
    assert node["side"].values.tolist() == ["l", "r", "l"]
    assert node["what_event_name"].values.tolist() == ["tone", "lick", "tone"]
    assert node["duration"].dims == ("event",)


def test_events_by_kind_in_order_of_time(changed):
    session = changed(
        lambda file: table(
            file,
            "processing/events/annotated",
            "AnnotatedEventsTable",
            {"event_times": [2, 3]},
            id=[4, 9],
            event_times=[0.3, 0.1, 0.2],
            label=["x", "y"],
        )
    )
    node = session["events/annotated"]
    assert node["event_time"].values.tolist() == [0.1, 0.2, 0.3]
    assert node["label"].values.tolist() == ["x", "y", "x"]
    assert node["kind"].values.tolist() == [4, 9, 4]


def test_labels_of_events(changed):
    def edit(file):
        labels = np.array(["cue", "reward"], TEXT)
        series(
            file,
            "acquisition/bits",
            np.array([1, 0, 5], "u1"),
            np.arange(3.0),
            kind="LabeledEvents",
            labels=labels,
        )

    session = changed(edit)
    assert session["events/bits"]["label"].values.tolist() == ["reward", "cue", ""]
    assert session["events/bits"]["value"].values.tolist() == [1, 0, 5]
    assert "acquisition/bits/data: 1 of 3 codes have no label" in notes(session)


def test_a_table_of_samples(changed):
    def edit(file):
        group = table(
            file,
            "processing/eye_tracking/pupil_tracking",
            "DynamicTable",
            id=np.arange(4),
            timestamps=np.arange(4.0),
            area=np.arange(4.0),
            phi=np.arange(4.0),
        )
        group["area"].attrs["unit"] = "pixels"

    node = changed(edit)["pupil"]
    assert node["time"].values.tolist() == [0, 1, 2, 3]
    assert node["area"].attrs["units"] == "pixels"
    assert set(node.data_vars) == {"area", "phi"}


def test_units_of_a_module(changed):
    def edit(file):
        table(
            file,
            "processing/ecephys/sorter_b",
            "Units",
            {"spike_times": [2, 3]},
            id=[0, 1],
            spike_times=[0.1, 0.2, 0.3],
        )

    session = changed(edit)
    other = [n for n in session.subtree if n.name == "spikes" and "sorter_b" in n.parent.name]
    assert len(other) in (0, 1)
    spikes = other[0] if other else session["unknown/spikes"]
    assert spikes["row_size"].values.tolist() == [2, 1]


def test_spikes_of_every_table_of_units_are_within_what_was_recorded(changed):
    def edit(file):
        table(
            file,
            "processing/ecephys/other",
            "Units",
            {"spike_times": [2, 3]},
            id=[0, 1],
            spike_times=[0.1, 0.2, 1e4],
        )

    assert float(changed(edit)["observed"].to_dataset()["stop_time"].max()) == 1e4


def test_pictures_and_what_is_not_read(changed):
    def edit(file):
        series(file, "stimulus/templates/movie", np.zeros((3, 4, 5), "u1"), kind="OpticalSeries")
        shown = series(file, "stimulus/presentation/shown", np.array([0, 2]), [0.0, 1.0])
        shown["indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/movie")
        group = file.create_group("acquisition/Photos")
        group.attrs["neurodata_type"] = "Images"
        group["a"], group["b"] = np.zeros((4, 5)), np.zeros((4, 5))
        put(file, "mine/deep/v", [1, 2])

    session = changed(edit)
    assert session["stimulus/movie"]["movie"].dims[0] == "frame"
    assert session["shown"]["shown"].attrs["indexed_timeseries"] == "/stimulus/templates/movie"
    assert "acquisition/Photos (a group of type Images" in notes(session)
    assert "mine/deep/v (values, 2)" in notes(session)


def test_names_that_the_tree_uses(changed):
    def edit(file):
        for name in ("presentations", "stimulus", "time", "a.b", "\u00b5 x"):
            series(file, f"acquisition/{name}", np.arange(3.0), rate=1.0)
        series(file, "processing/m/a/b", np.arange(3.0), rate=1.0)
        series(file, "processing/m/a/c", np.arange(4.0), rate=1.0)
        for name in ("presentation_id", "time", "unit_id", "spike"):
            put(file, f"{TRIALS}/{name}", np.arange(6))

    session = changed(edit)
    held = {
        v.attrs["nwb_path"]
        for n in session.subtree
        for v in n.data_vars.values()
        if "nwb_path" in v.attrs
    }
    assert len(held) == 7
    assert session["presentations/trials"]["presentation_id_column"].values.tolist() == list(
        range(6)
    )


def test_groups_in_groups_end_somewhere(changed):
    def edit(file):
        put(file, "acquisition" + "/g" * 40 + "/x", 1)

    assert re.search(r"acquisition(/g)+ \(more than 24 groups deep", notes(changed(edit)))


def test_metadata_of_odd_kinds(changed):
    def edit(file):
        del file["session_start_time"]
        file["general/notes"] = np.bytes_(b"caf\xe9")
        file["general/source_script"] = "x" * 10_000
        file["general/lab"] = h5py.Empty("f8")
        file["general/odd"] = np.zeros(2, [("a", "f8")])
        if "general/subject" in file:
            del file["general/subject"]
        file["general/subject"] = h5py.ExternalLink("x.nwb", "/general/subject")

    session = changed(edit)
    assert session.attrs["experiment_notes"].startswith("caf")
    assert "general/source_script: cut to 4,096 of 10,000 characters" in notes(session)
    assert "general/odd" in session.attrs["metadata_in_file"]
    assert "general/odd" not in notes(session)
    assert "general/subject (" in notes(session)


# --------------------------------------------------------------------------------------- Zarr


def zarr_group(path, **attrs):
    path.mkdir(parents=True, exist_ok=True)
    node = {"zarr_format": 3, "node_type": "group", "attributes": attrs}
    (path / "zarr.json").write_text(json.dumps(node))


def zarr_array(path, values, **attrs):
    zarr = pytest.importorskip("zarr")
    values = np.asarray(values)
    dtype = str if values.dtype.kind == "U" else values.dtype
    array = zarr.create_array(str(path), shape=values.shape, dtype=dtype, overwrite=True)
    array[:] = values
    array.attrs.update(attrs)


@pytest.fixture
def zarr_session(tmp_path):
    """A store as hdmf-zarr writes it since 0.14: two units, and links in an attribute."""
    root = tmp_path / "z.nwb.zarr"
    zarr_group(root, nwb_version="2.9.0")
    for name in (
        "acquisition",
        "units",
        "intervals",
        "intervals/trials",
        "processing",
        "processing/behavior",
        "processing/behavior/shared",
    ):
        zarr_group(root / name)
    zarr_array(root / "units/id", np.arange(2))
    zarr_array(root / "units/spike_times", [0.1, 0.2, 1.5, 0.3, 2.0])
    zarr_array(
        root / "units/spike_times_index",
        [3, 5],
        neurodata_type="VectorIndex",
        target={"_REFERENCE": {"source": ".", "path": "/units/spike_times"}},
    )
    zarr_array(root / "units/kind_elements", ["good", "mua"])
    zarr_array(
        root / "units/kind",
        np.array([1, 0], "u1"),
        neurodata_type="EnumData",
        elements={"_REFERENCE": {"source": ".", "path": "/units/kind_elements"}},
    )
    zarr_array(root / "processing/behavior/shared/data", np.arange(3.0), unit="V")
    zarr_array(root / "processing/behavior/shared/timestamps", np.arange(3.0))
    return root


def test_links_and_references_of_new_zarr_stores(zarr_session):
    links = [
        {"source": "../raw.nwb.zarr", "path": "/acquisition/raw", "name": "raw"},
        {"source": ".", "path": "/processing/behavior/shared", "name": "alias"},
        {"source": ".", "path": "/nowhere", "name": "gone"},
    ]
    zarr_group(zarr_session / "acquisition", _LINKS=links)
    zarr_group(zarr_session / "processing/behavior/other")
    zarr_array(zarr_session / "processing/behavior/other/data", np.arange(3.0), unit="V")
    clock = {"source": ".", "path": "/processing/behavior/shared/timestamps", "name": "timestamps"}
    zarr_group(zarr_session / "processing/behavior/other", _LINKS=[clock])
    tree = na.open_datatree(zarr_session)
    load(tree)
    session = tree["z"]
    assert session["unknown/spikes"]["kind"].values.tolist() == ["mua", "good"]
    assert session["shared"]["shared"].values.tolist() == [0, 1, 2]
    assert session["other"]["time"].values.tolist() == [0, 1, 2]
    assert re.search(r"acquisition/raw \(.*another store, \.\./raw\.nwb\.zarr", notes(session))
    assert "acquisition/gone (a link to /nowhere, which is not there)" in notes(session)
    assert "alias" not in notes(session)


def test_zarr_links_in_a_circle_end(zarr_session):
    loop = [
        {"source": ".", "path": "/acquisition/b", "name": "a"},
        {"source": ".", "path": "/acquisition/a", "name": "b"},
    ]
    zarr_group(zarr_session / "acquisition", _LINKS=loop)
    session = na.open_datatree(zarr_session)["z"]
    assert "acquisition/a, acquisition/b (" in notes(session)
    assert session["unknown/spikes"].sizes["unit_id"] == 2


def test_times_that_were_never_written_are_said(changed):
    def edit(file):
        group = series(file, "acquisition/x", np.zeros(6))
        times = group.create_dataset("timestamps", (6,), "f8", chunks=(2,))
        times[:4] = np.arange(4)
        spikes = file[f"{UNITS}/spike_times"]
        shape = spikes.shape
        del file[f"{UNITS}/spike_times"]
        file.create_dataset(f"{UNITS}/spike_times", shape, "f8")

    session = changed(edit)
    assert "acquisition/x/timestamps: 1 of 3 chunks were never written" in notes(session)
    assert f"{UNITS}/spike_times: all values were never written" in notes(session)


def test_meanings_of_the_values_of_a_column_are_labels(changed):
    def edit(file):
        put(file, f"{TRIALS}/side", np.array(list("lrlrlx"), TEXT))
        columns = {"value": ["l", "r"], "meaning": ["left", "right"]}
        table(file, f"{TRIALS}/side_meanings", "MeaningsTable", id=[0, 1], **columns)
        file[f"{TRIALS}/side_meanings/target"] = h5py.SoftLink(f"/{TRIALS}/side")

    session = changed(edit)
    rows = session["presentations/trials"]
    assert rows["side_meaning"].values.tolist() == ["left", "right"] * 2 + ["left", ""]
    assert f"{TRIALS}/side_meanings: 1 of 6 values have no meaning" in notes(session)
    assert "not in the tree" not in notes(session)


def test_an_array_in_the_place_of_a_group_costs_no_more(changed):
    def edit(file):
        del file["intervals"]
        file["intervals"] = np.arange(3)

    session = changed(edit)
    assert "observed" in session.children
    assert "not in the tree" not in notes(session)


def test_notes_say_which_times_are_missing_or_used(changed):
    def edit(file):
        series(file, "acquisition/x", np.zeros(3), times=np.arange(3.0), rate=5.0)
        table(file, "intervals/stops", "TimeIntervals", id=[0, 1], stop_time=[1.0, 2.0])

    session = changed(edit)
    assert session["x"]["time"].values.tolist() == [0, 1, 2]
    assert "acquisition/x/starting_time (the series has time stamps" in notes(session)
    assert "intervals/stops (a table without start_time)" in notes(session)


def test_names_of_columns_may_be_padded_and_name_indexes_too(changed, good):
    def edit(file):
        trials, units = file[TRIALS], file[UNITS]  # whose datasets have no types
        trials.attrs["colnames"] = np.array([b"start_time ", b"stop_time  ", b"contrast   "])
        units.attrs["colnames"] = ["spike_times", "spike_times_index", "quality"]

    session = changed(edit)
    assert "not in the tree" not in notes(session)
    sizes = session["VISp/spikes"]["row_size"].values
    assert sizes.tolist() == na.open_datatree(good)["s/VISp/spikes"]["row_size"].values.tolist()


def test_spikes_and_tables_of_different_scale_are_said(tmp_path, good):
    path = shutil.copy(good, tmp_path / "s.nwb")
    assert not any("another unit" in note for note in na.validate(na.open_datatree(path), True))
    close_all()
    with h5py.File(path, "a") as file:
        file[f"{UNITS}/spike_times"][...] *= 1e3
        file[f"{TRIALS}/stop_time"][...] = file[f"{TRIALS}/start_time"][...]
    said = na.validate(na.open_datatree(path), values=True)
    assert any("presentations/trials ends at" in note and "another unit?" in note for note in said)
    assert "s/presentations/trials: each presentation stops when it starts" in said
    close_all()
