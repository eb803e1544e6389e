"""The NWB reader: golden files under the conformance suite, then every quirk by itself."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import ReaderTests, assert_same_trees, load, same_values
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
#: Golden files of the other formats.
FOREIGN = tuple(
    path
    for folder in sorted(GOLDEN.iterdir())
    if folder.is_dir() and folder.name != "nwb"
    for path in sorted(folder.iterdir())
    if path.suffix not in (".py", ".md")
)


def table(node, **columns):
    """Entries of `values` for the columns of a table given in full."""
    return {
        (node, name, i): value for name, values in columns.items() for i, value in enumerate(values)
    }


class TestGolden(ReaderTests):
    inert_options = {"units": "one table has all units; files of several are tested elsewhere"}
    reader = "nwb"
    path = GOLDEN / "nwb" / "session.nwb"
    foreign = FOREIGN
    values = {
        ("session/VISp/spikes", "unit_id", 0): 100,
        ("session/VISp/spikes", "row_size", 0): 40,
        ("session/VISp/spikes", "spike_times", 0): 0.15983333333333333,
        ("session/VISp/spikes", "spike_times", -1): 29.379033333333332,
        ("session/VISp/spikes", "waveform_mean", (0, 0)): 0.049379926148233368,
        ("session/VISp/spikes", "quality", 0): "good",
        ("session/CA1/spikes", "unit_id", 0): 101,
        ("session/CA1/spikes", "unit_id", 1): 102,
        ("session/CA1/spikes", "row_size", 0): 0,
        ("session/CA1/spikes", "row_size", 1): 25,
        ("session/CA1/spikes", "spike_times", 0): 28.310233333333333,
        ("session/CA1/spikes", "spike_times", -1): 27.850366666666666,
        ("session/CA1/spikes", "snr", 0): 2.5,
        ("session/CA1/spikes", "snr", 1): 3.5,
        ("session/CA1/spikes", "quality", 0): "mua",
        ("session/CA1/spikes", "waveform_mean", (1, 5)): -3.3964749739762237,
        **table(
            "session/presentations/trials",
            start_time=[1, 4.5, 8, 11.5, 15, 18.5, 22, 25.5],
            stop_time=[3, 6.5, 10, 13.5, 17, 20.5, 24, 27.5],
            orientation=[0, 45, 90, 135, 0, 45, 90, 135],
            outcome=["miss", "hit", "hit", "miss", "hit", "hit", "miss", "hit"],
            rewarded=[False, True] * 4,
            tags=["easy, first", "easy"] * 4,
        ),
        ("session/presentations/trials", "lick_times", (0, 0)): np.nan,
        ("session/presentations/trials", "lick_times", (1, 0)): 4.75,
        ("session/presentations/trials", "lick_times", (1, 1)): np.nan,
        ("session/presentations/trials", "lick_times", (2, 1)): 8.75,
        ("session/presentations/trials", "lick_times", (7, 0)): 25.75,
        ("session/running", "speed", 0): 10.255819331590537,
        ("session/running", "speed", -1): 9.2233386528226333,
        ("session/running", "time", 0): 0.50033440205370716,
        ("session/running", "time", -1): 30.314023217603552,
        ("session/pupil", "x", 0): 0.37309281333971611,
        ("session/pupil", "y", 0): 0.031821103963373142,
        ("session/pupil", "x", -1): -1.588030356246168,
        ("session/pupil", "y", -1): 0.10382703124906405,
        ("session/pupil", "time", -1): 30.314023217603552,
        ("session/position", "x", 0): -1.0484274922604999,
        ("session/position", "y", -1): 11.665004740284099,
        ("session/position", "time", 0): 0.25,
        ("session/position", "time", -1): 0.25 + 99 / 5,
        ("session/LFP", "LFP", (0, 0)): -1080 * 2e-7 + 1e-3,
        ("session/LFP", "LFP", (-1, -1)): -537 * 2e-7 + 1e-3,
        ("session/LFP", "time", -1): 299 / 20,
        ("session/events/lick_left", "event_time", 0): 0.032410715331800954,
        ("session/events/lick_left", "event_time", -1): 29.620143046236507,
        ("session/events/lick_left", "value", -1): 1.0,
        ("session/V1/dff", "dff", (0, 0)): 0.61733549833297729,
        ("session/V1/dff", "dff", (-1, -1)): -0.37894010543823242,
        ("session/V1/dff", "time", 0): 0.125,
        ("session/V1/dff", "time", -1): 20.0,
        ("session/V1/dff", "unit_id", 0): 9,
        ("session/V1/dff", "unit_id", 1): 7,
        ("session/V1/dff", "unit_id", 2): 8,
    }

    def test_attributes(self, tree):
        session = tree["session"].attrs
        assert session["subject"] == "m1"
        assert session["species"] == "Mus musculus"
        assert session["session_id"] == "golden"
        assert session["keywords"] == "golden; synthetic"
        assert session["session_start_time"] == "2026-01-02T03:04:05+00:00"
        assert tree["session/running"]["speed"].attrs["units"] == "cm/s"
        assert "acquisition/video (no values; they are in eye.avi)" in session["notes"][0]


class TestGoldenZarr(ReaderTests):
    inert_options = {"units": "one table has all units; files of several are tested elsewhere"}
    archives = (".zarr",)
    reader = "nwb"
    path = GOLDEN / "nwb" / "session_zarr.nwb"
    foreign = FOREIGN
    start_methods = ("fork",)
    values = {
        ("session_zarr/ORB/spikes", "spike_times", 0): 0.3069,
        ("session_zarr/ORB/spikes", "spike_times", -1): 28.976166666666668,
        ("session_zarr/MOs/spikes", "spike_times", 0): 25.2051,
        ("session_zarr/MOs/spikes", "spike_times", -1): 23.3527,
        ("session_zarr/MOs/spikes", "unit_id", 0): 1,
        **table(
            "session_zarr/presentations/trials",
            cue=["left", "right", "left", "", "µ-right"],
            note=["a", "b", "", "d", "é"],
            points=["1", "2", "", "4", "5"],
            start_time=[1, 3, 5, 7, 9],
            stop_time=[2.5, 4.5, 6.5, 8.5, 10.5],
            engaged=[True, False, True, False, True],
        ),
        ("session_zarr/G_1", "G_1", 0): -0.8310377838935129,
        ("session_zarr/G_1", "G_1", -1): -0.005362150452032355,
        ("session_zarr/G_1", "time", 0): 0.28017270965225016,
        ("session_zarr/G_1", "time", -1): 11.8682324898101,
        ("session_zarr/R_1", "R_1", 0): 0.261891824295159,
        ("session_zarr/R_1", "R_1", -1): 0.7402476402572239,
        ("session_zarr/R_1", "time", -1): 11.8682324898101,
    }


class TestSample(ReaderTests):
    inert_options = {"units": "one table has all units; files of several are tested elsewhere"}
    archives = (".h5",)
    reader = "nwb"
    path = SAMPLE
    start_methods = ("fork",)
    values = {
        ("A2929-200711/adn/spikes", "spike_times", 0): 0.00845,
        ("A2929-200711/adn/spikes", "spike_times", -1): 1199.96795,
        ("A2929-200711/adn/spikes", "row_size", 0): 8764,
        ("A2929-200711/adn/spikes", "row_size", -1): 19819,
        ("A2929-200711/ca1/spikes", "unit_id", 0): 7,
        ("A2929-200711/ca1/spikes", "row_size", -1): 1588,
        ("A2929-200711/ca1/spikes", "spike_times", -1): 1167.7441,
        ("A2929-200711/position", "x", 0): -0.042857,
        ("A2929-200711/position", "x", -1): 0.010624,
        ("A2929-200711/position", "x", 10000): 0.025118,
        ("A2929-200711/position", "time", 10000): 837.29815,
        ("A2929-200711/head_direction", "ry", 0): 5.207147917969742,
        ("A2929-200711/head_direction", "ry", -1): 3.609375031764442,
        ("A2929-200711/head_direction", "time", 0): 670.6407,
        ("A2929-200711/head_direction", "time", -1): 1199.99495,
        ("A2929-200711/presentations/epochs", "tags", 0): "sleep",
        ("A2929-200711/presentations/epochs", "tags", 1): "wake",
        ("A2929-200711/presentations/sleep_ripples", "start_time", 0): 0.736,
        ("A2929-200711/presentations/sleep_ripples", "stop_time", -1): 599.7384,
    }


# ----------------------------------------------------------------------------------- quirks


@pytest.fixture
def written(tmp_path):
    """Write a synthetic file and open it: `written(**options)` gives its session and the truth."""

    def write(**options):
        path = tmp_path / "s.nwb"
        truth = write_nwb(path, **options)
        return na.open_datatree(path, engine="nwb")["s"], truth

    yield write
    close_all()


def trains_of(session):
    """Unit id -> (area, train), by offsets alone."""
    found = {}
    for area, node in session.children.items():
        if "spikes" not in node.children:
            continue
        spikes = node["spikes"].to_dataset()
        ends = np.cumsum(spikes["row_size"].values)
        trains = np.split(spikes["spike_times"].values, ends[:-1])
        for unit, train in zip(spikes["unit_id"].values, trains, strict=True):
            found[int(unit)] = area, train
    return found


def assert_units(session, truth):
    found = trains_of(session)
    assert sorted(found) == truth["unit_id"].tolist()
    for unit, area, train in zip(truth["unit_id"], truth["areas"], truth["trains"], strict=True):
        assert found[unit][0] == area
        assert same_values(found[unit][1], train)
        by_label = session[f"{area}/spikes"].to_dataset().sel(unit_id=unit)["spike_times"]
        assert same_values(by_label.values, train)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int32", "int64"])
def test_index_of_any_width(written, dtype):
    session, truth = written(index_dtype=dtype, units=9, parts=("units",))
    assert_units(session, truth)


@pytest.mark.parametrize("how", ["ragged", "flat", "region", "peak", "column", "group", "none"])
def test_areas(written, how):
    session, truth = written(electrodes=how, parts=("units",))
    assert_units(session, truth)


@pytest.mark.parametrize("spikes", ["unsorted", "nan"])
def test_trains_are_kept_as_stored(written, spikes):
    session, truth = written(spikes=spikes, parts=("units",))
    assert_units(session, truth)
    notes = na.validate(session.root, values=True)
    word = "not in order" if spikes == "unsorted" else "NaN"
    assert any(word in note for note in notes)


@pytest.mark.parametrize("text", ["vlen", "fixed"])
@pytest.mark.parametrize("colnames", [True, False])
def test_text_columns(written, text, colnames):
    session, truth = written(
        text=text, colnames=colnames, name_column=True, parts=("units", "trials")
    )
    trials = session["presentations/trials"]
    assert trials["outcome"].values.tolist() == truth["trials"]["outcome"]
    assert trials["name"].values.tolist() == truth["trials"]["name"]
    assert trials["rewarded"].dtype == bool
    for area in ("VISp", "CA1"):
        spikes = session[f"{area}/spikes"]
        rows = [i for i, a in enumerate(truth["areas"]) if a == area]
        assert spikes["quality"].values.tolist() == [truth["quality"][i] for i in rows]
        assert spikes["name"].values.tolist() == [f"unit {i}" for i in rows]
        assert same_values(spikes["snr"].values, truth["snr"][rows])
        assert same_values(spikes["waveform_mean"].values, truth["waveform_mean"][rows])


@pytest.mark.parametrize("text", ["vlen", "fixed"])
def test_ragged_columns(written, text):
    session, truth = written(ragged=True, text=text, parts=("units", "trials"))
    trials, stored = session["presentations/trials"], truth["trials"]
    ends = [0, *np.cumsum(np.arange(6) % 3)]
    for i in range(6):
        rows = slice(ends[i], ends[i + 1])
        assert trials["tags"].values[i] == ", ".join(stored["tags"][rows])
        licks = trials["lick_times"].values[i]
        assert same_values(licks[~np.isnan(licks)], stored["lick_times"][rows])
    assert "timeseries" not in trials
    notes = session.attrs["notes"][-1]
    assert "intervals/trials/timeseries (compound values)" in notes
    assert "obs_intervals" not in notes
    for area in session.children:
        if "spikes" in session[area].children:
            spikes = session[f"{area}/spikes"]
            assert spikes["observed_start"].dims == ("unit_id", "interval")
            assert (spikes["observed_start"] == 0).all()
            assert (spikes["observed_stop"] == spikes["observed_stop"][0, 0]).all()
    for i, (unit, area) in enumerate(zip(truth["unit_id"], truth["areas"], strict=True)):
        one = session[f"{area}/spikes"].to_dataset().sel(unit_id=unit)
        assert same_values(one["spike_amplitudes"].values, truth["spike_amplitudes"][i])


@pytest.mark.parametrize("clock", ["timestamps", "rate", "soft", "hard", "duplicated"])
def test_clocks(written, clock):
    session, truth = written(clock=clock, parts=("running", "pupil", "position"))
    for node, name in (("running", "speed"), ("pupil", "area"), ("position", "x")):
        expected = {"speed": truth["running"], "area": truth["pupil_area"]}
        values = expected.get(name, truth["position"][:, 0])
        assert same_values(session[node]["time"].values, truth[f"{node}_time"])
        assert same_values(session[node][name].values, values)
    assert same_values(session["pupil"]["y"].values, truth["pupil"][:, 1])
    if clock in ("soft", "hard"):
        assert session["pupil"].xindexes["time"].equals(session["running"].xindexes["time"])


def test_speed_is_in_cm_per_s(written):
    session, truth = written(running_unit="m/s", parts=("running",))
    np.testing.assert_allclose(session["running"]["speed"].values, truth["running"], rtol=1e-12)
    assert session["running"]["speed"].attrs["units"] == "cm/s"


def test_integers_with_conversion_and_offset(written):
    session, truth = written(parts=("lfp",))
    lfp = session["ElectricalSeries"]["ElectricalSeries"]
    expected = (truth["lfp_stored"] * 1.95e-7 + 1e-3).astype(np.float32)
    assert lfp.dtype == np.float32
    assert same_values(lfp.values, expected)
    assert same_values(lfp["time"].values, truth["lfp_time"])


@pytest.mark.parametrize("transposed", [False, True])
def test_fluorescence_is_time_by_unit(written, transposed):
    session, truth = written(transposed=transposed, parts=("rois",))
    node = session["V1/RoiResponseSeries"]
    values = node["RoiResponseSeries"]
    assert values.dims == ("time", "unit_id")
    assert same_values(values.values, truth["rois"])
    assert same_values(node["unit_id"].values, truth["roi_id"])
    assert same_values(node["depth"].values, np.arange(4, dtype=np.int32)[::-1])
    assert same_values(values[5:9, 2].values, truth["rois"][5:9, 2])


def test_a_series_per_neuron(written):
    session, truth = written(parts=("cells",))
    cells = session["unknown/traces"]
    assert same_values(cells["unit_id"].values, truth["cell_id"])
    assert cells["name"].values.tolist() == ["neuron 1", "neuron 2", "neuron 10"]
    assert same_values(cells["traces"].values, truth["cells"])
    assert same_values(cells["time"].values, truth["cell_time"])


def test_events(written):
    session, truth = written(parts=("licks",))
    licks = session["events/lick_left"]
    assert same_values(licks["event_time"].values, truth["licks"])
    assert same_values(licks["value"].values, np.ones(12))


def test_empty_series(written):
    session, _ = written(parts=("empty",))
    assert session["nothing"].sizes["time"] == 0
    assert session["nothing"]["nothing"].values.size == 0


def test_event_columns_are_kept_as_stored(written):
    session, truth = written(relative_events=True, missing_stops=True, parts=("trials",))
    trials = session["presentations/trials"]
    assert same_values(trials["cue_time"].values, truth["trials"]["cue_time"])
    assert np.isnan(trials["stop_time"].values).all()


@pytest.mark.parametrize("options", [{"units": 0}, {"parts": ("trials", "running")}])
def test_no_units(written, options):
    session, _ = written(**options)
    assert session.attrs["notes"][0] == "no units with spikes"
    load(session.root)


@pytest.mark.parametrize("options", [{"trials": 0}, {"units": 1}, {"parts": ()}])
def test_little_in_it(written, options):
    session, _ = written(**options)
    load(session.root)
    na.validate(session.root, values=True)


def test_names_of_areas_are_names_of_nodes(written):
    session, _ = written(
        areas=("a/b", "brain_region: ALM; layer: 5", "none"), units=6, parts=("units",)
    )
    assert set(dict.fromkeys(a for a, _ in trains_of(session).values())) == {
        "a_b",
        "ALM",
        "unknown",
    }
    assert len(trains_of(session)) == 6


@pytest.mark.parametrize("outside", ["link", "virtual", "storage"])
def test_values_in_other_files_are_not_followed(tmp_path, outside):
    path = tmp_path / "s.nwb"
    write_nwb(path, outside=outside, parts=("running",))
    beside = {one.name for one in tmp_path.iterdir()} - {path.name}
    assert beside >= {f"{path.stem}_elsewhere.{'raw' if outside == 'storage' else 'h5'}"}
    words = {"link": "external link", "virtual": "virtual dataset", "storage": "external storage"}
    session = na.open_datatree(path, engine="nwb")["s"]
    assert "outside" not in session
    assert re.search(rf"acquisition/outside\S* \(.*{words[outside]}", session.attrs["notes"][-1])


def test_nwb_1_is_refused(tmp_path):
    path = tmp_path / "old.nwb"
    write_nwb(path, version="1")
    with pytest.raises(FormatError, match=r"old\.nwb:/nwb_version: expected NWB 2; found NWB 1"):
        na.open_datatree(path, engine="nwb")


def test_an_index_past_the_end_costs_the_units_only(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("units", "trials"))
    with h5py.File(path, "a") as file:
        file["units/spike_times_index"][-1] = 255
    session = na.open_datatree(path, engine="nwb")["s"]
    assert session.attrs["notes"][0] == "no units with spikes"
    assert (
        "units (units/spike_times_index: expected row ends that grow" in session.attrs["notes"][1]
    )
    assert "trials" in session["presentations"]


def with_electrodes(path, rows, ids=(7, 5, 9, 4)):
    """A synthetic file whose LFP says which rows of the electrode table its channels are."""
    truth = write_nwb(path, parts=("units", "lfp"))
    with h5py.File(path, "a") as file:
        table = file.require_group("general/extracellular_ephys/electrodes")
        for name in list(table):
            del table[name]
        table["id"] = list(ids)
        table["location"] = ["CA1", "brain_region: ALM; layer: 5", "CA1", "unknown"]
        table["rel_y"] = [0.0, 20.0, 40.0, 60.0]
        table.attrs["colnames"] = ["location", "rel_y"]
        region = file["acquisition/ElectricalSeries"].create_dataset("electrodes", data=rows)
        region.attrs["table"] = table.ref
    session = na.open_datatree(path, engine="nwb")["s"]
    return session["ElectricalSeries"].to_dataset(), truth, session


def test_channels_of_an_electrical_series_are_its_electrodes(tmp_path):
    series, truth, _ = with_electrodes(tmp_path / "s.nwb", [2, 0, 1])
    lfp = series["ElectricalSeries"]
    assert lfp.dims == ("time", "channel")
    assert lfp["channel"].values.tolist() == [9, 7, 5]
    assert lfp["area"].values.tolist() == ["CA1", "CA1", "ALM"]
    assert lfp["rel_y"].values.tolist() == [40.0, 0.0, 20.0]
    expected = (truth["lfp_stored"] * 1.95e-7 + 1e-3).astype(np.float32)
    assert same_values(lfp.sel(channel=[5, 9], time=slice(1, 2)).values, expected[38:88, [2, 0]])
    tree = na.open_datatree(tmp_path / "s.nwb", engine="nwb")
    aligned = na.align(tree, bin_width=0.1, series="Elec*")["s"]
    area = next(node for node in aligned.children.values() if "ElectricalSeries" in node.children)
    assert area["ElectricalSeries/ElectricalSeries"].sel(channel=7)["area"].item() == "CA1"


@pytest.mark.parametrize(
    ("rows", "ids", "found", "note"),
    [
        ([0, 1, 9], (7, 5, 9, 4), [0, 1, 2], "row numbers are no row of"),
        ([0, 1], (7, 5, 9, 4), [0, 1, 2], "which row a column is of is not known"),
        ([0, 0, 1], (7, 5, 9, 4), [0, 1, 2], "an electrode occurs twice"),
    ],
)
def test_electrodes_that_cannot_be_are_a_note(tmp_path, rows, ids, found, note):
    series, _, session = with_electrodes(tmp_path / "s.nwb", rows, ids)
    assert series["channel"].values.tolist() == found
    assert any(note in text for text in session.attrs["notes"])


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, np.inf, "fast", [1.0, 2.0]])
def test_an_impossible_rate_costs_its_series_only(tmp_path, rate):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("running", "lfp"))
    with h5py.File(path, "a") as file:
        file["acquisition/ElectricalSeries/starting_time"].attrs["rate"] = rate
    session = na.open_datatree(path, engine="nwb")["s"]
    assert "ElectricalSeries" not in session
    assert session["running/speed"].size
    assert (
        "acquisition/ElectricalSeries (acquisition/ElectricalSeries/starting_time: expected a "
        "positive attribute `rate` in Hz" in session.attrs["notes"][-1]
    )


def test_complex_values_are_left_out(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("running",))
    with h5py.File(path, "a") as file:
        group = file.create_group("acquisition/spectrum")
        group["data"] = np.ones(4, complex)
        group["timestamps"] = np.arange(4.0)
    session = na.open_datatree(path, engine="nwb")["s"]
    assert "spectrum" not in session
    assert "acquisition/spectrum" in " ".join(session.attrs["notes"])


def test_a_dangling_reference_loses_nothing_else(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("units", "rois"))
    with h5py.File(path, "a") as file:
        del file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
    session = na.open_datatree(path, engine="nwb")["s"]
    assert session["unknown/RoiResponseSeries"]["unit_id"].values.tolist() == [3, 2, 1, 0]


# --------------------------------------------------------------------------- several sessions


def test_folder_list_and_file_agree(tmp_path):
    for name in ("a", "b"):
        write_nwb(tmp_path / f"{name}.nwb", seed=ord(name), parts=("units", "trials", "running"))
    (tmp_path / "notes.txt").write_text("not a recording")
    folder = na.open_datatree(tmp_path, engine="nwb")
    files = na.open_datatree([tmp_path / "a.nwb", str(tmp_path / "b.nwb")], engine="nwb")
    assert list(folder.children) == ["a", "b"]
    assert "notes.txt" in str(folder.attrs["notes"])
    assert_same_trees(folder, files, but=("notes",))
    one = na.open_datatree(tmp_path / "b.nwb", engine="nwb")
    assert_same_trees(
        xr.DataTree.from_dict({"/b": folder["b"]}), xr.DataTree.from_dict({"/b": one["b"]})
    )


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path):
    paths = [tmp_path / day / "s.nwb" for day in ("mon", "tue")]
    for path in paths:
        path.parent.mkdir()
        write_nwb(path, parts=("running",))
    assert list(na.open_datatree(paths, engine="nwb").children) == ["mon_s", "tue_s"]


def test_sessions_and_areas_are_chosen_before_they_are_built(tmp_path):
    for name in ("a1", "a2", "b1"):
        write_nwb(tmp_path / f"{name}.nwb", parts=("units",))
    open_ = na.open_datatree
    assert list(open_(tmp_path, engine="nwb", sessions="a*").children) == ["a1", "a2"]
    assert list(open_(tmp_path, engine="nwb", sessions=["b1", "a1"]).children) == ["a1", "b1"]
    tree = open_(tmp_path / "a1.nwb", engine="nwb", areas="VIS*")
    assert "VISp" in tree["a1"]
    assert "CA1" not in tree["a1"]
    with pytest.raises(
        NotInTree, match=r"no session 'a3'; there are 'a1', 'a2', 'b1'; did you mean"
    ):
        open_(tmp_path, engine="nwb", sessions="a3")
    with pytest.raises(NotInTree, match=r"no area 'VISP'; there are .*did you mean 'VISp'"):
        open_(tmp_path / "a1.nwb", engine="nwb", areas="VISP")


def test_areas_with_units_and_rois(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("units", "rois"))
    tree = na.open_datatree(path, engine="nwb", areas="V1")
    assert "V1" in tree["s"]
    assert "VISp" not in tree["s"]


def test_drop_variables(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path, parts=("units",))
    spikes = xr.open_dataset(path, engine="nwb", group="s/CA1/spikes", drop_variables="snr")
    assert "snr" not in spikes.variables
    assert "quality" in spikes.variables


def test_catalog(tmp_path):
    path = tmp_path / "s.nwb"
    truth = write_nwb(path, parts=("units", "trials"))
    rows = na.catalog(path, engine="nwb").set_index("area")
    for area in ("VISp", "CA1"):
        trains = [t for t, a in zip(truth["trains"], truth["areas"], strict=True) if a == area]
        assert rows.loc[area, "units"] == len(trains)
        assert rows.loc[area, "spikes"] == sum(t.size for t in trains)
        assert rows.loc[area, "presentations"] == {"trials": 6}


# ------------------------------------------------------------------------------- written by DRIADA


@pytest.fixture
def driada_nwb(tmp_path):
    """The layout that DRIADA 1.2.2 writes (compared with a file of its own), by pynwb."""
    import datetime

    import pynwb
    from pynwb.behavior import Position, SpatialSeries
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    rng = np.random.default_rng(0)
    values = {name: rng.random((60, 3)) for name in ("Calcium", "Reconstructions")}
    values |= {name: rng.random(60) for name in ("x", "y", "speed", "lick")}
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    nwb = pynwb.NWBFile("Driada Experiment", "id", start, session_id="RT_A5_3D", protocol="RT")
    nwb.add_scratch('{"track": "RT"}', name="driada_metadata", description="JSON")
    device = nwb.create_device("UCLA Miniscope v4.4")
    channel = OpticalChannel(name="GCaMP_channel", description="green", emission_lambda=525.0)
    plane = nwb.create_imaging_plane(
        name="CA1_imaging_plane",
        optical_channel=channel,
        device=device,
        indicator="GCaMP6s",
        description="CA1",
        excitation_lambda=470.0,
        location="Hippocampus, dorsal CA1",
    )
    ophys = nwb.create_processing_module("ophys", "Calcium imaging data")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    rois = segmentation.create_plane_segmentation("ROIs", plane, name="PlaneSegmentation")
    rois.add_column("center_x", "pixels")
    rois.add_column("t_rise", "a metric of DRIADA")
    for i in range(3):
        rois.add_roi(image_mask=np.zeros((1, 1), np.uint8), center_x=np.nan, t_rise=i / 4)
    region = rois.create_roi_table_region("All ROIs", region=[0, 1, 2])
    ophys.add(
        Fluorescence(
            roi_response_series=[
                RoiResponseSeries(name=name, data=values[name], unit="df/f", rois=region, rate=20.0)
                for name in ("Calcium", "Reconstructions")
            ]
        )
    )
    behavior = nwb.create_processing_module("behavior", "features")
    position = Position()
    position.create_spatial_series(
        "SpatialSeries",
        np.c_[values["x"], values["y"]],
        reference_frame="?",
        rate=20.0,
        unit="pixels",
    )
    behavior.add(position)
    for name in ("speed", "lick"):
        behavior.add(
            SpatialSeries(
                name=name, data=values[name], reference_frame="none", unit="various", rate=20.0
            )
        )
    with pynwb.NWBHDF5IO(tmp_path / "RT_A5_3D.nwb", "w") as io:
        io.write(nwb)
    return tmp_path / "RT_A5_3D.nwb", values


def test_the_layout_that_driada_writes(driada_nwb):
    path, values = driada_nwb
    session = na.open_datatree(path)["RT_A5_3D"]
    area = session["Hippocampus, dorsal CA1"]
    for name in ("Calcium", "Reconstructions"):
        np.testing.assert_array_equal(area[name][name], values[name])
        np.testing.assert_array_equal(area[name]["time"], np.arange(60) / 20)
    assert area["Calcium/t_rise"].values.tolist() == [0, 0.25, 0.5]
    for name in ("x", "y"):
        np.testing.assert_array_equal(session["position"][name], values[name])
    # "various" is no unit: the tree's `speed` is running speed in cm/s, and licks at a rate are no events
    speed = session["speed/speed_signal"]
    np.testing.assert_array_equal(speed, values["speed"])
    assert "units" not in speed.attrs
    np.testing.assert_array_equal(session["lick/lick"], values["lick"])
    assert "events" not in session.children
    assert session.attrs["driada_metadata"] == '{"track": "RT"}'


@pytest.mark.parametrize("shape", [(30,), (30, 1)])
def test_a_roi_series_per_neuron_is_joined_whatever_its_name(tmp_path, shape):
    path = tmp_path / "one.nwb"
    write_nwb(path, parts=("rois",))
    values = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    with h5py.File(path, "r+") as file:
        table = file[file["processing/ophys/Fluorescence/RoiResponseSeries/rois"].attrs["table"]]
        box = file.create_group("processing/ophys/Soma")
        box.attrs.update({"neurodata_type": "Fluorescence", "namespace": "core"})
        for column, (name, row) in enumerate([("soma b", 3), ("dendrite", 0), ("a", 2)]):
            one = box.create_group(name)
            one.attrs.update({"neurodata_type": "RoiResponseSeries", "namespace": "core"})
            one["data"] = values[:, column].reshape(shape)
            one["data"].attrs.update({"unit": "lumens", "conversion": 1.0})
            one["timestamps"] = np.arange(30) / 10
            one["rois"] = [row]
            one["rois"].attrs["table"] = table.ref
    tree = na.open_datatree(path)
    (session,) = tree.children.values()
    node = session["V1/Soma"].to_dataset()
    assert node["Soma"].dims == ("time", "unit_id")
    assert node["unit_id"].values.tolist() == [7, 9, 10]
    assert node["name"].values.tolist() == ["dendrite", "a", "soma b"]
    np.testing.assert_array_equal(node["Soma"], values[:, [1, 2, 0]])
    np.testing.assert_array_equal(node["depth"], [0, 2, 3])
    for label in ("iscell", "iscell_probability"):  # two columns of a value each
        assert node[label].dims == ("unit_id",)
        np.testing.assert_array_equal(node[label], np.ones(3))
    na.validate(tree)
    assert (
        na.select_units(tree, "iscell == 1 and depth > 1")[f"{session.name}/V1/Soma"].sizes[
            "unit_id"
        ]
        == 2
    )
