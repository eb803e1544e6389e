"""Files below an address: in a bucket, which lists them, or in a Zarr store on a server that lists none.

For a store on a plain web server, the consolidated metadata tell which arrays exist. A chunk exists if
the server returns it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import addresses, dandi, network, openings, state
from neuroarrays.files.folders import MAX_FILES, MAX_TEXT, digest
from neuroarrays.files.location import FILE, Folder, Location, Stamp
from neuroarrays.files.positioned import changed
from neuroarrays.files.remote_file import failure, stamp_of
from neuroarrays.files.responses import NetworkError
from neuroarrays.files.state import cached_property

#: Files with the metadata of a whole Zarr store (formats 3 and 2), and of the root (format 2).
_ROOTS = ("zarr.json", ".zmetadata", ".zgroup")
#: The stamp of a folder whose files have not been listed yet.
GLANCED: Stamp = (0, 0, 0)
#: After this number of prefixes with too many files, an opening lists level by level.
_LARGE = 4
#: Files below a prefix, by its location and stamp.
_listings: state.Cache[Mapping[str, Stamp]] = state.Cache(
    256 << 20, lambda files: 256 * (1 + len(files))
)
#: Content of small files that were read or prefetched, by location, stamp and name; None if there is no
#: such file. Files at the root of a store have the stamp (), because the stamp is computed from them.
_contents: state.Cache[tuple[bytes | None]] = state.Cache(
    128 << 20, lambda content: state.ENTRY + len(content[0] or b"")
)


def markers(location: Location, anew: bool = False) -> dict[str, str]:
    """Return name -> kind of everything directly below an address; {} if nothing is known there.

    Parameters
    ----------
    location : Location
        The address.
    anew : bool
        Whether to request the metadata of a store again from a server that lists nothing.

    Raises
    ------
    NetworkError
        If the request fails.
    """
    if anew:
        _contents.drop(lambda key: key[:2] == (location, ()))
    if not _is_listed(location) or _is_asset(location):
        roots = _roots(location)
        return {name: FILE for name, raw in zip(_ROOTS, roots, strict=True) if raw is not None}
    address = base_of(location)
    files = None if dandi.is_store(location.name) else _few_below(address)
    if files is None:
        return network.listed(address)
    kinds = {name.partition("/")[0]: "folder" for name in files if "/" in name}
    return {name: FILE for name in files if "/" not in name} | kinds


def _few_below(address: str) -> dict[str, Stamp] | None:
    """Return the files below a prefix of a bucket; None if there are too many.

    An opening that is under way lists each prefix once.
    """
    under_way = openings.current()
    if under_way is None or address.startswith("dandi://"):
        return None
    listed, top = under_way.listed, address
    while not listed.get(top) and "/" in top.partition("://")[2]:
        top = top.rpartition("/")[0]
    if not listed.get(top):
        top = address
        if top not in listed and list(listed.values()).count(None) < _LARGE:
            entries = network.few_below(address)
            listed[top] = (
                None if entries is None else {n: stamp_of(response) for n, response in entries}
            )
    files = listed.get(top)
    if files is None or top == address:
        return files
    inner = address.removeprefix(top).strip("/") + "/"
    return {n.removeprefix(inner): stamp for n, stamp in files.items() if n.startswith(inner)}


def is_opaque(location: Location) -> bool:
    """Whether a Zarr group has no consolidated metadata, and is on a server that lists nothing.

    Raises
    ------
    NetworkError, FormatError
        If its metadata cannot be read, or are no JSON.
    """
    if _is_listed(location):
        return False
    documents = consolidated(location)
    if len(documents) > 1 or not documents:
        return False
    ((name, raw),) = documents.items()
    return name != "zarr.json" or json.loads(raw).get("node_type") == "group"


def stamp_of_prefix(location: Location) -> Stamp:
    """Return a stamp of all files below an address, or of the metadata of a Zarr store.

    Raises
    ------
    MissingPath, FormatError
        If nothing is there, or the request fails.
    """
    failed = None
    try:
        if _is_complete(location):
            files = _walked(location)
            stamp = 1, sum(size for _, size, _ in files.values()), digest(files)
            _listings.put((location, stamp), files)
            return stamp
        raw = b"".join(raw or b"" for raw in _roots(location))
        mark = hashlib.blake2b(raw, digest_size=7).digest()
        return int.from_bytes(mark, "little"), len(raw), 0
    except NetworkError as error:
        failed = error
    raise failure(location, failed)


def base_of(location: Location) -> str:
    """Return the address of the files; for a Zarr asset of DANDI it is in DANDI's bucket."""
    address = location.address.rstrip("/")
    if address.startswith("dandi://") and dandi.is_store(location.name):
        return dandi.store_address(address)
    return address


