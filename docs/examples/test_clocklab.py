"""The Clock Lab's reader: the suite that every reader inherits, and this format's quirks."""

import json
from typing import ClassVar

import numpy as np
import pytest
from clocklab import ClockLabReader

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.testing import ReaderTests


def write_folder(folder, subject="rat-2"):
    """A session as the lab's own program writes it."""
    (folder / "CA1").mkdir(parents=True)
    about = {"lab": "Clock Lab", "sampling_rate": 30000, "subject": subject}
    (folder / "session.json").write_text(json.dumps(about))
    np.save(folder / "CA1" / "spike_samples.npy", np.array([3, 30000, 105000, 45000, 1799100]))
    np.save(folder / "CA1" / "spike_counts.npy", np.array([3, 2]))
    np.save(folder / "wheel.npy", np.array([0, 1.5, 2.5, 0], "f4"))
    np.save(folder / "wheel_samples.npy", np.array([0, 600, 1200, 1800]))
    return folder


class TestClockLab(ReaderTests):
    reader = ClockLabReader
    options: ClassVar = {"sampling_rate": 25000.0}
    values: ClassVar = {  # read with numpy
        ("day1/CA1/spikes", "spike_times", 0): 0.0001,
        ("day1/CA1/spikes", "spike_times", 4): 59.97,
        ("day1/CA1/spikes", "row_size", 1): 2,
        ("day1/running", "speed", 2): 2.5,
        ("day1/running", "time", 3): 0.06,
        ("day1/observed", "stop_time", 0): 59.97,
    }

    def path(self, folder):
        return write_folder(folder / "day1")


def test_a_folder_of_sessions_is_one_tree(tmp_path):
    for day in ("day1", "day2"):
        write_folder(tmp_path / day)
    np.save(tmp_path / "day2" / "CA1" / "spike_counts.npy", np.array([3, 1]))
    with pytest.raises(FormatError, match=r"spike_counts\.npy: expected a sum of 5.*found 4"):
        na.open_datatree(tmp_path, engine=ClockLabReader)
    tree = na.open_datatree(tmp_path, engine=ClockLabReader, skip_damaged=True)
    assert list(tree.children) == ["day1"]
    assert "day2 left out" in tree.attrs["notes"][0]
