"""Any neural recording as one lazy, labelled `xr.DataTree`.

>>> import neuroarrays as na
>>> tree = na.load_sample()
>>> aligned = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
>>> aligned["A2929-200711/ca1/spike_data"].dims
('presentation_id', 'unit_id', 'time')

Importing the package loads nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from neuroarrays._version import __version__

_HOME = {
    "open_datatree": "formats.door",
    "validate": "schema.validation",
    "load_sample": "demo.sample",
    "sample_path": "demo.sample",
    "align": "alignment.align",
    "interpolate": "alignment.interpolation",
    "bin_spikes": "alignment.spikes",
    "filter": "signals.filters",
    "hilbert": "signals.analytic",
    "smooth": "signals.levels",
    "normalize": "signals.levels",
    "reference": "signals.mixing",
    "csd": "signals.mixing",
    "power": "signals.spectra",
    "spectrogram": "signals.spectra",
    "decimate": "signals.resampling",
    "resample": "signals.resampling",
    "events_of": "signals.detection",
    "extremes": "signals.extremes",
    "CountPyramid": "alignment.pyramid",
    "release": "files.state",
    "save": "archive.saving",
    "build": "collection.building",
    "units": "collection.tables",
    "presentations": "collection.tables",
    "sessions": "collection.tables",
    "catalog": "collection.tables",
    "index": "collection.tables",
    "to_pynapple": "exchange.pynapple_objects",
    "from_pynapple": "exchange.pynapple_trees",
    "to_driada": "exchange.driada",
    "to_nwb": "exchange.nwb",
    "to_temporaldata": "exchange.temporaldata",
    "feature_types": "analysis.features",
    "aggregate": "analysis.features",
    "circular_components": "analysis.features",
    "deconvolve": "analysis.deconvolution",
    "over": "analysis.over",
    "pool": "analysis.pooling",
    "describe": "tree.description",
    "explore": "explorer",
    "select_units": "tree.selection",
    "trials": "tree.selection",
    "restrict": "tree.restriction",
    "psth": "analysis.rates",
    "firing_rate": "analysis.rates",
    "phase_locking": "analysis.coupling",
    "event_triggered_average": "analysis.coupling",
    "coherence": "analysis.coherence",
    "tuning_curve": "analysis.tuning",
    "spike_triggered_average": "analysis.receptive",
    "bayesian_decoder": "analysis.decoding",
    "population_vector": "analysis.decoding",
    "autocorrelogram": "analysis.correlograms",
    "crosscorrelogram": "analysis.correlograms",
    "signal_correlation": "analysis.correlations",
    "noise_correlation": "analysis.correlations",
    "reliability": "analysis.correlations",
    "FormatError": "errors",
    "SchemaError": "errors",
    "BrokenReader": "errors",
    "MissingDependency": "errors",
    "NeuroArraysError": "errors",
    "NotInTree": "errors",
    "MissingPath": "errors",
    "PathExists": "errors",
    "WriteFailed": "errors",
    "ThreadEnded": "errors",
    "UnknownFormat": "errors",
    "QueryError": "errors",
    "NothingLeft": "errors",
}
_MODULES = {
    "batches": "batches",
    "torch": "torch",
    "plot": "plot",
    "intervals": "tree.intervals",
    "scoring": "analysis.scoring",
    "driada": "exchange.driada",
    "openretina": "exchange.openretina",
    "sensorium": "exchange.sensorium",
}

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"neuroarrays.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"neuroarrays.{_MODULES[name]}")
    else:
        msg = f"module 'neuroarrays' has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
