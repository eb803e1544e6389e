"""Plots of labelled arrays; each function returns matplotlib axes, which you can change."""

from neuroarrays.errors import MissingDependency

try:
    import matplotlib as _  # noqa: F401
except ImportError as error:
    raise MissingDependency("matplotlib", "plot", "neuroarrays.plot") from error
from neuroarrays.plot.curves import tuning
from neuroarrays.plot.decoders import decoder
from neuroarrays.plot.grids import correlograms, grid
from neuroarrays.plot.histograms import phases, psth
from neuroarrays.plot.images import population, rate_map, receptive_field, stimulus
from neuroarrays.plot.pages import catalog, overview
from neuroarrays.plot.rows import behaviour, raster
from neuroarrays.plot.signals import coherence, csd, power, spectrogram, traces
from neuroarrays.plot.statistics import statistics
from neuroarrays.plot.timelines import timeline
from neuroarrays.plot.trials import peri_event

__all__ = [
    "behaviour",
    "catalog",
    "coherence",
    "correlograms",
    "csd",
    "decoder",
    "grid",
    "overview",
    "peri_event",
    "phases",
    "population",
    "power",
    "psth",
    "raster",
    "rate_map",
    "receptive_field",
    "spectrogram",
    "statistics",
    "stimulus",
    "timeline",
    "traces",
    "tuning",
]


def __dir__() -> list[str]:
    return sorted(__all__)
