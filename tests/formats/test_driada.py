"""DRIADA NPZ: golden files under the conformance suite, then every alias, rule and bad input."""

import json
import pickle
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.formats.driada import DriadaReader
from neuroarrays.formats.driada.contents import ALIASES
from neuroarrays.formats.driada.names import iabs_name, iabs_paths, parse_iabs_name
from neuroarrays.synthetic.driada import write_driada_experiment
from neuroarrays.testing import ReaderTests

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "driada"
AREA = "RT_A5_3D/unknown"
VALUES = {
    (AREA, "responses", (0, 0)): 0.005604174919426441,
    (AREA, "responses", (1, 0)): 0.054088298231363297,  # time, unit
    (AREA, "responses", (0, 1)): 0.4219287931919098,
    (AREA, "responses", (-1, -1)): 0.009876105934381485,
    (AREA, "spike_data", (0, 0)): 0,
    (AREA, "spike_data", (1, 0)): 1,
    (AREA, "spike_data", (-1, -1)): 0,
    (AREA, "spike_data", (-2, -1)): 1,
    (AREA, "reconstructions", (0, 0)): 0.9967217903278277,
    (AREA, "reconstructions", (-1, -1)): 0.42378426181893103,
    (AREA, "position", (1, 0)): 0.5,
    (AREA, "position", (-1, 0)): 14.5,
    (AREA, "position", (7, 1)): np.nan,
    (AREA, "speed", 0): 0.36031795075502426,
    (AREA, "speed", -1): 0.0834926283320534,
    (AREA, "licks", 0): True,
    (AREA, "licks", 1): False,
    (AREA, "trial_type", -1): 2,
    (AREA, "valid_feature", -1): 29,
    (AREA, "big", (-1, -1)): 89.0,
    (AREA, "t_rise", -1): 0.4,
    (AREA, "time", 0): 0.0,
    (AREA, "time", -1): 1.45,
    (AREA, "valid", 2): True,
    (AREA, "valid", 3): False,
    (AREA, "valid", -1): False,
}


