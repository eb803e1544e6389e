"""Importing stays light. When one of these fails, move the import into the function that needs it."""

import json
import subprocess
import sys

import pytest

from neuroarrays.formats.registry import FORMATS

#: Loaded by xarray itself, so only forbidden where nothing of xarray is needed.
XARRAY = {"xarray", "numpy", "pandas"}
HEAVY = {
    "h5py",
    "hdf5plugin",
    "h5netcdf",
    "netCDF4",
    "zarr",
    "zstandard",
    "numcodecs",
    "dask",
    "numba",
    "torch",
    "matplotlib",
    "scipy",
    "panel",
    "bokeh",
}


def loaded_after(*steps):
    """Top-level packages in memory after each of several steps of one fresh process."""
    tell = "told.append(sorted({m.partition('.')[0] for m in sys.modules}))"
    lines = [line for step in steps for line in (step, tell)]
    code = "\n".join(["import json, sys", "told = []", *lines, "print(json.dumps(told))"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return [set(names) for names in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def loaded():
    """What is loaded after the package, then xarray, then all readers, then a few public names."""
    modules = sorted({format_.reader.partition(":")[0] for format_ in FORMATS})
    modules += ["neuroarrays.alignment", "neuroarrays.batches"]
    steps = {
        "package": "import neuroarrays",
        "xarray": "import xarray",
        "readers": "\n".join(f"import {module}" for module in modules),
        "names": "import neuroarrays as na; na.FormatError, na.open_datatree, na.validate",
    }
    return dict(zip(steps, loaded_after(*steps.values()), strict=True))


def test_the_package_loads_nothing_heavy(loaded):
    assert loaded["package"] & (HEAVY | XARRAY) == set()


def test_readers_alignment_and_batches_load_nothing_heavy(loaded):
    extra = loaded["readers"] - loaded["xarray"]
    assert extra & HEAVY == set(), "a module of these imports something heavy where it is loaded"


def test_listing_engines_costs_others_nothing():
    """Every user of xarray loads our entry points."""
    without = "import xarray.backends.plugins as p; f = p.entry_points\n"
    without += "p.entry_points = lambda **k: [e for e in f(**k) if 'neuroarrays' not in e.value]\n"
    without += "p.list_engines()"
    ours = "p.entry_points = f; p.refresh_engines(); engines = p.list_engines()\n"
    ours += "\n".join(f"del engines[{format_.name!r}]" for format_ in FORMATS)
    before, after = loaded_after(without, ours)
    assert after - before <= {"neuroarrays", "fnmatch"}


def test_a_public_name_loads_only_its_home(loaded):
    assert loaded["names"] & (HEAVY - {"dask", "scipy"}) == set()
