"""Files of the (imaginary) Grid Lab: one HDF5 file per session, spikes and gratings.

In a file::

    /                   attribute lab = "Grid Lab", subject
    /<area>/times       (spike,) s, unit after unit
    /<area>/counts      (unit,) spikes of each unit
    /<area>/depth       (unit,) um
    /gratings/on, off   (trial,) s
    /gratings/angle     (trial,) degrees
"""

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.indexes import dataset

#: Columns of /gratings -> names in the tree.
COLUMNS = {"on": "start_time", "off": "stop_time", "angle": "orientation"}


class GridLabReader(Reader):
    """Reads sessions of the Grid Lab."""

    name = "gridlab"
    description = "Sessions of the Grid Lab, HDF5"

    def recognise(self, probe):
        return probe.attrs.get("lab") == "Grid Lab"

    def open_session(self, session, name, request):
        file = session.source
        nodes = {
            "": xr.Dataset(attrs={"subject": str(file.attrs("/").get("subject", ""))}),
            "presentations/gratings": gratings(file),
        }
        areas = [name for name in file.names("/") if name != "gratings"]
        return nodes | {f"{area}/spikes": spikes(file, area) for area in areas}


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
