"""What lies below an address: a prefix of a bucket, which is listed, or a Zarr store of a server that lists nothing.

Of a store on a plain server the consolidated metadata say which arrays there are; a chunk is there if the
server has it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import addresses, dandi, network, openings, state
from neuroarrays.files.answers import NetworkError
from neuroarrays.files.folders import MAX_FILES, MAX_TEXT, digest
from neuroarrays.files.location import FILE, Folder, Location, Stamp
from neuroarrays.files.positioned import changed
from neuroarrays.files.remote_file import failure, stamp_of
from neuroarrays.files.state import cached_property

#: Metadata of a whole Zarr store of format 3 and 2, then of the root of one of format 2.
_ROOTS = ("zarr.json", ".zmetadata", ".zgroup")
#: The stamp of a folder that was only glanced at: its files are not known yet.
GLANCED: Stamp = (0, 0, 0)
#: Prefixes of too many files to be listed at once, after which an opening lists level by level.
_LARGE = 4
#: Files of a prefix by its location and stamp.
_listings: state.Cache[Mapping[str, Stamp]] = state.Cache(
    256 << 20, lambda files: 256 * (1 + len(files))
)
#: Content of small files that were read, or fetched before they are, by location, stamp (of the roots of a
#: store, which say what its stamp is, none) and name; None where there is no file.
_contents: state.Cache[tuple[bytes | None]] = state.Cache(
    128 << 20, lambda kept: state.ENTRY + len(kept[0] or b"")
)


def markers(location: Location, anew: bool = False) -> dict[str, str]:
    """Name -> kind of what is directly below an address; {} where nothing is known to be.

    Parameters
    ----------
    location : Location
        The address.
    anew : bool
        Ask a server that lists nothing again for the metadata of a store.

    Raises
    ------
    NetworkError
        If nothing can be asked for.
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
    """The files below a prefix of a bucket, listed once in the opening that is under way; None of too many."""
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
            listed[top] = None if entries is None else {n: stamp_of(said) for n, said in entries}
    files = listed.get(top)
    if files is None or top == address:
        return files
    inner = address.removeprefix(top).strip("/") + "/"
    return {n.removeprefix(inner): stamp for n, stamp in files.items() if n.startswith(inner)}


def is_opaque(location: Location) -> bool:
    """Whether a Zarr group is on a server that lists nothing, and does not say itself what is in it.

    Raises
    ------
    NetworkError, FormatError
        If its metadata cannot be had, or are no JSON.
    """
    if _is_listed(location):
        return False
    documents = consolidated(location)
    if len(documents) > 1 or not documents:
        return False
    ((name, raw),) = documents.items()
    return name != "zarr.json" or json.loads(raw).get("node_type") == "group"


def stamp_of_prefix(location: Location) -> Stamp:
    """A stamp of all files below an address, or of the metadata of a Zarr store.

    Raises
    ------
    MissingPath, FormatError
        If nothing is there, or cannot be asked for.
    """
    failed = None
    try:
        if _is_complete(location):
            files = _walked(location)
            known = 1, sum(size for _, size, _ in files.values()), digest(files)
            _listings.put((location, known), files)
            return known
        raw = b"".join(raw or b"" for raw in _roots(location))
        mark = hashlib.blake2b(raw, digest_size=7).digest()
        return int.from_bytes(mark, "little"), len(raw), 0
    except NetworkError as error:
        failed = error
    raise failure(location, failed)


def base_of(location: Location) -> str:
    """Where files lie: of a Zarr asset of DANDI in its bucket."""
    address = location.address.rstrip("/")
    if address.startswith("dandi://") and dandi.is_store(location.name):
        return dandi.store_address(address)
    return address


def _is_asset(location: Location) -> bool:
    """Whether it is a Zarr asset of DANDI, whose files DANDI lists."""
    return location.address.startswith("dandi://") and dandi.is_store(location.name)


def _is_listed(location: Location) -> bool:
    return not location.address.startswith(("http://", "https://"))


