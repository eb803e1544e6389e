"""`Reader`, the base class of all readers, which is an xarray backend."""

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
    """The base class of readers: an xarray backend for one family of datasets.

    A reader has three methods: `recognise` tells whether it reads a path, `list_sessions` lists the
    sessions, and `open_session` opens one of them. The keyword-only parameters of the last two, each
    with a default, are the options of the reader.

    The base class does the rest: it assembles the tree with its root, opens only the ``sessions=``
    and ``areas=`` that the caller wants, leaves out ``drop_variables=`` and, with
    ``skip_damaged=True``, sessions that cannot be read, finds when sessions were recorded, and makes
    the catalogue.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    url: ClassVar[str] = ""
    #: The kind of tree: `schema.RECORDING` or `schema.ALIGNED`.
    kind: ClassVar[str] = schema.RECORDING
    #: Whether a reader with its own `list_sessions` opens a list of paths as one tree.
    several: ClassVar[bool] = False
    #: Whether a path always has one session, so that there are no others to skip.
    one_session: ClassVar[bool] = False
    #: Whether each session of a folder has its own file or folder, which opens alone under the same
    #: name. This is always so if the reader leaves `list_sessions` to the base class.
    by_file: ClassVar[bool] = False
    #: The area of all sessions, if the format has no other.
    only_area: ClassVar[str] = ""
    #: Names of the blocks, which are nodes above the sessions, if there are any. The paths that
    #: `open_session` returns begin with a block, and the base class puts the name of the session
    #: after it. Blocks with other names follow these in the tree.
    blocks: ClassVar[tuple[str, ...]] = ()
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = ["filename_or_obj", "drop_variables", "group", *cls.options()]
        cls.open_dataset_parameters = tuple(names)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Return the options of the reader and their defaults."""
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
            The path; what the probe reads of it is read once for all readers. An error means no.
        """
        raise NotImplementedError

    def is_marked(self, probe: Probe) -> bool:
        """Whether a path has a mark that only files of this reader have.

        No other reader is then asked, because each reader that looks inside a remote file costs
        requests.

        Parameters
        ----------
        probe : Probe
            The path. An error means no.
        """
        return False

    def list_sessions(self, probe: Probe) -> Mapping[str, Any]:
        """List the sessions of a path by name, each with the first argument of `open_session`.

        By default sessions are the paths that `recognise` accepts: the path itself, the members of a
        folder, or those of a list. They have the names of their files, without suffix. If a reader
        overrides this method, its `recognise` is also asked about folders and lists. The method must
        be cheap.

        Parameters
        ----------
        probe : Probe
            The path, folder or list that the user gave.

        Returns
        -------
        mapping of str to Probe or object
            The sessions. A `Sessions` mapping also has notes, and errors in place of sessions that
            cannot be read.
        """
        return find(probe, self.recognise)

    def open_session(self, session: Any, name: str, request: Request) -> Mapping[str, xr.Dataset]:
        """Open one session lazily.

        Parameters
        ----------
        session : Probe or object
            The value of `list_sessions` for this session.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.

        Returns
        -------
        mapping of str to Dataset
            The nodes of the session by their paths below it; "" has its attributes. The base class
            removes areas that the caller does not want; the method may skip them (`Request.area`).
            The base class also adds when the session was recorded, unless there is a node
            ``observed``.
        """
        raise NotImplementedError

    def open_groups(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """Open a whole tree at once, in place of `list_sessions` and `open_session`.

        A reader overrides this method only if its files have many sessions with common parts, which
        cannot be opened one by one: an archive with its index, or arrays with a mapping. For such a
        reader the base class only removes `drop_variables` and checks the areas.

        Parameters
        ----------
        probe : Probe
            The path, folder or list that the user gave.
        request : Request
            The sessions and areas that the caller wants; it collects `notes`.

        Returns
        -------
        dict of str to Dataset
            The nodes by path in the tree, lazy; "/" has the attributes of the tree.
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
        """Whether the reader overrides one of some methods of the base class."""
        return any(getattr(type(self), name) is not getattr(Reader, name) for name in methods)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this reader reads a path; xarray calls it, and it never raises an error."""
        try:
            return self.claims(probe_of(filename_or_obj))
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def _assembled(
        self, probe: Probe, request: Request, options: dict[str, Any]
    ) -> dict[str, xr.Dataset]:
        """Open the wanted sessions one after another, and return the nodes of the tree.

        Threads would gain little, because HDF5 and Python each have one lock: 12 NWB sessions took
        0.38 s of CPU time with one thread and 0.49 s with four.
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
            raise FormatError(probe.as_given, "", "a session that can be read", notes)
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
        """Return the nodes of a session by their paths in the tree, without unwanted areas."""
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
        """Open a path lazily as nodes by path; xarray calls it.

        Parameters
        ----------
        filename_or_obj : str, path, list of these, or Probe
            The path to open.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out, if they exist.
        **options
            Options of the reader.
        """
        probe = probe_of(filename_or_obj)
        with naming_as_given(probe), named(probe.as_given), opening():
            request, reader_options = self._request(options)
            if self.only_area:
                request.area(self.only_area)
                request.check()
            if self._writes("open_groups"):
                groups = self.open_groups(probe, request, **reader_options)
            else:
                groups = self._assembled(probe, request, reader_options)
            request.check()
            if request.by_name:  # `align` treats a session that lacks a table differently then
                groups["/"].attrs[schema.SESSIONS_ASKED] = "by name"
            drop = [drop_variables] if isinstance(drop_variables, str) else drop_variables
            if drop is not None:
                drop = list(drop)
                groups = {k: node.drop_vars(drop, errors="ignore") for k, node in groups.items()}
            return apart(groups)

    def _request(self, options: dict[str, Any]) -> tuple[Request, dict[str, Any]]:
        """Return the request of the caller, and the options of this reader."""
        checked = self._checked(options)
        base = {k: checked.pop(k) for k in ("sessions", "areas", "skip_damaged") if k in checked}
        return Request(**base), checked

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open a path as a tree; xarray calls it."""
        probe = probe_of(filename_or_obj)
        with named(probe.as_given):
            groups = self.open_groups_as_dict(probe, **options)
            nodes = {printable(path): plain(node) for path, node in groups.items()}
            return tree_of(nodes)

    def open_dataset(
        self, filename_or_obj: Any, *, group: str | None = None, **options: Any
    ) -> xr.Dataset:
        """Open one node, whose path is `group`; xarray calls it."""
        groups = self.open_groups_as_dict(filename_or_obj, **options)
        wanted = "/" + (group or "").strip("/")
        by_path = {"/" + path.strip("/"): node for path, node in groups.items()}
        if wanted not in by_path:
            raise NotInTree("group", wanted, by_path)
        return by_path[wanted]

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of the options, after checking that the reader has all of them."""
        unknown = set(options) - set(self.options()) - {"drop_variables"}
        if unknown:
            msg = (
                f"the reader {self.name!r} has no option {shorten(sorted(unknown))}; its options "
                f"are {shorten(self.options())}"
            )
            raise TypeError(msg)
        return dict(options)

    def list_rows(self, probe: Probe, request: Request) -> Iterable[dict[str, Any]]:
        """Return the rows of the catalogue of all sessions without opening the sessions.

        A reader overrides this method only if its files have an index of their contents.

        Parameters
        ----------
        probe : Probe
            The path, folder or list that the user gave.
        request : Request
            Tells whether to skip damaged sessions; the base class selects the wanted rows.
        """
        raise NotImplementedError

    def catalog(self, filename_or_obj: Any, **options: Any) -> list[dict[str, Any]]:
        """Return a row for each session and area, from metadata only."""
        probe = probe_of(filename_or_obj)
        if not self._writes("list_rows"):
            return contents.of_groups(self.open_groups_as_dict(probe, **options)).rows()
        with naming_as_given(probe), named(probe.as_given), opening():
            request, _ = self._request(options)
            return request.rows(self.list_rows(probe, request))


