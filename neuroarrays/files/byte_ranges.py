"""Ranges of a file whose bytes are in memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass
class ByteRanges:
    """Ranges of a file: where they begin, in order, and their bytes."""

    starts: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def get(self, at: int, count: int) -> memoryview | None:
        """Bytes that lie in one of the ranges, None if they do not."""
        number = bisect_right(self.starts, at) - 1
        if number < 0:
            return None
        begin, piece = at - self.starts[number], self.pieces[number]
        return memoryview(piece)[begin : begin + count] if begin + count <= len(piece) else None

    @property
    def nbytes(self) -> int:
        """Bytes of all ranges."""
        return sum(map(len, self.pieces))
