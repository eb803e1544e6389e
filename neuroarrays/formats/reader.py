"""The base of every reader: an xarray backend whose options are stated once."""

from __future__ import annotations

import inspect
import os
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendEntrypoint

from neuroarrays import schema
from neuroarrays.errors import NotInTree, printable, shorten
from neuroarrays.files.safety import named
from neuroarrays.formats.request import Request
from neuroarrays.tree import contents


class Reader(BackendEntrypoint):
    """Base of every reader: an xarray backend for one family of datasets.

    A reader writes two methods, `guess_can_open` and `open_groups`, and names options of its own as
    keyword-only parameters of the second, each with a default; they are stated nowhere else.
    `catalog` may be overridden where it can be had without opening groups.

    Every reader has the options `sessions` and `areas`, names or globs of what to open, and
    `drop_variables`, names of variables to leave out: the base sees to them.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    url: ClassVar[str] = ""
    #: Whether it opens a list of files as one tree.
    several: ClassVar[bool] = False
    #: The area of all its sessions, where there is no other.
    only_area: ClassVar[str] = ""
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "open_groups" in vars(cls):
            names = ["filename_or_obj", "drop_variables", "group", *cls.options()]
            cls.open_dataset_parameters = tuple(names)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The reader's options and their defaults."""
        parameters = inspect.signature(cls.open_groups).parameters.values()
        own = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
        return {"sessions": None, "areas": None} | own

    @abstractmethod
    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this reader reads the path; looks at a header or marker, never raises."""

    @abstractmethod
    def open_groups(self, filename_or_obj: Any, request: Request) -> dict[str, xr.Dataset]:
        """Node path -> dataset, lazy; "/" holds the attributes of the tree.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            As the user gave it.
        request : Request
            Says which of the sessions and areas that there are to open.
        """

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: Any = None, **options: Any
    ) -> dict[str, xr.Dataset]:
        """Node path -> dataset, lazy, with what every reader has: what xarray calls.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            What to open.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out, where there are such.
        **options
            Of the reader.
        """
        own = self._checked(options)
        sessions, areas = own.pop("sessions", None), own.pop("areas", None)
        with named(_first(filename_or_obj)):
            request = Request(sessions, areas)
            if self.only_area:
                request.area(self.only_area)
                request.check()
            groups = self.open_groups(filename_or_obj, request, **own)
            request.check()
            drop = [drop_variables] if isinstance(drop_variables, str) else drop_variables
            if drop is not None:
                drop = list(drop)
                groups = {k: node.drop_vars(drop, errors="ignore") for k, node in groups.items()}
            return apart(groups)

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """The whole tree."""
        with named(_first(filename_or_obj)):
            groups = self.open_groups_as_dict(filename_or_obj, **options)
            plain = {printable(path): _plain(node) for path, node in groups.items()}
            return xr.DataTree.from_dict(plain)

    def open_dataset(
        self, filename_or_obj: Any, *, group: str | None = None, **options: Any
    ) -> xr.Dataset:
        """One node; `group` is its path."""
        groups = self.open_groups_as_dict(filename_or_obj, **options)
        wanted = "/" + (group or "").strip("/")
        by_path = {"/" + path.strip("/"): node for path, node in groups.items()}
        if wanted not in by_path:
            raise NotInTree("group", wanted, by_path)
        return by_path[wanted]

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        unknown = set(options) - set(self.options()) - {"drop_variables"}
        if unknown:
            msg = (
                f"the reader {self.name!r} has no option {shorten(sorted(unknown))}; its options "
                f"are {shorten(self.options())}"
            )
            raise TypeError(msg)
        return dict(options)

    def catalog(self, filename_or_obj: Any, **options: Any) -> list[dict[str, Any]]:
        """A row per session and area, from metadata only; with `skip_damaged`, if the reader has it."""
        return contents.of_groups(self.open_groups_as_dict(filename_or_obj, **options)).rows()


def _first(path_or_paths: Any) -> Any:
    """The path, or the first of a list, for messages."""
    return (
        path_or_paths
        if isinstance(path_or_paths, str | os.PathLike)
        else next(iter(path_or_paths), "")
    )


def apart(groups: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Groups with a series and an area of one name as two nodes.

    A node shares its clock with the nodes below it, which two recordings cannot. The series is
    called ``<name>_series``, and the session's `notes` say so.
    """
    recording = schema.kind_of(groups["/"].attrs) == schema.RECORDING
    clashes: dict[str, str] = {}
    for path, node in groups.items():
        above = path.strip("/")
        while "/" in above:
            above = above.rpartition("/")[0]
            own = groups.get(above)
            shared = set() if own is None else set(own.dims) & set(node.dims)
            if own is not None and (
                (recording and schema.TIME in shared)
                or any(own.sizes[d] != node.sizes[d] for d in shared)
            ):
                clashes.setdefault(above, path)
    if not clashes:
        return groups
    made: dict[str, xr.Dataset] = {}
    for path, node in groups.items():
        name = path
        while name in clashes or (name != path and name in groups):
            name += "_series"
        made[name] = node
        if name != path:
            session = path.partition("/")[0]
            note = f"{path} is called {name.rpartition('/')[2]}: {clashes[path]} has another clock"
            said = np.atleast_1d(groups[session].attrs.get("notes", [])).tolist()
            made[session] = made[session].assign_attrs(notes=[*said, note])
    return made


def _plain(node: xr.Dataset) -> xr.Dataset:
    """A node whose names and attributes can be printed: they come from a file, and steer a terminal."""
    everything: list[Any] = [node, *node.variables.values()]
    for held in everything:
        if not all(map(_is_plain, (*held.attrs, *held.attrs.values()))):
            held.attrs = {_cleaned(key): _cleaned(value) for key, value in held.attrs.items()}
    odd = {name: printable(name) for name in node.variables if not str(name).isprintable()}
    return node.rename(odd) if odd else node


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or value.isprintable()


def _cleaned(value: Any) -> Any:
    """A text, or a list with texts, without control characters but line ends and tabs."""
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    return printable(value, keep="\n\t") if isinstance(value, str) else value
