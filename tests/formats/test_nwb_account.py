"""Every dataset of an NWB file is in the tree, or in the notes by its path or that of its group.

What is there is found by h5py and json alone; what is in the tree, by the stored arrays that its
variables read, and by values where these were read on opening.
"""

from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = sorted(SHARED.glob("*/*.nwb"))
FILES = [
    GOLDEN / "nwb/session.nwb",
    GOLDEN / "nwb/session_zarr.nwb",
    SAMPLE,
    GOLDEN / "allen/session_715093703.nwb",
    *REAL,
]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_dataset_is_accounted_for(path, accounts):
    """Lazy, in the notes, or read on opening and found again by value (ids, tags, metadata).

    Bounds of rows (`_index`) become sizes, and the start of a clock its first time.
    """
    session = next(iter(na.open_datatree(path).children.values()))
    assert accounts.lost(path, session) == []
    close_all()


def test_this_test_notices_what_is_lost(tmp_path, accounts):
    path = tmp_path / "s.nwb"
    write_nwb(path)
    session = na.open_datatree(path)["s"]
    more = lambda p: [*accounts.datasets(p), "acquisition/unheard/of"]  # noqa: E731
    assert "acquisition/unheard/of" in accounts.unaccounted(path, session, more)
