"""Files of the (imaginary) Grid Lab: one HDF5 file per session, spikes and gratings.

In a file::

    /                   attribute lab = "Grid Lab", subject
    /<area>/times       (spike,) s, unit after unit
    /<area>/counts      (unit,) spikes of each unit
    /<area>/depth       (unit,) um
    /gratings/on, off   (trial,) s
    /gratings/angle     (trial,) degrees
"""

from pathlib import Path

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import opening
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.observed import complete

#: Columns of /gratings -> names in the tree.
COLUMNS = {"on": "start_time", "off": "stop_time", "angle": "orientation"}


class GridLabReader(Reader):
    """Reads sessions of the Grid Lab."""

    name = "gridlab"
    description = "Sessions of the Grid Lab, HDF5"

    def guess_can_open(self, filename_or_obj):
        try:
            path = Path(filename_or_obj)
            return opening.is_hdf5(path) and (
                opening.open_source(path).attrs("/").get("lab") == "Grid Lab"
            )
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def open_groups(self, filename_or_obj, request):
        file = opening.open_source(filename_or_obj)
        session = Path(filename_or_obj).stem
        request.sessions([session])  # refuses a name that is not there
        found = [name for name in file.names("/") if name != "gratings"]
        wanted = request.areas(found)
        nodes = {f"{area}/spikes": spikes(file, area) for area in found}
        # All areas say when the session was recorded, also those that nobody asked for.
        nodes = complete({"presentations/gratings": gratings(file)} | nodes)
        groups = {
            "/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source=self.name)),
            session: xr.Dataset(attrs={"subject": str(file.attrs("/").get("subject", ""))}),
        }
        for path, node in nodes.items():
            area = path.partition("/")[0]
            if area in wanted or area not in found:
                groups[f"{session}/{path}"] = node
        return groups


def spikes(file, area):
    """The spikes node of an area; spike times stay in the file."""
    times = file_array(file, f"{area}/times")
    sizes = file.read(f"{area}/counts").astype(np.int64)
    if sizes.sum() != times.shape[0]:
        raise FormatError(
            file.path,
            f"{area}/counts",
            expected=f"a sum of {times.shape[0]}, the number of spikes",
            found=str(sizes.sum()),
        )
    depth = file_array(file, f"{area}/depth").variable(["unit_id"], {"units": "um"})
    return dataset(
        {
            "spike_times": schema.var("spikes", "spike_times", wrap(times)),
            "row_size": schema.var("spikes", "row_size", sizes, sample_dimension="spike"),
        },
        {"unit_id": xr.Variable("unit_id", np.arange(sizes.size)), "depth": depth},
    )


def gratings(file):
    """The table of presentations."""
    columns = {
        name: schema.var(
            "table", name, wrap(file_array(file, f"gratings/{stored}")), ("presentation_id",)
        )
        for stored, name in COLUMNS.items()
    }
    rows = columns["start_time"].size
    return dataset(columns, {"presentation_id": xr.Variable("presentation_id", np.arange(rows))})
