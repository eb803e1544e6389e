"""What stands in the rows of a timeline: over the session's time, or over trials without times."""

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.tree.timelines import SIGNALS, of_aligned, of_recording

TIME = np.arange(4.0)


def clock(values, name="x", time=TIME):
    dims = ("time", "axis")[: np.ndim(values)]
    return xr.Dataset({name: (dims, values)}, {"time": ("time", time, {"units": "s"})})


def trials(starts, **columns):
    table = xr.Dataset({k: ("presentation_id", v) for k, v in columns.items()})
    return table.assign(start_time=("presentation_id", starts))


def area(data, **children):
    return xr.DataTree.from_dict({"/": data, **{f"/{k}": v for k, v in children.items()}})


def test_a_recording_has_signals_then_events_then_tables_then_when_it_was_recorded():
    nodes = {
        "/s/eye_tracker/deep": clock(np.ones(4)),
        "/s/many": clock(np.ones((4, 2))),
        "/s/running": clock(np.arange(4.0)),
        "/s/one_sample": clock([1.0], time=[0.0]),
        "/s/two": clock(np.ones(4)).assign(y=("time", np.zeros(4))),
        "/s/events/lick": xr.Dataset({"event_time": ("event", [1.0, 2.0], {"units": "s"})}),
        "/s/presentations/gratings": trials([0.0, 1.0, 2.0], stop_time=[0.5, np.nan, 2.5]),
        "/s/presentations/flashes": trials([0.0]),
        "/s/presentations/none": trials([]),
    }
    mark = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    rows = of_recording(xr.DataTree.from_dict({"/": mark, **nodes})["s"])
    assert [row.name for row in rows] == [
        "many",
        "running",
        "two/x",
        "two/y",
        "eye_tracker/deep",
        "lick (2)",
        "gratings (3)",
        "flashes (1)",
    ]
    assert (rows[0].clock, rows[0].signal) == ((0.0, 3.0), None)
    assert rows[1].signal.values.tolist() == [0, 1, 2, 3]
    assert rows[5].events.tolist() == [1, 2]
    assert rows[6].intervals.tolist() == [[0, 0.5], [1, 1], [2, 2.5]]
    assert rows[7].intervals.tolist() == [[0, 0]]


def test_of_many_signals_the_last_row_counts_the_others():
    mark = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    for n, last in ((SIGNALS, f"s{SIGNALS - 1}"), (SIGNALS + 3, "and 4 more signals")):
        nodes = {f"/s/s{i}": clock(np.ones(4)) for i in range(n)}
        rows = of_recording(xr.DataTree.from_dict({"/": mark, **nodes})["s"])
        assert (len(rows), rows[-1].name) == (SIGNALS, last)


def test_aligned_trials_have_the_means_of_behaviour_in_the_order_of_time():
    data = xr.Dataset().assign(
        running=(("presentation_id", "time"), [[1.0, 3.0], [4.0, np.nan]]),
        empty=("presentation_id", [np.nan, np.nan]),
        whole=("presentation_id", [1, 2]),
    )
    table = trials([5.0, 1.0], stop_time=[6.0, 2.0], contrast=[0.5, 1.0])
    first, second = (area(data, presentations=table) for _ in range(2))
    nothing = area(xr.Dataset({"x": ("y", [1.0])}))
    rows, along = of_aligned([("", nothing), ("a", first), ("a", second)])
    assert along == "time (s)"
    assert [row.name for row in rows] == ["running", "a (2)"]
    assert rows[0].signal.values.tolist() == [4, 2]
    assert rows[0].signal["time"].values.tolist() == [1, 5]
    assert rows[1].intervals.tolist() == [[5, 6], [1, 2]]
    assert [row.name for row in of_aligned([("a", first), ("b", second)])[0]] == [
        "running",
        "a (2)",
        "b (2)",
    ]
    rows, _ = of_aligned([("a", first), ("a", second), ("b", first)])
    assert rows[-1].name == "b (2)"


def test_aligned_trials_without_times_and_clocks():
    table = xr.Dataset({"speed": ("presentation_id", [0.5, 1.0])})
    rows, along = of_aligned([("", area(table))])
    assert along == "presentations, one after another"
    assert [row.name for row in rows] == ["speed", "presentations (2)"]
    assert rows[1].intervals.tolist() == [[0, 1], [1, 2]]
    rows, along = of_aligned([("", area(clock(np.ones(4)))), ("", area(xr.Dataset()))])
    assert (along, [row.name for row in rows]) == ("time (s)", ["x", "clock (4 bins)"])
    assert rows[1].clock == (0, 3)
