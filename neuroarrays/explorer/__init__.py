"""The explorer: a recording to look at, in a notebook or in the browser, from the library's own answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import xarray as xr

from neuroarrays.errors import MissingDependency
from neuroarrays.formats.door import open_datatree

try:
    import panel
except ImportError as error:
    raise MissingDependency("panel", "explore", "na.explore") from error
from neuroarrays.explorer.page import Page
from neuroarrays.explorer.recording import Recording

__all__ = ["explore", "opened"]


def opened(tree: Any, **options: Any) -> Recording:
    """What `explore` was given, opened."""
    if isinstance(tree, xr.DataTree):
        return Recording(tree, "# tree is what you gave to na.explore")
    paths = [os.fspath(path) for path in ([tree] if isinstance(tree, str | os.PathLike) else tree)]
    given = paths[0] if len(paths) == 1 else paths
    text = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
    return Recording(open_datatree(given, **options), f"tree = na.open_datatree({given!r}{text})")


def explore(
    tree: xr.DataTree | str | os.PathLike[str] | Sequence[str | os.PathLike[str]], state: str = ""
) -> Any:
    """Look at a recording: spikes, events, behaviour and tuning of its units, in a notebook.

    Parameters
    ----------
    tree : DataTree, path, or list of paths
        A recording or aligned tree, or what `open_datatree` opens. Times are in s.
    state : str, optional
        What to show first: the part after "#" of a link that the explorer in the browser
        (``neuroarrays explore PATH``) shows in its address.

    Returns
    -------
    panel.Column
        What a notebook shows.

    Raises
    ------
    MissingDependency
        If Panel is not installed.

    Examples
    --------
    >>> import neuroarrays as na
    >>> page = na.explore(na.load_sample())  # the last line of a cell shows it
    """
    panel.extension(inline=True)
    page = Page(opened(tree), state)
    page.begin()
    return page.parts.page
