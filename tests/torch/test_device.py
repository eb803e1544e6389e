"""Datasets on a device: counts as events, movies as bytes, the values of the dataset."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import neuroarrays as na  # noqa: E402
from neuroarrays import synthetic  # noqa: E402
from neuroarrays.batches import fields  # noqa: E402
from neuroarrays.torch import OnDevice, TrialDataset  # noqa: E402
from neuroarrays.torch.events import DeviceEvents  # noqa: E402

PLACE = "session_0/VISp"


def alike(found, want):
    assert found.keys() == want.keys()
    for name, value in want.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found[name], value, equal_nan=True, rtol=0, atol=0)
        else:
            assert found[name] == value


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """An archive whose counts are kept as events, with masks."""
    tree = synthetic.aligned_tree(sessions=1, presentations=60, units=40, bins=50)
    counts = np.zeros((60, 40, 50), np.uint8)
    counts[::3, ::7, ::11] = 2
    counts[5, 3, 49] = 7
    area = tree[PLACE].to_dataset(inherit=False)
    area["spike_data"] = area["spike_data"].copy(data=counts)
    area["withheld"] = ("presentation_id", np.arange(60) % 7 == 0)
    tree[PLACE].dataset = area
    return na.open_datatree(na.save(tree, tmp_path_factory.mktemp("device") / "a.h5"))


@pytest.mark.parametrize("dtype", ["float32", "float16", None])
def test_counts_stay_events_on_the_device(sparse, dtype):
    def make(**options):
        options = {"cache": True, "dtype": {"spike_data": dtype}, "labels": True} | options
        return TrialDataset(sparse[PLACE], ["speed"], ["spike_data"], **options)

    data = make(rows=np.arange(5, 40))
    held = OnDevice(data, "cpu")
    assert isinstance(held.kept["spike_data"], DeviceEvents)
    assert held.kept["spike_data"].nbytes < 60 * 40 * 50 / 5
    for numbers in ([0, 9, 9, -1], [3], []):
        alike(held.batch(numbers), data.batch(numbers))
    data.transform = lambda batch: batch | {"speed": batch["speed"] * 2}
    alike(held.batch([4, 2]), data.batch([4, 2]))


def test_rows_of_many_stretches_are_spread_out():
    rng = np.random.default_rng(0)
    dense = (rng.random((4, 3, 30_000)) < 0.001).astype(np.uint8)
    dense[2] = 0
    from neuroarrays.kernels import events

    sizes, places = events.compress(dense.reshape(4, -1))
    kept = fields.Events(np.concatenate([[0], np.cumsum(sizes)]), places, dense.shape, np.uint8)
    held = DeviceEvents(kept, torch.float32, torch.device("cpu"))
    rows = np.array([3, 2, 0, 3])
    np.testing.assert_array_equal(held.rows(rows), dense[rows].astype("f4"))


def test_bytes_stay_bytes_on_the_device():
    tree = synthetic.aligned_tree(sessions=1, presentations=20, units=4)
    area = tree[PLACE].to_dataset(inherit=False)
    movie = np.random.default_rng(0).integers(0, 255, (20, 3, 4, 5)).astype(np.uint8)
    area["movie"] = (("presentation_id", "channel", "y", "x"), movie)
    tree[PLACE].dataset = area
    data = TrialDataset(tree[PLACE], ["movie"], ["speed"])
    held = OnDevice(data, "cpu")
    assert held.kept["movie"].dtype == torch.uint8
    batch = held.batch([3, 1])
    assert batch["movie"].dtype == torch.float32
    alike(batch, data.batch([3, 1]))


def test_tokens_are_refused():
    area = na.load_sample()["A2929-200711/adn"]
    data = na.torch.SpikeEventDataset(area, 1.0, window=(671.0, 680.0))
    for samples in (data, na.torch.Stack([data])):
        with pytest.raises(TypeError, match="windows of tokens differ in length"):
            OnDevice(samples, "cpu")
