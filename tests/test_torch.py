"""Windows of a clock as torch batches."""

import pickle

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
AREA = "A2929-200711/adn"
NAMES = ["spike_data", "head_direction/ry"]


@pytest.fixture(scope="module")
def area():
    return na.align(na.load_sample(), bin_width=0.02)[AREA]


def test_windows_are_the_trees_values_at_their_times(area):
    clips = na.torch.ClipDataset(area, NAMES, 1.0, stride=0.5, window=(700.0, 710.0))
    assert len(clips) == 19
    for i in (0, 7, 18):
        clip = clips[i]
        start = clip["time"].item()
        assert abs(start - (700.0 + 0.5 * i)) < 1e-9
        part = area.sel(time=slice(start, start + 1.0))
        np.testing.assert_array_equal(clip["spike_data"], part["spike_data"].values)
        np.testing.assert_allclose(
            clip["head_direction/ry"], part["head_direction/ry"].values, rtol=1e-6
        )


def test_a_batch_is_gathered_at_once_in_any_order(area):
    clips = na.torch.ClipDataset(area, NAMES, 0.5, window=(700.0, 720.0))
    indices = [7, 0, 39, 7]
    batch = clips.__getitems__(indices)
    assert batch["spike_data"].shape == (4, 25, 7)
    assert batch["spike_data"].dtype == torch.float32
    for row, i in enumerate(indices):
        for name, values in clips[i].items():
            torch.testing.assert_close(batch[name][row], values)


def test_no_window_reaches_outside_its_part(area):
    clips = na.torch.ClipDataset(area, ["spike_data"], 1.0, stride=0.02, window=(700.0, 702.0))
    assert len(clips) == 51
    starts = clips.__getitems__(range(51))["time"].numpy()
    assert starts.min() > 700 - 1e-9
    assert (starts + 1.0).max() < 702 + 1e-9


def test_loaders_shuffle_and_workers_agree(area, tmp_path):
    path = na.save(na.align(na.load_sample(), bin_width=0.02), tmp_path / "clock.h5")
    stored = na.open_datatree(path)[AREA]
    clips = na.torch.ClipDataset(stored, NAMES, 1.0, window=(700.0, 730.0))
    want = clips.__getitems__(range(30))["spike_data"]
    again = pickle.loads(pickle.dumps(clips))
    torch.testing.assert_close(again.__getitems__(range(30))["spike_data"], want)
    loader = torch.utils.data.DataLoader(
        clips, batch_size=8, shuffle=True, num_workers=2, collate_fn=_same,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    batches = list(loader)
    order = torch.cat([b["time"] for b in batches])
    assert sorted(order.tolist()) == clips.__getitems__(range(30))["time"].tolist()
    assert order.tolist() != sorted(order.tolist())
    got = torch.cat([b["spike_data"] for b in batches])[torch.argsort(order)]
    torch.testing.assert_close(got, want)


def _same(batch):
    return batch


def test_what_cannot_be_cut_says_why(area):
    with pytest.raises(NotInTree, match="did you mean 'head_direction/ry'"):
        na.torch.ClipDataset(area, ["head_drection/ry"], 1.0)
    with pytest.raises(ValueError, match="at least one bin"):
        na.torch.ClipDataset(area, NAMES, 0.001)
    with pytest.raises(ValueError, match="no window of 5 s fits"):
        na.torch.ClipDataset(area, NAMES, 5.0, window=(700.0, 702.0))
    trials = na.align(na.load_sample(), "epochs", bin_width=60.0, dtype="uint16")[AREA]
    with pytest.raises(SchemaError, match="adn: spike_data is cut into presentations"):
        na.torch.ClipDataset(trials, ["spike_data"], 60.0)
