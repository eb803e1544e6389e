"""One line on the terminal that says how far a save has come."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line on stderr, from the second second on."""

    def __init__(self, wanted: bool | None, nodes: int, name: str):
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.nodes, self.name = nodes, name
        self.started = self.shown = time.monotonic()
        self.written = self.visited = 0
        self.place = ""
        self.lines = False

    def at(self, place: str) -> None:
        self.place = place
        self.visited += 1
        self._show()

    def add(self, nbytes: int) -> None:
        self.written += nbytes
        self._show()

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        early = now - self.started < 2 or now - self.shown < 0.2
        if not self.wanted or (early and not last):
            return
        self.shown, self.lines = now, True
        what = "done" if last else self.place
        line = f"{self.name}: {self.written / 1e6:,.0f} MB of values, {what}"
        sys.stderr.write(f"\r{line[:100]:<100}")
        sys.stderr.flush()

    def close(self) -> None:
        """End the line."""
        if self.lines:
            self._show(last=True)
            sys.stderr.write("\n")
