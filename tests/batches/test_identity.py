"""A state says of which data it is: another dataset, split or order is refused, with what differs."""

import json

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.errors import SchemaError

ADN = "A2929-200711/adn"
CLOCKED = {"window": (671.0, 700.0)}


@pytest.fixture(scope="module")
def tree():
    return synthetic.aligned_tree(sessions=2, areas=("VISp",), presentations=40)


@pytest.fixture(scope="module")
def sample():
    return na.load_sample()


@pytest.fixture(scope="module")
def clock(sample):
    return na.align(sample, bin_width=0.1, window=(671, 720))[ADN]


@pytest.fixture(scope="module")
def makers(tree, sample, clock):
    """Each kind of dataset by options that choose other samples or variables of it."""
    batches, first = na.batches, tree["session_0/VISp"]

    def trials(variables=("speed",), rows=range(30), area=first):
        return batches.TrialSamples(area, variables, rows=rows)

    def clips(variables=("spike_data",), **options):
        return batches.ClipSamples(clock, variables, 1.0, **CLOCKED | options)

    def windows(length=1.0, **options):
        return batches.SpikeWindowSamples(sample[ADN], length, **CLOCKED | options)

    def tokens(length=1.0, **options):
        return batches.SpikeEventSamples(sample[ADN], length, **CLOCKED | options)

    def repeats(labels=15, rows=range(30)):
        shown = batches.TrialSamples(first, ["spike_data"], ["speed"], rows=rows)
        return batches.RepeatSamples(shown, np.arange(40) % labels)

    def stacked(rows=range(30)):
        return batches.StackedSamples([trials(), trials(rows=rows, area=tree["session_1/VISp"])])

    return locals()


OTHERS = [
    ("trials", {"rows": range(20)}, "samples: 30 in the state, 20 here"),
    ("trials", {"rows": range(10, 40)}, "chosen samples: 'checksum"),
    ("trials", {"variables": ["speed", "spike_data"]}, "variables: spike_data: absent in the st"),
    ("clips", {"window": (671.0, 690.0)}, "samples: 29 in the state, 19 here"),
    ("clips", {"window": (672.0, 701.0)}, "chosen samples: 'checksum"),
    ("clips", {"stride": 0.5}, "samples: 29 in the state, 57 here"),
    ("windows", {"window": (672.0, 701.0)}, "chosen samples: 'checksum"),
    ("windows", {"bin_width": 0.05}, r"spike_data: '\(50, 7\)' in the state, '\(20, 7\)' here"),
    ("tokens", {"window": (672.0, 701.0)}, "chosen samples: 'checksum"),
    ("tokens", {"targets": ["head_direction/ry"]}, "head_direction/ry: absent in the state"),
    ("repeats", {"rows": range(20)}, "samples: 30 in the state, 20 here"),
    ("repeats", {"labels": 14}, "stimuli: 15 in the state, 14 here"),
    ("stacked", {"rows": range(20)}, "stacked: 1: samples: 30 in the state, 20 here"),
]


def loader(data, size=4, **options):
    return na.batches.NumpyLoader(data, na.batches.Batches(len(data), size, **options))


@pytest.mark.parametrize(("kind", "changed", "named"), OTHERS)
def test_a_state_of_other_samples_is_refused(makers, kind, changed, named):
    make = makers[kind]
    state = json.loads(json.dumps(loader(make()).state_dict()))
    loader(make()).load_state_dict(state)
    with pytest.raises(SchemaError, match=f"of another dataset.*{named}"):
        loader(make(**changed)).load_state_dict(state)


def test_a_state_of_batches_in_another_order_is_refused(makers):
    data = makers["trials"]()
    state = loader(data, shuffle=True).state_dict()
    for options, named in [
        ({"size": 5}, "batch_size: 4 in the state, 5 here"),
        ({"seed": 3}, "seed: 0 in the state, 3 here"),
        ({"shuffle": False}, "shuffle: True in the state, False here"),
        ({"weights": np.ones(30)}, "weights: absent in the state, 'checksum"),
    ]:
        with pytest.raises(SchemaError, match=f"{named}.*set_epoch"):
            loader(data, **{"shuffle": True} | options).load_state_dict(state)


def test_a_state_of_other_sessions_is_refused(tree):
    def run(sessions, mode="weighted", rows=30):
        parts = {
            key: loader(na.batches.TrialSamples(tree[f"{key}/VISp"], ["speed"], rows=range(rows)))
            for key in sessions
        }
        return na.batches.cycle(parts, mode)

    both = ["session_0", "session_1"]
    state = run(both).state_dict()
    run(both).load_state_dict(state)
    with pytest.raises(SchemaError, match="session_1: present in the state, absent here"):
        run(both[:1]).load_state_dict(state)
    with pytest.raises(SchemaError, match="session_0: samples: 30 in the state, 24 .*and . more"):
        run(both, rows=24).load_state_dict(state)
    with pytest.raises(SchemaError, match="mode: 'weighted' in the state, 'longest' here"):
        run(both, "longest").load_state_dict(state)


def test_what_is_no_state_is_said(makers):
    for given in ({"weight": 1}, 3, None):
        with pytest.raises(SchemaError, match=r"expected what state_dict\(\) of a loader gave"):
            loader(makers["trials"]()).load_state_dict(given)


@pytest.mark.parametrize("changed", [{"epoch": None}, {"batch": -1}, {"batch": 1.5}, {"ranks": 0}])
def test_a_damaged_state_is_refused(makers, changed):
    data = loader(makers["trials"]())
    with pytest.raises(SchemaError, match=f"is damaged: {next(iter(changed))}="):
        data.load_state_dict(data.state_dict() | changed)


def test_a_state_of_numbers_of_numpy_is_kept_as_json(makers):
    def run():
        batches = na.batches.Batches(
            np.int64(30),
            np.int64(4),
            shuffle=np.True_,
            seed=np.int64(3),
            rank=np.int64(0),
            world_size=np.int64(2),
        )
        alone = na.batches.NumpyLoader(makers["trials"](), batches)
        return na.batches.cycle({np.str_("a"): alone, 2: alone}, "sampled", seed=np.int64(5))

    begun = run()
    running = iter(begun)
    next(running)
    state = json.loads(json.dumps(begun.state_dict()))
    resumed = run()
    resumed.load_state_dict(state)
    (key, batch), (expected_key, expected) = next(iter(resumed)), next(running)
    assert key == expected_key
    np.testing.assert_array_equal(batch["speed"], expected["speed"])


def test_a_state_goes_on_where_the_file_was_moved(tmp_path):
    def run(folder):
        (path,) = folder.iterdir()
        area = na.open_datatree(path)["session_0/VISp"]
        return loader(na.batches.TrialSamples(area, ["spike_data"]), shuffle=True)

    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    first = synthetic.write_archive(tmp_path / "here" / "a.h5")
    (tmp_path / "there" / "a.h5").write_bytes(first.read_bytes())
    begun = run(tmp_path / "here")
    running = iter(begun)
    next(running)
    resumed = run(tmp_path / "there")
    resumed.load_state_dict(begun.state_dict())
    np.testing.assert_array_equal(next(iter(resumed))["spike_data"], next(running)["spike_data"])
