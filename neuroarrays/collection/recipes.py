"""The options of a build, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neuroarrays import schema
from neuroarrays.alignment.bins import check_bin_width, check_window
from neuroarrays.alignment.interpolation import check_gap
from neuroarrays.alignment.options import Options
from neuroarrays.alignment.spikes import check_dtype
from neuroarrays.tree.query import parse


@dataclass(frozen=True)
class Recipe:
    """How every session of a build is aligned and saved.

    Attributes
    ----------
    stimuli, areas : tuple of str, optional
        Names or patterns, or names of stimuli joined by "+" (default: all).
    units : str, optional
        A condition, as for `neuroarrays.select_units`.
    compat : {"mlynarski"}, optional
        Use the published bins of `neuroarrays.formats.allen_binned.pipeline` and the published
        layout.
    layout : {"allen_binned"}, optional
        As for `neuroarrays.save`.
    bin_width, window, event, ... : optional
        As for `neuroarrays.align`; `bin_width` and `max_gap` in seconds.

    Raises
    ------
    ValueError
        If an option has an invalid value, or is given although `compat` determines it.
    QueryError
        If `units` is not a condition.
    """

    stimuli: tuple[str, ...] | None = None
    areas: tuple[str, ...] | None = None
    units: str | None = None
    bin_width: float = 0.02
    window: tuple[float, float] | None = None
    event: str = schema.START_TIME
    event_clock: str | None = None
    clip: bool = True
    series: tuple[str, ...] | None = None
    method: str | None = None
    max_gap: float | None = None
    dtype: str = "uint8"
    binarize: bool = False
    blanks: str = "drop"
    responses: str | None = None
    compat: str | None = None
    layout: str | None = None

    def __post_init__(self) -> None:
        check_bin_width(self.bin_width)
        check_gap(self.max_gap)
        if self.window is not None:
            check_window(self.window)
        Options(**self.of_align() | {"dtype": check_dtype(self.dtype)}, missing=None)
        if self.units is not None:
            parse(self.units)
        known: dict[str, tuple[str, ...]] = {"compat": ("mlynarski",), "layout": ("allen_binned",)}
        for name, values in known.items():
            if getattr(self, name) not in (None, *values):
                msg = f"{name}={getattr(self, name)!r}: expected {values[0]!r} or None"
                raise ValueError(msg)
        self._check_compat()

    def _check_compat(self) -> None:
        """Refuse options that `compat` determines: the published bins have no options."""
        if self.compat is None:
            return
        options = [name for name in self.of_align() if name != "bin_width"]
        conflicting = [name for name in options if getattr(self, name) != getattr(Recipe, name)]
        if self.units is not None:
            conflicting.append("units")
        if any("+" in name for name in self.stimuli or ()):
            conflicting.append("a '+' in stimuli")
        if conflicting:
            msg = f"compat={self.compat!r} decides the bins; leave out {', '.join(conflicting)}"
            raise ValueError(msg)

    def of_align(self) -> dict[str, Any]:
        """Return the options of `neuroarrays.align`, by name."""
        others = ("stimuli", "areas", "units", "compat", "layout")
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in others
        }
