"""The files of a Zarr store: their names and bytes, and checks of their content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuroarrays.files import safety, state
from neuroarrays.files.location import Folder
from neuroarrays.files.positioned import changed
from neuroarrays.files.source import Source

#: The files of each source.
_folders: state.Cache[Folder] = state.Cache(64 << 20, lambda _: 1 << 16)


def below(group: str, name: str) -> str:
    """Return the path of a child of a group; the root is ""."""
    return f"{group}/{name}" if group else name


@dataclass(frozen=True)
class ZarrFiles(Source):
    """A source that is a folder of files; subclasses may know the checksums of the files."""

    def fetch(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        """Read parts of files of the store; from a server, several are fetched in parallel.

        Parameters
        ----------
        parts : sequence of (str, int, int or None)
            Name, first byte and number of bytes of each part. A negative first byte counts from the
            end of the file. None as the number reads to the end.

        Returns
        -------
        list of bytes or None
            None for each file that does not exist.
        """
        files: list[bytes | None] = []
        folder = self.folder()
        for (name, _, count), raw in zip(parts, folder.read_parts(parts), strict=True):
            if count is None and raw is not None:
                self.check_bytes(name, raw)
            files.append(raw)
        return files

    def folder(self) -> Folder:
        """Return the files of the store as they were when it was opened."""
        return _folders.get_or_make(self, lambda: self.location.folder(self.stamp))

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        """Compare the bytes of a file (None if it does not exist) with its known checksum, if any."""

    def check_part(self, name: str, number: int | None, raw: bytes) -> None:
        """Compare a chunk in a file of several, or their index (`number` None), with its known checksum."""

    def not_known(self, files: list[str]) -> list[str]:
        """Return those of some files whose content is not known yet."""
        return files

    def check_metadata(self, name: str) -> None:
        """Refuse a store that is gone, or in which the array has changed since it was opened."""
        folder = self.folder()
        for marker in (".zarray", "zarr.json"):
            path = below(name, marker)
            if path in folder.files if folder.complete else folder.has(path):
                folder.check(path)
                return
        raise changed(f"{self.path}/{name}")

    def metadata(self, name: str) -> Any:
        """Return a JSON document of an array, after `check_bytes`; None if there is none."""
        folder = self.folder()
        if not folder.complete:
            return folder.document(name)  # from the consolidated metadata
        if (raw := folder.read(name)) is None:
            return None
        self.check_bytes(name, raw)
        return json.loads(raw)

    def check_size(self, name: str, nbytes: int, whole: bool = False) -> None:
        """Refuse to read `nbytes` bytes of an array if its files cannot hold them.

        An array that is read `whole` may not be larger than is read on opening, either.
        """
        if whole:
            safety.check_whole(self.path, name, nbytes, self.stamp[1])
        if nbytes > safety.ALWAYS_ALLOWED:
            prefix = f"{name}/".lstrip("/")
            folder = self.folder()
            stored = sum(
                stamp[1] for file, stamp in folder.files.items() if file.startswith(prefix)
            )
            if folder.complete:
                safety.check_allocation(self.path, name, nbytes, stored)
