"""Goldin et al. 2022: mouse and axolotl ganglion cells, flashed natural images, MEA.

A file per session, as open-retina distributes them, ``<species>-session-<n>_structured_data.h5``::

    {train,test}/stimulus          (image, y, x)
    {train,test}/response/binned   (unit, image)    spikes of the 300 ms of each image
    test/repeats/cellNN            (repeat, image)

There is no time axis: an image is a presentation. Images were shown for 300 ms after 300 ms of
grey. https://doi.org/10.1038/s41467-022-33242-8
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import opening
from neuroarrays.files.source import Source
from neuroarrays.formats.folders import find
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, cells, containers
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.flashes import Flashes, flash_nodes
from neuroarrays.lazy.arrays import LazyArray, Transposed, file_array

_END = "_structured_data.h5"
_SECONDS, _PIXEL = 0.3, 28.0
_REPEATS = "test/repeats"
_SPECIES = ("mouse", "axolotl")


class GoldinReader(Reader):
    """Reads a folder of session files, or one of them."""

    name = "goldin_2022"
    description = "Goldin et al. 2022: mouse and axolotl retina, flashed natural images"
    url = "https://doi.org/10.1038/s41467-022-33242-8"
    only_area = retina.RETINA

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a file has images of three axes, responses and no clock."""
        return containers.recognised(
            filename_or_obj, lambda path: containers.any_of(_files(path), _is_session)
        )

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        response: str = "counts",
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open sessions as the groups of an aligned tree.

        Parameters
        ----------
        filename_or_obj : str or path
            The folder or a file.
        request : Request
            What to open; the only area is "retina".
        response : {"counts", "rate"}
            Spikes per image, or these over its 0.3 s (Hz).
        skip_damaged : bool
            Leave out a file that cannot be read, and say so in ``notes``.
        """
        retina.choice("response", response, ("counts", "rate"))
        found = find(containers.existing(filename_or_obj), _is_named)
        files = {p.name.removesuffix(_END).removesuffix(".h5"): p for p in found.paths}
        if not files:
            raise FormatError(
                filename_or_obj,
                expected=f"files that end in {_END}",
                found=opening.describe(filename_or_obj),
            )
        scale = 1.0 if response == "counts" else 1 / _SECONDS
        picked = {name: files[name] for name in request.sessions(files)}
        notes = found.notes()

        def open_one(name: str) -> dict[str, dict[str, xr.Dataset]]:
            session = _Session(picked[name], name, scale)
            return {block: session.nodes(block) for block in (retina.TRAIN, retina.TEST)}

        nodes = retina.by_block(picked, open_one, skip_damaged, notes)
        return retina.assemble(nodes, {"source": self.name, "notes": notes})


def _files(path: str | os.PathLike[str]) -> list[Path]:
    path = containers.existing(path)
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if _is_named(p) and p.name[0] != ".")


def _is_named(path: Path) -> bool:
    return path.name.endswith(_END)


def _is_session(path: Path) -> bool:
    if not opening.is_hdf5(path):
        return False
    file = opening.open_source(path)
    shown = file.info("train/stimulus")
    responses = file.info("train/response/binned")
    timed = file.info("train/time") is not None
    return shown is not None and len(shown.shape) == 3 and responses is not None and not timed


class _Session:
    """One file on its way to the tree."""

    def __init__(self, path: Path, name: str, scale: float):
        self.path, self.name, self.scale = path, schema.node_name(name), scale
        self.file: Source = opening.open_source(path)

    def nodes(self, block: str) -> dict[str, xr.Dataset]:
        """Session, retina and presentations of one block."""
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
            str(self.path),
            shown,
            Transposed(stored),
            by_trial=self._rate(repeats) if block == retina.TEST and repeats is not None else None,
            units={schema.UNIT: numbers} if numbers else {},
            table={"duration": np.full(images, _SECONDS), "tier": np.full(images, block, object)},
            response_units="1" if self.scale == 1 else "Hz",
            attrs=attrs,
        )
        return flash_nodes(f"{block}/{self.name}", flashes)

    def _rate(self, array: LazyArray) -> LazyArray:
        return arrays.Scaled(arrays.floats(array), self.scale)