class TestStored(ReaderTests):
    archives = (".zarr",)
    reader = "driada"
    path = FOLDER / "session.npz"
    foreign = (FOLDER / "make.py",)
    values = VALUES
    options = {"sampling_rate": 10.0, "features": ["speed"], "bad_frames": [0]}
    inert_options = {
        "neural": "the file has one neural matrix",
        "time_axis": "read the other way, the features do not fit: see test_transposed",
    }

    def sound_and_damaged(self, golden, folder):
        raw = golden.read_bytes()
        for name, held in (("RT_A5_1D", raw), ("RT_A5_2D", raw[: len(raw) // 3])):
            path = Path(iabs_paths(str(folder), name)["data"])
            path.parent.mkdir(parents=True)
            path.write_bytes(held)


class TestDeflated(TestStored):
    start_methods = ("fork",)  # stored members are read after the others
    path = FOLDER / "RT_A5_3D syn data.npz"


def write(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def area(path, **options):
    tree = DriadaReader().open_datatree(path, **options)
    (session,) = tree.children.values()
    return session["unknown"]


MATRIX = np.arange(60.0).reshape(3, 20) - 30


def test_attributes_of_the_golden_file():
    session = na.open_datatree(FOLDER / "session.npz")["RT_A5_3D"]
    assert session.attrs["sampling_rate"] == 20.0
    assert session.attrs["sampling_rate_source"] == "file"
    assert (session.attrs["track"], session.attrs["animal"]) == ("RT", "A5")
    assert session.attrs["description"] == "a synthetic session"
    assert session.attrs["mouse_age"] == 12
    assert session.attrs["not_read"] == ["labels"]
    assert "gSig" in session.attrs["metadata"]


@pytest.mark.parametrize("alias", [n for a in ALIASES for n in (a, a.upper(), a.capitalize())])
def test_every_alias(tmp_path, alias):
    found = area(write(tmp_path / "s.npz", **{alias: MATRIX, "x": np.arange(20)}))
    np.testing.assert_array_equal(found["responses"].values, MATRIX.T)
    assert found["responses"].attrs["stored_as"] == alias
    assert set(found.data_vars) == {"responses", "x"}  # no spikes: not there, not zero


def test_two_neural_matrices(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX, Rates=2 * MATRIX)
    with pytest.raises(FormatError, match="one neural matrix; found 2: 'calcium', 'Rates'"):
        area(path)
    np.testing.assert_array_equal(area(path, neural="Rates")["responses"].values, 2 * MATRIX.T)
    with pytest.raises(NotInTree, match="did you mean 'Rates'"):
        area(path, neural="rate")


def test_values_are_as_stored(tmp_path):
    nan = np.where(MATRIX > 20, np.nan, MATRIX)
    found = area(
        write(tmp_path / "s.npz", calcium=nan, licks=np.ones(20, bool), u=np.ones(20, "u1"))
    )
    np.testing.assert_array_equal(found["responses"].values, nan.T)
    assert found["licks"].dtype == bool
    assert found["u"].dtype == np.uint8


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "i8", "?", ">f4", "f2"])
def test_dtypes_of_the_matrix(tmp_path, dtype):
    matrix = (np.arange(60).reshape(3, 20) % 2).astype(dtype)
    found = area(write(tmp_path / "s.npz", calcium=np.asfortranarray(matrix)))["responses"]
    assert found.dtype.kind == "f"
    np.testing.assert_array_equal(found.values, matrix.T)


def test_sampling_rate(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX)
    tree = na.open_datatree(path)
    assert tree["s"].attrs["sampling_rate_source"] == "unknown"
    assert "sampling_rate" not in tree["s"].attrs
    assert "time" not in tree["s/unknown"].coords
    tree = na.open_datatree(path, sampling_rate=30)
    assert tree["s"].attrs["sampling_rate"] == 30.0
    assert tree["s"].attrs["sampling_rate_source"] == "argument"
    np.testing.assert_array_equal(tree["s/unknown"]["time"], np.arange(20) / 30)
    for bad in (0, -1, np.nan, np.inf, True):
        with pytest.raises(FormatError, match="a sampling rate above 0 Hz"):
            area(path, sampling_rate=bad)
    said = write(tmp_path / "m.npz", calcium=MATRIX, _metadata=np.array({"fps": "fast"}, object))
    with pytest.raises(FormatError, match=r"_metadata: expected a sampling rate above 0 Hz"):
        area(said)


def test_bad_frames(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX, x=np.arange(20))
    assert "valid" not in area(path)
    found = area(path, bad_frames=[0, 5, 5])
    assert np.flatnonzero(~found["valid"].values).tolist() == [0, 5]
    assert found.sizes["time"] == 20
    stated = write(
        tmp_path / "m.npz", calcium=MATRIX, _metadata=np.array({"bad_frames": [3]}, object)
    )
    assert np.flatnonzero(~area(stated)["valid"].values).tolist() == [3]
    tree = na.open_datatree(stated, bad_frames=[4])
    assert np.flatnonzero(~tree["m/unknown/valid"].values).tolist() == [4]
    assert tree.attrs["notes"] == [
        "m: bad_frames= was given: those that the file names are not used"
    ]
    for bad in ([20], [-1], [0.5]):
        with pytest.raises(FormatError, match="frames from 0 to 19"):
            area(path, bad_frames=bad)


def test_unequal_length(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX, x=np.arange(20), y=np.arange(19))
    with pytest.raises(FormatError, match=r"s\.npz:y: expected 20 samples.*found shape \(19,\)"):
        area(path)
    assert set(area(path, features=["x"]).data_vars) == {"responses", "x"}
    with pytest.raises(FormatError, match="features 'z'"):
        area(path, features=["z"])


def test_transposed(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX.T, x=np.arange(20))
    with pytest.raises(FormatError, match="looks transposed: say time_axis=0"):
        area(path)
    np.testing.assert_array_equal(area(path, time_axis=0)["responses"].values, MATRIX.T)
    alone = write(tmp_path / "alone.npz", calcium=MATRIX.T)
    with pytest.warns(UserWarning, match=r"20 neurons and 3 frames.*time_axis=0"):
        area(alone)
    with pytest.raises(ValueError, match="expected -1"):
        area(alone, time_axis=2)


def test_components_in_either_order(tmp_path):
    xy = np.arange(40.0).reshape(2, 20)
    maps = np.arange(120.0).reshape(2, 3, 20)
    found = area(write(tmp_path / "s.npz", calcium=MATRIX, a=xy, b=xy.T, maps=maps))
    for name in "ab":
        assert found[name].dims == ("time", f"{name}_component")
        np.testing.assert_array_equal(found[name].values, xy.T)
    assert found["maps"].dims == ("time", "maps_component", "maps_axis2")
    np.testing.assert_array_equal(found["maps"].values, np.moveaxis(maps, -1, 0))


def test_a_signal_may_be_a_row_or_a_column(tmp_path):
    speed = np.arange(20.0)
    found = area(write(tmp_path / "s.npz", calcium=MATRIX, speed=speed[None], b=speed[:, None]))
    for name in ("speed", "b"):
        assert found[name].dims == ("time",)
        np.testing.assert_array_equal(found[name].values, speed)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.arange(3)}, "a neural matrix called"),
        ({"calcium": np.empty((0, 20))}, "at least one neuron"),
        ({"calcium": np.empty((3, 0))}, "at least one neuron"),
        ({"calcium": np.arange(20.0)}, r"shape \(20,\)"),
        ({"calcium": np.array([[1, None]], object)}, "found Python objects"),
        ({"calcium": np.array([["a"]])}, "a matrix of numbers"),
        ({"calcium": MATRIX, "spikes": MATRIX[:2]}, r"spikes: expected numbers of shape \(3, 20\)"),
        ({"calcium": MATRIX, "asp": MATRIX, "ASP": MATRIX}, "one array of asp"),
    ],
)
def test_bad_input(tmp_path, arrays, message):
    with pytest.raises(FormatError, match=message):
        area(write(tmp_path / "s.npz", **arrays))


