"""Ranges of a remote file whose bytes are in memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass
class ByteRanges:
    """Ranges of a file: their first positions in ascending order, and their bytes."""

    starts: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def get(self, start: int, count: int) -> memoryview | None:
        """Return `count` bytes from position `at` on; None unless one range has all of them."""
        index = bisect_right(self.starts, start) - 1
        if index < 0:
            return None
        begin, piece = start - self.starts[index], self.pieces[index]
        return memoryview(piece)[begin : begin + count] if begin + count <= len(piece) else None

    @property
    def nbytes(self) -> int:
        """Total size of all ranges, bytes."""
        return sum(map(len, self.pieces))
