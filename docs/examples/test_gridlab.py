"""The Grid Lab's reader: the suite that every reader inherits, and this format's quirks."""

from typing import ClassVar

import h5py
import numpy as np
import pytest
from gridlab import GridLabReader

from neuroarrays.errors import FormatError
from neuroarrays.testing import ReaderTests


def write_session(path):
    """A file as the lab's own program writes it; in earnest, a cut of a real one."""
    with h5py.File(path, "w") as file:
        file.attrs["lab"] = "Grid Lab"
        file.attrs["subject"] = "mouse-7"
        file["V1/times"] = np.array([0.0125, 1.0, 3.5, 1.5, 59.97])
        file["V1/counts"] = np.array([3, 2], "u4")
        file["V1/depth"] = np.array([120.0, 340.0])
        file["gratings/on"] = np.array([0.5, 1.5, 2.5])
        file["gratings/off"] = np.array([1.0, 2.0, 3.0])
        file["gratings/angle"] = np.array([0.0, 45.0, 90.0])
    return path


class TestGridLab(ReaderTests):
    reader = GridLabReader
    values: ClassVar = {  # read with h5dump
        ("session/V1/spikes", "spike_times", 0): 0.0125,
        ("session/V1/spikes", "spike_times", 4): 59.97,
        ("session/V1/spikes", "row_size", 0): 3,
        ("session/V1/spikes", "row_size", 1): 2,
        ("session/V1/spikes", "depth", 1): 340.0,
        ("session/presentations/gratings", "start_time", 0): 0.5,
        ("session/presentations/gratings", "orientation", 2): 90.0,
        ("session/observed", "start_time", 0): 0.0125,
        ("session/observed", "stop_time", 0): 59.97,
    }

    def path(self, folder):
        return write_session(folder / "session.h5")


def test_counts_that_do_not_add_up_are_named(tmp_path):
    path = write_session(tmp_path / "session.h5")
    with h5py.File(path, "r+") as file:
        file["V1/counts"][0] = 4
    with pytest.raises(FormatError, match=r"session\.h5:V1/counts: expected a sum of 5.*found 6"):
        GridLabReader().open_datatree(path)
