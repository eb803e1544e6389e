"""Some values of large packed arrays, without all of them in memory."""

import tracemalloc

import numpy as np
import pytest
import scipy.io

from neuroarrays.files import matlab, npz, streams
from neuroarrays.testing.sources import close_all

KEYS = [
    (3, slice(None)),
    (slice(2, 9, 3), 1),
    (np.array([30, 2, 2]), slice(1, 3)),
    (slice(0, 0), 0),
    (5, np.array([3, 0])),
    (slice(None), slice(None)),
    (slice(None), 2),
    (39, 4),
]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(streams, "LARGE", 64)
    monkeypatch.setattr(streams, "_PIECE", 100)
    yield
    close_all()


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("kind", ["C", "F", "big-endian", "mat", "small mat", "logical"])
def test_parts_equal_the_whole(tmp_path, kind, key):
    values = np.random.default_rng(0).normal(size=(40, 5))
    if kind in ("mat", "small mat", "logical"):
        values = {"mat": values, "small mat": np.round(values * 9), "logical": values > 0}[kind]
        scipy.io.savemat(tmp_path / "a.mat", {"x": values}, do_compression=True)
        found = matlab.matlab_source(tmp_path / "a.mat")
    else:
        stored = {"F": np.asfortranarray(values), "big-endian": values.astype(">f4")}.get(
            kind, values
        )
        values = np.asarray(stored)
        np.savez_compressed(tmp_path / "a.npz", x=stored)
        found = npz.npz_source(tmp_path / "a.npz")
    expected = values
    for axis in (1, 0):
        expected = expected[(slice(None),) * axis + (key[axis],)]
    got = found.read("x", key)
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [(1 << 21,), (1, 1 << 21), (1 << 21, 1)])
@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_two_values_take_two_values(tmp_path, kind, shape, monkeypatch):
    monkeypatch.setattr(streams, "_PIECE", 1 << 16)
    values = np.zeros(shape)
    values.flat[-1] = 7
    if kind == "npz":
        np.savez_compressed(tmp_path / "a.npz", x=values)
        found = npz.npz_source(tmp_path / "a.npz")
    else:
        scipy.io.savemat(tmp_path / "a.mat", {"x": values}, do_compression=True)
        found = matlab.matlab_source(tmp_path / "a.mat")
    ends = tuple(np.array([0, n - 1]) if n > 1 else 0 for n in found.info("x").shape)
    tracemalloc.start()
    got = found.read("x", ends)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.tolist() == [0, 7]
    assert peak < 4 << 20  # of 16 MiB