def _hooks(cls: type[Reader]) -> list[Callable[..., Any]]:
    """Return the methods whose keyword-only parameters are options."""
    return [cls.list_sessions, cls.open_session, cls.open_groups]


def _keywords(method: Callable[..., Any]) -> dict[str, Any]:
    """Return the keyword-only parameters of a method, and their defaults."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _those_of(method: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a method has."""
    known = _keywords(method)
    return {name: value for name, value in options.items() if name in known}


def _named_among(request: Request, sessions: Mapping[str, Any]) -> list[str]:
    """Return the names of the wanted sessions; the error for a missing one lists passed-over files."""
    try:
        return request.sessions(sessions)
    except NotInTree as error:
        raise error.with_hint(*getattr(sessions, "notes", [])) from None


def _below(block: str, nodes: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the nodes below a block."""
    return {path: node for path, node in nodes.items() if path.startswith(f"{block}/")}


def _areas(kind: str, nodes: Mapping[str, xr.Dataset]) -> list[str]:
    """Return the paths of the areas among the nodes of a session."""
    areas: dict[str, None] = {}
    for path, node in nodes.items():
        role = schema.role_of(kind, path, node.data_vars, node.dims, has_children=False)
        if role == "area" and path:
            areas[path] = None
        elif role == "spikes" or (role == "series" and schema.UNIT in node.dims):
            areas[path.rpartition("/")[0]] = None
    return [path for path in areas if path]
