"""The formats that can be opened. `FORMATS` is the only registry.

A format module reads one family of datasets; importing it loads nothing heavy. To add one, write
the module, add its line here and its golden file (docs/adding_a_dataset.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuroarrays.formats.reader import Reader


@dataclass(frozen=True)
class Format:
    """One line of the registry.

    Attributes
    ----------
    name : str
        Name of the engine, as in ``xr.open_datatree(path, engine=name)``.
    reader : str
        ``module:class`` of its reader; the entry point is the same.
    status : {"stable", "beta"}
        How much it has been tried.
    extra : str
        The extra it needs for some of its files, or "".
    description : str
        One line.
    """

    name: str
    reader: str
    status: str
    extra: str
    description: str

    def load(self) -> Reader:
        """An instance of the reader."""
        module, _, name = self.reader.partition(":")
        reader: Reader = getattr(import_module(module), name)()
        return reader


FORMATS: tuple[Format, ...] = (
    Format("nwb", "neuroarrays.formats.nwb:NWBReader", "beta", "zarr",
           "Neurodata Without Borders 2, HDF5 or Zarr"),
    Format("neuroarrays", "neuroarrays.archive.reader:ArchiveReader", "beta", "zarr",
           "trees saved by na.save, HDF5 or Zarr"),
    Format("allen", "neuroarrays.formats.allen:AllenReader", "beta", "",
           "Allen Visual Coding and Visual Behavior Neuropixels sessions (NWB)"),
    Format("allen_binned", "neuroarrays.formats.allen_binned:AllenBinnedReader", "beta", "",
           "published binned archive of Allen Visual Coding Neuropixels"),
    Format("sensorium", "neuroarrays.formats.sensorium:SensoriumReader", "beta", "",
           "SENSORIUM 2022 (images) and 2023 (movies): folders or zips of npy files"),
    Format("experanto", "neuroarrays.formats.experanto:ExperantoReader", "beta", "",
           "experanto sessions: screen, responses, spikes, behaviour, each at its own rate"),
    Format("driada", "neuroarrays.formats.driada:DriadaReader", "beta", "",
           "DRIADA: calcium imaging with behaviour (NPZ, pickled experiments)"),
    Format("arrays", "neuroarrays.formats.arrays:ArraysReader", "beta", "matlab",
           "MATLAB, npy, npz, HDF5, Zarr, csv and parquet, by a mapping of your own"),
    Format("openretina", "neuroarrays.formats.retina.builtin:OpenRetinaReader", "beta", "",
           "open-retina's own HDF5 layout: sessions and a folder of stimuli"),
    Format("maheswaranathan_2023",
           "neuroarrays.formats.retina.maheswaranathan:MaheswaranathanReader", "beta", "",
           "Maheswaranathan et al. 2023: salamander retina, natural scenes and white noise"),
    Format("karamanlis_2024", "neuroarrays.formats.retina.karamanlis:KaramanlisReader", "beta", "",
           "Karamanlis et al. 2024: mouse and marmoset retina, images under eye movements"),
    Format("hoefling_2024", "neuroarrays.formats.retina.hoefling:HoeflingReader", "beta", "",
           "Hoefling et al. 2024: mouse retina, calcium responses to natural movies"),
    Format("goldin_2022", "neuroarrays.formats.retina.goldin:GoldinReader", "beta", "",
           "Goldin et al. 2022: mouse and axolotl retina, flashed natural images"),
    Format("sridhar_2025", "neuroarrays.formats.retina.sridhar:SridharReader", "beta", "",
           "Sridhar et al. 2025: marmoset retina, film under eye movements and white noise"),
)  # fmt: skip
