"""Allen sessions: the golden file under the conformance suite, then every quirk by itself."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.formats.allen import AllenReader, stimuli
from neuroarrays.formats.allen_binned.pipeline import published
from neuroarrays.formats.nwb.units import ELECTRODES
from neuroarrays.synthetic.allen import (
    BRAIN_OBSERVATORY,
    FUNCTIONAL_CONNECTIVITY,
    REASONS,
    write_allen,
)
from neuroarrays.testing import ReaderTests, assert_same_trees, load
from neuroarrays.testing.sources import close_all

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "allen"
GOLDEN = FOLDER / "session_715093703.nwb"
FOREIGN = tuple(
    path
    for folder in sorted(FOLDER.parent.iterdir())
    if folder.is_dir() and folder.name != "allen"
    for path in sorted(folder.iterdir())
    if path.suffix not in (".py", ".md")
)
ID, NODE = 715093703, "session_715093703"
#: Where a unit is that has no channel.
MISSING_PLACE = {
    "probe": "",
    "probe_id": np.nan,
    "channel": np.nan,
    "probe_vertical_position": np.nan,
    "anterior_posterior_ccf_coordinate": np.nan,
    "dorsal_ventral_ccf_coordinate": np.nan,
    "left_right_ccf_coordinate": np.nan,
}
SMALL = {"units": 5, "bad_units": 7, "sampling": 0.1, "rate": 2.0}
#: Half of what opening takes are the tables of all stimuli.
FEW = SMALL | {"stimuli": ("flashes", "static_gratings")}
#: Where a test is of units alone.
UNITS = FEW | {"parts": ()}


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


def table(name, **columns):
    node = f"{NODE}/presentations/{name}"
    return {
        (node, column, i): value
        for column, values in columns.items()
        for i, value in enumerate(values)
    }


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "allen"
    path = GOLDEN
    foreign = FOREIGN
    options = {
        "quality": None,
        "amplitude_cutoff": None,
        "presence_ratio": None,
        "isi_violations": None,
        "valid_channels": False,
        "structures_only": None,
    }
    values = {
        (f"{NODE}/VISp/spikes", "unit_id", 0): 950900033,
        (f"{NODE}/VISp/spikes", "unit_id", 1): 950900003,
        (f"{NODE}/VISp/spikes", "unit_id", 2): 950900000,
        (f"{NODE}/VISp/spikes", "row_size", 0): 30,
        (f"{NODE}/VISp/spikes", "row_size", 1): 140,
        (f"{NODE}/VISp/spikes", "row_size", 2): 135,
        (f"{NODE}/VISp/spikes", "spike_times", 0): 1.6127666666666667,
        (f"{NODE}/VISp/spikes", "spike_times", 29): 78.4786,
        (f"{NODE}/VISp/spikes", "spike_times", 30): 0.32303333333333334,
        (f"{NODE}/VISp/spikes", "spike_times", 169): 81.521366666666665,
        (f"{NODE}/VISp/spikes", "spike_times", 170): 0.62373333333333336,
        (f"{NODE}/VISp/spikes", "spike_times", -1): 79.568666666666672,
        (f"{NODE}/VISp/spikes", "snr", 0): 1.1598702377788173,
        (f"{NODE}/VISp/spikes", "snr", -1): 0.99663914421583311,
        (f"{NODE}/VISp/spikes", "probe", 0): "probeA",
        (f"{NODE}/VISp/spikes", "probe", -1): "probeB",
        (f"{NODE}/VISp/spikes", "probe_vertical_position", 0): 20,
        (f"{NODE}/VISp/spikes", "probe_vertical_position", -1): 180,
        (f"{NODE}/VISp/spikes", "probe_horizontal_position", 0): 11,
        (f"{NODE}/CA1/spikes", "unit_id", 0): 950900027,
        (f"{NODE}/LGd/spikes", "unit_id", 0): 950900030,
        (f"{NODE}/VISam/spikes", "unit_id", 0): 950900036,
        (f"{NODE}/VISam/spikes", "amplitude_cutoff", 0): 0.1,
        **table(
            "static_gratings",
            presentation_id=[1, 2, 20, 21, 32, 33],
            start_time=[
                30,
                30.250214611482701,
                49.426184694186688,
                49.676388658383203,
                56.593799963400826,
                56.844024977898904,
            ],
            phase=[0.25, 0, 0.5, np.nan, 0.25, 0],
            spatial_frequency=[0.02, 0.04, 0.08, np.nan, 0.32, 0.02],
            orientation=[0, 120, 150, np.nan, 90, 60],
            blank=[False, False, False, True, False, False],
            invalid=[False, False, False, True, False, False],
        ),
        **table(
            "natural_scenes",
            presentation_id=[4, 5, 23, 24, 35, 36],
            frame=[3, -1, 1, 0, 4, 5],
            blank=[False, True, False, False, False, False],
            stop_time=[
                32.750592475146668,
                33.000797336161,
                52.176828628033036,
                52.426994545598433,
                59.344447313129436,
                59.594652430695767,
            ],
        ),
        **table(
            "natural_movie_one",
            presentation_id=[7, 26],
            start_time=[35.000797336161, 54.426994545598433],
            stop_time=[35.167601025554902, 54.593799963400826],
            n_frames=[5, 5],
        ),
        **table(
            "natural_movie_one_frames",
            presentation_id=[7, 8, 9, 10, 11, 26, 27, 28, 29, 30],
            frame=[0, 1, 2, 3, 4] * 2,
        ),
        **table("flashes", color=[-1, 1, 1, 1, -1, -1], presentation_id=range(13, 19)),
        **table("spontaneous", presentation_id=[0, 3, 6, 12, 19, 22, 25, 31, 34, 37]),
        **table(
            "invalid_times",
            start_time=[
                30.280214611482702,
                49.686388658383201,
                49.706388658383204,
                76.59465243069576,
            ],
            label=["probeA", "stimulus", "all_probes", "optotagging"],
            applies_to=["probeA", "", "", "optotagging"],
        ),
        (f"{NODE}/running", "speed", 0): 9.8155028887155389,
        (f"{NODE}/running", "speed", -1): 8.2857003681674009,
        (f"{NODE}/running", "time", 0): (1.9999868924641382 + 2.4170301590550953) / 2,
        (f"{NODE}/running", "time", -1): (79.147568307888974 + 79.564582207888975) / 2,
        (f"{NODE}/running", "start_time", 0): 1.9999868924641382,
        (f"{NODE}/running", "end_time", -1): 79.564582207888975,
        (f"{NODE}/pupil", "y", 0): 2.6648272704751026,
        (f"{NODE}/pupil", "x", 0): 3.0413911112780139,
        (f"{NODE}/pupil", "y_angle", 0): 10.0737871202292,
        (f"{NODE}/pupil", "x_angle", 0): 11.461873027144392,
        (f"{NODE}/pupil", "area", 0): 0.0049995742557753077,
        (f"{NODE}/pupil", "area", -1): 0.0045600556794955609,
        (f"{NODE}/pupil", "time", 0): 7.9998881858858306,
        (f"{NODE}/pupil", "time", -1): 75.567551303184473,
        (f"{NODE}/pupil_filtered", "area", 1): 0.0049808505857624578,
        (f"{NODE}/ellipses/pupil", "width", 0): 2 * 91.316288173806527,
    }


# ------------------------------------------------------------------------------------- units


def expected_units(truth, keep):
    """Ids by structure, in the order of probe and place on it."""
    units = truth["units"]
    order = np.lexsort([units["horizontal"], units["vertical"], np.array(units["probe"])])
    found = {}
    for i in order:
        if keep[i]:
            found.setdefault(units["structure"][i] or "unknown", []).append(
                int(units["unit_id"][i])
            )
    return found


def areas_of(tree, session=NODE):
    return {
        name: node["spikes"]["unit_id"].values.tolist()
        for name, node in tree[session].children.items()
        if "spikes" in node.children
    }


@pytest.mark.parametrize("layout", ["2020", "2.13.5"])
def test_units_pass_the_default_filter_in_order(tmp_path, layout):
    path = tmp_path / "s.nwb"
    truth = write_allen(
        path,
        layout=layout,
        **UNITS | {"units": 20, "bad_units": 14},
        channels=40,
        seed=1,
        session_id=ID,
    )
    tree = na.open_datatree(path)
    keep = np.array(truth["units"]["why"]) == ""
    assert areas_of(tree) == expected_units(truth, keep)
    for name, node in tree[NODE].children.items():
        if "spikes" in node.children:
            spikes = node["spikes"].to_dataset()
            for unit in spikes["unit_id"].values:
                row = truth["units"]["unit_id"].tolist().index(unit)
                found = spikes.sel(unit_id=unit)
                np.testing.assert_array_equal(found["spike_times"], truth["units"]["train"][row])
                assert truth["units"]["structure"][row] == name
    (note, *_) = tree[NODE].attrs["notes"]
    assert note.startswith("units: 20 of 34 in the file; dropped 2 by quality=good")
    assert "4 by amplitude_cutoff=0.1" in note  # two of them NaN


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    path = tmp_path_factory.mktemp("filtered") / "s.nwb"
    return path, write_allen(path, channels=40, **UNITS)


@pytest.mark.parametrize("reason", [*REASONS, "everything"])
def test_each_filter_can_be_lifted(filtered, reason):
    path, truth = filtered
    names = {
        "valid_data": "valid_channels",
        "structure": "structures_only",
        "nan": "amplitude_cutoff",
    }
    option = names.get(reason, reason)
    lifted = AllenReader.options() if reason == "everything" else [option]
    options = {name: None for name in lifted if name not in ("sessions", "areas")}
    tree = na.open_datatree(path, **options)
    why = np.array(truth["units"]["why"])
    keep = (why == "") | np.isin(why, [r for r in REASONS if names.get(r, r) in options])
    assert areas_of(tree) == expected_units(truth, keep)


def test_a_threshold_may_be_set_and_zero_is_one(tmp_path):
    path = tmp_path / "s.nwb"
    truth = write_allen(path, **UNITS)
    tree = na.open_datatree(path, presence_ratio=0.98)
    keep = (np.array(truth["units"]["why"]) == "") & (truth["units"]["presence_ratio"] >= 0.98)
    assert areas_of(tree) == expected_units(truth, keep)
    assert areas_of(na.open_datatree(path, amplitude_cutoff=0)) == {}


def test_structures_are_as_the_file_has_them(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(
        path,
        structures=("DG-mo", "grey", "None", ""),
        channels=40,
        **UNITS | {"units": 8, "bad_units": 0},
    )
    assert set(areas_of(na.open_datatree(path))) <= {"DG-mo", "grey"}
    assert na.open_datatree(path)[NODE].attrs["units_filter"].startswith("quality=good")


def test_a_peak_channel_that_is_not_there(tmp_path):
    path = tmp_path / "s.nwb"
    truth = write_allen(path, **UNITS | {"bad_units": 0, "units": 6})
    with h5py.File(path, "r+") as file:
        file["units/peak_channel_id"][2] = 7
    tree = na.open_datatree(path)
    assert sum(len(ids) for ids in areas_of(tree).values()) == 5
    assert any("1 have a peak channel that is not" in note for note in tree[NODE].attrs["notes"])
    assert len(truth["units"]["train"]) == 6


def test_a_unit_without_its_peak_channel_has_missing_values(tmp_path):
    """Nothing of the last electrode, which an index of -1 would give."""
    path = tmp_path / "s.nwb"
    write_allen(path, **UNITS | {"bad_units": 0, "units": 6})
    with h5py.File(path, "r+") as file:
        file["units/peak_channel_id"][2] = 7
        unit = int(file["units/id"][2])
    tree = na.open_datatree(path, valid_channels=False, structures_only=None)
    spikes = tree[f"{NODE}/unknown/spikes"]
    assert spikes["unit_id"].values.tolist() == [unit]
    assert spikes["peak_channel_id"].item() == 7
    found = {name: spikes[name].item() for name in MISSING_PLACE}
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in MISSING_PLACE.items()
    }
    np.testing.assert_equal(found, MISSING_PLACE)
    for area, ids in areas_of(tree).items():
        assert area == "unknown" or (tree[f"{NODE}/{area}/spikes"]["channel"] >= 0).all(), ids


def test_a_position_that_the_file_lacks_is_no_zero(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, **UNITS | {"bad_units": 0, "units": 6})
    tree = na.open_datatree(path)
    area = next(iter(areas_of(tree)))
    before = tree[f"{NODE}/{area}/spikes"].to_dataset()
    tree.close()
    assert before["channel"].dtype.kind == "i"
    with h5py.File(path, "r+") as file:
        table = file["general/extracellular_ephys/electrodes"]
        for name in ("probe_vertical_position", "probe_horizontal_position", "local_index"):
            table.pop(name, None)
        table.pop("probe_channel_number", None)
    after = na.open_datatree(path)[f"{NODE}/{area}/spikes"]
    lacking = {"probe_vertical_position", "probe_horizontal_position", "channel"}
    assert set(before.coords) - set(after.coords) == lacking
    assert set(after["unit_id"].values) == set(before["unit_id"].values)


def test_a_missing_metric_is_no_filter(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, **UNITS)
    with h5py.File(path, "r+") as file:
        del file["units/isi_violations"]
    assert any("no isi_violations" in note for note in na.open_datatree(path)[NODE].attrs["notes"])


# ------------------------------------------------------------------------------------ stimuli


@pytest.mark.parametrize("shown", [BRAIN_OBSERVATORY, FUNCTIONAL_CONNECTIVITY])
def test_every_table_has_its_ids_and_parameters(tmp_path, shown):
    path = tmp_path / "s.nwb"
    truth = write_allen(path, stimuli=shown, **SMALL)
    tree = na.open_datatree(path)
    tables = tree[NODE]["presentations"].children
    together = np.sort(np.concatenate([t["start_time"] for t in truth["tables"].values()]))
    for name, columns in truth["tables"].items():
        movie = stimuli.is_movie(name)
        node = tables[f"{name}_frames" if movie else name]
        ids = node["presentation_id"].values
        np.testing.assert_array_equal(together[ids], columns["start_time"])
        for column in stimuli.PARAMETERS.get(name, ()):
            expected = columns[column]
            if isinstance(expected, list):
                expected = [np.nan if v == "N/A" else float(v) for v in expected]
            assert node[column].dtype == np.float64
            np.testing.assert_array_equal(node[column], expected)
            assert node[column].attrs.get("units") == stimuli.UNITS.get(column)
        np.testing.assert_array_equal(node["stop_time"], columns["stop_time"])
    everything = np.concatenate(
        [
            node["presentation_id"].values
            for name, node in tables.items()
            if "presentation_id" in node.coords
            and name.removesuffix("_frames") in truth["tables"]
            and not stimuli.is_movie(name)
        ]
    )
    np.testing.assert_array_equal(np.sort(everything), np.arange(together.size))
    session_type = (
        "brain_observatory_1.1" if "natural_scenes" in shown else "functional_connectivity"
    )
    assert tree[NODE].attrs["session_type"] == session_type


def test_equal_starts_keep_the_order_of_the_tables():
    found = stimuli.presentation_ids({"a": np.array([1.0, 0.0]), "b": np.array([1.0, 2.0])})
    assert {k: v.tolist() for k, v in found.items()} == {"a": [1, 0], "b": [2, 3]}
    assert stimuli.presentation_ids({}) == {}
    many = stimuli.presentation_ids({"a": np.zeros(500), "b": np.tile([0.0, 1.0], 250)})
    assert many["a"].tolist() == list(range(500))
    assert many["b"].tolist() == [i // 2 + (500 if i % 2 == 0 else 750) for i in range(500)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (["0.25", "N/A", "null", ""], [0.25, np.nan, np.nan, np.nan]),
        (["[0.0, 0.0]", "0.5"], None),
        (["None", "N/A"], None),
    ],
)
def test_numbers_as_text(text, numbers):
    found = stimuli.as_numbers(np.array(text, object))
    assert (found is None) == (numbers is None)
    if numbers is not None:
        np.testing.assert_array_equal(found, numbers)


def frames(start, stop, frame, block=None):
    columns = {
        "start_time": start,
        "stop_time": stop,
        "frame": frame,
        "invalid": np.zeros(len(start), bool),
    }
    columns |= {} if block is None else {"stimulus_block": block}
    data = {k: ("presentation_id", np.asarray(v)) for k, v in columns.items()}
    return xr.Dataset(data, {"presentation_id": 100 + np.arange(len(start))})


def test_movies_break_where_frames_decrease_where_time_jumps_and_where_the_block_changes():
    start = np.array([0.0, 1, 2, 3, 4, 5, 9, 10, 11, 12])
    frame = np.array([0.0, 1, 2, 0, 1, 2, 3, 4, 5, 6])
    block = np.array([0.0] * 9 + [1.0])
    found = stimuli.whole_movies(frames(start, start + 1, frame, block))
    assert found["presentation_id"].values.tolist() == [100, 103, 106, 109]
    assert found["n_frames"].values.tolist() == [3, 3, 3, 1]
    assert found["stop_time"].values.tolist() == [3, 6, 12, 13]
    assert stimuli.whole_movies(frames([], [], [])).sizes["presentation_id"] == 0


def test_a_splice_does_not_join_two_showings(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, splice=True, movie=(4, 10), **SMALL)
    node = na.open_datatree(path)[NODE]["presentations/natural_movie_one"]
    assert node["n_frames"].values.tolist() == [10] * 4
    assert node["invalid"].values.tolist() == [True, True, False, False]


def test_touching_an_invalid_time_counts():
    one = [stimuli.Interval(1.0, 2.0, ("EcephysSession", "1", "stimulus"))]
    start, stop = np.array([0.0, 0.0, 2.0, 2.5]), np.array([0.9, 1.0, 3.0, 3.0])
    assert stimuli.overlaps(start, stop, one).tolist() == [False, True, True, False]


# ---------------------------------------------------------------------------------- behaviour


def test_running_is_stamped_at_the_middle_and_gaze_is_y_before_x(tmp_path):
    path = tmp_path / "s.nwb"
    truth = write_allen(path, **SMALL)
    tree = na.open_datatree(path)
    running, made = tree[NODE]["running"], truth["running"]
    np.testing.assert_array_equal(running["time"], (made["start_time"] + made["end_time"]) / 2)
    np.testing.assert_array_equal(running["start_time"], made["start_time"])
    np.testing.assert_array_equal(running["end_time"], made["end_time"])
    np.testing.assert_array_equal(running["speed"], made["speed"])
    for node, kind in (("pupil", "raw"), ("pupil_filtered", "filtered")):
        gaze = tree[NODE][node]
        expected = truth["gaze"][f"{kind}_screen_coordinates"]
        np.testing.assert_array_equal(gaze["y"], expected[:, 0])
        np.testing.assert_array_equal(gaze["x"], expected[:, 1])
        expected = truth["gaze"][f"{kind}_screen_coordinates_spherical"]
        np.testing.assert_array_equal(gaze["y_angle"], expected[:, 0])
        np.testing.assert_array_equal(gaze["area"], truth["gaze"][f"{kind}_pupil_area"])
        np.testing.assert_array_equal(gaze["time"], truth["gaze"]["time"])
        assert "units" not in gaze["area"].attrs
        assert gaze["x"].attrs["units"] == "cm"
    blink = truth["gaze"]["blink"]
    assert np.isnan(tree[NODE]["pupil/x"].values[blink]).all()
    assert np.isnan(tree[NODE]["pupil_filtered/x"].values).sum() > blink.sum() > 0
    width = tree[NODE]["ellipses/eye/width"]
    np.testing.assert_array_equal(width, 2 * truth["gaze"]["eye_ellipse"]["width"])
    pulses = tree[NODE]["presentations/optogenetic_stimulation"]
    np.testing.assert_array_equal(pulses["level"], truth["optotagging"]["level"])


@pytest.mark.parametrize(
    ("name", "shape", "note"),
    [
        (f"{ELECTRODES}/location", "short", f"{ELECTRODES}/location: expected "),
        ("units/quality", "short", "units/quality: expected "),
        ("units/quality", "row", ""),
        (f"{ELECTRODES}/id", "row", ""),
    ],
)
def test_a_column_of_another_length_is_named(tmp_path, name, shape, note):
    path = tmp_path / "s.nwb"
    write_allen(path, **UNITS)
    before = areas_of(na.open_datatree(path))
    close_all()
    with h5py.File(path, "a") as file:
        values = file[name][()]
        del file[name]
        file[name] = values[:-1] if shape == "short" else values[None]
    tree = na.open_datatree(path)
    if note:
        assert any(note in said for said in tree[NODE].attrs["notes"])
    else:
        assert areas_of(tree) == before


@pytest.mark.parametrize(("part", "note"), [("eye", "no eye tracking"), ("running", "no running")])
def test_a_session_without(tmp_path, part, note):
    path = tmp_path / "s.nwb"
    parts = {"running", "eye", "invalid"} - {part}
    write_allen(path, parts=tuple(parts), **FEW)
    tree = na.open_datatree(path)
    assert note in tree[NODE].attrs["notes"]
    aligned = na.align(tree, "flashes")
    na.validate(aligned, values=True)
    area = next(iter(areas_of(tree)))
    assert ("speed" in aligned[f"{NODE}/{area}"]) == (part != "running")
    assert ("pupil" in aligned[f"{NODE}/{area}"].children) == (part != "eye")


@pytest.mark.parametrize(
    ("odd", "values", "kept"),
    [
        ("general/extracellular_ephys/electrodes/group_name", [1.0, 2.0], "presentations"),
        ("general/extracellular_ephys/electrodes/id", [[1, 2]], "running"),
        ("units/peak_channel_id", None, "presentations"),
        ("units/quality", [1.0], "running"),
        ("processing/raw_gaze_mapping/screen_coordinates/data", "a text", "units"),
        ("processing/running/running_speed/data", "a text", "units"),
    ],
)
def test_one_odd_object_costs_itself(tmp_path, odd, values, kept):
    path = tmp_path / "s.nwb"
    write_allen(path, **FEW)
    with h5py.File(path, "a") as file:
        del file[odd]
        if values is not None:
            file[odd] = values
    tree = na.open_datatree(path)
    load(tree)
    session = tree[next(iter(tree.children))]
    there = {path.partition("/")[0] for path in (p for p, _ in session.subtree_with_keys)}
    assert kept in there or (
        kept == "units" and any(p.endswith("/spikes") for p, _ in session.subtree_with_keys)
    )
    said = "; ".join(session.attrs["notes"])
    place = odd.rpartition("/")[0] if "gaze" in odd or "running" in odd else "units"
    assert f"{place}" in said


def test_gaze_of_another_length_is_left_out_and_said(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, **FEW)
    with h5py.File(path, "r+") as file:
        group = file["processing/raw_gaze_mapping/pupil_area"]
        values = group["data"][:-1]
        del group["data"]
        group["data"] = values
    tree = na.open_datatree(path)
    assert "area" not in tree[NODE]["pupil"]
    assert "raw_gaze_mapping/pupil_area" in tree[NODE].attrs["notes"][-1]


# -------------------------------------------------------------------------------- other writers


def test_visual_behavior(tmp_path):
    path = tmp_path / "ecephys_session_1064644573.nwb"
    truth = write_allen(path, layout="visual_behavior", session_id=1064644573, **SMALL)
    tree = na.open_datatree(path)
    node = tree["session_1064644573"]
    assert node.attrs["session_type"] == "visual_behavior"
    assert node.attrs["units_filter"] == "none"
    everything = np.ones(len(truth["units"]["why"]), bool)
    assert areas_of(tree, "session_1064644573") == expected_units(truth, everything)
    images = node["presentations/Natural_Images_Lum_Matched_set_ophys_G_2019"]
    assert images["omitted"].values.sum() == 2
    assert images["image_name"].values[4] == "omitted"
    np.testing.assert_array_equal(node["running/speed"], truth["running"]["speed"])
    np.testing.assert_array_equal(node["running/time"], truth["running"]["time"])
    np.testing.assert_array_equal(node["pupil/pupil_tracking_area"], truth["gaze"]["pupil_area"])
    np.testing.assert_array_equal(node["pupil/likely_blink"], truth["gaze"]["blink"])
    assert node["events/licks"].sizes["event"] == 9
    aligned = na.align(tree, "flash_250ms")
    load(aligned)
    na.validate(aligned, values=True)
    good = na.open_datatree(path, quality="good")
    assert sum(map(len, areas_of(good, "session_1064644573").values())) == everything.size - 1


def test_files_from_before_june_2020_are_refused(tmp_path):
    path = tmp_path / "old.nwb"
    write_allen(path, layout="before_2020")
    with pytest.raises(FormatError, match=r"old\.nwb.*June 2020.*download"):
        na.open_datatree(path)
    close_all()
    with h5py.File(path, "r+") as file:
        table = file["general/extracellular_ephys/electrodes"]
        table.move("manual_structure_acronym", "location")
        file.move(
            "intervals/epochs/flashes_presentations/start_time", "intervals/epochs/start_time"
        )
    close_all()
    with pytest.raises(FormatError, match="one table, epochs"):
        na.open_datatree(path, engine="allen")


# ------------------------------------------------------------------------------------- folders


def test_a_folder_of_sessions_passes_over_other_files(tmp_path):
    for number in (715093703, 719161530):
        write_allen(tmp_path / f"s{number}.nwb", session_id=number, **UNITS)
    with h5py.File(tmp_path / "probe_lfp.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.2.2"
        file["general/stimulus"] = "brain_observatory_1.1"
    (tmp_path / "not_yet.nwb").write_text("/annex/objects/SHA256E-s5--abc.nwb\n")
    tree = na.open_datatree(tmp_path)
    assert list(tree.children) == [NODE, "session_719161530"]
    note, other = tree.attrs["notes"]
    assert other == "passed over: 'probe_lfp.nwb'"
    assert note.startswith("not_yet.nwb passed over: a git-annex pointer in its place")
    one = na.open_datatree(tmp_path, sessions=NODE)
    assert list(one.children) == [NODE]
    listed = na.open_datatree([tmp_path / "s719161530.nwb", tmp_path / "s715093703.nwb"])
    assert list(listed.children) == ["session_719161530", NODE]
    alone = na.open_datatree(tmp_path / "s715093703.nwb")
    assert_same_trees(one, alone, but=("notes", "sessions_asked"))
    catalog = na.catalog(tmp_path)
    assert set(catalog["session"]) == {NODE, "session_719161530"}


@pytest.mark.parametrize("inside", [f"session_{ID}/session_{ID}.nwb", f"sub-1/sub-1_ses-{ID}.nwb"])
def test_a_cache_and_a_dandiset_are_folders_of_sessions(tmp_path, inside):
    path = tmp_path / inside
    path.parent.mkdir()
    path.write_bytes(GOLDEN.read_bytes())
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "other").mkdir()
    assert list(na.open_datatree(tmp_path).children) == [NODE]
    assert na.sessions(tmp_path)["session"].tolist() == [NODE]
    damaged = path.with_name("session_2.nwb")
    damaged.write_bytes(GOLDEN.read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"session_2\.nwb"):
        na.open_datatree(tmp_path)
    assert list(na.open_datatree(tmp_path, skip_damaged=True).children) == [NODE]


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"amplitude_cutoff": "a"}, ValueError, "amplitude_cutoff='a': expected a number, or None"),
        ({"presence_ratio": float("nan")}, ValueError, "presence_ratio=nan: expected a number"),
        ({"valid_channels": "yes"}, ValueError, "valid_channels='yes': expected True, False or N"),
        ({"quality": "godo"}, NotInTree, "no quality of units 'godo'.*did you mean 'good'"),
    ],
)
def test_a_threshold_that_is_none_is_refused_by_name(option, error, message):
    with pytest.raises(error, match=message):
        na.open_datatree(GOLDEN, **option)


def test_two_files_of_one_session(tmp_path):
    write_allen(tmp_path / "a.nwb", **UNITS)
    write_allen(tmp_path / "b.nwb", session_id=ID, seed=1, **UNITS)
    with pytest.raises(FormatError, match=r"b\.nwb.*session_715093703, as in .*a\.nwb"):
        na.open_datatree(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/annex/objects/SHA256E-s2853395760--abc.nwb\n", "datalad get"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n", "git lfs"),
    ],
)
def test_a_pointer_is_called_one(tmp_path, text, words):
    path = tmp_path / "session.nwb"
    path.write_text(text)
    with pytest.raises(FormatError, match=words):
        na.open_datatree(path)
    with pytest.raises(FormatError, match=words):
        na.open_datatree(path, engine="allen")
    with pytest.raises(FormatError, match=words):
        na.open_datatree(tmp_path)


def test_a_link_into_an_annex_that_has_nothing(tmp_path):
    path = tmp_path / "session.nwb"
    os.symlink(".git/annex/objects/ab/cd/SHA256E-s7--x.nwb/SHA256E-s7--x.nwb", path)
    with pytest.raises(FormatError, match="datalad get"):
        na.open_datatree(path)


@pytest.mark.parametrize(
    ("stored", "name", "expected"),
    [
        ("715093703", "x.nwb", "715093703"),
        ("mouse", "ecephys_session_719161530.nwb", "719161530"),
        ("mouse", "x.nwb", "x"),
    ],
)
def test_the_id_of_a_session(tmp_path, stored, name, expected):
    path = tmp_path / name
    write_allen(path, **UNITS)
    with h5py.File(path, "r+") as file:
        for place in ("general/session_id", "identifier"):
            del file[place]
            file[place] = stored
    assert list(na.open_datatree(path).children) == [f"session_{expected}"]


def test_a_stimulus_or_structure_with_a_typo(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, **SMALL)
    tree = na.open_datatree(path)
    for align in (na.align, published):
        with pytest.raises(NotInTree, match="did you mean 'natural_scenes'"):
            align(tree, "natural_scene")
    with pytest.raises(NotInTree, match="did you mean"):
        na.open_datatree(path, areas="VISpp")


def test_plain_nwb_still_reads_it_when_asked(tmp_path):
    path = tmp_path / "s.nwb"
    write_allen(path, **FEW)
    tree = na.open_datatree(path, engine="nwb")
    assert "s" in tree.children


def test_the_kind_of_session_is_told_by_its_tables_too(tmp_path):
    """Some Visual Behavior files state a stimulus of their own; a file may state none."""
    path = tmp_path / "s.nwb"
    write_allen(path, layout="visual_behavior", **SMALL)
    with h5py.File(path, "r+") as file:
        file["general/stimulus"] = "EPHYS_1_images_G_5uL_reward"
    assert na.open_datatree(path)[NODE].attrs["units_filter"] == "none"
    path = tmp_path / "t.nwb"
    write_allen(path, **FEW)
    with h5py.File(path, "r+") as file:
        del file["general/stimulus"]
    node = na.open_datatree(path)[NODE]
    assert node.attrs["session_type"] == "unknown"
    assert node.attrs["units_filter"].startswith("quality=good")
