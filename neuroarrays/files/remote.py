"""Remote locations: files on http(s) servers and in buckets, and the files below a prefix."""

from __future__ import annotations

from collections.abc import Sequence

from neuroarrays.files import addresses, dandi, network, openings, sidecars, state
from neuroarrays.files.location import FILE, FOLDER, MISSING, OTHER, Folder, Location, Stamp, Status
from neuroarrays.files.positioned import changed
from neuroarrays.files.prefixes import (
    GLANCED,
    Prefix,
    is_opaque,
    markers,
    stamp_of_prefix,
)
from neuroarrays.files.remote_file import (
    FIRST,
    RemoteFile,
    Version,
    failure,
    hint_of,
    remember,
    stamp_of,
)
from neuroarrays.files.responses import NetworkError, Response

#: Versions of files by location and stamp, and the version of each location that was seen last.
_versions: state.Cache[Version] = state.Cache(8 << 20, lambda _: state.ENTRY)
_latest: state.Cache[Version] = state.Cache(4 << 20, lambda _: state.ENTRY)

#: The words for a Zarr store whose content cannot be listed, and what to do.
_OPAQUE = "a Zarr store without consolidated metadata, on a web server, which lists no folders"
_CONSOLIDATE = (
    "consolidate it where it is written (zarr.consolidate_metadata), give the address of its bucket (s3://...), "
    "or copy it and give the path"
)


class RemoteLocation(Location):
    """A file or prefix at an address (http, https, s3, gs, az).

    Secrets in the address stay in this object; they are in no message and in no pickle. Two addresses
    with different secrets are different locations, so that nothing is read with the token of another
    user, and a new signature is used.
    """

    waits = True

    def __init__(self, as_given: str, path: str = ""):
        self._address = addresses.normalised(as_given)
        shown = addresses.without_secrets(self._address)
        super().__init__(shown, path or shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteLocation) and other._identity == self._identity

    __hash__ = Location.__hash__

    @property
    def _identity(self) -> tuple[str, str]:
        """What equal locations have in common: the path, and the full address if it has secrets."""
        return self.path, self._address if self._is_secret else ""

    @property
    def name(self) -> str:
        name = addresses.name(self.path)
        return dandi.asset_name(name) if self.path.startswith(dandi.ASSET) else name

    @property
    def address(self) -> str:
        return self._address

    def child(self, name: str) -> RemoteLocation:
        return RemoteLocation(addresses.child(self._address, name))

    @property
    def parent(self) -> RemoteLocation:
        return RemoteLocation(addresses.parent(self._address))

    # ---------------------------------------------------------------------------- what is there

    def status(self) -> Status:
        try:
            if not dandi.is_store(self.name) and not self.path.endswith("/"):
                version = self._look()
                return Status(FILE, version.stamp[1], version.stamp)
        except NetworkError as error:
            if error.kind not in ("missing", "denied"):
                return Status(OTHER, words=error.words, hint=hint_of(self, error))
            failed = error
        else:
            failed = NetworkError("missing", "nothing")
        return self._prefix_status(failed)

    def _prefix_status(self, failed: NetworkError) -> Status:
        """Return the status of a prefix, after no file was found at the address."""
        try:
            if markers(self, anew=True):
                if is_opaque(self):
                    return Status(OTHER, words=_OPAQUE, hint=_CONSOLIDATE)
                return Status(FOLDER, stamp=GLANCED)
        except NetworkError as error:
            failed = failed if error.kind == "missing" else error
        if failed.kind == "missing":
            base = self.path.partition("?")[0]
            is_folder = base.startswith("http") and (base.endswith("/") or base.count("/") == 2)
            hint = "; a web server lists no folders: give files, or the root of a Zarr store"
            return Status(MISSING, words="nothing", hint="compare the address" + hint * is_folder)
        return Status(OTHER, words=failed.words, hint=hint_of(self, failed))

    def listing(self) -> dict[str, str]:
        return markers(self)

    def folder(self, known: Stamp = (), follow: bool = False) -> Folder:
        return Prefix(self, known)

    def folder_stamp(self, follow: bool = False) -> Stamp:
        return stamp_of_prefix(self)

    # -------------------------------------------------------------------------------- its bytes

    def _look(self) -> Version:
        """Return the version on the server; one request, without content if the version is known."""
        cached = _latest.get(self) or (sidecars.load(self.path) if openings.keeps() else None)
        if cached is not None and not self._is_secret and addresses.is_fixed(self._address):
            cached.address = self._address
            return self._remembered(cached)
        try:
            response = network.first(self._address, FIRST, unless=cached.strong if cached else "")
        except NetworkError as error:
            if error.kind != "empty":
                raise
            response = Response(b"", 0, "", 0, self._address)
        if cached is not None and response.is_unchanged:
            cached.address = response.address
            return self._remembered(cached)
        return self._remembered(self._version(response, cached))

    @property
    def _is_secret(self) -> bool:
        """Whether the address has secrets; then the server is asked each time whether they are still valid."""
        return self._address != self.path

    def _version(self, response: Response, cached: Version | None) -> Version:
        """Return the version that a response is of; the cached one if the stamps are equal."""
        stamp, version = stamp_of(response), cached
        if version is None or version.stamp != stamp:
            version = Version(stamp, response.tag, "")
        version.address = response.address
        remember(self, version, response.data)
        return version

    def _remembered(self, version: Version) -> Version:
        """Cache a version as the latest of this location, and return the cached one."""
        _latest.drop(lambda key: key == self)
        return _versions.put((self, version.stamp), _latest.put(self, version))

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        file = self.open()
        file.prefetch(ranges)
        return [file.read(start, count) for start, count in ranges]

    def open(self, known: Stamp | None = None) -> RemoteFile:
        version = _versions.get((self, known)) if known is not None else _latest.get(self)
        failed = None
        try:
            version = version or self._look()
        except NetworkError as error:
            failed = error
        if failed is not None or version is None:
            raise failure(self, failed or NetworkError("missing", "nothing"))
        if known is not None and version.stamp != known:
            raise changed(self.path)
        return RemoteFile(self, version, self._look, lambda read: sidecars.keep(self, read))

    def check_unchanged(self, known: Stamp) -> None:
        """Do nothing: each request names the version that it is for."""
