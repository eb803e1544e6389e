"""Real NWB files against pynwb, h5py and numcodecs: every unit, table, series and their metadata.

The files lie beside the checkout (``shared/data``, fixture ``shared_data``), never in it. Two more
are checked when an environment variable names them; ``index.json`` there says where they are from:

* ``NEUROARRAYS_NWB_ZARR``: ``behavior_717531_2024-08-07_09-01-02.nwb`` (a Zarr folder), in the
  source archive of aind-dynamic-foraging-data-utils 0.1.57 on PyPI, ``tests/nwb/``.
* ``NEUROARRAYS_NWB_RUNNING``: ``multiplan-ophys_behavior.nwb``, in that of aind-nwb-utils 0.2.9,
  ``tests/resources/``.
"""

import json
import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.testing import load, same_values
from neuroarrays.testing.sources import close_all

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = sorted(path.relative_to(SHARED) for path in SHARED.glob("*/*.nwb")) or [Path("none.nwb")]
ENVIRONMENT = {
    "NEUROARRAYS_NWB_ZARR": "aind-dynamic-foraging-data-utils 0.1.57",
    "NEUROARRAYS_NWB_RUNNING": "aind-nwb-utils 0.2.9",
}


def from_environment(variable):
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set (a file in the PyPI sdist of {ENVIRONMENT[variable]})")
    return Path(os.environ[variable])


@pytest.fixture(params=[*map(str, FILES), "NEUROARRAYS_NWB_RUNNING"], scope="module")
def path(request):
    if request.param in ENVIRONMENT:
        return from_environment(request.param)
    path = request.getfixturevalue("shared_data") / request.param
    if not path.is_file():
        pytest.skip(f"no NWB file at {path}")
    return path


@pytest.fixture(scope="module")
def session(path):
    yield next(iter(na.open_datatree(path).children.values()))
    close_all()


