"""The base of every reader: an xarray backend whose options are stated once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree, printable, shorten
from neuroarrays.files.openings import opening
from neuroarrays.files.probe import Probe, asked, naming_as_given, probe_of
from neuroarrays.files.safety import named
from neuroarrays.formats.groups import apart, plain
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import find, recognised
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tree import contents
from neuroarrays.tree.observed import add_observed


class Reader(BackendEntrypoint):
    """Base of every reader: an xarray backend for one family of datasets.

    A reader says three things: whether a path is its own (`recognise`), which sessions there are
    (`list_sessions`), and what one session holds (`open_session`). Options of its own are
    keyword-only parameters of the last two, each with a default; they are stated nowhere else.

    The base does the rest: it assembles the tree with its root, opens the ``sessions=`` and
    ``areas=`` that are asked for, leaves out ``drop_variables=`` and, with ``skip_damaged=True``,
    sessions that cannot be read, finds when sessions were recorded, and makes the catalogue.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    url: ClassVar[str] = ""
    #: The kind of tree: `schema.RECORDING` or `schema.ALIGNED`.
    kind: ClassVar[str] = schema.RECORDING
    #: Whether it opens a list of paths as one tree, where it lists its sessions itself.
    several: ClassVar[bool] = False
    #: Whether a path holds one session, so that there is none to skip.
    one_session: ClassVar[bool] = False
    #: Whether sessions in a folder lie in files or folders of their own, each of which opens by itself
    #: under the same name. It is so where the reader leaves `list_sessions` to the base.
    by_file: ClassVar[bool] = False
    #: The area of all its sessions, where there is no other.
    only_area: ClassVar[str] = ""
    #: Names of the nodes above the sessions, where there are: `open_session` gives paths that begin
    #: with them, or with others, and the session's name is put after. Others stand after these.
    blocks: ClassVar[tuple[str, ...]] = ()
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = ["filename_or_obj", "drop_variables", "group", *cls.options()]
        cls.open_dataset_parameters = tuple(names)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The reader's options and their defaults."""
        base: dict[str, Any] = {"sessions": None, "areas": None}
        if not cls.one_session:
            base["skip_damaged"] = False
        return base | {k: v for m in _hooks(cls) for k, v in _keywords(m).items()}

    # ------------------------------------------------------------------------ what a reader writes

    def recognise(self, probe: Probe) -> bool:
        """Whether a file or folder is a recording of this kind, by its first bytes, root or names.

        Parameters
        ----------
        probe : Probe
            Of what is at the path; looked at once for all readers. What it raises is a no.
        """
        raise NotImplementedError

    def is_marked(self, probe: Probe) -> bool:
        """Whether a path carries a mark that only this reader's files have: no other reader is asked then.

        Of what is behind an address, each reader that looks inside a file costs requests.

        Parameters
        ----------
        probe : Probe
            Of what is at the path. What it raises is a no.
        """
        return False

    def list_sessions(self, probe: Probe) -> Mapping[str, Any]:
        """Name of each session -> what `open_session` is given for it; cheap.

        By default what `recognise` says yes to: the path itself, those in a folder, or the members
        of a list, named as the files without suffix. A reader that writes its own is asked by
        `recognise` about folders and lists too.

        Parameters
        ----------
        probe : Probe
            Of what the user gave.

        Returns
        -------
        mapping of str to Probe or anything
            `Sessions` has notes too, and an error in the place of a session that cannot be read.
        """
        return find(probe, self.recognise)

    def open_session(self, session: Any, name: str, request: Request) -> Mapping[str, xr.Dataset]:
        """The nodes of one session by their path below it, lazy; "" has its attributes.

        Areas that were not asked for may be left out (`Request.area`); the base leaves them out
        else. Of a recording, the base adds when it was recorded, unless a node ``observed`` says it.

        Parameters
        ----------
        session : Probe or anything
            What `list_sessions` has for it.
        name : str
            Of the session.
        request : Request
            What to open of it.
        """
        raise NotImplementedError

    def open_groups(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """All of a tree at once, in place of `list_sessions` and `open_session`.

        Written by a reader only whose files hold many sessions with what they share, so that they
        cannot be opened one by one: an archive with its index, arrays with a mapping. Such a reader
        takes out `drop_variables` and checks the areas as the others; the rest it does itself.

        Parameters
        ----------
        probe : Probe
            Of what the user gave.
        request : Request
            Which of the sessions and areas that there are to open; takes `notes`.

        Returns
        -------
        dict of str to Dataset
            Lazy, by path in the tree; "/" holds the attributes of the tree.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------------- what the base does

    def claims(self, probe: Probe) -> bool:
        """Whether this reader recognises a path, folder or list."""
        if not probe.exists or (probe.is_list and not self.takes_lists):
            return False
        if self._writes("list_sessions", "open_groups"):
            return asked(self.recognise, probe)
        return recognised(probe, self.recognise)

    @property
    def takes_lists(self) -> bool:
        """Whether a list of paths opens as one tree."""
        return self.several or not self._writes("list_sessions", "open_groups")

    @property
    def opens_members(self) -> bool:
        """Whether each session of a folder may be opened by itself, from its own file or folder."""
        return self.by_file or not self._writes("list_sessions", "open_groups")

    def _writes(self, *methods: str) -> bool:
        """Whether the reader has a method of its own in place of one of the base's."""
        return any(getattr(type(self), name) is not getattr(Reader, name) for name in methods)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this reader reads a path; never raises. What xarray calls."""
        try:
            return self.claims(probe_of(filename_or_obj))
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def _assembled(
        self, probe: Probe, request: Request, options: dict[str, Any]
    ) -> dict[str, xr.Dataset]:
        """The tree of the sessions that are asked for, opened one after another.

        Threads would gain little: HDF5 is read under one lock, and the rest is Python, which has one
        too. 12 NWB sessions took .38 s of CPU with one thread and .49 s with four.
        """
        sessions = self.list_sessions(probe, **_those_of(self.list_sessions, options))
        if not sessions:
            expected = f"a recording that the reader {self.name!r} opens ({self.description})"
            raise probe.unknown(expected, "")
        request.notes += getattr(sessions, "notes", [])
        options = _those_of(self.open_session, options)
        nodes: dict[str, xr.Dataset] = {}
        names, opened = _named_among(request, sessions), 0
        for name in names:
            session = sessions[name]
            where = session if isinstance(session, Probe) else getattr(session, "path", probe)
            with request.sparing(name, where, len(sessions) > 1):
                if isinstance(session, Exception):
                    raise session
                inside = self.open_session(session, name, request, **options)
                nodes |= self._placed(name, inside, request)
                opened += bool(inside)
        if names and not opened:
            request.check()
            notes = "; ".join(request.notes)
            raise FormatError(probe.given, "", "a session that can be read", notes)
        root = schema.root_attrs(self.kind, source=self.name, notes=request.notes)
        groups = {"/": xr.Dataset(attrs=root)}
        present = {path.partition("/")[0] for path in nodes} if self.blocks else set()
        order = [*self.blocks, *sorted(present.difference(self.blocks))]
        by_block = {block: _below(block, nodes) for block in order}
        groups |= {block: xr.Dataset() for block, below in by_block.items() if below}
        for below in by_block.values() if self.blocks else [nodes]:
            groups |= below
        return groups

    def _placed(
        self, name: str, nodes: Mapping[str, xr.Dataset], request: Request
    ) -> dict[str, xr.Dataset]:
        """The nodes of a session by their path in the tree, without areas that nobody asked for."""
        if self.kind == schema.RECORDING and schema.OBSERVED not in nodes:
            nodes = add_observed(nodes)
        areas = _areas(self.kind, nodes)
        unwanted = [area for area in areas if not request.area(area.rpartition("/")[2])]
        placed: dict[str, xr.Dataset] = {}
        for path, node in nodes.items():
            block, _, inside = path.partition("/") if self.blocks else ("", "", path)
            if not any(path == area or path.startswith(f"{area}/") for area in unwanted):
                placed["/".join(filter(None, (block, name, inside)))] = node
        return placed

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: Any = None, **options: Any
    ) -> dict[str, xr.Dataset]:
        """Node path -> dataset, lazy, with what every reader has: what xarray calls.

        Parameters
        ----------
        filename_or_obj : str, path, list of these, or Probe
            What to open.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out, where there are such.
        **options
            Of the reader.
        """
        probe = probe_of(filename_or_obj)
        with naming_as_given(probe), named(probe.given), opening():
            request, reader_options = self._request(options)
            if self.only_area:
                request.area(self.only_area)
                request.check()
            if self._writes("open_groups"):
                groups = self.open_groups(probe, request, **reader_options)
            else:
                groups = self._assembled(probe, request, reader_options)
            request.check()
            if request.by_name:  # what `align` does with one that lacks a table
                groups["/"].attrs[schema.SESSIONS_ASKED] = "by name"
            drop = [drop_variables] if isinstance(drop_variables, str) else drop_variables
            if drop is not None:
                drop = list(drop)
                groups = {k: node.drop_vars(drop, errors="ignore") for k, node in groups.items()}
            return apart(groups)

    def _request(self, options: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
        """What is asked for, and the options that are the reader's own."""
        checked = self._checked(options)
        base = {k: checked.pop(k) for k in ("sessions", "areas", "skip_damaged") if k in checked}
        return Request(**base), checked

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """The whole tree."""
        probe = probe_of(filename_or_obj)
        with named(probe.given):
            groups = self.open_groups_as_dict(probe, **options)
            nodes = {printable(path): plain(node) for path, node in groups.items()}
            return tree_of(nodes)

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

    def list_rows(self, probe: Probe, request: Request) -> Iterable[dict[str, Any]]:
        """Rows of the catalogue of all sessions, where they can be had without opening them.

        Written by a reader only whose files say what they hold.

        Parameters
        ----------
        probe : Probe
            Of what the user gave.
        request : Request
            Says whether to leave out what is damaged; the base takes the rows that are asked for.
        """
        raise NotImplementedError

    def catalog(self, filename_or_obj: Any, **options: Any) -> list[dict[str, Any]]:
        """A row per session and area, from metadata only."""
        probe = probe_of(filename_or_obj)
        if not self._writes("list_rows"):
            return contents.of_groups(self.open_groups_as_dict(probe, **options)).rows()
        with naming_as_given(probe), named(probe.given), opening():
            request, _ = self._request(options)
            return request.rows(self.list_rows(probe, request))


def _hooks(cls: type[Reader]) -> list[Callable[..., Any]]:
    """The methods whose keyword-only parameters are options."""
    return [cls.list_sessions, cls.open_session, cls.open_groups]


def _keywords(method: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a method, and their defaults."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _those_of(method: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    known = _keywords(method)
    return {name: value for name, value in options.items() if name in known}


def _named_among(request: Request, sessions: Mapping[str, Any]) -> list[str]:
    """Names of the sessions that are wanted; an error on a missing one lists what was passed over."""
    try:
        return request.sessions(sessions)
    except NotInTree as error:
        notes = "; ".join(getattr(sessions, "notes", []))
        raise NotInTree(error.kind, error.name, error.available, notes) from None


def _below(block: str, nodes: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    return {path: node for path, node in nodes.items() if path.startswith(f"{block}/")}


def _areas(kind: str, nodes: Mapping[str, xr.Dataset]) -> list[str]:
    """Paths of the areas among the nodes of a session."""
    areas: dict[str, None] = {}
    for path, node in nodes.items():
        role = schema.role_of(kind, path, node.data_vars, node.dims, has_children=False)
        if role == "area" and path:
            areas[path] = None
        elif role == "spikes" or (role == "series" and schema.UNIT in node.dims):
            areas[path.rpartition("/")[0]] = None
    return [path for path in areas if path]
