"""The bundled excerpt holds what the original holds: hand-read values always, every bit where it lies near."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays

SAMPLE = Path(neuroarrays.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
TRACKING = tuple(f"acquisition/CompassDirection/{axis}" for axis in ("rx", "ry", "rz")) + tuple(
    f"acquisition/Position/{axis}" for axis in ("x", "y", "z")
)
COUNTS = [
    8764,
    6879,
    9743,
    8014,
    12925,
    13205,
    19819,
    2636,
    2419,
    1282,
    4702,
    3970,
    1313,
    1535,
    1588,
]


@pytest.fixture
def sample():
    with h5py.File(SAMPLE, "r") as file:
        yield file


def test_is_small():
    assert SAMPLE.stat().st_size < 2_000_000


def test_number_of_spikes(sample):
    ends = sample["units/spike_times_index"][:]
    assert np.diff(ends, prepend=0).tolist() == COUNTS
    assert sample["units/spike_times"].shape == (98794,)
    assert sample["units/id"][:].tolist() == list(range(15))


@pytest.mark.parametrize(
    ("unit", "first", "last"),
    [(0, 0.00845, 1196.67675), (6, 0.14045, 1199.96795), (14, 0.75085, 1167.7441)],
)
def test_first_and_last_spike(sample, unit, first, last):
    ends = [0, *sample["units/spike_times_index"][:]]
    times = sample["units/spike_times"][ends[unit] : ends[unit + 1]]
    assert times[0] == first
    assert times[-1] == last
    assert np.all(np.diff(times) >= 0)


def test_locations(sample):
    assert sample["units/location"].asstr()[:].tolist() == ["adn"] * 7 + ["ca1"] * 8
    ephys = sample["general/extracellular_ephys"]
    assert ephys["electrodes/location"].asstr()[:].tolist() == ["adn"] * 10 + ["ca1"] * 6
    assert ephys["group0_"].attrs["location"] == "adn"
    assert ephys["group1_"].attrs["location"] == "ca1"


def test_epochs(sample):
    epochs = sample["intervals/epochs"]
    assert epochs["start_time"][:].tolist() == [0.0, 600.0]
    assert epochs["stop_time"][:].tolist() == [600.0, 1200.0]
    assert epochs["tags"].asstr()[:].tolist() == ["sleep", "wake"]


@pytest.mark.parametrize(
    ("series", "first", "last"),
    [
        ("CompassDirection/rx", 0.3431629548824038, 6.050059287889629),
        ("CompassDirection/ry", 5.207147917969742, 3.609375031764442),
        ("CompassDirection/rz", 5.933598336372659, 0.2932754583810713),
        ("Position/x", -0.042857, 0.010624),
        ("Position/y", 0.425023, 0.040568),
        ("Position/z", -0.195725, -0.004435),
    ],
)
def test_tracking(sample, series, first, last):
    data = sample[f"acquisition/{series}/data"]
    assert data.shape == (31764,)
    assert data[0] == first
    assert data[-1] == last
    times = sample[f"acquisition/{series}/timestamps"]
    assert times.shape == (31764,)
    assert times[0] == 670.6407
    assert times[-1] == 1199.99495


def test_tracking_in_the_middle(sample):
    assert sample["acquisition/Position/x/data"][10000] == 0.025118
    assert sample["acquisition/Position/x/timestamps"][10000] == 837.29815
    assert sample["acquisition/CompassDirection/ry/data"][10000] == 1.4208028355982592


def test_ripples(sample):
    ripples = sample["intervals/sleep_ripples"]
    assert ripples["start_time"].shape == (594,)
    assert (ripples["start_time"][0], ripples["stop_time"][0]) == (0.736, 0.8116)
    assert (ripples["start_time"][-1], ripples["stop_time"][-1]) == (599.65, 599.7384)
    peaks = sample["acquisition/sleep_ripples/timestamps"]
    assert (peaks[0], peaks[-1]) == (0.7712, 599.6944)


def test_identifier(sample):
    assert sample["identifier"].asstr()[()] == "A2929-200711"


def test_tracking_shares_one_clock(sample):
    clocks = [sample[f"{series}/timestamps"] for series in TRACKING]
    assert all(clock == clocks[0] for clock in clocks)


def test_hand_read_values_are_those_of_the_readme():
    readme = (SAMPLE.parent / "README.md").read_text(encoding="utf-8")
    assert ", ".join(str(count) for count in COUNTS) in readme


def resolved(file, value):
    """Return a value with object references replaced by the paths they point at."""
    if isinstance(value, h5py.Reference):
        return file[value].name
    if isinstance(value, np.ndarray) and h5py.check_ref_dtype(value.dtype) is not None:
        return [file[reference].name for reference in value.ravel()]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def test_equals_the_original_bit_for_bit(sample, shared_data):
    path = shared_data / "pynapple_A2929_HD_ephys" / "A2929-200711.nwb"
    if not path.is_file():
        pytest.skip(f"the original is not at {path}")
    with h5py.File(path, "r") as original:
        expected, found = ["/"], ["/"]
        original.visit(
            lambda name: expected.append(name) if not name.startswith("specifications") else None
        )

        def collect(group):
            for name, child in group.items():
                found.append(child_name := f"{group.name.rstrip('/')}/{name}".lstrip("/"))
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    assert original.get(child_name, getlink=True).path == link.path
                    found.pop()
                elif isinstance(child, h5py.Group):
                    collect(child)

        collect(sample)
        assert set(found) - set(expected) == {"general/notes"}
        assert set(expected) - set(found) == set()
        for name in expected:
            old, new = original[name], sample[name]
            keys = set(old.attrs) - {".specloc"}
            assert set(new.attrs) == keys, name
            for key in keys:
                assert resolved(sample, new.attrs[key]) == resolved(original, old.attrs[key]), (
                    name,
                    key,
                )
                assert new.attrs.get_id(key).dtype == old.attrs.get_id(key).dtype, (name, key)
            if isinstance(old, h5py.Dataset):
                assert new.dtype == old.dtype, name
                values = (
                    old[()][::2] if name.rpartition("/")[0] in TRACKING and old.ndim else old[()]
                )
                if values.dtype.kind == "f" if isinstance(values, np.ndarray) else False:
                    assert new[()].tobytes() == values.tobytes(), name
                else:
                    assert resolved(sample, new[()]) == resolved(original, values), name
