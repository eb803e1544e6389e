"""Aligned trees and recordings as batches of numpy arrays: for scikit-learn, JAX or a loop of your own.

Alignment, masks and splits happened before. A sample is a dict of arrays under the names of the
tree's variables; a batch is the same dict with one more axis in front, gathered at once::

    data = na.batches.TrialSamples(area, ["stimulus"], ["responses"])
    loader = na.batches.NumpyLoader(data, na.batches.Batches(len(data), 64, shuffle=True))

What is not known is never a zero: targets are NaN where the masks of the area say so and the dtype
has one, and the masks come with every batch. `na.torch` has the same datasets with tensors.
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
