"""Arrays by a mapping: golden files under the suite, every real file here, and what can be wrong."""

import io
import json
import tomllib
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.errors import FormatError, SchemaError
from neuroarrays.files.matlab import matlab_source
from neuroarrays.files.matlab5 import check_v5
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.arrays import ArraysReader, outline
from neuroarrays.formats.arrays.files import arrays_source, listing
from neuroarrays.schema.validation import validate
from neuroarrays.testing import ReaderTests, load
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "arrays"
MAPPINGS = Path(__file__).resolve().parents[2] / "docs" / "examples"
NODE = {"position": {"x": "x"}}


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


class TestMatlab(ReaderTests):
    archives = (".h5",)
    reader = "arrays"
    path = GOLDEN / "rig.toml"
    foreign = (GOLDEN / "rig.mat", GOLDEN / "lab")
    options = {"mapping": NODE}
    values = {
        ("rig/CA1/spikes", "spike_times", 0): 2.2558,
        ("rig/CA1/spikes", "spike_times", 5): 4.766,
        ("rig/CA1/spikes", "spike_times", -1): 8.9689,
        ("rig/CA1/spikes", "row_size", 0): 5,
        ("rig/CA1/spikes", "row_size", 2): 0,
        ("rig/CA1/spikes", "rate", -1): 0.4,
        ("rig/CA1/fluorescence", "fluorescence", (0, 0)): 0.8994637,
        ("rig/CA1/fluorescence", "fluorescence", (-1, -1)): 0.90754235,
        ("rig/CA1/fluorescence", "time", -1): 5.5,
        ("rig/position", "x", 0): 0.5201211503606802,
        ("rig/position", "x", -1): 0.15338195857876535,
        ("rig/position", "time", -1): 9.6,
        ("rig/position", "lick", 7): True,
        ("rig/presentations/trials", "start_time", 1): 4.0,
        ("rig/presentations/trials", "kind", 0): "go",
        ("rig/presentations/trials", "kind", -1): "nogo",
    }


class TestFolder(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)  # a MATLAB file is read after the others
    reader = "arrays"
    path = GOLDEN / "lab.toml"
    options = {"mapping": {"running": {"speed": "wheel.csv/speed"}}}
    values = {
        ("lab/CA1/spikes", "spike_times", 0): 2.2558,
        ("lab/CA1/spikes", "spike_times", -1): 8.9689,
        ("lab/CA1/spikes", "unit_id", 0): 11,
        ("lab/CA1/spikes", "unit_id", -1): 14,
        ("lab/CA1/spikes", "row_size", 1): 3,
        ("lab/running", "speed", 0): 1.5,
        ("lab/running", "speed", -1): 4.5,
        ("lab/running", "time", -1): 0.003,
    }


def opened(path, mapping, **options):
    return na.open_datatree(path, engine="arrays", mapping=mapping, **options)


# ----------------------------------------------------------------------------------- real files


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPPINGS.glob("*.toml")))
def test_real_files(shared_data, name):
    mapping = MAPPINGS / f"{name}.toml"
    file = tomllib.loads(mapping.read_text())["file"]
    if file.endswith((".parquet", ".pqt")):
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    tree = opened(shared_data / file, mapping)
    if name != "sensorium_trials":  # it has no times
        validate(tree, values=name not in ("allen_durations",))
    load(tree)


#: What of the recordings is no array, and which mapping opens the files that are like another one.
NO_ARRAYS = (".md", ".yaml", ".json", "traces.nc")
ALIKE = {
    "park2024_V1_pupil_running": "park_pupil",
    "waverepo_retina_h5": "waverepo",
    "allen_truth": "allen_durations",
}


def test_every_real_file_is_opened_by_a_mapping_or_a_reader(shared_data):
    """Over the list of recordings: NWB by its reader, any other file by a mapping shown in the docs."""
    mapped = [tomllib.loads(path.read_text())["file"] for path in sorted(MAPPINGS.glob("*.toml"))]
    docs = (MAPPINGS.parent / "bring_your_own.md").read_text()
    for entry in json.loads((shared_data / "index.json").read_text())["here"]:
        place = entry["path"]
        if place.endswith(".nwb"):
            assert len(na.open_datatree(shared_data / place).children) == 1
        elif not place.endswith(NO_ARRAYS) and not any(
            f"{place}/".startswith(f"{m}/") for m in mapped
        ):
            mapping = MAPPINGS / f"{ALIKE[place.partition('/')[0]]}.toml"
            said = tomllib.loads(mapping.read_text())
            if "Blankenship" in place:
                del said["retina/spikes"]["electrode"]  # its electrodes have no names
            load(opened(shared_data / place, said))
        assert f"`{place.partition('/')[0]}`" in docs
    for path in MAPPINGS.glob("*.toml"):
        assert f"examples/{path.name}" in docs


def real(shared_data, name):
    mapping = MAPPINGS / f"{name}.toml"
    tree = opened(shared_data / tomllib.loads(mapping.read_text())["file"], mapping)
    return next(iter(tree.children.values()))


def test_real_values_equal_scipy(shared_data):
    session = real(shared_data, "kramer")
    stored = scipy.io.loadmat(shared_data / "kramer_placecell" / "spikes-1.mat")
    np.testing.assert_array_equal(session["position"]["x"], stored["X"].ravel())
    np.testing.assert_array_equal(session["position"]["time"], stored["t"].ravel())
    np.testing.assert_array_equal(
        session["CA1/spikes"]["spike_times"], stored["spiketimes"].ravel()
    )
    park = real(shared_data, "park_pupil")["V1"]
    stored = scipy.io.loadmat(
        shared_data / "park2024_V1_pupil_running" / "230810_mrcuts29_fov2_grat-000_data.mat"
    )["D"][0, 0]
    np.testing.assert_array_equal(park["responses"][5, :, 3], stored["neuron4"][0, 5].ravel())
    np.testing.assert_array_equal(park["behaviour"]["speed"][127], stored["speed"][0, 127].ravel())
    assert park["direction"].dims == ("presentation_id",)