def _is_complete(location: Location) -> bool:
    """Whether all files are listed: not of a server that lists nothing, nor of a store that says what it holds.

    A store in a bucket may have a page of files for each array.
    """
    if not _is_listed(location):
        return False
    return not (dandi.is_store(location.name) and len(consolidated(location)) > 1)


def _walked(location: Location) -> dict[str, Stamp]:
    """Every file below an address; an asset of DANDI is listed once in an opening too."""
    is_asset, under_way = _is_asset(location), openings.current()
    address = location.address.rstrip("/")
    known = under_way.listed.get(address) if under_way and is_asset else None
    files = dict(known or {}) if is_asset else _few_below(address) or {}
    if files:
        return files
    for name, answer in (dandi.store_files if is_asset else network.walked)(address):
        files[name] = stamp_of(answer)
        if len(files) > MAX_FILES:
            raise FormatError(location.given, "", f"at most {MAX_FILES:,} files", "more")
    if under_way is not None and is_asset:
        under_way.listed[address] = files
    return files


def _root(location: Location, name: str) -> bytes | None:
    """A document at the root of a store; None where there is none."""
    path = addresses.child(base_of(location), name)
    return _contents.get_or_make((location, (), name), lambda: (_whole(path),))[0]


def _whole(address: str, start: int = 0, size: int | None = None, tag: str = "") -> bytes | None:
    """Bytes of a file, None where there is none; a server that lists nothing says 403 of those."""
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
        The stamp of what is below it.
    """

    def __init__(self, location: Location, known: Stamp):
        self.location, self.known, self.path = location, known, location.path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.location, self.known)

    @cached_property
    def complete(self) -> bool:
        """Whether `files` has all of them."""
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
        """Documents of a store by name, from those that hold all of them."""
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
        kept = _contents.get(self._key(name))
        if kept is not None:
            whole = kept[0]
            return whole if whole is None else whole[start : None if size is None else start + size]
        place = self.location.child(name)
        failed = None
        try:
            answer = _whole(addresses.child(base_of(self.location), name), start, size)
        except NetworkError as error:
            failed = error
        if failed is not None:
            raise failure(place, failed)
        if self.complete and answer is None:
            raise changed(place.path)
        return answer

    def read_parts(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        if len(parts) < 2:
            return super().read_parts(parts)
        return list(network.side_by_side(lambda part: self.read(*part), parts))

    def ahead(self, names: Sequence[str]) -> None:
        missing = self.not_ahead(list(names))
        for name, raw in zip(missing, network.side_by_side(self.read, missing), strict=True):
            _contents.put(self._key(name), (raw,))

    def not_ahead(self, names: list[str]) -> list[str]:
        return [name for name in names if _contents.get(self._key(name)) is None]

    def _key(self, name: str) -> tuple[Location, Stamp, str]:
        return self.location, self.known, name

    def check(self, name: str) -> None:
        """Nothing is asked for: what is read next says whether it is there."""


def consolidated(location: Location) -> dict[str, bytes]:
    """Documents of a store by name, from the one that holds all of them; only this one if it does not.

    Raises
    ------
    NetworkError, FormatError
        If it cannot be had, or is no JSON.
    """
    raws = {n: raw for n, raw in zip(_ROOTS, _roots(location), strict=True) if raw is not None}
    key = location, hash(tuple(raws.values()))
    kept = _consolidations.get(key)
    return kept if kept is not None else _consolidations.put(key, _unfolded(location, raws))


def _roots(location: Location) -> list[bytes | None]:
    """The documents at the root of a store, asked for one after another until one says what is in it."""
    raws: list[bytes | None] = []
    for name in _ROOTS:
        raws.append(_root(location, name))
        if raws[-1] is not None:
            break
    return [*raws, *[None] * (len(_ROOTS) - len(raws))]


def _unfolded(location: Location, raws: Mapping[str, bytes]) -> dict[str, bytes]:
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
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "", "JSON", f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(content, dict):
        raise FormatError(path, "", "a mapping", type(content).__name__)
    return content