class Payload:
    def __reduce__(self):
        return print, ("it ran",)


def test_payloads_do_not_run(tmp_path, capsys):
    evil = np.array({"fps": Payload()}, object)
    with pytest.raises(FormatError, match="builtins.print"):
        area(write(tmp_path / "s.npz", calcium=MATRIX, _metadata=evil))
    found = na.open_datatree(write(tmp_path / "t.npz", calcium=MATRIX, other=evil))
    assert found["t"].attrs["not_read"] == ["other"]
    assert capsys.readouterr().out == ""


def test_metadata_of_every_kind(tmp_path, monkeypatch):
    """What cannot be told is named, and takes nothing else with it."""
    monkeypatch.setattr(sys.modules[DriadaReader.__module__ + ".contents"], "_STEPS", 10_000)
    loop, twice = {}, []
    loop["itself"] = loop
    for _ in range(60):
        twice = [twice, twice]  # 2 ** 60 lists to whoever walks through
    said = {
        "fps": np.float32(20),
        "mouse": "m7",
        "frame": pd.DataFrame({"a": [1]}),
        "loop": loop,
        "twice": twice,
        "bad_frames": twice,
        "of lists": np.array([{"a": twice}], object),
        "huge": 10**5000,
        "huge inside": [10**5000],
        "long": "a" * 100_000,
        "pair": (1, 2),
        "session_name": "../" * 1000,
        3: "three",
        "share": Fraction(1, 2),
    }
    path = write(tmp_path / "s.npz", calcium=MATRIX, _metadata=np.array(said, object))
    session = na.open_datatree(path)["s"]
    assert session.attrs["sampling_rate"] == 20.0
    assert (session.attrs["mouse"], session.attrs["3"]) == ("m7", "three")
    metadata = json.loads(session.attrs["metadata"])
    # pandas before 3 names the module inside it that defines the class
    assert metadata.pop("frame") in (
        "<Record of pandas.DataFrame>",
        "<Record of pandas.core.frame.DataFrame>",
    )
    assert metadata == {
        "pair": [1, 2],
        "share": "<Record of fractions.Fraction>",
    }
    left = ("loop", "twice", "bad_frames", "of lists", "huge", "huge inside", "long")
    assert session.attrs["not_read"] == [f"_metadata/{key}" for key in left]
    na.save(na.open_datatree(path), tmp_path / "s.h5")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"fps": 10**400}, "above 0 Hz; found a larger one than any"),
        ({"fps": 10**5000}, "above 0 Hz; found a larger one than any"),
        ({"bad_frames": [[1, 2], [3]]}, "bad_frames: expected a list of frames"),
        ({"bad_frames": [1, "a", None]}, "bad_frames: expected"),
        (
            {"bad_frames": np.arange(20) < 3},
            r"a mask of shape \(20,\); give np\.flatnonzero\(mask\)",
        ),
    ],
)
def test_metadata_that_cannot_be(tmp_path, said, message):
    with pytest.raises(FormatError, match=message):
        area(write(tmp_path / "s.npz", calcium=MATRIX, _metadata=np.array(said, object)))


