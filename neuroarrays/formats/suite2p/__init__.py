"""The output of suite2p: a folder of npy files for each plane, on one clock of frames.

https://suite2p.readthedocs.io/en/latest/outputs (code: GPL-3). In ``suite2p/plane0``, ``plane1``, ...::

    F.npy, Fneu.npy, spks.npy   (ROI, frame) fluorescence, neuropil, deconvolved; F_chan2, Fneu_chan2
    iscell.npy, redcell.npy     (ROI, 2) class and its probability
    stat.npy                    (ROI,) dicts, pickled: med, npix, radius, ...; ypix, xpix, lam of pixels
    ops.npy                     a dict, pickled: fs (frames of this plane per second), nplanes, ...
    settings.npy, db.npy        in its place since suite2p 1.0: fs; nplanes

``suite2p/combined`` repeats all planes, and pads planes with a frame less with zeros. It is read only
if it is opened itself, or is alone.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.suite2p.folders import (
    HINT,
    SIGNALS,
    is_plane,
    labels_of_planes,
    options_of,
    passed_over,
    planes_of,
    rate_of,
    signals_of,
)
from neuroarrays.formats.suite2p.rois import labels_of_rois, side_by_side
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.indexes import dataset

#: Labels that are lengths or positions in the image; the dimension of the pixels of an ROI.
_IN_PIXELS, _PIXEL = ("x", "y", "xpix", "ypix", "radius"), "pixel"
#: Options that become attributes of the session.
_ATTRS = ("nplanes", "nchannels", "tau", "neucoeff", "Ly", "Lx", "suite2p_version")


class Suite2pReader(Reader):
    """Reads the folder of a run of suite2p: all its planes as one area, or one plane."""

    name = "suite2p"
    description = (
        "suite2p: folders of F.npy, Fneu.npy, spks.npy, iscell.npy, stat.npy for each plane"
    )
    url = "https://suite2p.readthedocs.io"
    only_area = schema.UNKNOWN_AREA

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is the folder of a plane, or has planes in it or in its folder ``suite2p``."""
        return probe.is_folder and any(map(is_plane, planes_of(probe)))

    def open_session(
        self, session: Probe, name: str, request: Request, *, sampling_rate: float | None = None
    ) -> dict[str, xr.Dataset]:
        """Open a run as a session of a recording tree with the area "unknown".

        Parameters
        ----------
        session : Probe
            The folder of a plane, the folder of all planes, or one with a folder ``suite2p``.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        sampling_rate : float, optional, Hz
            Frames of each plane per second (default: the rate in settings.npy or ops.npy).
        """
        notes: list[str] = []
        planes = []
        for folder in planes_of(session):
            if is_plane(folder):
                planes.append(folder)
            else:
                notes.append(f"{folder.name}: neither F.npy nor stat.npy, so it has no ROIs")
        rate_option = {} if sampling_rate is None else {"fs": sampling_rate}
        options = [options_of(folder, notes) | rate_option for folder in planes]
        rates = [rate_of(folder, stated) for folder, stated in zip(planes, options, strict=True)]
        if len(set(rates)) > 1:
            different = ", ".join(map(str, rates))
            raise FormatError(session.as_given, "fs", "planes of one rate", different, HINT)
        signals = [signals_of(folder, notes) for folder in planes]
        sizes = [by_name["F"].shape[1] for by_name in signals]
        labels = [
            labels_of_rois(folder, size, notes) for folder, size in zip(planes, sizes, strict=True)
        ]
        frames = max(by_name["F"].shape[0] for by_name in signals)
        series = side_by_side(signals, sizes, 1, frames)
        variables = {
            signal: array.variable((schema.TIME, schema.UNIT), {"long_name": SIGNALS[signal]})
            for signal, array in series.items()
        }
        clock = RegularClock(0.0, rates[0], frames)
        coords = {
            schema.TIME: clock.variable([schema.TIME], {"units": "s"}),
            schema.UNIT: xr.Variable(schema.UNIT, np.arange(sum(sizes))),
        }
        for label, array in side_by_side(labels, sizes, 0).items():
            unit = {"units": "pixel"} if label in _IN_PIXELS else {}
            name_in_tree = f"{label}_" if label in (*variables, *coords, _PIXEL) else label
            coords[name_in_tree] = array.variable([schema.UNIT, _PIXEL][: len(array.shape)], unit)
        coords |= labels_of_planes(planes, sizes, "plane" in coords)
        notes += passed_over(session, planes)
        for folder, by_name in zip(planes, signals, strict=True):
            if n_missing := clock.length - by_name["F"].shape[0]:
                notes.append(
                    f"{folder.name}: the last {n_missing} of {clock.length:,} frames are missing: NaN"
                )
        attrs = {key: value for key, value in options[0].items() if key in _ATTRS}
        attrs |= {"session_id": name, "sampling_rate": rates[0]}
        return {
            "": xr.Dataset(attrs=attrs | ({"notes": notes} if notes else {})),
            f"{schema.UNKNOWN_AREA}/fluorescence": dataset(variables, coords),
        }
