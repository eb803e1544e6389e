"""What every reader gets from its base."""

import re
from pathlib import Path

import numpy as np
import xarray as xr

import neuroarrays.formats
from neuroarrays.formats.groups import apart


def test_a_series_called_like_an_area_is_a_node_of_its_own():
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    clock, other = ({"time": np.arange(n) / 1.0} for n in (4, 20))
    groups = {
        "/": root,
        "a": xr.Dataset(),
        "a/x": xr.Dataset({"x": ("time", np.zeros(4))}, clock),
        "a/x/rrs": xr.Dataset({"rrs": (("time", "unit_id"), np.zeros((20, 3)))}, other),
    }
    made = apart(groups)
    tree = xr.DataTree.from_dict(made)
    assert tree["a/x_series"].sizes["time"] == 4
    assert tree["a/x/rrs"].sizes["time"] == 20
    assert tree["a"].attrs["notes"] == ["a/x is called x_series: a/x/rrs has another clock"]
    del groups["a/x/rrs"]
    assert apart(groups) is groups


def test_readers_do_not_ask_the_file_system():
    asks = re.compile(
        r"os\.(path|stat|lstat|listdir|scandir|walk|open)\b|\bimport (glob|shutil|zipfile)\b"
        r"|\bPath\(|\bh5py\.File\(|(?<![\w.])open\(|\.iterdir\(|\.is_(dir|file)\(\)|\.exists\(\)"
    )
    top = Path(neuroarrays.formats.__path__[0])
    files = [path for path in top.rglob("*.py") if path.name != "writing.py"]
    assert len(files) > 50
    found = [
        (f.name, line) for f in files for line in f.read_text().splitlines() if asks.search(line)
    ]
    assert found == []
