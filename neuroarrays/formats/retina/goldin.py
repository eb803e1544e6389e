"""Goldin et al. 2022: mouse and axolotl ganglion cells, flashed natural images, MEA.

One file per session, as open-retina distributes them, ``<species>-session-<n>_structured_data.h5``::

    {train,test}/stimulus          (image, y, x)
    {train,test}/response/binned   (unit, image)    spikes of the 300 ms of each image
    test/repeats/cellNN            (repeat, image)

There is no time axis: an image is a presentation. Images were shown for 300 ms after 300 ms of
grey. https://doi.org/10.1038/s41467-022-33242-8
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, cells
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.flashes import Flashes, flash_nodes
from neuroarrays.formats.sessions import Sessions, find
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import transposed

_END = "_structured_data.h5"
_SECONDS, _PIXEL = 0.3, 28.0
_REPEATS = "test/repeats"
_SPECIES = ("mouse", "axolotl")


class GoldinReader(Reader):
    """Reads a folder of session files, or one of them."""

    name = "goldin_2022"
    description = "Goldin et al. 2022: mouse and axolotl retina, flashed natural images"
    url = "https://doi.org/10.1038/s41467-022-33242-8"
    kind = schema.ALIGNED
    only_area = retina.RETINA
    blocks = (retina.TRAIN, retina.TEST)

    def recognise(self, probe: Probe) -> bool:
        """Whether a file has images of three axes, responses and no clock."""
        if not probe.is_folder:
            return _is_session(probe)
        return any(asked(_is_session, file) for file in probe.glob(f"*{_END}"))

    def list_sessions(self, probe: Probe) -> Sessions:
        """List files by their names without the ending that all have."""
        return find(probe, _is_named, called=_session_name)

    def open_session(
        self, session: Probe, name: str, request: Request, *, response: str = "counts"
    ) -> dict[str, xr.Dataset]:
        """Open a file as the two blocks of an aligned tree.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        response : {"counts", "rate"}
            Unit of the responses: spikes per image, or spikes/s, which is the count divided by the
            0.3 s of an image.
        """
        retina.choice("response", response, ("counts", "rate"))
        opened = _GoldinSession(session, name, 1.0 if response == "counts" else 1 / _SECONDS)
        return opened.nodes(retina.TRAIN) | opened.nodes(retina.TEST)


def _is_named(probe: Probe) -> bool:
    return probe.name.endswith(_END)


def _session_name(probe: Probe) -> str:
    return probe.name.removesuffix(_END).removesuffix(".h5")


def _is_session(probe: Probe) -> bool:
    if probe.container != "hdf5":
        return False
    shown = probe.source.info("train/stimulus")
    return (
        shown is not None
        and len(shown.shape) == 3
        and probe.source.info("train/response/binned") is not None
        and probe.source.info("train/time") is None
    )


class _GoldinSession:
    """One session file, and the nodes of its tree."""

    def __init__(self, probe: Probe, name: str, scale: float):
        self.path, self.name, self.scale = probe.path, name, scale
        self.file: Source = probe.source

    def nodes(self, block: str) -> dict[str, xr.Dataset]:
        """Return session, retina and presentations of one block."""
        shown = arrays.pixels(file_array(self.file, f"{block}/stimulus"))
        stored = self._rate(file_array(self.file, f"{block}/response/binned"))
        if len(shown.shape) != 3 or len(stored.shape) != 2:
            raise FormatError(
                self.path,
                block,
                "images (image, y, x), responses (unit, image)",
                f"{shown.shape} and {stored.shape}",
            )
        units, images = stored.shape
        repeats = cells.repeats(self.file, _REPEATS, units)
        numbers = [*cells.numbers(self.file, _REPEATS).values()]
        attrs = {
            "session_id": self.name,
            "um_per_pixel": _PIXEL,
            "presentation_duration": _SECONDS,
            "species": next((s for s in _SPECIES if s in self.name), "unknown"),
        }
        flashes = Flashes(
            self.path,
            shown,
            transposed(stored),
            by_trial=self._rate(repeats) if block == retina.TEST and repeats is not None else None,
            units={schema.UNIT: numbers} if numbers else {},
            table={"duration": np.full(images, _SECONDS), "tier": np.full(images, block, object)},
            response_units="1" if self.scale == 1 else "Hz",
            attrs=attrs,
        )
        return flash_nodes(block, flashes)

    def _rate(self, array: LazyArray) -> LazyArray:
        return arrays.scaled(arrays.floats(array), self.scale)