def test_arrays_of_one_value_are_facts(tmp_path):
    path = write(tmp_path / "s.npz", calcium=MATRIX, fps=np.array([20.0]), mouse=np.array(["m7"]))
    attrs = na.open_datatree(path)["s"].attrs
    assert (attrs["sampling_rate"], attrs["mouse"]) == (20.0, "m7")


def test_what_is_no_number_does_not_hide_the_rest(tmp_path):
    others = {"z": np.ones(20, complex), "day": np.arange(20).astype("M8[s]")}
    path = write(tmp_path / "s.npz", calcium=MATRIX, x=np.arange(20), **others)
    tree = na.open_datatree(path)
    assert set(tree["s/unknown"].data_vars) == {"responses", "x"}
    assert tree["s"].attrs["not_read"] == ["z", "day"]


def test_one_unit_reads_one_unit(tmp_path):
    path = write(tmp_path / "s.npz", calcium=np.ones((64, 1 << 16)))
    tracemalloc.start()
    found = area(path)["responses"].isel(unit_id=3).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (1 << 16,)
    assert peak < 4 << 20


def test_reserved_and_strange_names(tmp_path):
    names = {"sp": MATRIX, "time": np.arange(20), "a/b": np.arange(20), "_hidden": np.arange(20)}
    found = area(write(tmp_path / "s.npz", calcium=MATRIX, **names), sampling_rate=1)
    assert set(found.data_vars) == {"responses", "time_feature", "a_b", "_hidden"}


NAMES = [
    ("HT", "A5", "3", "A5_HT3"),
    ("RT", "A5", "3", "RT_A5_3D"),
    ("FS", "A5", "3", "FSA5_3D"),
    ("FcOY", "J01", "1D", "FcOY_J01_1D"),
    ("STFP", "m", "2", "STFP_m_2"),
]


@pytest.mark.parametrize(("track", "animal", "session", "name"), NAMES)
def test_iabs_names_both_ways(track, animal, session, name):
    assert iabs_name(track, animal, session) == name
    expected = {"track": track, "animal": animal, "session": session}
    assert parse_iabs_name(name) == expected
    for path in iabs_paths("root", name).values():
        assert parse_iabs_name(path) == expected


def test_iabs_folders(tmp_path, capsys):
    for i, (name, rows) in enumerate({"RT_A5_3D": 3, "A5_HT3": 2, "FcOY_J01_1D": 4}.items()):
        path = Path(iabs_paths(str(tmp_path), name)["data"])
        path.parent.mkdir(parents=True)
        write(path, Calcium=i + np.zeros((rows, 20)), x=np.arange(20))
    for name in ("RT_A5_3D", "STFP_m_2"):  # an experiment alone, and one beside its data
        path = Path(iabs_paths(str(tmp_path), name)["experiment"])
        path.parent.mkdir(exist_ok=True)
        experiment(path)
    (tmp_path / "notes.txt").write_text("not a session")
    tree = na.open_datatree(tmp_path, sampling_rate=20.0)
    sizes = {name: node["unknown"].sizes["unit_id"] for name, node in tree.children.items()}
    assert sizes == {"A5_HT3": 2, "FcOY_J01_1D": 4, "RT_A5_3D": 3, "STFP_m_2": 4}
    assert tree["A5_HT3"].attrs["track"] == "HT"
    assert float(tree["A5_HT3/unknown/responses"].mean()) == 1.0
    assert list(na.open_datatree(tmp_path, sessions="*HT*").children) == ["A5_HT3"]
    one = na.open_datatree(tmp_path / "RT_A5_3D")
    assert list(one.children) == ["RT_A5_3D"]
    assert one["RT_A5_3D/unknown"].sizes["unit_id"] == 3  # the data, not the experiment
    with pytest.raises(NotInTree, match="no session 'RT'"):
        na.open_datatree(tmp_path / "RT_A5_3D", sessions="RT")
    with pytest.raises(FormatError, match="expected folders NAME/Aligned data"):
        DriadaReader().open_datatree(tmp_path / "RT_A5_3D" / "Aligned data")
    assert na.catalog(tmp_path)["session"].tolist() == list(sizes)


def test_iabs_names_that_are_none():
    assert parse_iabs_name("session") == {}
    for bad in ("", "..", "a/b", "a_b"):
        with pytest.raises(ValueError, match="a part of a session's name"):
            iabs_name("RT", bad, "1")


# --------------------------------------------------------------------------- pickled experiments