@pytest.fixture(scope="module")
def nwb(path):
    """The file as pynwb reads it."""
    pynwb = pytest.importorskip("pynwb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            io = pynwb.NWBHDF5IO(path, "r", load_namespaces=True)
            read = io.read()
        except Exception as error:
            pytest.skip(f"pynwb cannot read it: {type(error).__name__}: {error}")
    yield read
    io.close()


def test_opens_and_is_valid(session):
    load(session.root)
    for note in na.validate(session.root, values=True):
        assert note.startswith(session.name)


def test_every_train_and_area(path, session):
    """Against the file itself, by h5py."""
    with h5py.File(path) as file:
        units = file.get("units")
        if units is None or "spike_times" not in units:
            assert "no units with spikes" in session.attrs["notes"]
            return
        ends = units["spike_times_index"][:].astype(int)
        trains = np.split(units["spike_times"][:], ends[:-1])
        expected = dict(zip(units["id"][:].tolist(), trains, strict=True))
        areas = {}
        if "electrodes" in units:
            locations = file["general/extracellular_ephys/electrodes/location"].asstr()[:]
            rows = units["electrodes"][:][units["electrodes_index"][:].astype(int) - 1]
            areas = dict(zip(expected, locations[rows], strict=True))
    found = {}
    for area, node in session.children.items():
        if "spikes" in node.children:
            spikes = node["spikes"].to_dataset()
            for unit in spikes["unit_id"].values.tolist():
                found[unit] = area, spikes.sel(unit_id=unit)["spike_times"].values
    assert sorted(found) == sorted(expected)
    for unit, train in expected.items():
        assert same_values(found[unit][1], train), unit
        if unit in areas:
            assert found[unit][0] in areas[unit]


def test_units_against_pynwb(session, nwb):
    if nwb.units is None or "spike_times" not in nwb.units.colnames:
        pytest.skip("no units")
    table = nwb.units.to_dataframe()
    count = 0
    for node in session.children.values():
        if "spikes" not in node.children:
            continue
        spikes = node["spikes"].to_dataset()
        count += spikes.sizes["unit_id"]
        for unit in spikes["unit_id"].values.tolist():
            one = spikes.sel(unit_id=unit)
            assert same_values(one["spike_times"].values, table.loc[unit, "spike_times"])
            for name in set(table.columns) & set(one.coords):
                expected = table.loc[unit, name]
                if np.isscalar(expected):
                    assert same_values(one[name].values, expected), (unit, name)
    assert count == len(table)


def as_text(value):
    return value if isinstance(value, str) else ", ".join(map(str, np.ravel(value)))


def test_every_table_against_pynwb(session, nwb):
    found = session["presentations"].children if "presentations" in session else {}
    assert set(found) >= {schema.node_name(name) for name in nwb.intervals or {}}
    for name, intervals in (nwb.intervals or {}).items():
        table, node = intervals.to_dataframe(), found[schema.node_name(name)]
        assert node.sizes["presentation_id"] == len(table)
        for column in table.columns:
            if column not in node:
                assert column == "timeseries" or column in session.attrs["notes"][-1], column
                continue
            values, expected = node[column].values, table[column]
            if values.ndim == 2:
                for row, one in zip(values, expected, strict=True):
                    assert same_values(row[: len(one)], np.asarray(one, float)), column
            elif values.dtype == object:
                assert values.tolist() == [as_text(v) for v in expected], column
            else:
                assert same_values(values, expected.to_numpy(values.dtype)), column


def lazily_stored(session):
    """Place in the file -> the series that stands for it."""
    for node in session.subtree:
        for array in node.data_vars.values():
            if "nwb_path" in array.attrs:
                yield array.attrs["nwb_path"], node, array


def test_every_series(path, session):
    """Against the file itself, by h5py: values, time stamps, and that none is lost."""
    with h5py.File(path) as file:
        there = []

        def visit(name, item):
            if isinstance(item, h5py.Group) and {"data", "timestamps"} & set(item):
                data = item.get("data", item.get("timestamps"))
                ours = name.startswith(("acquisition", "processing", "stimulus/presentation"))
                if ours and data.ndim and 0 not in data.shape[1:]:
                    there.append(name)

        file.visititems(visit)
        seen = set()
        for name, node, array in lazily_stored(session):
            group = file[name]
            data = group["data"]
            attrs = data.attrs
            scale, offset = attrs.get("conversion", 1.0), attrs.get("offset", 0.0)
            expected = data[()]
            if (scale, offset) != (1.0, 0.0):
                expected = (expected * scale + offset).astype(array.dtype)
            values = array.values
            if values.ndim < expected.ndim:  # x, y, z of a position
                expected = expected[:, "xyz".index(array.name[-1])]
            elif values.shape == expected.shape[::-1] != expected.shape:  # suite2p: (ROI, time)
                assert expected.shape[0] == group["rois"].shape[0]
                expected = expected.T
            assert same_values(values, expected), name
            clock = node["event_time" if "event_time" in node else "time"].values
            if "timestamps" in group:
                assert same_values(clock, group["timestamps"][()]), name
            else:
                start = group["starting_time"]
                rate, number = start.attrs["rate"], np.arange(len(clock))
                first = start[()] * rate
                # A clock that begins on a sample divides once, and so rounds once.
                whole = first == np.round(first)
                times = (first + number) / rate if whole else start[()] + number / rate
                assert same_values(clock, times), name
            seen.add(name)
        events = (
            {n.name for n in session["events"].children.values()} if "events" in session else set()
        )
        lost = [
            n for n in there if n not in seen and schema.node_name(n.split("/")[-1]) not in events
        ]
        left_out = session.attrs.get("notes", [""])[-1]
        assert [name for name in lost if name not in left_out] == []


def test_session_and_subject(session, nwb):
    attrs = session.attrs
    assert attrs["identifier"] == nwb.identifier
    assert attrs.get("session_description", "") == nwb.session_description
    assert attrs["session_start_time"][:19] == nwb.session_start_time.isoformat()[:19]
    for name, value in {
        "session_id": nwb.session_id,
        "institution": nwb.institution,
        "lab": nwb.lab,
        "subject": nwb.subject and nwb.subject.subject_id,
        "species": nwb.subject and nwb.subject.species,
        "sex": nwb.subject and nwb.subject.sex,
        "age": nwb.subject and nwb.subject.age,
    }.items():
        assert attrs.get(name, "") == (value or ""), name


def test_running_speed_of_the_aind_file():
    path = from_environment("NEUROARRAYS_NWB_RUNNING")
    session = na.open_datatree(path)["multiplan-ophys_behavior"]
    with h5py.File(path) as file:
        stored = [n for n in file["processing"] if "running" in n.lower()]
        assert stored
    assert any("running" in name for name in session.children)


# ------------------------------------------------------------------------------------- Zarr


def decoded(folder):
    """A format 2 array by numcodecs and numpy alone, chunk by chunk."""
    import numcodecs

    meta = json.loads((folder / ".zarray").read_text())
    out = np.zeros(meta["shape"], meta["dtype"])
    chunks = meta["chunks"]
    for index in np.ndindex(*[-(-n // c) for n, c in zip(out.shape, chunks, strict=True)]):
        file = folder / ".".join(map(str, index))
        if not file.is_file():
            continue
        data = file.read_bytes()
        if meta["compressor"]:
            data = numcodecs.get_codec(meta["compressor"]).decode(data)
        for codec in reversed(meta["filters"] or []):
            data = numcodecs.get_codec(codec).decode(data)
        chunk = data if meta["filters"] else np.frombuffer(data, meta["dtype"])
        chunk = np.asarray(chunk).reshape(chunks)
        place = tuple(
            slice(i * c, min(i * c + c, n))
            for i, c, n in zip(index, chunks, out.shape, strict=True)
        )
        out[place] = chunk[tuple(slice(0, p.stop - p.start) for p in place)]
    return out


def test_the_zarr_session():
    path = from_environment("NEUROARRAYS_NWB_ZARR")
    session = na.open_datatree(path)[path.name.removesuffix(".nwb")]
    na.validate(session.root, values=True)
    trials = session["presentations/trials"]
    colnames = json.loads((path / "intervals/trials/.zattrs").read_text())["colnames"]
    assert set(trials.data_vars) >= set(colnames)
    for name in colnames:
        expected = decoded(path / "intervals" / "trials" / name)
        if expected.dtype == object:
            expected = [v.decode() if isinstance(v, bytes) else str(v) for v in expected]
            assert trials[name].values.tolist() == expected, name
        else:
            assert same_values(trials[name].values, expected), name
    names = sorted(p.parent.relative_to(path).as_posix() for p in path.glob("acquisition/*/data"))
    seen = set()
    for name, node, array in lazily_stored(session):
        assert same_values(array.values, decoded(path / name / "data")), name
        clock = node["event_time" if "event_time" in node else "time"].values
        assert same_values(clock, decoded(path / name / "timestamps")), name
        seen.add(name)
    assert sorted(seen) == names
    assert session.attrs["subject"] == decoded(path / "general/subject/subject_id")[0]
    close_all()