def _is_asset(location: Location) -> bool:
    """Whether this is a Zarr asset of DANDI; DANDI lists its files."""
    return location.address.startswith("dandi://") and dandi.is_store(location.name)


def _is_listed(location: Location) -> bool:
    """Whether the files below an address can be listed; plain web servers list none."""
    return not location.address.startswith(("http://", "https://"))


def _is_complete(location: Location) -> bool:
    """Whether all files are listed.

    They are not on a server that lists nothing, nor for a store with consolidated metadata: listing a
    store in a bucket may take a request for each array.
    """
    if not _is_listed(location):
        return False
    return not (dandi.is_store(location.name) and len(consolidated(location)) > 1)


def _walked(location: Location) -> dict[str, Stamp]:
    """Return all files below an address; an opening lists an asset of DANDI once."""
    is_asset, under_way = _is_asset(location), openings.current()
    address = location.address.rstrip("/")
    listed = under_way.listed.get(address) if under_way and is_asset else None
    files = dict(listed or {}) if is_asset else _few_below(address) or {}
    if files:
        return files
    for name, response in (dandi.store_files if is_asset else network.walked)(address):
        files[name] = stamp_of(response)
        if len(files) > MAX_FILES:
            raise FormatError(location.as_given, "", f"at most {MAX_FILES:,} files", "more")
    if under_way is not None and is_asset:
        under_way.listed[address] = files
    return files


def _root(location: Location, name: str) -> bytes | None:
    """Return a document at the root of a store; None if there is none."""
    path = addresses.child(base_of(location), name)
    return _contents.get_or_make((location, (), name), lambda: (_whole(path),))[0]


def _whole(address: str, start: int = 0, size: int | None = None, tag: str = "") -> bytes | None:
    """Return bytes of a file; None if there is no such file."""
    try:
        return network.part(address, start, size, tag)
    except NetworkError as error:
        if error.kind == "missing":
            return None
        raise


