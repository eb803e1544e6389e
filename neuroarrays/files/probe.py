"""Probes: what lies at a path or URL, its first bytes, and the names at its root.

`open_datatree` makes one `Probe` of a path and passes it to every reader, so that a file is listed,
opened and compared with its stamp only once. A probe looks things up when they are first used and
remembers them. It lives as long as the call that made it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import location, safety
from neuroarrays.files.headers import Header
from neuroarrays.files.locating import locate
from neuroarrays.files.location import FILE, FOLDER, Status
from neuroarrays.files.openings import trust
from neuroarrays.files.source import Source
from neuroarrays.files.state import cached_property

#: The largest text file that is read whole, bytes.
MAX_TEXT = 256 << 20


class Probe(Header):
    """What lies at a path, a URL, or the paths of a list, and its content.

    Its parameters are those of `Header`, which has its name, kind, container and first bytes.
    """

    @cached_property
    def _children(self) -> dict[str, Probe]:
        """The probes in this folder that were made so far, by name."""
        return {}

    # ------------------------------------------------------------------------ what its root holds

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names at the root of HDF5 or Zarr, of the members of a zip, or of the entries of a folder.

        Hidden files (".name") in a folder are left out. It is () for anything else.

        Raises
        ------
        FormatError
            If the file is damaged, or the folder cannot be listed.
        """
        if self.is_list:
            return tuple(member.name for member in self._members or ())
        if self.container in ("hdf5", "zarr"):
            return tuple(self._glance.names("/"))
        if self.container == "zip":
            return _members_of_zip(self)
        if self.kind == FOLDER:
            self.check_listing()
            return tuple(name for name in self.listing if name[0] != ".")
        return ()

    @cached_property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes at the root of HDF5 or Zarr as plain Python values; {} for anything else.

        Raises
        ------
        FormatError
            If the file is damaged.
        """
        return self._glance.attrs("/") if self.container in ("hdf5", "zarr") else {}

    def has(self, name: str) -> bool:
        """Whether there is an array, group, member or file of that name, with / between names.

        Raises
        ------
        FormatError
            If the file is damaged.
        """
        if self.container in ("hdf5", "zarr"):
            return self._glance.exists(name)
        if self.container == "zip":
            return any(member == name or member.startswith(f"{name}/") for member in self.names)
        return self.kind == FOLDER and self.child(name).exists

    @cached_property
    def source(self) -> Source:
        """The arrays of a file or store: HDF5, Zarr, netCDF-3, npy (one array), NPZ, MATLAB 5.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            If it is of another kind, or is damaged.
        """
        self.check()
        if self.container == "hdf5":
            return self._glance
        if self.container == "zarr":
            from neuroarrays.files.zarr import ZarrSource

            return ZarrSource(self.location, self.content)
        if self.container == "npy":
            from neuroarrays.files.members import npy_source

            return npy_source(self)
        if self.container == "netcdf3":
            from neuroarrays.files.netcdf3 import netcdf3_source

            return netcdf3_source(self)
        if self.container == "zip":
            from neuroarrays.files.npz import npz_source

            return npz_source(self)
        if self.container == "mat5":
            from neuroarrays.files.matlab import matlab_source

            return matlab_source(self)
        expected = "an HDF5 file or a Zarr folder, or arrays of numpy or MATLAB"
        raise FormatError(self.as_given, "", expected, self.described())

    @cached_property
    def _glance(self) -> Source:
        """The source for names and attributes of the root; the files of a store are not all listed."""
        if self.container == "zarr":
            from neuroarrays.files.zarr import ZarrSource

            return ZarrSource(self.location, self.stamp)
        from neuroarrays.files.hdf5 import HDF5Source

        self._look_together("structure", _structure)
        source = HDF5Source(self.location, self.stamp)
        trust(self.location, self.stamp)
        source.names("/")  # so that a truncated file is reported on opening, not at the first read
        return source

    # ---------------------------------------------------------------------------------- a folder

    @cached_property
    def children(self) -> tuple[Probe, ...]:
        """The entries of a folder by name, without hidden files; the members of a list in its order.

        Raises
        ------
        FormatError
            If the folder cannot be listed.
        """
        if self._members is not None:
            return self._members
        if self.kind != FOLDER:
            return ()
        self.check_listing()
        children = tuple(self.child(name) for name in self.listing if name[0] != ".")
        self._gather(children)
        return children

    def child(self, name: str) -> Probe:
        """Return the probe of a name in this folder, hidden or not. The name may have slashes.

        If nothing is there, the `kind` of the probe is "missing".
        """
        first, _, rest = name.partition("/")
        if first not in self._children:
            kind = self.listing.get(first)
            status = Status(location.MISSING, words="nothing") if kind is None else None
            kind = "" if kind in (None, location.LINK) else kind
            self._children[first] = Probe(self.location.child(first), status, kind)
            self._children[first].parent = self
        child = self._children[first]
        return child.child(rest) if rest else child

    def glob(self, pattern: str) -> tuple[Probe, ...]:
        """Return the entries whose names match a pattern such as ``"*_data.h5"``, level by level with /.

        Raises
        ------
        FormatError
            If the folder cannot be listed.
        """
        first, _, rest = pattern.partition("/")
        matching = tuple(child for child in self.children if fnmatchcase(child.name, first))
        return (
            tuple(below for folder in matching for below in folder.glob(rest)) if rest else matching
        )

    @cached_property
    def inside(self) -> Probe:
        """The content of a tar as a folder; this probe itself if it is no tar.

        Raises
        ------
        FormatError
            When the content is used, if the tar is damaged or cut short.
        """
        if self.container != "tar":
            return self
        from neuroarrays.files.tars import InTar

        return Probe(InTar(self.location, self.stamp))

    @cached_property
    def parent(self) -> Probe:
        """The folder that it is in."""
        return Probe(self.location.parent)

    @property
    def is_link(self) -> bool:
        """Whether this is a symbolic link; only known if it was found by listing its folder."""
        listing = self.parent.listing if "parent" in vars(self) else {}
        return listing.get(self.name) == location.LINK

    @property
    def content(self) -> tuple[int, ...]:
        """A stamp that changes with the content: `stamp` of a file, or a digest of all files in a folder.

        Raises
        ------
        MissingPath, FormatError
            If it does not exist, or cannot be listed.
        """
        if self.kind != FOLDER:
            return self.stamp
        return self.location.folder_stamp()

    def beside(self, name: str) -> Probe:
        """Return the probe of a name in the same folder, or of a path relative to it ("../x.mat")."""
        if "parent" in vars(self) and "/" not in name:
            return self.parent.child(name)
        return Probe(self.location.parent.child(name))  # this does not list the folder

    # ------------------------------------------------------------------------------------- values

    def read_bytes(self, most: int = MAX_TEXT) -> bytes:
        """Return all bytes of a file.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            If it is no file, is larger than `most` bytes, or cannot be read.
        """
        self.check(FILE)
        if self.size > most:
            raise FormatError(self.as_given, "", f"at most {most:,} bytes", f"{self.size:,}")
        with safety.named(self.as_given):
            content = self.location.read([(0, most + 1)])[0]
        if len(content) > most:
            raise FormatError(self.as_given, "", f"at most {most:,} bytes", "more")
        return content

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range (start, count) of a file; fewer if the file ends.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            If it is no file, or cannot be read.
        """
        self.check(FILE)
        with safety.named(self.as_given):
            return self.location.read(ranges)

    def tail(self, count: int) -> bytes:
        """Return the last bytes of a file.

        Raises
        ------
        MissingPath, FormatError
            As `read_ranges`.
        """
        start = max(0, self.size - count)
        return self.read_ranges([(start, count)])[0]

    def read_text(self, most: int = MAX_TEXT) -> str:
        """Return the text of a file in UTF-8, without a byte order mark.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            If it is no file, is larger than `most` bytes, cannot be read, or is no text.
        """
        try:
            return self.read_bytes(most).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FormatError(self.as_given, "", "text (UTF-8)", str(error)) from error

    def read_json(self, most: int = MAX_TEXT) -> Any:
        """Return the content of a JSON file.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            As `read_text`, or if it is no JSON.
        """
        try:
            return json.loads(self.read_text(most))
        except (ValueError, RecursionError) as error:
            raise FormatError(self.as_given, "", "JSON", f"{error}"[:200]) from error


