"""Digests that archives state of their files, compared with what is on this machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Bytes of a part of DANDI's ETag, and the most parts.
_PART, _PARTS = 64 << 20, 10_000
_READ = 1 << 20
MD5 = "MD5 of its ETag"


@dataclass(frozen=True)
class Digest:
    """A digest as text, and how it is made: "sha2-256", DANDI's ETag over parts of 64 MiB, `MD5`."""

    name: str
    text: str

    def fits(self, path: Path) -> bool:
        """Whether a file has it."""
        if self.name == "sha2-256":
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.text
        if self.name == MD5:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, _md5).hexdigest() == self.text
        return dandi_etag(path) == self.text


def from_dandi(stated: Mapping[str, object]) -> Digest | None:
    """The digest of an asset that can be compared, by what DANDI states; None where there is none."""
    for key, name in (("dandi:sha2-256", "sha2-256"), ("dandi:dandi-etag", "dandi-etag")):
        if isinstance(stated.get(key), str):
            return Digest(name, str(stated[key]).strip('"').lower())
    return None


def from_etag(tag: str) -> Digest | None:
    """The MD5 that an ETag of S3 is of an object that was put in one piece; None of any other ETag.

    It is one unless the object is encrypted with a key of KMS, of which the ETag does not tell.
    """
    text = tag.strip('"').lower()
    return Digest(MD5, text) if re.fullmatch(r"[0-9a-f]{32}", text) else None


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def dandi_etag(path: Path) -> str:
    """DANDI's ETag of a file: MD5 of the MD5s of its parts, and how many there are."""
    size = path.stat().st_size
    length = max(_PART, -(-size // _PARTS))
    sums, parts = _md5(), 0
    with open(path, "rb") as file:
        while parts == 0 or parts * length < size:
            part, left = _md5(), min(length, size - parts * length)
            while left:
                data = file.read(min(_READ, left))
                if not data:
                    break
                part.update(data)
                left -= len(data)
            sums.update(part.digest())
            parts += 1
    return f"{sums.hexdigest()}-{parts}"