class Prefix(Folder):
    """The files below an address.

    Parameters
    ----------
    location : Location
        The address.
    known : tuple of int
        The stamp of the files below it.
    """

    def __init__(self, location: Location, known: Stamp):
        self.location, self.known, self.path = location, known, location.path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.location, self.known)

    @cached_property
    def complete(self) -> bool:
        """Whether `files` has all files below the address."""
        try:
            return _is_complete(self.location)
        except NetworkError as error:
            failed = error
        raise failure(self.location, failed)

    @property
    def files(self) -> Mapping[str, Stamp]:
        if not self.complete:
            return {name: (0, len(raw), 0) for name, raw in self._consolidated().items()}
        files = _listings.get((self.location, self.known))
        if files is None:
            stamp = stamp_of_prefix(self.location)
            if self.known not in (stamp, GLANCED):
                raise changed(self.path)
            self.known = stamp
            files = _listings.get((self.location, stamp)) or {}
        return files

    def _consolidated(self) -> dict[str, bytes]:
        """Return the documents of a store by name, as for `consolidated`, with errors of ours."""
        failed = None
        try:
            return consolidated(self.location)
        except NetworkError as error:
            failed = error
        raise failure(self.location, failed)

    def is_covered(self, name: str) -> bool:
        return not self.complete and name not in _ROOTS and name in self._consolidated()

    def names(self, inner: str) -> list[str]:
        prefix = f"{inner}/".lstrip("/")
        below = (name[len(prefix) :] for name in self.files if name.startswith(prefix))
        return list(dict.fromkeys(name.partition("/")[0] for name in below))

    def has(self, name: str) -> bool:
        return name in (self.files if self.complete else self._consolidated())

    def document(self, name: str) -> dict[str, Any] | None:
        if not self.complete:
            raw = self._consolidated().get(name)
        elif name not in self.files:
            return None
        else:
            raw = _contents.get_or_make(self._key(name), lambda: (self.read(name, 0, MAX_TEXT),))[0]
        return None if raw is None else _mapping(raw, f"{self.path}/{name}")

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        if not self.complete and (raw := self._consolidated().get(name)) is not None:
            return raw[start : None if size is None else start + size]
        if self.complete and name not in self.files:
            return None
        cached = _contents.get(self._key(name))
        if cached is not None:
            whole = cached[0]
            return whole if whole is None else whole[start : None if size is None else start + size]
        file = self.location.child(name)
        failed = None
        try:
            raw = _whole(addresses.child(base_of(self.location), name), start, size)
        except NetworkError as error:
            failed = error
        if failed is not None:
            raise failure(file, failed)
        if self.complete and raw is None:
            raise changed(file.path)
        return raw

    def read_parts(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        if len(parts) < 2:
            return super().read_parts(parts)
        return list(network.side_by_side(lambda part: self.read(*part), parts))

    def prefetch(self, names: Sequence[str]) -> None:
        missing = self.not_prefetched(list(names))
        for name, raw in zip(missing, network.side_by_side(self.read, missing), strict=True):
            _contents.put(self._key(name), (raw,))

    def not_prefetched(self, names: list[str]) -> list[str]:
        return [name for name in names if _contents.get(self._key(name)) is None]

    def _key(self, name: str) -> tuple[Location, Stamp, str]:
        """Return the key of a file in `_contents`."""
        return self.location, self.known, name

    def check(self, name: str) -> None:
        """Do nothing: the next read shows whether the file exists."""


def consolidated(location: Location) -> dict[str, bytes]:
    """Return the documents of a store by name, from its consolidated metadata.

    Without these, the result has only the documents at the root.

    Raises
    ------
    NetworkError, FormatError
        If they cannot be read, or are no JSON.
    """
    raws = {n: raw for n, raw in zip(_ROOTS, _roots(location), strict=True) if raw is not None}
    key = location, hash(tuple(raws.values()))
    return _consolidations.get_or_make(key, lambda: _unfolded(location, raws))


def _roots(location: Location) -> list[bytes | None]:
    """Return the documents at the root of a store; those after the first that exists are not requested."""
    raws: list[bytes | None] = []
    for name in _ROOTS:
        raws.append(_root(location, name))
        if raws[-1] is not None:
            break
    return [*raws, *[None] * (len(_ROOTS) - len(raws))]


def _unfolded(location: Location, raws: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return each document that the root documents combine, by its own name, as JSON."""
    documents: dict[str, bytes] = {}
    for name, raw in raws.items():
        documents[name] = raw
        content = _mapping(raw, f"{location.path}/{name}")
        inside = content if name == ".zmetadata" else content.get("consolidated_metadata") or {}
        for key, meta in (inside.get("metadata") or {}).items():
            path = key if name == ".zmetadata" else f"{key}/zarr.json"
            documents[path] = json.dumps(meta).encode()
        if len(documents) > 1:
            return documents
    return documents


_consolidations: state.Cache[dict[str, bytes]] = state.Cache(
    64 << 20, lambda documents: state.ENTRY + sum(map(len, documents.values()))
)


def _mapping(raw: bytes, path: str) -> dict[str, Any]:
    """Return the mapping in a JSON document."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "", "JSON", f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(content, dict):
        raise FormatError(path, "", "a mapping", type(content).__name__)
    return content
