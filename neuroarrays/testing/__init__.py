"""The conformance suite that the tests of every reader inherit, in this and other packages.

Write a tiny golden file, read some of its values with another tool, and state three attributes::

    from neuroarrays.testing import ReaderTests


    class TestMyReader(ReaderTests):
        reader = MyReader  # or the name of its format
        path = "tests/golden/mine/session.h5"
        values = {
            ("session/V1/spikes", "spike_times", 0): 0.0125,
            ("session/V1/spikes", "spike_times", -1): 59.97,
            ("session/presentations/gratings", "orientation", 3): 45.0,
        }

The first and the last element of every kind of variable belong in `values`: a rotated or lost
sample, or milliseconds taken for seconds, shows nowhere else. Needs pytest; nothing of
neuroarrays imports this module.
"""

from neuroarrays.testing.comparing import (
    assert_same_trees,
    indexers,
    load,
    outer,
    same_values,
    variables,
)
from neuroarrays.testing.processes import in_processes
from neuroarrays.testing.suite import ReaderTests

__all__ = [
    "ReaderTests",
    "assert_same_trees",
    "in_processes",
    "indexers",
    "load",
    "outer",
    "same_values",
    "variables",
]
