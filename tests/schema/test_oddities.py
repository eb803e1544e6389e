"""What `validate(values=True)` says of values that are legal and cannot be meant."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.schema.validation import validate

ROOT = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})


def notes_of(*trains, ids=None, **nodes):
    spikes = xr.Dataset(
        {
            "spike_times": ("spike", np.concatenate(trains)),
            "row_size": ("unit_id", [len(t) for t in trains]),
        },
        {"unit_id": np.arange(len(trains)) if ids is None else ids},
    )
    groups = {"/": ROOT, "s": xr.Dataset(), "s/x/spikes": spikes}
    tree = xr.DataTree.from_dict(
        groups | {f"s/{k.replace('__', '/')}": v for k, v in nodes.items()}
    )
    return validate(tree, values=True)


def series(time, values=None):
    values = np.zeros(len(time)) if values is None else values
    return xr.Dataset({"v": ("time", np.asarray(values, float))}, {"time": np.asarray(time, float)})


TRAIN = np.sort(np.random.default_rng(0).uniform(0, 100, 500))


@pytest.mark.parametrize("odd", [-1e9, 1e12, 1.7e18])
def test_a_spike_far_from_all_others_is_named(odd):
    (note,) = notes_of(TRAIN, np.sort(np.append(TRAIN, odd)), ids=[3, 7])
    assert note.startswith(f"s/x/spikes: unit 7 has a spike at {odd:g} s, far from all others")


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (TRAIN, None),
        (np.append(TRAIN, 400.0), None),
        (np.sort(np.random.default_rng(0).uniform(0, 2, 4000)), "unit 0 has 2,00"),
        (np.arange(2000) / 10, "unit 0 has a spike every 0.1 s: it is a clock"),
        (np.append(TRAIN, np.inf), "1 of 501 spike times are infinite"),
        (np.zeros(0), None),
    ],
)
def test_trains(train, said):
    notes = notes_of(train)
    assert notes == [] if said is None else any(said in note for note in notes)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (series(np.arange(100) / 10), None),
        (series([0.0, 0.1, np.nan, 0.3]), "1 of 4 time stamps are NaN"),
        (series(np.append(np.arange(100), 1e9)), "sample 100 is at 1e+09 s"),
        (
            series([*range(20), *range(90, 110)]),
            "the clock has a hole of 71 s (its step is 1 s)",
        ),
        (series([*range(20), *range(40, 60), *range(99, 110)]), "2 holes of up to 40 s"),
        (series(np.cumsum(np.random.default_rng(0).exponential(1, 500))), None),  # no rhythm
        (series(np.arange(20), np.full(20, np.nan)), "v is NaN throughout"),
    ],
)
def test_series(node, said):
    notes = notes_of(TRAIN, wheel=node)
    assert notes == [] if said is None else any(said in note for note in notes)


def test_as_many_units_as_trials():
    table = xr.Dataset({"start_time": ("presentation_id", np.arange(12.0))})
    table["stop_time"] = table["start_time"] + 0.5
    notes = notes_of(*np.split(TRAIN[:480], 12), presentations__trials=table)
    assert notes == [
        "s/x/spikes: it has 12 units, and s/presentations/trials has as many rows: are they trials?"
    ]
    assert notes_of(*np.split(TRAIN[:480], 8), presentations__trials=table) == []


def test_the_sample_is_not_odd():
    assert not [note for note in validate(na.load_sample(), values=True) if "far from" in note]


def test_a_clock_of_dates_is_a_fault():
    """Not an error from inside."""

    def series(times):
        root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
        node = xr.Dataset({"x": ("time", np.arange(20.0))}, {"time": times})
        return xr.DataTree.from_dict({"/": root, "s/wheel": node})

    with pytest.raises(na.SchemaError, match="time has dtype datetime64"):
        na.validate(series(np.arange(20).astype("M8[s]")), values=True)