def test_real_units_of_nested_cells(shared_data):
    spikes = real(shared_data, "nelpy_track")["CA1/spikes"].to_dataset()
    cells = scipy.io.loadmat(
        shared_data / "nelpy_hippocampus" / "linear-track" / "spikes.mat", squeeze_me=False
    )["spikes"][0, 0][0, 0]
    trains = [
        unit["time"][0, 0].ravel()
        for tetrode in cells.ravel()
        for unit in tetrode.ravel()
        if unit.dtype.names
    ]
    assert spikes["row_size"].values.tolist() == [t.size for t in trains]
    np.testing.assert_array_equal(spikes["spike_times"], np.concatenate(trains))
    np.testing.assert_array_equal(spikes.sel(unit_id=7)["spike_times"], trains[7])


def test_two_clocks_are_two_nodes_that_align_joins():
    said = tomllib.loads((GOLDEN / "rig.toml").read_text())
    mapping = {name: said[name] for name in ("CA1/fluorescence", "position")}
    tree = opened(GOLDEN / "rig.mat", mapping)
    assert tree["rig/CA1/fluorescence"].sizes["time"] != tree["rig/position"].sizes["time"]
    aligned = na.align(tree, bin_width=0.5)
    nodes = [node for node in aligned.subtree if "time" in node.sizes]
    assert len({node.sizes["time"] for node in nodes}) == 1
    assert any("x" in node.data_vars for node in nodes)
    assert any("unit_id" in node.sizes for node in nodes)


