"""The files of a Zarr store: which there are, their bytes, and what may be believed of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuroarrays.files import safety, state
from neuroarrays.files.location import Folder
from neuroarrays.files.positioned import changed
from neuroarrays.files.source import Source

#: What is known of the files of each source.
_folders: state.Cache[Folder] = state.Cache(64 << 20, lambda _: 1 << 16)


def below(group: str, name: str) -> str:
    """The path of a child of a group; the root is ""."""
    return f"{group}/{name}" if group else name


@dataclass(frozen=True)
class ZarrFiles(Source):
    """A source that is a folder of files; subclasses may know what the files have to hold."""

    def fetch(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        """Bytes of files of the store: name, first byte (the last ones from a negative one), count (None: all).

        Several are fetched side by side where they come from a server; None for a file that is not there.
        """
        files: list[bytes | None] = []
        folder = self.folder()
        for (name, _, count), raw in zip(parts, folder.read_parts(parts), strict=True):
            if count is None and raw is not None:
                self.check_bytes(name, raw)
            files.append(raw)
        return files

    def folder(self) -> Folder:
        """The files of the store as they were when it was opened."""
        return _folders.get_or_make(self, lambda: self.location.folder(self.stamp))

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        """Compare what is read of a file (None: it is not there) with what is known of it."""

    def check_part(self, name: str, number: int | None, raw: bytes) -> None:
        """Compare a chunk of a file of several, or their index (None), with what is known of it."""

    def not_known(self, files: list[str]) -> list[str]:
        """Those of some files whose content is not known already."""
        return files

    def check_metadata(self, name: str) -> None:
        """See that the store is there and the array in it is the one that was opened."""
        folder = self.folder()
        for marker in (".zarray", "zarr.json"):
            path = below(name, marker)
            if path in folder.files if folder.complete else folder.has(path):
                folder.check(path)
                return
        raise changed(f"{self.path}/{name}")

    def metadata(self, name: str) -> Any:
        """A document of an array, compared with what is known of it; None if there is none."""
        folder = self.folder()
        if not folder.complete:
            return folder.document(name)  # out of one that has all
        if (raw := folder.read(name)) is None:
            return None
        self.check_bytes(name, raw)
        return json.loads(raw)

    def check_size(self, name: str, nbytes: int, whole: bool = False) -> None:
        if whole:
            safety.check_whole(self.path, name, nbytes, self.stamp[1])
        if nbytes > safety.ALWAYS_ALLOWED:
            prefix = f"{name}/".lstrip("/")
            folder = self.folder()
            stored = sum(status[1] for at, status in folder.files.items() if at.startswith(prefix))
            if folder.complete:
                safety.check_allocation(self.path, name, nbytes, stored)
