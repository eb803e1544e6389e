"""The formats that can be opened: those of this package (`FORMATS`) and those of installed packages.

A format module reads one family of datasets; importing it loads nothing heavy. To add one, write
the module, add its line here and its golden file (docs/adding_a_dataset.md).

Another package names its readers by entry points in the group `neuroarrays.readers`, which are read
without importing the package. It is imported when a caller names its reader, or when readers are
asked whether they recognise a path. A reader that cannot be used is an error in the first case, and
one warning in the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from neuroarrays.errors import BrokenReader, warn
from neuroarrays.files import state

if TYPE_CHECKING:
    from neuroarrays.formats.reader import Reader

#: Group of the entry points by which other packages name their readers.
GROUP = "neuroarrays.readers"


@dataclass(frozen=True)
class Format:
    """One line of the registry.

    Attributes
    ----------
    name : str
        Name of the engine, as in ``xr.open_datatree(path, engine=name)``.
    reader : str
        ``module:class`` of its reader; the entry point is the same.
    status : {"stable", "beta", "installed"}
        How well it is tested; formats of other packages are "installed".
    extra : str
        The extra of this package that some files need, or "".
    description : str
        One line; "" if it is known only once the reader is imported.
    package : str
        The other package that has the reader, with its version, or "".
    fault : str
        Why the format cannot be used, or "".
    """

    name: str
    reader: str
    status: str
    extra: str
    description: str
    package: str = ""
    fault: str = ""

    def load(self) -> Reader:
        """Return an instance of the reader.

        Raises
        ------
        BrokenReader
            If the reader belongs to another package and cannot be imported, is not a `Reader`, or
            has another name than its entry point.
        """
        if not self.package:
            reader: Reader = EntryPoint(self.name, self.reader, GROUP).load()()
            return reader
        loaded = _loaded.get_or_make(self, lambda: _imported(self))
        if isinstance(loaded, str):
            raise BrokenReader(self.name, self.package, loaded)
        return loaded()


FORMATS: tuple[Format, ...] = (
    Format("nwb", "neuroarrays.formats.nwb:NWBReader", "beta", "zarr",
           "Neurodata Without Borders 2, HDF5 or Zarr"),
    Format("neuroarrays", "neuroarrays.archive.reader:ArchiveReader", "beta", "zarr",
           "trees saved by na.save, HDF5 or Zarr"),
    Format("allen", "neuroarrays.formats.allen:AllenReader", "beta", "",
           "Allen Visual Coding and Visual Behavior Neuropixels sessions (NWB)"),
    Format("allen_ophys", "neuroarrays.formats.allen_ophys:AllenOphysReader", "beta", "",
           "Allen Brain Observatory, two-photon Visual Coding (NWB 1)"),
    Format("allen_binned", "neuroarrays.formats.allen_binned:AllenBinnedReader", "beta", "",
           "published binned archive of Allen Visual Coding Neuropixels"),
    Format("sensorium", "neuroarrays.formats.sensorium:SensoriumReader", "beta", "",
           "SENSORIUM 2022 (images) and 2023 (movies): folders or zips of npy files"),
    Format("experanto", "neuroarrays.formats.experanto:ExperantoReader", "beta", "",
           "experanto sessions: screen, responses, spikes, behaviour, each at its own rate"),
    Format("driada", "neuroarrays.formats.driada:DriadaReader", "beta", "",
           "DRIADA: calcium imaging with behaviour (NPZ, pickled experiments)"),
    Format("phy", "neuroarrays.formats.phy:PhyReader", "beta", "",
           "Kilosort 2-4 and phy: a folder of spike_times.npy, spike_clusters.npy, params.py"),
    Format("movement", "neuroarrays.formats.movement:MovementReader", "beta", "",
           "movement: poses and boxes of tracked animals (netCDF)"),
    Format("suite2p", "neuroarrays.formats.suite2p:Suite2pReader", "beta", "",
           "suite2p: folders of F.npy, Fneu.npy, spks.npy, iscell.npy, stat.npy for each plane"),
    Format("spikeinterface", "neuroarrays.formats.spikeinterface:SpikeInterfaceReader", "beta",
           "zarr", "spikeinterface: SortingAnalyzer (folder or Zarr), saved sortings"),
    Format("temporaldata", "neuroarrays.formats.temporaldata:TemporalDataReader", "beta", "",
           "temporaldata: HDF5 files of brainsets, torch_brain and POYO"),
    Format("alf", "neuroarrays.formats.alf:ALFReader", "beta", "parquet",
           "ALF: sessions of IBL and others, with the file names of ONE"),
    Format("arrays", "neuroarrays.formats.arrays:ArraysReader", "beta", "matlab",
           "MATLAB, npy, npz, HDF5, Zarr, csv and parquet, described by a mapping that you write"),
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


def formats() -> tuple[Format, ...]:
    """Return all formats: those of this package, then those of other packages by name."""
    return FORMATS + _installed.get_or_make(GROUP, _read)


def named(engine: str) -> Format | None:
    """Return the format of a name, or of a reader's address ``module:class``; None if there is none.

    A format of this package wins over one of the same name in another package.
    """
    if ":" in engine:
        return Format(engine, engine, "installed", "", "", package=engine.partition(":")[0])
    # Entry points are read only if the name is not one of this package.
    for format_ in FORMATS:
        if format_.name == engine:
            return format_
    return next((format_ for format_ in formats() if format_.name == engine), None)


def address(reader: type[Reader]) -> str:
    """Return the text by which `named` finds a reader, also in another process.

    It is the name of a reader of this package, and the address of another one.
    """
    where = f"{reader.__module__}:{reader.__qualname__}"
    return next((format_.name for format_ in FORMATS if format_.reader == where), where)


def readers() -> Iterator[tuple[Format, Reader]]:
    """Yield each usable format with its reader, and warn once of each format that cannot be used."""
    for format_ in formats():
        try:
            reader = format_.load()
        except BrokenReader as broken:
            warn(f"passed over: {broken}")
            continue
        yield format_, reader


def _read() -> tuple[Format, ...]:
    """Return the formats of installed packages; one whose name is claimed twice has a fault."""
    claims: dict[str, dict[str, str]] = {}
    for point in entry_points(group=GROUP):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
        claims.setdefault(point.name, {}).setdefault(point.value, package)
    built_in = {format_.name for format_ in FORMATS}
    installed = []
    for name, by_value in sorted(claims.items()):
        who = ", ".join(f"{package} ({value})" for value, package in by_value.items())
        fault = ""
        if name in built_in:
            fault = f"the name is taken by neuroarrays; engine={next(iter(by_value))!r} is this one"
        elif len(by_value) > 1:
            fault = (
                f"several claim the name: {who}; say which, as in engine={next(iter(by_value))!r}"
            )
        packages = ", ".join(dict.fromkeys(by_value.values()))
        installed.append(Format(name, next(iter(by_value)), "installed", "", "", packages, fault))
    return tuple(installed)


def _imported(format_: Format) -> type[Reader] | str:
    """Return the reader class of another package, or a text that tells why it cannot be used."""
    from neuroarrays.formats.reader import Reader

    if format_.fault:
        return format_.fault
    try:
        loaded = EntryPoint(format_.name, format_.reader, GROUP).load()
    except Exception as error:  # another package may raise anything on import
        return f"{format_.reader} cannot be imported: {type(error).__name__}: {error}"
    if not (isinstance(loaded, type) and issubclass(loaded, Reader)):
        return f"{format_.reader} is no subclass of neuroarrays.formats.reader.Reader"
    name = getattr(loaded, "name", None)
    if format_.name not in (name, format_.reader):
        return f"{format_.reader} has name = {name!r}; its entry point says {format_.name!r}"
    return loaded


_installed: state.Cache[tuple[Format, ...]] = state.Cache(1 << 20, state.entries)
_loaded: state.Cache[type[Reader] | str] = state.Cache(1 << 20, lambda _: state.ENTRY)
