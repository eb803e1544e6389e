"""The recording that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

_FOLDER = Path(__file__).parent / "_sample"
SAMPLE = "A2929-200711"


def sample_path() -> Path:
    """Path of the bundled recording, an NWB file; its README says where it comes from.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.sample_path().name
    'A2929-200711.nwb'
    """
    return _FOLDER / f"{SAMPLE}.nwb"


def load_sample(**options: Any) -> xr.DataTree:
    """Open the bundled recording: head-direction and hippocampal units of a mouse.

    An excerpt of session A2929-200711 (Peyrache lab; MIT, from the tests of pynapple): 7 units of
    the anterodorsal nucleus (adn) and 8 of CA1, 10 minutes of sleep with 594 ripples and 10 of
    wake with position and head direction.

    Parameters
    ----------
    **options
        As for `open_datatree`: ``chunks=``, ``areas=``.

    Returns
    -------
    xr.DataTree
        A recording tree of one session.

    Examples
    --------
    >>> import neuroarrays as na
    >>> list(na.load_sample()["A2929-200711"].children)[:2]
    ['head_direction', 'position']
    """
    from neuroarrays.formats.door import open_datatree

    return open_datatree(sample_path(), **options)
