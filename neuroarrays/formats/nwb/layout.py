"""Keys of the description that `na.to_nwb` adds to a file, so that the tree can be rebuilt from it.

The description is a JSON text in ``/scratch``. For each variable of each node it tells where the file
has the values, and what NWB cannot store: names of dimensions, which columns of an array belong to
which variable, attributes, and a few values.
"""

from __future__ import annotations

#: Path of the description in the file.
DESCRIPTION_PATH = "scratch/neuroarrays"
VERSION = 1
#: Its parts: attributes of the session, its nodes, all datasets that were written, parts left out.
ATTRS, NODES, DATASETS, LEFT_OUT = "attrs", "nodes", "datasets", "left_out"
#: Keys of a node: its variables, and the area that the node belongs to.
VARIABLES, AREA = "variables", "area"
#: Keys of a variable, of which it has one: the dataset of its values; the series with its regular
#: clock; the rows of units whose spike times, spike counts or observed stretches it has; the values.
AT, CLOCK, TRAINS, SIZES, STRETCHES, VALUES = (
    "at",
    "clock",
    "trains",
    "sizes",
    "stretches",
    "values",
)
#: A further key of values of spikes: the number of rows of the dataset for one spike.
BLOCK = "block"
#: Further keys of a variable: rows of the dataset [first, end), column, dimensions, whether it is a
#: coordinate, dtype and shape of values, the number of stretches of each unit.
ROWS, COLUMN, DIMS, COORD, DTYPE, SHAPE = "rows", "column", "dims", "coord", "dtype", "shape"
WIDTH = "width"
