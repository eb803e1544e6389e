"""Batches of numpy arrays from trees, for scikit-learn, JAX or your own loop.

Align and split the data first. A sample is a dict of arrays under the names of the tree's
variables. A batch is the same dict with one more axis in front, gathered at once::

    data = na.batches.TrialSamples(area, ["stimulus"], ["responses"])
    loader = na.batches.NumpyLoader(data, na.batches.Batches(len(data), 64, shuffle=True))

Unknown values never become 0. Targets are NaN where a mask of the area says so, if the dtype has
NaN; the masks come with every batch. `na.torch` has the same datasets with tensors.
"""

from neuroarrays.batches import splits
from neuroarrays.batches.aligned import ClipSamples, TrialSamples
from neuroarrays.batches.composites import RepeatSamples, StackedSamples
from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.estimators import xy
from neuroarrays.batches.loading import NumpyLoader, cycle
from neuroarrays.batches.plan import loaders
from neuroarrays.batches.samplers import Batches, Jittered, balanced
from neuroarrays.batches.scaling import Scaling
from neuroarrays.batches.tokens import SpikeEventSamples
from neuroarrays.batches.vocabulary import Vocabulary
from neuroarrays.batches.windows import SpikeWindowSamples

__all__ = [
    "Batches",
    "ClipSamples",
    "Cycled",
    "Jittered",
    "NumpyLoader",
    "RepeatSamples",
    "Scaling",
    "SpikeEventSamples",
    "SpikeWindowSamples",
    "StackedSamples",
    "TrialSamples",
    "Vocabulary",
    "balanced",
    "cycle",
    "loaders",
    "splits",
    "xy",
]


def __dir__() -> list[str]:
    return sorted(__all__)
