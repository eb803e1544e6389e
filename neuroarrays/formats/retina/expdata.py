"""Facts of a session of Karamanlis 2024, from its file `expdata.mat` or by its species."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.retina import containers
from neuroarrays.formats.retina import nodes as retina

#: Frames per second, height and width in pixels, and pixel size in µm if the file is missing.
RATES = {"mouse": 75.0, "marmoset": 85.0}
_SCREEN, _PIXEL = (600, 800), 7.5
_EXPDATA = "expdata.mat"


def species_of(name: str) -> str:
    """Return the species in the name of a session."""
    return next((species for species in RATES if species in name), "unknown")


class Experiment:
    """The facts in `expdata.mat` of a session, or those of its species.

    A file that is not HDF5 is treated as missing, because the responses do not depend on it.
    """

    def __init__(self, name: str, probe: Probe):
        members = [m for m in containers.members(probe) if m.rpartition("/")[2] == _EXPDATA]
        self.file: Source | None = None
        #: Why the file cannot be used although it exists.
        self.note = ""
        try:
            self.file = containers.member_source(probe, members[0]) if members else None
        except FormatError as error:
            self.note = (
                f"{name}: {_EXPDATA} is not read: expected {error.expected}, found {error.found}"
            )
        except MissingPath:
            self.note = f"{name}: {_EXPDATA} is not read: a link to where there is nothing"
        self.species = species_of(name)
        default = RATES.get(self.species)
        rate = self._numbers("projector/refreshrate")
        self.rate = (
            retina.rate_attrs(None, rate[0])
            if rate
            else retina.rate_attrs(None, default, "published")
        )
        if "sampling_rate" in self.rate:
            retina.check_rate(self.rate["sampling_rate"])
        screen = self._numbers("projector/screen")
        self.screen = (int(screen[0]), int(screen[1])) if len(screen) == 2 else _SCREEN
        if not 0 < min(self.screen) <= max(self.screen) <= 1 << 14:
            raise FormatError(
                probe.as_given,
                f"{_EXPDATA}:projector/screen",
                "height and width in pixels",
                f"{screen}",
            )
        pixel = self._numbers("projector/pixelsize")
        self.pixel = pixel[0] * 1e6 if pixel else _PIXEL

    def _numbers(self, name: str) -> list[float]:
        if self.file is None or self.file.info(name) is None:
            return []
        return [float(v) for v in np.ravel(self.file.read(name))]

    def units(self, count: int) -> dict[str, Any]:
        """Return identifiers, electrodes, quality and cell types that exist for all units."""
        return self._identity(count) | self._types(count)

    def _identity(self, count: int) -> dict[str, Any]:
        """Return the columns of `units`: identifier, electrode, cluster, quality (1 is best)."""
        info = self.file.info("units") if self.file is not None else None
        if self.file is None or info is None or info.shape != (4, count):
            return {}
        ids, *rest = map(_whole, self.file.read("units"))
        named = dict(zip(("electrode", "cluster", "quality"), rest, strict=True))
        is_known = ids.dtype.kind == "i" and np.unique(ids).size == count
        return named | ({schema.UNIT: ids} if is_known else {"cell": ids})

    def _types(self, count: int) -> dict[str, Any]:
        numbers = self._numbers("cellclus_id")
        if len(numbers) != count:
            return {}
        types = _whole(np.array(numbers))
        labels = {0: "unclassified"} | dict(enumerate(self._labels(), start=1))
        names = [
            labels.get(kind, f"{kind}") if np.isfinite(kind) else "" for kind in types.tolist()
        ]
        return {"cell_type_id": types, "cell_type": np.array(names, object)}

    def _labels(self) -> list[str]:
        """Return the names of the types, from a cell array of text with a dataset each."""
        info = self.file.info("typelabels") if self.file is not None else None
        if self.file is None or info is None or info.dtype.kind != "O":
            return []
        places = np.ravel(self.file.read("typelabels"))
        texts = (np.ravel(self.file.read(str(reference))) for reference in places)
        return ["".join(chr(int(c)) for c in text) for text in texts]


def _whole(values: np.ndarray) -> np.ndarray:
    """Return numbers as int64 if all are whole, otherwise as float64 with NaN for missing ones."""
    numbers = np.asarray(values, np.float64)
    is_whole = np.isfinite(numbers).all() and (numbers % 1 == 0).all()
    return numbers.astype(np.int64) if is_whole else numbers
