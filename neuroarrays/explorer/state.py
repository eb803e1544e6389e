"""What is shown: one record of typed values, which a link carries and every view follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, quote

#: Version of the links; a link of another one is refused, because its keys may mean something else.
VERSION = "1"
#: Units that are compared at most, and characters of a text in a link.
MOST_UNITS, _LONGEST = 6, 1000


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


def _of(key: str, read: Callable[[str], Any], default: Any) -> Any:
    """A field: its key in a link, how its text is read, and its default."""
    return field(default=default, metadata={"key": key, "read": read})


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

    session: str = _of("session", _text, "")
    area: str = _of("area", _text, "")
    query: str = _of("q", _text, "")
    units: tuple[int, ...] = _of("u", _units, ())
    table: str = _of("align", _text, "")
    event: str = _of("on", _text, "")
    by: str = _of("by", _text, "")
    trials: str = _of("trials", _text, "")
    before: float = _of("before", _number(-1000, 1000), 0.0)
    after: float = _of("after", _number(-1000, 1000), 0.0)
    bin_width: float = _of("bin", _number(1e-4, 1000), 0.0)
    smooth: float = _of("smooth", _number(0, 1000), 0.0)
    window: tuple[float, float] | None = _of("t", _window, None)
    cursor: float = _of("at", _number(-1, 1e9), -1.0)
    feature: str = _of("tune", _text, "")
    other: str = _of("map", _text, "")
    signals: tuple[str, ...] = _of("signals", _signals, ())
    black: float = _of("black", _number(1e-3, 1e5), 0.0)
    dark: bool = _of("dark", _flag, False)
    svg: bool = _of("svg", _flag, False)


#: Key in a link -> its field.
_KEYS = {each.metadata["key"]: each for each in fields(State)}
#: Names of the fields, in order: each after those that its default depends on.
FIELDS = tuple(each.name for each in fields(State))
#: Fields of which a link holds both or none.
_AROUND = ("before", "after")


def link_of(state: State, fit: Callable[[State], State]) -> str:
    """The state as the part of an address after "#"; what `fit` makes of the rest of the link is left out."""
    written: dict[str, Any] = {}
    restored = fit(State())
    for name in FIELDS:
        together = _AROUND if name in _AROUND else (name,)
        if any(getattr(state, each) != getattr(restored, each) for each in together):
            written |= {each: getattr(state, each) for each in together}
            restored = fit(replace(State(), **written))
    parts = [f"v={VERSION}"]
    for key, each in _KEYS.items():
        if each.name in written:
            text = _written(written[each.name])
            parts.append(f"{key}={quote(text, safe=',:/ ').replace(' ', '+')}")
    return "#" + "&".join(parts)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_written(part) for part in value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def changes_in(link: str) -> tuple[dict[str, Any], list[str]]:
    """Fields of a `State` that a link holds, typed and in their ranges, and a line for each part that cannot be read."""
    parts = dict(parse_qsl(link.lstrip("#?"), keep_blank_values=True, max_num_fields=200))
    version = parts.pop("v", VERSION)
    if version != VERSION:
        made = (
            f"the link was made by another version (v={version[:20]}; this one reads v={VERSION})"
        )
        return {}, [f"{made}: it is not followed"]
    changes, notices = {}, []
    for key, text in parts.items():
        if key not in _KEYS:
            continue
        try:
            changes[_KEYS[key].name] = _KEYS[key].metadata["read"](text)
        except ValueError as error:
            notices.append(f"{key}={text[:40]!r} in the link is not used: {error}")
    return changes, notices
