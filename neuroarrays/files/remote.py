"""Places behind an address: files of http(s) servers and buckets, and what lies below a prefix of them."""

from __future__ import annotations

from collections.abc import Sequence

from neuroarrays.files import addresses, dandi, network, openings, sidecars, state
from neuroarrays.files.answers import Answer, NetworkError
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

#: Contents of files that are read, by location and stamp, and the last one seen of each location.
_versions: state.Cache[Version] = state.Cache(8 << 20, lambda _: state.ENTRY)
_latest: state.Cache[Version] = state.Cache(4 << 20, lambda _: state.ENTRY)

#: Of a Zarr store whose content nothing says, and what to do.
_OPAQUE = "a Zarr store without consolidated metadata, on a web server, which lists no folders"
_CONSOLIDATE = (
    "consolidate it where it is written (zarr.consolidate_metadata), give the address of its bucket (s3://...), "
    "or copy it and give the path"
)


class RemoteLocation(Location):
    """A file or prefix behind an address (http, https, s3, gs, az).

    What is secret in the address stays in this object: it is in no message and no pickle. Two addresses that
    differ in it are different places: nobody reads with the token of another, and a new signature is used.
    """

    waits = True

    def __init__(self, given: str, path: str = ""):
        self._address = addresses.normalised(given)
        shown = addresses.without_secrets(self._address)
        super().__init__(shown, path or shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteLocation) and other._known_by == self._known_by

    __hash__ = Location.__hash__

    @property
    def _known_by(self) -> tuple[str, str]:
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
        """What is below a prefix, where there is no file."""
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
        """The content that is there now: one request, which moves no bytes where it is known."""
        known = _latest.get(self) or (sidecars.load(self.path) if openings.keeps() else None)
        if known is not None and not self._is_secret and addresses.is_fixed(self._address):
            known.address = self._address
            return self._known(known)
        try:
            answer = network.first(self._address, FIRST, unless=known.strong if known else "")
        except NetworkError as error:
            if error.kind != "empty":
                raise
            answer = Answer(b"", 0, "", 0, self._address)
        if known is not None and answer.is_unchanged:
            known.address = answer.address
            return self._known(known)
        return self._known(self._version(answer, known))

    @property
    def _is_secret(self) -> bool:
        """Whether the address holds what lets only some read: the server is asked whether it still does."""
        return self._address != self.path

    def _version(self, answer: Answer, known: Version | None) -> Version:
        stamp = stamp_of(answer)
        version = (
            known if known is not None and known.stamp == stamp else Version(stamp, answer.tag, "")
        )
        version.address = answer.address
        remember(self, version, answer.data)
        return version

    def _known(self, version: Version) -> Version:
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
        return RemoteFile(self, version, self._look, lambda seen: sidecars.keep(self, seen))

    def check_unchanged(self, known: Stamp) -> None:
        """Every request says which content it means, so nothing is asked for it here."""