class Thing:
    """Stands for a class of DRIADA; pickled under a name that is not there when it is read."""

    def __init__(self, **state):
        self.__dict__.update(state)


def experiment(path, spikes=True, **more):
    """What DRIADA 1.2.2 pickles, cut to the attributes that are read (compared with a real one)."""
    rng = np.random.default_rng(1)
    data = {"calcium": rng.random((4, 1200)), "spikes": rng.integers(0, 2, (4, 1200))}
    made = Thing(
        signature="Exp s_plain",
        exp_identificators={"name": "s_plain"},
        static_features={"fps": 25.0, "t_rise_sec": 0.25},
        metadata=None,
        calcium=Thing(data=data["calcium"], scdata=np.zeros((4, 1200))),
        spikes=Thing(data=data["spikes"] if spikes else np.zeros((4, 1200))),
        neurons=[Thing(cell_id=i, sp=Thing(data=1) if spikes else None) for i in range(4)],
        dynamic_features={
            "x": Thing(
                data=np.arange(1200.0),
                type_info=Thing(subtype="circular", confidence=0.9, circular_period=6.28),
            ),
            "xy": Thing(data=np.ones((2, 1200)), type_info=None),
        },
        **more,
    )
    raw = pickle.dumps(made, 4)
    name = f"{Thing.__module__}".encode()
    old = b"\x8c" + bytes([len(name)]) + name + b"\x94\x8c\x05Thing"
    assert old in raw
    place = b"driada.experiment.exp_base"
    raw = raw.replace(old, b"\x8c" + bytes([len(place)]) + place + b"\x94\x8c\x0aExperiment")
    path.write_bytes(raw)
    return data


def test_pickled_experiment(tmp_path):
    data = experiment(tmp_path / "Exp s_plain.pickle")
    tree = na.open_datatree(tmp_path / "Exp s_plain.pickle")
    found = tree["s_plain/unknown"]
    np.testing.assert_array_equal(found["responses"], data["calcium"].T)
    np.testing.assert_array_equal(found["spike_data"], data["spikes"].T)
    np.testing.assert_array_equal(found["x"].isel(time=slice(5, 8)), [5, 6, 7])
    assert found["xy"].shape == (1200, 2)
    assert float(found["time"][-1]) == 1199 / 25
    assert tree["s_plain"].attrs["sampling_rate_source"] == "file"


def test_types_of_features_are_driadas_until_they_are_asked_for(tmp_path):
    experiment(tmp_path / "e.pickle")
    tree = na.open_datatree(tmp_path / "e.pickle")
    found = tree["s_plain/unknown"]
    assert found["x"].attrs == {"feature_type": "circular", "feature_type_score": 0.9}
    assert found["xy"].attrs == {}
    ours = na.feature_types(tree)["s_plain/unknown/x"].attrs
    assert ours == {"feature_type": "timeline", "feature_type_score": 1.0}


def test_zeros_that_stand_for_no_spikes_are_absent(tmp_path):
    experiment(tmp_path / "e.pickle", spikes=False)
    found = area(tmp_path / "e.pickle")
    assert set(found.data_vars) == {"responses", "x", "xy"}


@pytest.mark.parametrize(
    "frames", [900, 6000]
)  # small masks are unpacked, large ones stay in the file
def test_bad_frames_that_an_experiment_lacks_are_gaps_of_its_clock(tmp_path, frames):
    path = write_driada_experiment(
        tmp_path / "e.pickle", units=3, frames=frames, bad_frames=range(300, 500)
    )
    tree = na.open_datatree(path)
    (session,) = tree.children.values()
    time = session["unknown/time"].values
    kept = np.r_[0:300, 500:frames]
    assert np.array_equal(time, kept / 20)
    assert time[500] == 35.0
    assert session["unknown"].sizes["time"] == kept.size
    assert "_bad_frames_mask" not in session["unknown"].data_vars
    assert session.attrs["frames_deleted"] == 200
    assert any("the clock has their gaps" in note for note in tree.attrs["notes"])
    with pytest.raises(ValueError, match="bad frames DRIADA has deleted already"):
        na.open_datatree(path, bad_frames=[3])


@pytest.mark.parametrize("mask", [np.zeros(7, bool), np.zeros(1300, bool), np.zeros(1200, int)])
def test_a_mask_of_another_length_than_the_data_is_named(tmp_path, mask):
    experiment(tmp_path / "e.pickle", bad_frames_mask=mask)
    with pytest.raises(FormatError, match=r"bad_frames_mask: expected a mask that leaves the"):
        na.open_datatree(tmp_path / "e.pickle")


