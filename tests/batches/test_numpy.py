"""Batches of numpy arrays: the same as those of torch, without torch."""

import os
import re

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.batches import fields
from neuroarrays.errors import FormatError, NotInTree, SchemaError
from neuroarrays.testing.processes import run_script

AREA = "session_0/VISp"

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # from here on `import torch` raises
import numpy as np
import neuroarrays as na
recording = na.load_sample()
aligned = na.align(recording, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2), clip=False)
rule = lambda area: na.batches.splits.by_block(area.sizes["presentation_id"], seed=1)
loaders = na.batches.loaders(aligned, ["spike_data"], split=rule, batch_size=32)
trials = next(iter(loaders["train"]["A2929-200711/ca1"]))
session, batch = next(iter(na.batches.cycle(loaders["test"])))
windows = na.batches.SpikeWindowSamples(recording["A2929-200711/adn"], 1.0, window=(700.0, 710.0))
clock = na.align(recording, bin_width=0.02)["A2929-200711/adn"]
clips = na.batches.ClipSamples(clock, ["spike_data"], 1.0, window=(700.0, 710.0))
scaling = na.batches.Scaling.fit(clips, ["spike_data"], per_unit=True)
for values in (trials["spike_data"], batch["spike_data"], windows[0]["spike_data"],
               scaling(clips.batch([3, 1]))["spike_data"]):
    assert type(values) is np.ndarray
    print(session, *values.shape, values.dtype)