def probe_of(path_or_paths: object) -> Probe:
    """Return the probe of a path, a URL, or a list of these. A probe is returned as it is.

    Raises
    ------
    TypeError
        If it is something else.
    MissingPath
        On an empty list, and on a URL.
    """
    if isinstance(path_or_paths, Probe):
        return path_or_paths
    if isinstance(path_or_paths, str | os.PathLike):
        return Probe(locate(path_or_paths))
    if not isinstance(path_or_paths, list | tuple):
        msg = f"expected a path, or a list of paths, found {type(path_or_paths).__name__}"
        raise TypeError(msg)
    if not path_or_paths:
        msg = "expected at least one path, found an empty list"
        raise MissingPath(msg)
    for path in path_or_paths:
        if not isinstance(path, str | os.PathLike | Probe):
            msg = f"expected a list of paths, found {type(path).__name__} in it"
            raise TypeError(msg)
    members = [probe_of(path) for path in path_or_paths]
    return members[0] if len(members) == 1 else Probe(members[0].location, members=members)


@contextmanager
def naming_as_given(probe: Probe) -> Iterator[None]:
    """Make errors name files as the user wrote them; sources name them by their full path.

    Raises
    ------
    FormatError
        The error of the block, with the path as the user wrote it.
    """
    try:
        yield
    except FormatError as error:
        for member in probe.children if probe.is_list else (probe,):
            rest = error.path.removeprefix(member.path)
            if (
                member.as_given != member.path
                and rest != error.path
                and (not rest or rest[0] in "/\\")
            ):
                renamed = error.changed(path=member.as_given + rest)
                raise renamed.with_traceback(error.__traceback__) from error.__cause__
        raise


def asked(question: Callable[[Probe], bool], probe: Probe) -> bool:
    """Return the answer to a question about a probe; False if the path cannot be read."""
    try:
        return bool(question(probe))
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return False


def _structure(header: Header) -> None:
    """Prefetch the structure of an HDF5 file."""
    if header.container == "hdf5":
        from neuroarrays.files import hdf5_structure_prefetch

        hdf5_structure_prefetch.opened(header.location, header.stamp)


def _members_of_zip(probe: Probe) -> tuple[str, ...]:
    """Return the names of the files in a zip."""
    from neuroarrays.files import zips

    return tuple(zips.members(probe.location, probe.stamp))