def test_a_payload_in_an_experiment_does_not_run(tmp_path, capsys):
    experiment(tmp_path / "e.pickle", evil=Payload())
    area(tmp_path / "e.pickle").load()
    assert capsys.readouterr().out == ""


def test_damaged_experiment(tmp_path):
    experiment(tmp_path / "e.pickle")
    raw = (tmp_path / "e.pickle").read_bytes()
    (tmp_path / "cut.pickle").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(FormatError, match=r"cut\.pickle"):
        area(tmp_path / "cut.pickle")


# ---------------------------------------------------------------------------- the MATLAB struct


def write_struct(path, version):
    """The struct as DRIADA's documents have it: v5 by scipy, v7.3 as MATLAB lays it out."""
    rng = np.random.default_rng(2)
    calcium, position = rng.random((3, 40)), rng.random((2, 40))
    if version == 5:
        scipy.io.savemat(
            path,
            {
                "data": {
                    "calcium": calcium,
                    "fps": 30.0,
                    "behavior": {"position": position, "speed": position[0]},
                    "info": {"mouse_id": "m7"},
                }
            },
        )
        return calcium, position
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data/calcium"], file["data/behavior/position"] = calcium.T, position.T
        file["data/behavior/speed"], file["data/fps"] = position[:1].T, np.array([[30.0]])
        file["data/info/mouse_id"] = np.array([[ord(c)] for c in "m7"], "u2")
        file["data/info/mouse_id"].attrs["MATLAB_class"] = np.bytes_("char")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    return calcium, position


@pytest.mark.parametrize("version", [5, 7])
def test_matlab_struct(tmp_path, version):
    calcium, position = write_struct(tmp_path / "s.mat", version)
    tree = na.open_datatree(tmp_path / "s.mat")
    found = tree["s/unknown"]
    np.testing.assert_array_equal(found["responses"], calcium.T)
    np.testing.assert_array_equal(
        found["responses"].isel(unit_id=[2, 0], time=3), calcium[[2, 0], 3]
    )
    np.testing.assert_array_equal(found["position"], position.T)
    np.testing.assert_array_equal(found["speed"], position[0])
    assert tree["s"].attrs["mouse_id"] == "m7"
    assert tree["s"].attrs["sampling_rate"] == 30.0


# ------------------------------------------------- against DRIADA, where it is installed beside us


@pytest.mark.peers("driada")
def test_files_that_driada_writes(tmp_path):
    build = pytest.importorskip("driada.experiment.exp_build").load_exp_from_aligned_data
    from driada.experiment import save_exp_to_pickle
    from driada.experiment.nwb import save_exp_to_nwb

    rng = np.random.default_rng(0)
    stored = {"calcium": rng.random((4, 1200)), "spikes": rng.integers(0, 2, (4, 1200))}
    stored |= {name: np.cumsum(rng.normal(size=1200)) for name in ("x", "y")}
    made = build("lab", {"name": "s"}, dict(stored), static_features={"fps": 25.0}, verbose=False)
    made.metadata = {"session_name": "RT_A5_3D", "fps": 25.0}
    save_exp_to_pickle(made, str(tmp_path / "Exp s.pickle"), verbose=False)
    save_exp_to_nwb(made, str(tmp_path))
    found = area(tmp_path / "Exp s.pickle")
    # DRIADA adds noise to calcium; the pickle holds what it made
    np.testing.assert_array_equal(found["responses"], made.calcium.data.T)
    np.testing.assert_array_equal(found["spike_data"], stored["spikes"].T)
    np.testing.assert_array_equal(found["x"], stored["x"])
    assert float(found["time"][1]) == 1 / 25
    session = na.open_datatree(tmp_path / "RT_A5_3D.nwb")["RT_A5_3D"]
    np.testing.assert_array_equal(
        session["Hippocampus, dorsal CA1/Calcium/Calcium"], made.calcium.data.T
    )
    np.testing.assert_array_equal(session["position"]["y"], stored["y"])


@pytest.mark.peers("driada")
@pytest.mark.parametrize(("track", "animal", "session", "name"), NAMES)
def test_names_are_those_of_driada(track, animal, session, name):
    construct = pytest.importorskip("driada.utils.naming").construct_session_name
    parts = {"track": track, "animal_id": animal, "session": session}
    assert construct("IABS", parts) == iabs_name(track, animal, session) == name
