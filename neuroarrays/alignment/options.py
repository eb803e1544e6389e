"""The options of a call of `align`, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroarrays.alignment.interpolation import check_method
from neuroarrays.schema.given import choice, yes_or_no


@dataclass(frozen=True)
class Options:
    """The options of a call of `neuroarrays.align`, which documents them.

    Raises
    ------
    ValueError
        If a method, `event_clock`, `blanks` or `missing` is unknown, or `clip` or `binarize` is
        neither True nor False.
    """

    bin_width: float
    window: tuple[float, float] | None
    event: str
    event_clock: str | None
    clip: bool
    series: str | Sequence[str] | None
    method: str | None
    max_gap: float | None
    dtype: np.dtype
    binarize: bool
    blanks: str
    responses: str | None
    missing: str | None

    def __post_init__(self) -> None:
        yes_or_no(clip=self.clip, binarize=self.binarize)
        if self.method is not None:
            check_method(self.method)
        choice(self.blanks, "blanks", ("drop", "keep"))
        if self.event_clock is not None:
            choice(self.event_clock, "event_clock", ("session", "presentation"))
        if self.missing is not None:
            choice(self.missing, "missing", ("skip", "raise"))
