"""Importing stays light. When one of these fails, move the import into the function that needs it."""

import subprocess
import sys

from neuroarrays.formats.registry import FORMATS

#: Loaded by xarray itself, so only forbidden where nothing of xarray is needed.
XARRAY = {"xarray", "numpy", "pandas"}
HEAVY = {
    "h5py",
    "hdf5plugin",
    "h5netcdf",
    "netCDF4",
    "zarr",
    "numcodecs",
    "dask",
    "numba",
    "torch",
    "matplotlib",
    "scipy",
    "panel",
    "bokeh",
}


def loaded_by(code):
    """Top-level packages in memory after some code in a fresh process."""
    code += "\nimport sys; print(' '.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.split())


def test_the_package_loads_nothing_heavy():
    assert loaded_by("import neuroarrays") & (HEAVY | XARRAY) == set()


def test_readers_alignment_and_batches_load_nothing_heavy():
    modules = sorted({format_.reader.partition(":")[0] for format_ in FORMATS})
    modules += ["neuroarrays.alignment", "neuroarrays.batches"]
    code = "import xarray\n" + "".join(f"import {module}\n" for module in modules)
    extra = loaded_by(code) - loaded_by("import xarray")
    assert extra & HEAVY == set(), "a module of these imports something heavy where it is loaded"


def test_listing_engines_costs_others_nothing():
    """Every user of xarray loads our entry points."""
    code = "import xarray; engines = xarray.backends.list_engines()"
    ours = "; ".join(f"engines.pop({format_.name!r}, None)" for format_ in FORMATS)
    without = "import xarray.backends.plugins as p; f = p.entry_points\n"
    without += "p.entry_points = lambda **k: [e for e in f(**k) if 'neuroarrays' not in e.value]\n"
    assert loaded_by(f"{code}; {ours}") - loaded_by(without + code) <= {"neuroarrays", "fnmatch"}


def test_a_public_name_loads_only_its_home():
    code = "import neuroarrays as na; na.FormatError, na.open_datatree, na.validate"
    assert loaded_by(code) & (HEAVY - {"dask", "scipy"}) == set()
