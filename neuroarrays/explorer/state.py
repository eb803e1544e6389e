"""What is shown: one record of typed values, which a link carries and every view follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, quote

#: Version of the links; a link of another one is refused, because its keys may mean something else.
VERSION = "1"
#: Units that are compared at most, and characters of a text in a link.
MOST_UNITS, _LONGEST = 6, 1000


@dataclass(frozen=True)
class State:
    """What is shown.

    Attributes
    ----------
    session, area : str
        Names in the tree.
    query, trials : str
        Conditions on units and on presentations, in the grammar of `select_units` and `trials`.
    units : tuple of int
        Labels of the units chosen, up to six.
    table, event, by : str
        Presentations (or point events) to align to, the column that onsets are taken from, and the
        column to group by.
    before, after, bin_width, smooth : float, s
        Window around the onsets, width of a bin, and standard deviation of the smoothing.
    window : (float, float), s, or None
        The part of the session that is shown, session clock; None for all of it.
    cursor : float, s
        The moment that the stimulus is shown of, session clock; negative before any is chosen.
    feature, other : str
        What tuning is to: a column of the presentations, or signals.
    signals : tuple of str
        The signals that are drawn; none for the first few.
    black : float, spikes/s
        The rate that the session raster shows in black; 0 for one that fits the recording.
    dark, svg : bool
        Whether colours are dark, and whether pictures are saved as vectors.
    """

    session: str = ""
    area: str = ""
    query: str = ""
    units: tuple[int, ...] = ()
    table: str = ""
    event: str = ""
    by: str = ""
    trials: str = ""
    before: float = 0.0
    after: float = 0.0
    bin_width: float = 0.0
    smooth: float = 0.0
    window: tuple[float, float] | None = None
    cursor: float = -1.0
    feature: str = ""
    other: str = ""
    signals: tuple[str, ...] = ()
    black: float = 0.0
    dark: bool = False
    svg: bool = False


def _text(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")
    return text


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return value

    return read


def _units(text: str) -> tuple[int, ...]:
    ids = tuple(dict.fromkeys(int(part) for part in text.split(",") if part))
    if len(ids) > MOST_UNITS:
        raise ValueError(f"more than {MOST_UNITS} units")
    return ids


def _window(text: str) -> tuple[float, float]:
    low, high = (_number(-1e9, 1e9)(part) for part in text.split(","))
    if not low < high:
        raise ValueError("expected two times in order")
    return low, high


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return text == "1"


def _signals(text: str) -> tuple[str, ...]:
    return tuple(part for part in _text(text).split(",") if part)


#: Key in a link -> field and how its text is read.
_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "session": ("session", _text),
    "area": ("area", _text),
    "q": ("query", _text),
    "u": ("units", _units),
    "align": ("table", _text),
    "on": ("event", _text),
    "by": ("by", _text),
    "trials": ("trials", _text),
    "before": ("before", _number(-1000, 1000)),
    "after": ("after", _number(-1000, 1000)),
    "bin": ("bin_width", _number(1e-4, 1000)),
    "smooth": ("smooth", _number(0, 1000)),
    "t": ("window", _window),
    "at": ("cursor", _number(-1, 1e9)),
    "tune": ("feature", _text),
    "map": ("other", _text),
    "signals": ("signals", _signals),
    "black": ("black", _number(1e-3, 1e5)),
    "dark": ("dark", _flag),
    "svg": ("svg", _flag),
}


def link_of(state: State, default: State) -> str:
    """The state as the part of an address after "#"; what is as by default is left out."""
    parts = [f"v={VERSION}"]
    for key, (name, _) in _KEYS.items():
        value = getattr(state, name)
        if value != getattr(default, name):
            parts.append(f"{key}={quote(_written(value), safe=',:/ ').replace(' ', '+')}")
    return "#" + "&".join(parts)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_written(part) for part in value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def changes_in(link: str) -> tuple[dict[str, Any], list[str]]:
    """What a link says, and what of it cannot be used.

    Parameters
    ----------
    link : str
        The part of an address from "#" on. Keys that are not known are ignored.

    Returns
    -------
    changes : dict of str to object
        Fields of a `State`, typed and within their ranges.
    notices : list of str
        A line for each part that cannot be read.
    """
    parts = dict(parse_qsl(link.lstrip("#?"), keep_blank_values=True, max_num_fields=200))
    version = parts.pop("v", VERSION)
    if version != VERSION:
        return {}, [
            f"the link was made by another version (v={version[:20]}; this one reads v={VERSION}): "
            "it is not followed"
        ]
    changes, notices = {}, []
    for key, text in parts.items():
        if key not in _KEYS:
            continue
        name, read = _KEYS[key]
        try:
            changes[name] = read(text)
        except ValueError as error:
            notices.append(f"{key}={text[:40]!r} in the link is not used: {error}")
    return changes, notices


#: Names of the fields, in order.
FIELDS = tuple(field.name for field in fields(State))