@pytest.mark.parametrize("name", ["kramer", "miniscope"])
def test_two_clocks_of_real_files_on_one(shared_data, name):
    mapping = MAPPINGS / f"{name}.toml"
    tree = opened(shared_data / tomllib.loads(mapping.read_text())["file"], mapping)
    (session,) = tree
    position = tree[session]["position"].to_dataset()
    area = na.align(tree, bin_width=0.05, method="linear")[session]["CA1"]
    times, x = area["time"].values, area["position/x"].values
    stored, known = position["time"].values, position["x"].values
    inside = (times >= stored[0]) & (times <= stored[-1])
    expected = np.interp(times[inside], stored[~np.isnan(known)], known[~np.isnan(known)])
    np.testing.assert_allclose(x[inside], expected, rtol=1e-5)
    assert np.isnan(x[~inside]).all()
    if name == "miniscope":
        traces = tree[session]["CA1/traces"].to_dataset()
        assert traces.sizes["time"] != position.sizes["time"]
        clock, order = traces["time"].values, np.argsort(traces["time"].values, kind="stable")
        assert (np.diff(clock) < 0).sum() == 1  # it goes back once
        for unit in (0, -1):
            trace = traces["C"].values[order, unit]
            expected = np.interp(times, clock[order], trace, left=np.nan, right=np.nan)
            np.testing.assert_allclose(area["responses"][:, unit], expected, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------------- info, mapping


RECORDED = {
    "dff": np.random.default_rng(0).random((3, 40)),
    "frame_times": np.arange(40) / 20,
    "x": np.random.default_rng(1).random(100),
    "lick": np.arange(100) % 3 == 0,
    "behav_time": np.arange(100) / 50,
    "spike_times": np.sort(np.random.default_rng(2).random(12)),
    "spike_clusters": np.arange(12, dtype="i4") % 4 + 11,
}


def as_v73(path, arrays):
    """As MATLAB writes it: an HDF5 file with a user block, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.atleast_2d(array).astype(array.dtype if array.dtype != bool else "u1").T
            if array.dtype == bool:
                file[name].attrs["MATLAB_class"] = np.bytes_("logical")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def as_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def as_folder(path, arrays):
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)


WRITERS = {
    "rec.npz": lambda path, arrays: np.savez(path, **arrays),
    "rec_v5.mat": lambda path, arrays: scipy.io.savemat(path, arrays),
    "rec_v73.mat": as_v73,
    "rec": as_folder,
    "rec.h5": as_hdf5,
}


def pasted(path, capsys):
    """The tree that the printed mapping opens, put beside the file as it is printed."""
    assert cli.main(["info", str(path)]) == 0
    (path.parent / "mapping.toml").write_text(capsys.readouterr().out)
    tree = na.open_datatree(path.parent / "mapping.toml")
    validate(tree, values=True)
    load(tree)
    return tree[path.stem]


@pytest.mark.parametrize("name", WRITERS)
def test_the_mapping_that_info_prints_opens_when_it_is_pasted(name, tmp_path, capsys):
    WRITERS[name](tmp_path / name, RECORDED)
    session = pasted(tmp_path / name, capsys)
    dff = session["unknown/dff"].to_dataset()
    np.testing.assert_array_equal(dff["dff"], RECORDED["dff"].T)
    np.testing.assert_array_equal(dff["time"], RECORDED["frame_times"])
    np.testing.assert_array_equal(session["behav_time"]["x"], RECORDED["x"])
    np.testing.assert_array_equal(session["behav_time"]["lick"], RECORDED["lick"])
    spikes = session["unknown/spikes"].to_dataset()
    assert spikes["unit_id"].values.tolist() == [11, 12, 13, 14]
    np.testing.assert_array_equal(
        spikes.sel(unit_id=12)["spike_times"],
        RECORDED["spike_times"][RECORDED["spike_clusters"] == 12],
    )


@pytest.mark.parametrize("kind", ["csv", "parquet", "txt", "npy"])
def test_info_of_one_table(kind, tmp_path, capsys):
    table = pd.DataFrame({"time": [0.0, 0.5, 1.0], "x": [3.0, np.nan, 5.0], "who": ["a", "b", "c"]})
    path = tmp_path / f"rec.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    elif kind == "npy":
        np.save(path, table[["time", "x"]].to_numpy())
    else:
        table.to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    session = pasted(path, capsys)
    if kind == "npy":
        np.testing.assert_array_equal(session["unknown/rec"]["rec"][:, 1], table["x"])
    else:
        np.testing.assert_array_equal(session["time"]["x"], table["x"])


@pytest.mark.parametrize("names", [("neural", "tracking"), ("session1", "session2")])
def test_two_tables_in_a_folder(names, tmp_path, capsys):
    """Two clocks are two nodes, also where the names differ by a number only."""
    (tmp_path / "rec").mkdir()
    for name, n in zip(names, (5, 7), strict=True):
        table = pd.DataFrame({"time": np.arange(n) / 10, "x": np.arange(n) * 2.0})
        table.to_csv(tmp_path / "rec" / f"{name}.csv", index=False)
    assert "neuroarrays info" in said_by(tmp_path / "rec")
    session = pasted(tmp_path / "rec", capsys)
    nodes = [node for name, node in session.children.items() if name != "observed"]
    assert sorted(node.sizes["time"] for node in nodes) == [5, 7]
    for node in nodes:
        assert node["x"].values.tolist() == (2 * np.arange(node.sizes["time"])).tolist()
        np.testing.assert_array_equal(node["time"], np.arange(node.sizes["time"]) / 10)


def said_by(path):
    """The error on opening a path without saying what it is."""
    with pytest.raises(FormatError) as caught:
        na.open_datatree(path)
    return str(caught.value)


def test_the_docs_show_what_info_prints(tmp_path, monkeypatch):
    page = (MAPPINGS.parent / "bring_your_own.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    shown = page.partition("$ neuroarrays info rig.mat\n")[2].partition("```")[0]
    assert outline("rig.mat").strip() == shown.strip()


def test_info_of_golden_files(capsys, tmp_path):
    for name in ("rig.mat", "lab"):
        assert cli.main(["info", str(GOLDEN / name)]) == 0
        tree = opened(GOLDEN / name, tomllib.loads(capsys.readouterr().out))
        validate(tree, values=True)
    assert "gone" not in outline(GOLDEN / "lab")
    np.savez(tmp_path / "none.npz", what=np.array({"a": 1}, object))
    assert "nothing in it looks like a signal" in outline(tmp_path / "none.npz")


def test_info_of_real_files(shared_data, capsys):
    places = [
        "kramer_placecell/spikes-1.mat",
        "waverepo_retina_h5/Wong1993_P12a.h5",
        "miniscope_placecell/regression_2d",
        "gollisch_DS_RGC",
        "rfest_rgc_dendrite_h5/RGC_dendrite.h5",
        "ibl_prior_localization_npy",
        "zhang_desimone_IT/bp1014spk_03A_raster_data.mat",
        "park2024_V1_pupil_running/230810_mrcuts29_fov2_grat-000_data.mat",
    ]
    for place in places:
        load(opened(shared_data / place, tomllib.loads(outline(shared_data / place))))
    text = outline(shared_data / "waverepo_retina_h5" / "Wong1993_P12a.h5")
    assert 'row_size = "sCount"' in text


def test_info_takes_a_rate_that_is_in_the_file(tmp_path, capsys):
    """The commonest file of all: a matrix, the rate, no clock."""
    dff = np.random.default_rng(0).random((3, 40))
    scipy.io.savemat(tmp_path / "a.mat", {"data": {"dff": dff, "fs": 8.0, "spk": [1.0, 2.5]}})
    assert cli.main(["info", str(tmp_path / "a.mat")]) == 0
    (tmp_path / "a.toml").write_text(capsys.readouterr().out)
    session = na.open_datatree(tmp_path / "a.toml")["a"]
    np.testing.assert_array_equal(session["unknown/dff/dff"], dff.T)
    np.testing.assert_array_equal(session["unknown/dff/time"], np.arange(40) / 8)


@pytest.mark.parametrize("name", ["a.npz", "a.mat"])
def test_damaged_files_say_so_and_others_what_is_in_them(tmp_path, capsys, name):
    path = tmp_path / name
    save = np.savez if name == "a.npz" else lambda path, **arrays: scipy.io.savemat(path, arrays)
    save(path, dff=np.ones((3, 40)), speed=np.ones(40))
    with pytest.raises(FormatError, match="file with 'dff', 'speed'"):
        na.open_datatree(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match="truncated"):
        na.open_datatree(path)
    assert cli.main(["info", str(path)]) == 2
    assert "truncated" in capsys.readouterr().err


def test_no_mapping_says_what_is_inside():
    with pytest.raises(FormatError, match=r"(?s)mapping=.*one to start from:.*ca_time"):
        na.open_datatree(GOLDEN / "rig.mat", engine="arrays")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "nodes, each a table"),
        ({"position": "x"}, "nodes, each a table"),
        ({"tree": "other", **NODE}, "'recording' or 'aligned'"),
        ({"position": {"x": "xs"}}, r"position/x: expected the array 'xs'.*did you mean 'x'"),
        ({"position": {"x": "behaviour_time"}}, "did you mean 'behav_time'"),
        ({"position": {"x": 3}}, "the name of an array"),
        ({"position": {"x": {"array": "x", "unit": "m"}}}, "keys among"),
        ({"position": {"x": "nothing/*/at_all"}}, "expected the array 'nothing/"),
        ({"position": {"time": {"rate": 0}, "x": "x"}}, "a rate above 0 Hz"),
        ({"position": {"time": "dff", "x": "x"}}, "times along one axis"),
        ({"position": {"time": "behav_time"}}, "at least one variable"),
        ({"position": {"time": "ca_time", "x": "x"}}, "12 along time, as time; found 25"),
        (
            {"CA1/f": {"time": "ca_time", "f": "dff"}},
            "its axis of 12 is time; say dims = .*unit_id",
        ),
        (
            {"running": {"speed": {"array": "x", "units": "m/s"}}},
            "running/speed/units: expected 'cm/s', which speed has in a tree; found 'm/s'; convert it",
        ),
        (
            {"CA1/f": {"f": {"array": "dff", "dims": ["time"]}}},
            r"dims for an array of shape \(3, 12\)",
        ),
        ({"CA1/spikes": {"spike_times": "dff"}}, "spike times along one axis"),
        ({"CA1/spikes": {"spike_times": "x", "unit": "trials/on"}}, "a unit for each spike"),
        ({"CA1/spikes": {"spike_times": "x", "unit": "ca_time"}}, "whole numbers; found .0.  0.5"),
        ({"CA1/spikes": {"spike_times": "x", "row_size": "lick"}}, "a sum of 25"),
        (
            {"CA1/spikes": {"spike_times": {"array": "x", "scale": "ms"}}},
            "scale: expected a finite",
        ),
        ({"position": {"x": {"array": "x", "dims": ["time", "time"]}}}, "different names of axes"),
        ({"position": {"x": {"array": "x", "dtype": "words"}}}, "a dtype of numbers"),
        ({"position": {"x": {"array": "x", "unit": "cm"}}}, "found 'unit'; did you mean 'units'"),
        ({"position": {"time": {"rate": 30, "begin": 1}, "x": "x"}}, "{rate, start}: a rate"),
        ({"position": {"time": {"rate": float("nan")}, "x": "x"}}, "a rate above 0 Hz"),
        ({"position": {"x": {"array": "dff", "column": 12}}}, "a column of shape"),
    ],
)
def test_bad_mappings(mapping, message):
    with pytest.raises(FormatError, match=message):
        opened(GOLDEN / "rig.mat", mapping)


SCALAR = st.sampled_from([0, -1, 2.5, np.nan, 10**400, True, "", "x", "time", "O", "float32"])
PART = SCALAR | st.sampled_from(
    ["dff", "ca_time", "lick", "spikes/*/time", "*", "trials/kind/*", [], {}, ["unit_id", "time"]]
)
KEY = st.sampled_from(["column", "dims", "dtype", "scale", "offset", "units", "rate", "start"])
ENTRY = PART | st.builds(
    lambda array, keys: {"array": array, **keys}, PART, st.dictionaries(KEY, PART, max_size=2)
)
NAME = st.sampled_from(
    [
        "time",
        "unit_id",
        "x",
        "spike_times",
        "unit",
        "row_size",
        "responses",
        "stimulus",
        "start_time",
    ]
)
PLACE = st.sampled_from(
    ["/", "V1", "V1/spikes", "V1/presentations", "presentations/t", "stimulus/s", "attrs", "a//b"]
)


@pytest.mark.filterwarnings("ignore:.*if these are exchanged:UserWarning")
@given(
    st.dictionaries(PLACE, st.dictionaries(NAME, ENTRY, max_size=3) | PART, max_size=3),
    st.sampled_from(["recording", "aligned"]),
)
def test_any_mapping_is_a_tree_or_an_error_that_names_the_file(nodes, tree):
    said = ""
    try:
        load(opened(GOLDEN / "rig.mat", {"tree": tree, **nodes}))
    except (FormatError, SchemaError) as error:
        said = str(error)
    assert not said or "rig" in said


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            {
                "tree": "aligned",
                "/": {"V1": "x"},
                "V1": {"responses": {"array": "dff", "dims": ["unit_id", "time"]}},
            },
            "a name that rig has not given to an array; found 'V1'",
        ),
        (
            {
                "tree": "aligned",
                "/": {"x": "x"},
                "V1": {"responses": {"array": "dff", "dims": ["unit_id", "time"]}},
            },
            "25 along time, as rig above it has; found 12; what has a clock of its own",
        ),
        ({"attrs": ["a"], **NODE}, "attrs: expected a table"),
        ({"session": 3, **NODE}, "session: expected the name"),
        ({"a//b": {"x": "x"}}, "names of nodes, with / between"),
    ],
)
def test_nodes_that_do_not_fit(mapping, message):
    with pytest.raises(FormatError, match=message):
        opened(GOLDEN / "rig.mat", mapping)


def test_what_all_areas_share_stands_at_the_session():
    mapping = {
        "tree": "aligned",
        "/": {"time": "behav_time", "x": "x"},
        "V1": {"responses": {"array": "x", "dims": ["unit_id", "time"]}},
    }
    session = opened(GOLDEN / "rig.mat", mapping)["rig"]
    np.testing.assert_array_equal(session["V1"]["time"], session["time"])
    assert session["V1/responses"].shape == (25, 1)


def test_a_mapping_that_is_no_toml(tmp_path):
    (tmp_path / "m.toml").write_text("neuroarrays_mapping = = 1")
    with pytest.raises(FormatError, match=r"m\.toml: expected TOML"):
        opened(GOLDEN / "rig.mat", tmp_path / "m.toml")
    (tmp_path / "n.toml").write_text("neuroarrays_mapping = 1\nfile = 'gone.mat'")
    with pytest.raises(FormatError, match=r"n\.toml:file"):
        na.open_datatree(tmp_path / "n.toml")


def test_a_matrix_that_looks_transposed_without_a_clock_is_warned_of(tmp_path):
    np.savez(tmp_path / "a.npz", dff=np.zeros((3, 40)))
    mapping = {"V1/f": {"time": {"rate": 20}, "f": {"array": "dff", "dims": ["time", "unit_id"]}}}
    with pytest.warns(UserWarning, match=r"V1/f has 40 units and 3 times; if these are exchanged"):
        opened(tmp_path / "a.npz", mapping)
    mapping["V1/f"]["f"]["dims"] = ["unit_id", "time"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(tmp_path / "a.npz", mapping)["a/V1/f/f"].shape == (40, 3)


@pytest.mark.parametrize("kind", ["big-endian", "Fortran", "empty", "float16", "zip64"])
def test_arrays_of_every_make(tmp_path, kind):
    values = np.random.default_rng(0).random((3, 0 if kind == "empty" else 40))
    stored = {
        "big-endian": values.astype(">f4"),
        "Fortran": np.asfortranarray(values),
        "float16": values.astype("f2"),
    }.get(kind, values)
    np.savez(tmp_path / "a.npz", dff=stored)
    if kind == "zip64":
        raw = io.BytesIO()
        np.save(raw, values)
        with (
            zipfile.ZipFile(tmp_path / "a.npz", "w") as archive,
            archive.open("dff.npy", "w", force_zip64=True) as file,
        ):
            file.write(raw.getvalue())
    mapping = {"V1/f": {"time": {"rate": 20}, "f": {"array": "dff", "dims": ["unit_id", "time"]}}}
    found = opened(tmp_path / "a.npz", mapping)["a/V1/f"]
    assert found["f"].dtype.isnative
    np.testing.assert_array_equal(found["f"], stored.T)
    np.testing.assert_array_equal(found["time"], np.arange(stored.shape[1]) / 20)


def test_a_dtype_must_hold_the_values(tmp_path):
    np.savez(tmp_path / "a.npz", r=np.array([[0.0, 1.0], [2.0, 0.5]]))
    mapping = {
        "tree": "aligned",
        "V1": {"spike_data": {"array": "r", "dims": ["presentation_id", "time"], "dtype": "uint8"}},
    }
    found = opened(tmp_path / "a.npz", mapping)["a/V1/spike_data"]
    assert found.dtype == np.uint8
    assert found.dims == ("presentation_id", "unit_id", "time")
    assert found[0, 0].values.tolist() == [0, 1]
    with pytest.raises(FormatError, match="that uint8 holds exactly"):
        found.values  # noqa: B018


# --------------------------------------------------------------------------------------- MATLAB


def test_matlab_v5(tmp_path):
    path = tmp_path / "a.mat"
    stored = {
        "b": np.array([[True, False]]),
        "i": np.int16([[1, 2]]),
        "big": np.arange(6.0).reshape(2, 3),
        "t": "words",
        "s": {"a": 1.0, "c": np.array([1.0, "two"], object)},
        "e": np.empty((0, 3)),
    }
    for compressed in (False, True):
        scipy.io.savemat(path, stored, do_compression=compressed)
        found = matlab_source(path)
        assert found.info("b").dtype == bool
        assert found.info("i").dtype == np.int16
        np.testing.assert_array_equal(found.read("big", (slice(None), 1)), [1.0, 4.0])
        assert found.read("s/a").item() == 1.0
        assert found.read("s/c/1").tolist() == ["two"]
        assert found.read("t").tolist() == ["words"]
        assert found.info("e").shape == (0, 3)


def test_matlab_v73(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        refs["a"], refs["b"] = np.arange(3.0).reshape(3, 1), np.arange(2.0).reshape(2, 1)
        cells = file.create_dataset("cells", (2, 1), h5py.ref_dtype)
        cells[0, 0], cells[1, 0] = refs["a"].ref, refs["b"].ref
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        file["m"] = np.arange(6.0).reshape(3, 2)  # 2 x 3 in MATLAB
        file["t"] = np.array([[104], [105]], "u2")
        file["t"].attrs["MATLAB_class"] = np.bytes_("char")
        file["s/x"] = np.uint8([[1]])
        file["s/x"].attrs["MATLAB_class"] = np.bytes_("logical")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    found = matlab_source(path)
    assert found.info("m").shape == (2, 3)
    np.testing.assert_array_equal(found.read("m", (1, slice(None))), [1.0, 3.0, 5.0])
    np.testing.assert_array_equal(found.read("cells/0").ravel(), [0.0, 1.0, 2.0])
    assert found.info("cells/1").shape == (1, 2)
    assert found.read("t").tolist() == ["hi"]
    assert found.read("s/x").dtype == bool


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_classes_that_are_never_loaded(tmp_path, packed):
    import scipy.sparse

    scipy.io.savemat(
        tmp_path / "a.mat",
        {
            "x": 1.0,
            "sp": scipy.sparse.eye(2),
            "z": np.array([1 + 2j]),
            "big": np.int64([2**60 + 1]),
            "s": {"x": 3.0, "z": 1j},
        },
        do_compression=packed,
    )
    found = matlab_source(tmp_path / "a.mat")
    assert found.left_out() == {"sp": "sparse", "z": "complex", "s/z": "complex"}
    assert found.read("big").item() == 2**60 + 1
    assert found.read("s/x").item() == 3
    for name in found.left_out():
        with pytest.raises(FormatError, match="nothing of that name"):
            found.read(name)
    with pytest.raises(FormatError, match="found 'sp' of class sparse, which is not read"):
        opened(tmp_path / "a.mat", {"position": {"x": "sp"}})
    assert "#   sp   not read: sparse" in outline(tmp_path / "a.mat")


@pytest.fixture
def classes_v73(tmp_path):
    """One variable of every class, as MATLAB lays them out in HDF5."""
    path = tmp_path / "a.mat"

    def put(file, name, values, kind, **attrs):
        made = file.create_dataset(name, data=np.asarray(values).T)
        made.attrs["MATLAB_class"] = np.bytes_(kind)
        made.attrs.update(attrs)
        return made

    def codes(*rows):
        return np.array([[ord(c) for c in row] for row in rows], "u2")

    with h5py.File(path, "w", userblock_size=512) as file:
        put(file, "i64", np.array([[2**60 + 1, -5]]), "int64")
        put(file, "flag", np.array([[1, 0, 1]], "u1"), "logical", MATLAB_int_decode=1)
        put(file, "word", codes("go"), "char", MATLAB_int_decode=2)
        put(file, "words", codes("go  ", "nogo"), "char", MATLAB_int_decode=2)
        put(file, "no_word", np.array([0, 0], "u8"), "char", MATLAB_empty=1)
        put(file, "none", np.array([0, 3], "u8"), "double", MATLAB_empty=1)
        put(file, "z", np.array([[(1.0, 2.0)]], [("real", "f8"), ("imag", "f8")]), "double")
        put(file, "tab", np.array([[3, 1, 2, 4, 5, 6]], "u4"), "table", MATLAB_object_decode=3)
        sparse = file.create_group("sp")
        sparse.attrs.update(MATLAB_class=np.bytes_("double"), MATLAB_sparse=5)
        sparse["data"], sparse["ir"], sparse["jc"] = [1.0], [0], [0, 1]
        handle = file.create_group("f")
        handle.attrs["MATLAB_class"] = np.bytes_("function_handle")
        handle["function_handle/function"] = np.array([[ord("x")]], "u2")
        one = file.create_group("one")
        one.attrs["MATLAB_class"] = np.bytes_("struct")
        put(one, "x", np.arange(6.0).reshape(2, 3), "double")
        refs = [
            put(file, "#refs#/a", np.arange(3.0)[None], "double"),
            put(file, "#refs#/b", codes("late"), "char"),
            put(file, "#refs#/c", np.array([[7]], "i2"), "int16"),
        ]
        array = file.create_group("units")  # a struct array: a reference for each in every field
        array.attrs["MATLAB_class"] = np.bytes_("struct")
        array.create_dataset("time", (2, 1), h5py.ref_dtype)[:, 0] = [refs[0].ref, refs[2].ref]
        cell = file.create_dataset("cells", (3, 1), h5py.ref_dtype)
        cell[:, 0] = [r.ref for r in refs]
        cell.attrs["MATLAB_class"] = np.bytes_("cell")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def test_every_class_of_v73(classes_v73):
    found = matlab_source(classes_v73)
    assert found.left_out() == {
        "z": "complex",
        "tab": "table",
        "sp": "sparse",
        "f": "function_handle",
    }
    assert found.read("i64").tolist() == [[2**60 + 1, -5]]
    assert found.read("flag").tolist() == [[True, False, True]]
    assert found.read("word").tolist() == ["go"]
    assert found.read("words").tolist() == ["go", "nogo"]
    assert found.read("no_word").tolist() == [""]
    assert found.read("none").shape == (0, 3)
    assert found.read("one/x", (1,)).tolist() == [3, 4, 5]
    assert found.read("cells/1").tolist() == ["late"]
    assert found.read("cells/2").dtype == np.int16
    # the fields of a struct array are named as in a file of version 5
    assert found.read("units/0/time").ravel().tolist() == [0, 1, 2]
    assert found.read("units/1/time").ravel().tolist() == [7]
    spikes = opened(classes_v73, {"V1/spikes": {"spike_times": "units/*/time"}})["a/V1/spikes"]
    assert spikes["row_size"].values.tolist() == [3, 1]
    text = outline(classes_v73)
    for name, kind in found.left_out().items():
        assert f"{name:<12}  not read: {kind}" in text
    validate(opened(classes_v73, tomllib.loads(text)))


def test_names_of_struct_arrays_are_those_of_v5(tmp_path, classes_v73):
    units = np.array([({"time": [0.0, 1.0, 2.0]},), ({"time": [7.0]},)], [("u", object)])
    trains = np.empty((1, 2), [("time", object)])
    for i, unit in enumerate(units):
        trains[0, i] = (np.array(unit["u"]["time"]),)
    scipy.io.savemat(tmp_path / "v5.mat", {"units": trains})
    old, new = matlab_source(tmp_path / "v5.mat"), matlab_source(classes_v73)
    assert [n for n in new.members() if n.startswith("units")] == list(old.members())


def nested(depth):
    """A v5 variable of cells in cells, byte by byte."""
    data = b""
    for _ in range(depth):
        head = (
            np.array([6, 8, 1, 0], "<u4").tobytes()
            + np.array([5, 8, 1, 1], "<u4").tobytes()
            + np.array([1, 0], "<u4").tobytes()
        )
        data = np.array([14, len(head) + len(data)], "<u4").tobytes() + head + data
    return data


@pytest.mark.parametrize("compressed", [False, True])
def test_cells_too_deep_for_the_stack(tmp_path, compressed):
    data = nested(10_000)
    if compressed:
        packed = zlib.compress(data)
        data = np.array([15, len(packed)], "<u4").tobytes() + packed
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(head + data)
    with pytest.raises(FormatError, match="at most 32 levels of cells"):
        matlab_source(tmp_path / "a.mat")


def element(kind, data):
    return np.array([kind, len(data)], "<u4").tobytes() + data + b"\0" * (-len(data) % 8)


def matrix_v5(kind, shape, name=b"", inside=b""):
    """A v5 variable, byte by byte."""
    flags, sizes = np.array([kind, 0], "<u4").tobytes(), np.array(shape, "<i4").tobytes()
    return element(14, element(6, flags) + element(5, sizes) + element(1, name) + inside)


FIELDS = element(5, np.array([8], "<i4").tobytes()) + element(1, b"field\0\0\0")
HOLLOW = {
    "cell": matrix_v5(1, (1 << 15, 1 << 15), b"x"),
    "struct": matrix_v5(2, (1 << 15, 1 << 15), b"x", FIELDS),
    "fields": matrix_v5(
        2,
        (1 << 13, 1),
        b"x",
        element(5, np.array([1], "<i4").tobytes()) + element(1, bytes(1 << 16)),
    ),
    "a cell in a cell": matrix_v5(1, (1, 1), b"x", matrix_v5(1, (1 << 15, 1 << 15))),
    "less than none": matrix_v5(1, (-1, -(1 << 30)), b"x"),
}


@pytest.mark.parametrize("name", HOLLOW)
def test_cells_of_more_elements_than_bytes(tmp_path, name):
    """scipy would make room for all of them: 8 GiB for a file of 200 bytes."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(head + HOLLOW[name])
    with pytest.raises(
        FormatError, match=r"a\.mat:byte 128: expected a cell or struct of .* elements"
    ):
        matlab_source(tmp_path / "a.mat")


ONE = element(9, np.ones(1).tobytes())
INNER = matrix_v5(6, (1, 1), b"", ONE)
BROKEN_V5 = {
    "a name beyond its matrix": matrix_v5(
        1,
        (1, 1),
        b"x",
        INNER.replace(np.array([1, 0], "<u4").tobytes(), np.array([1, 127], "<u4").tobytes(), 1),
    ),
    "values of no type": matrix_v5(
        1, (1, 1), b"x", matrix_v5(6, (1, 1), b"", element(99, bytes(8)))
    ),
    "a matrix for values": matrix_v5(
        1, (1, 1), b"x", matrix_v5(6, (1, 1), b"", element(14, bytes(8)))
    ),
    "no values": matrix_v5(1, (1, 1), b"x", matrix_v5(6, (1, 1))),
    "a cell too few": matrix_v5(1, (1, 2), b"x", INNER),
    "a cell too many": matrix_v5(1, (1, 1), b"x", INNER + INNER),
    "no imaginary part": matrix_v5(1, (1, 1), b"x", matrix_v5(6 | 0x800, (1, 1), b"", ONE)),
    "names of no length": matrix_v5(
        2, (1, 1), b"x", element(5, bytes(4)) + element(1, b"") + INNER
    ),
    "no sizes": matrix_v5(1, (1, 1), b"x", matrix_v5(4, (), b"", ONE)),
    "text of no type": matrix_v5(4, (1, 1), b"x", element(99, bytes(8))),
}


@pytest.mark.parametrize("name", BROKEN_V5)
def test_elements_that_scipy_would_take_on_trust(tmp_path, name):
    """It looks up any type of values that it finds: some of these crash the interpreter."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(head + BROKEN_V5[name])
    with pytest.raises(FormatError, match=r"a\.mat:byte 128: .*the file is damaged"):
        matlab_source(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_bytes(head + matrix_v5(1, (1, 1), b"x", INNER))
    assert matlab_source(tmp_path / "b.mat").read("x/0").tolist() == [[1.0]]


def test_a_deflated_cell_that_becomes_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroarrays.files.matlab5.ALWAYS", 1 << 20)
    for size, fits in ((1 << 16, True), (1 << 18, False)):
        zeros = element(9, b"\0" * (8 * size))
        packed = zlib.compress(matrix_v5(1, (1, 1), b"x", matrix_v5(6, (1, size), b"", zeros)))
        head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
        (tmp_path / "a.mat").write_bytes(
            head + np.array([15, len(packed)], "<u4").tobytes() + packed
        )
        if fits:
            assert matlab_source(tmp_path / "a.mat").info("x/0").shape == (1, size)
            continue
        with pytest.raises(FormatError, match="at most 1,048,576 bytes, unpacked"):
            matlab_source(tmp_path / "a.mat")


@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_of_v5_equal_scipy(tmp_path, shared_data, order):
    """Names, shapes and classes, read without scipy; also from a big-endian file of MATLAB 5."""
    paths = sorted(shared_data.rglob("*.mat")) if order == "<" else []
    if order == ">":
        matrix = np.array([6, 8], ">u4").tobytes() + np.array([6, 0], ">u4").tobytes()
        matrix += np.array([5, 8, 1, 2], ">u4").tobytes() + np.array([1 << 16 | 1], ">u4").tobytes()
        matrix += (
            b"x\0\0\0" + np.array([9, 16], ">u4").tobytes() + np.array([1.5, 2], ">f8").tobytes()
        )
        head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
        tag = np.array([14, len(matrix)], ">u4").tobytes()
        (tmp_path / "a.mat").write_bytes(head + tag + matrix)
        assert matlab_source(tmp_path / "a.mat").read("x").tolist() == [[1.5, 2.0]]
        paths = [tmp_path / "a.mat"]
    for path in paths:
        if probe_of(path).container != "hdf5":
            with open(path, "rb") as file:
                variables = check_v5(file, str(path), path.stat().st_size)
            found = [(v.name, v.shape, v.kind) for v in variables]
            assert found == scipy.io.whosmat(path)


def test_a_variable_of_zeros_is_not_unpacked_to_be_listed(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.zeros((4, 1 << 20))}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 1 << 17
    tracemalloc.start()
    assert matlab_source(tmp_path / "a.mat").info("x").shape == (4, 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("cut", [0, 60, 127, 130, 300, -1])
def test_damaged_matlab(tmp_path, cut):
    raw = (GOLDEN / "rig.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(raw[:cut])
    with pytest.raises(FormatError, match=r"a\.mat"):
        load(opened(tmp_path / "a.mat", NODE))


# ----------------------------------------------------------------------------------- other files


def test_tables(tmp_path):
    (tmp_path / "a.csv").write_text("t,name\n0.5,x\n1.5,y\n")
    (tmp_path / "b.txt").write_text("1 2\n3 4\n")
    found = listing(arrays_source(tmp_path))
    assert set(found) == {"a.csv/t", "a.csv/name", "b.txt/0", "b.txt/1"}
    folder = arrays_source(tmp_path)
    assert folder.read("a.csv/name").tolist() == ["x", "y"]
    assert folder.read("b.txt/1").tolist() == [2, 4]
    (tmp_path / "na.csv").write_text("area,rate\nNA,NA\n,\nV1,2.0\n")
    named = arrays_source(tmp_path / "na.csv")
    assert named.read("area").tolist() == ["NA", "", "V1"]
    np.testing.assert_array_equal(named.read("rate"), [np.nan, np.nan, 2.0])
    (tmp_path / "bad.csv").write_text('a,b\n1,2\n3,4,5,6\n"')
    with pytest.raises(FormatError, match=r"bad\.csv: expected a readable table"):
        arrays_source(tmp_path / "bad.csv").names()


TABLES = {
    "semicolons": ("time;x\n0.5;1.25\n1;2\n", {"time": [0.5, 1], "x": [1.25, 2]}),
    "decimal commas": ("time;x\n0,5;1,25\n1;2\n", {"time": [0.5, 1], "x": [1.25, 2]}),
    "a comma at the end": ("time,x,\n1,2,\n", {"time": [1], "x": [2]}),
    "commas at the end of values": ("time,x\n1,2,\n3,4,\n", {"time": [1, 3], "x": [2, 4]}),
    "a mark of the byte order": ("\ufefftime,x\n1,2\n", {"time": [1], "x": [2]}),
    "comments": ("# exported by rig\n# v2\ntime,x\n1,2\n", {"time": [1], "x": [2]}),
    "a header of numpy": ("# time x\n1.5 2.0\n", {"time": [1.5], "x": [2]}),
    "a comment of numpy": ("# made by me\n1.5 2.0\n", {"0": [1.5], "1": [2]}),
    "tabs and a gap": ("time\tx\n1\t\n2\t3\n", {"time": [1, 2], "x": [np.nan, 3]}),
    "three rows of DeepLabCut": (
        "scorer,d,d,d,d\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n0,1,2,3,4\n1,5,6,7,8\n",
        {"nose/x": [1, 5], "nose/y": [2, 6], "tail/x": [3, 7], "tail/y": [4, 8]},
    ),
    "two rows of pandas": (
        ",a,a\n,x,y\n10,1,2\n11,3,4\n",
        {"index": [10, 11], "x": [1, 3], "y": [2, 4]},
    ),
    "a name of rows below": (
        "who,a,b\nwhat,x,x\nframe,,\n7,1,2\n9,3,4\n",
        {"frame": [7, 9], "a": [1, 3], "b": [2, 4]},
    ),
    "groups over a time": (
        ",m1,m1\ntime,x,y\n0.5,1,2\n0.6,3,4\n",
        {"time": [0.5, 0.6], "x": [1, 3], "y": [2, 4]},
    ),
    "units below names": (
        "time,x,y\ns,cm,cm\n0.5,1,2\n0.6,3,4\n",
        {"time/s": [0.5, 0.6], "x/cm": [1, 3], "y/cm": [2, 4]},
    ),
    "a word among numbers": (
        "time,x\n1,2\n2,lost\n3,4\n4,5\n5,6\n",
        {"time": [1, 2, 3, 4, 5], "x": ["2", "lost", "4", "5", "6"]},
    ),
    "decimal commas without a header": ("0,5;1,25\n1;2\n", {"0": [0.5, 1], "1": [1.25, 2]}),
    "columns that pandas numbers": (",0,1\n0,5,6\n1,7,8\n", {"0": [5, 7], "1": [6, 8]}),
    "columns that are numbered": ("0,1\n0.5,6\n0.7,8\n", {"0": [0.5, 0.7], "1": [6, 8]}),
    "gaps in the first row": (
        "time,x\n,\n2,nan\n3,4\n",
        {"time": [np.nan, 2, 3], "x": [np.nan, np.nan, 4]},
    ),
    "spaces before": ("   1.0e+00  2.0e+00\n   3.0e+00  4.0e+00\n", {"0": [1, 3], "1": [2, 4]}),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_as_programs_write_them(tmp_path, name):
    text, expected = TABLES[name]
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    file = arrays_source(tmp_path / "a.csv")
    found = {
        one: file.read(one).tolist() for one in file.members() if not one.startswith("Unnamed")
    }
    assert found.keys() == expected.keys()
    for one, values in expected.items():
        np.testing.assert_array_equal(found[one], values)


def test_two_columns_of_one_name_are_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("s,d,d\nbp,nose,nose\nc,x,x\n0,1,2\n1,3,4\n")
    with pytest.raises(FormatError, match=r"a\.csv: expected .*"):
        arrays_source(tmp_path / "a.csv").members()


def test_times_of_parquet_are_seconds(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(
        {
            "t": pd.to_timedelta([500, 1500], unit="ms"),
            "ok": pd.array([True, None], dtype="boolean"),
        }
    ).to_parquet(tmp_path / "a.parquet")
    found = arrays_source(tmp_path / "a.parquet")
    assert found.read("t").tolist() == [0.5, 1.5]
    np.testing.assert_array_equal(found.read("ok"), [1.0, np.nan])


def test_a_row_longer_than_the_header_is_an_error(tmp_path):
    """pandas would take its first value for a label, and move all others."""
    (tmp_path / "a.csv").write_text("time,x\n1,2,3\n2,3\n")
    with pytest.raises(FormatError, match=r"a\.csv: expected a readable table"):
        arrays_source(tmp_path / "a.csv").members()


def test_parquet(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"x": [1.0, 2.0]}).to_parquet(tmp_path / "a.parquet")
    assert arrays_source(tmp_path / "a.parquet").read("x").tolist() == [1.0, 2.0]
    monkeypatch.setattr("neuroarrays.formats.arrays.tables.LARGEST", 1 << 16)
    pd.DataFrame({"x": np.zeros(1 << 21)}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"b\.parquet: expected at most .* bytes of values"):
        arrays_source(tmp_path / "b.parquet").members()


def test_a_folder_has_no_way_out(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "x.npy", np.arange(3))
    with pytest.raises(FormatError):
        opened(tmp_path / "in", {"position": {"x": "../x.npy"}})


def test_not_arrays(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"hello")
    with pytest.raises(FormatError, match="npy, npz, mat"):
        outline(tmp_path / "a.bin")


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], object))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            load(opened(tmp_path / "a.npz", {"position": {"x": "x"}}))
        except FormatError as error:
            found = str(error)
    assert "Python objects" in found


def test_it_claims_no_arrays_by_itself():
    reader = ArraysReader()
    assert not reader.guess_can_open(GOLDEN / "rig.mat")
    assert reader.guess_can_open(GOLDEN / "rig.toml")