"""


def test_a_process_without_torch_gets_numpy_batches():
    done = run_script(WITHOUT_TORCH)
    assert done.returncode == 0, done.stderr
    shapes = ["32 8 30", "32 7 30", "50 7", "2 50 7"]
    dtypes = ["float32", "float32", "uint8", "float32"]
    assert done.stdout.splitlines() == [
        f"A2929-200711/adn {shape} {dtype}" for shape, dtype in zip(shapes, dtypes, strict=True)
    ]


@pytest.fixture
def area():
    return synthetic.aligned_tree(1, presentations=12)[AREA]


def test_a_loader_goes_on_where_it_stopped(area):
    def loader():
        data = na.batches.TrialSamples(area, ["speed"])
        return na.batches.NumpyLoader(data, na.batches.Batches(12, 5, shuffle=True, seed=2))

    def numbers(batches):
        return [batch[schema.PRESENTATION].tolist() for batch in batches]

    whole = loader()
    first, second = numbers(whole), numbers(whole)
    assert [len(batch) for batch in first] == [5, 5, 2]
    for epoch in (first, second):
        assert sorted(i for batch in epoch for i in batch) == list(range(12))
    assert first != second
    early = loader()
    assert numbers([next(iter(early))]) == first[:1]
    assert {"epoch": 0, "batch": 1}.items() <= early.state_dict().items()
    later = loader()
    later.load_state_dict(early.state_dict())
    assert numbers(later) == first[1:]
    assert numbers(later) == second  # the next epoch
    later.set_epoch(0)
    assert numbers(later) == first
    later.load_state_dict({"epoch": 0, "batch": 3})  # an epoch counted to its end
    assert {"epoch": 1, "batch": 0}.items() <= later.state_dict().items()
    assert repr(later).startswith("<NumpyLoader of 3 batches from <TrialSamples of session_0/VISp")


def test_what_a_loader_takes(area):
    data = na.batches.TrialSamples(area, ["speed"])
    with pytest.raises(TypeError, match=r"expected na.batches.Batches\(len\(data\), 64"):
        na.batches.NumpyLoader(data, 4)
    with pytest.raises(TypeError, match="expected a dataset, such as na.batches.TrialSamples"):
        na.batches.NumpyLoader(area, na.batches.Batches(4, 2))
    with pytest.raises(TypeError, match="expected the loaders of one side"):
        na.batches.cycle({"train": {}})


def test_a_mean_over_repeats_is_one_of_those_that_are_known():
    values = np.array([[1.0, 2.0, np.nan], [np.nan] * 3, [4.0, 4.0, 1.0]], np.float32)
    mean = na.batches.RepeatSamples.mean(values)
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, [1.5, np.nan, 3.0])
    halves = np.full((1, 4096), 1.001, np.float16)  # their sum is no float16
    assert na.batches.RepeatSamples.mean(halves)[0] == halves[0, 0]


def test_infinite_values_have_no_deviation_and_are_named(area):
    values = area.to_dataset()["speed"].copy()
    values[3] = np.inf
    data = na.batches.TrialSamples(area.to_dataset().assign(speed=values), ["speed"])
    with pytest.raises(ValueError, match="dataset: speed is infinite in a sample of train.* NaN"):
        na.batches.Scaling.fit(data, ["speed"])


def test_scaling_needs_floats_and_changes_its_own_variables_only(area):
    data = na.batches.TrialSamples(area, ["speed", "spike_data"], dtype={"spike_data": "uint8"})
    scaling = na.batches.Scaling.fit(data, ["speed"], per_unit=False, ddof=0)
    before = data.batch(range(12))
    counts, speed = before["spike_data"].copy(), before["speed"].copy()
    after = scaling(before)
    np.testing.assert_array_equal(after["spike_data"], counts)
    np.testing.assert_allclose(np.nanmean(after["speed"]), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(after["speed"]), 1, rtol=1e-5)
    np.testing.assert_allclose(scaling.mean["speed"], np.nanmean(speed.astype("f8")), rtol=1e-6)
    with pytest.raises(
        ValueError, match="spike_data has dtype uint8; make the dataset with a float dtype"
    ):
        na.batches.Scaling({"spike_data": np.zeros(1)}, {}, "")(data.batch([0]))


def test_torch_has_the_same_values(area):
    torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
    names = (["speed"], ["spike_data", "pupil/x"])
    arrays = na.batches.TrialSamples(area, *names, labels=True).batch([7, 0, 7])
    tensors = na.torch.TrialDataset(area, *names, labels=True).batch([7, 0, 7])
    assert list(arrays) == list(tensors)
    for name, value in arrays.items():
        if isinstance(value, str):
            assert value == tensors[name]
            continue
        assert isinstance(value, np.ndarray)
        assert isinstance(tensors[name], torch.Tensor)
        np.testing.assert_array_equal(value, tensors[name].numpy())


def test_sessions_stacked_are_of_one_kind(area):
    stacked = na.batches.StackedSamples([na.batches.TrialSamples(area, ["speed"])] * 2)
    batch = stacked.batch([13, 2])
    np.testing.assert_array_equal(batch["speed"], stacked.datasets[0].batch([1, 2])["speed"])
    with pytest.raises(SchemaError, match="cannot be stacked"):
        na.batches.StackedSamples([*stacked.datasets, na.batches.TrialSamples(area, ["pupil/x"])])
    with pytest.raises(TypeError, match="expected a dataset"):
        na.batches.StackedSamples([area])


def test_errors_name_the_argument_and_the_variable():
    with pytest.raises((TypeError, ValueError), match="window"):
        na.batches.SpikeWindowSamples(na.load_sample()["A2929-200711/adn"], 1.0, window=("a", "b"))

    class Damaged:
        shape, dtype = (4, 2), np.dtype("f4")

        def into(self, key, out):
            raise FormatError("x.h5", "m/speed", "a checksum", "another")

    rows = fields.LazyRows(Damaged(), 0, "m/V1: speed")
    with pytest.raises(FormatError, match="it was read for m/V1: speed"):
        rows.rows(np.array([1]), np.empty((1, 2), np.float32))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (
            {"presentations": "sleep_ripples", "window": (0, 0.1)},
            "by_block(area.sizes['presentation",
        ),
        ({"bin_width": 1.0}, "by_time(area['time'])"),
    ],
)
def test_without_a_column_of_tiers_it_says_how_to_split(options, rule):
    tree = na.align(na.load_sample(), **{"bin_width": 0.1, **options})
    length = None if "presentations" in options else 10.0
    with pytest.raises(NotInTree, match=re.escape(rule)):
        na.batches.loaders(tree, ["spike_data"], length=length)


def loaders_of(tree, **options):
    rule = lambda area: {"train": np.arange(area.sizes["presentation_id"])}  # noqa: E731
    return na.batches.loaders(tree, ["spike_data"], split=rule, batch_size=4, **options)["train"]


def test_sessions_of_other_bins_or_windows_are_named():
    tree = synthetic.aligned_tree(3, presentations=8, areas=("VISp",))
    short = synthetic.aligned_tree(3, presentations=8, areas=("VISp",), bins=4)
    na.batches.cycle(loaders_of(tree))
    nodes = {
        "/" if path == "." else path: node.to_dataset(inherit=False)
        for path, node in tree.subtree_with_keys
        if not path.startswith("session_2")
    }
    nodes |= {
        p: n.to_dataset(inherit=False) for p, n in short.subtree_with_keys if "session_2" in p
    }
    later = nodes["session_1/VISp"]
    nodes["session_1/VISp"] = later.assign_coords(time=later["time"].values + 0.5)
    other = type(tree).from_dict(nodes)
    with pytest.warns(
        UserWarning, match=r"different bins.*'session_0'; .*'session_1'; 4 bins.*'session_2'"
    ):
        na.batches.cycle(loaders_of(other))


@pytest.mark.parametrize("harm", ["zeros", "cut", "gone"])
def test_a_file_that_is_damaged_in_mid_training_is_named(tmp_path, harm):
    tree = synthetic.aligned_tree(2, presentations=40, areas=("VISp",))
    paths = []
    for name in tree.children:
        one = tree.filter(
            lambda node, name=name: node.path == "/" or f"{node.path}/".startswith(f"/{name}/")
        )
        paths.append(na.save(one, tmp_path / f"{name}.h5", progress=False))
    batches = iter(na.batches.cycle(loaders_of(na.open_datatree(paths)), "in order"))
    assert next(batches)[0] == "session_0"
    size = paths[1].stat().st_size
    if harm == "gone":
        paths[1].unlink()
    elif harm == "cut":
        os.truncate(paths[1], size // 2)
    else:
        paths[1].write_bytes(bytes(size))
    with pytest.raises((FormatError, na.errors.MissingPath), match=r"session_1\.h5"):
        list(batches)
