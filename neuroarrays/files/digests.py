"""Digests that archives state for their files, compared with copies on this machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Smallest size of a part in DANDI's ETag, bytes, and the largest number of parts.
_PART, _PARTS = 64 << 20, 10_000
#: Bytes that are read at a time.
_READ = 1 << 20
#: Name of the digest that is the ETag of an S3 object which was uploaded in one part.
MD5 = "MD5 of its ETag"


@dataclass(frozen=True)
class Digest:
    """A digest of a file.

    Attributes
    ----------
    name : {"sha2-256", "dandi-etag", `MD5`}
        The method by which it is computed.
    text : str
        The digest in hexadecimal digits.
    """

    name: str
    text: str

    def fits(self, path: Path) -> bool:
        """Return whether a file has this digest."""
        if self.name == "sha2-256":
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.text
        if self.name == MD5:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, _md5).hexdigest() == self.text
        return dandi_etag(path) == self.text


def from_dandi(stated: Mapping[str, object]) -> Digest | None:
    """Return the digest to compare, of those that DANDI states for an asset; None if there is none."""
    for key, name in (("dandi:sha2-256", "sha2-256"), ("dandi:dandi-etag", "dandi-etag")):
        if isinstance(stated.get(key), str):
            return Digest(name, str(stated[key]).strip('"').lower())
    return None


def from_etag(tag: str) -> Digest | None:
    """Return the MD5 that is the ETag of an S3 object uploaded in one part; None for any other ETag.

    The ETag of an object that S3 encrypts with a key of KMS has the same form but is not an MD5.
    """
    text = tag.strip('"').lower()
    return Digest(MD5, text) if re.fullmatch(r"[0-9a-f]{32}", text) else None


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def dandi_etag(path: Path) -> str:
    """Return DANDI's ETag of a file: the MD5 of the MD5s of its parts, "-", and the number of parts.

    This is the ETag of a multipart upload to S3 with parts of 64 MiB.
    """
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
