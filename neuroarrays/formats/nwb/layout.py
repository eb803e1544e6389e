"""What `na.to_nwb` says in a file of the tree that it wrote, beside what NWB itself says.

A text in ``/scratch`` holds as JSON, for each node of the tree, where the values of each variable
stand in the file, its dimensions and attributes: names of dimensions, several columns that NWB keeps
in one array, attributes and a few values for which NWB has no place.
"""

from __future__ import annotations

#: Where the text stands.
TOLD = "scratch/neuroarrays"
VERSION = 1
#: Its parts: attributes of the session, its nodes, all datasets that were written, what was left out.
ATTRS, NODES, DATASETS, LEFT_OUT = "attrs", "nodes", "datasets", "left_out"
#: Of a node: its variables, and the area that is to be asked for to see it.
VARIABLES, AREA = "variables", "area"
#: Of a variable, one of these: the dataset of its values; the series of a regular clock; rows of the
#: units whose spikes, or numbers of spikes, or stretches of observation they are; the values themselves.
AT, CLOCK, TRAINS, SIZES, STRETCHES, VALUES = (
    "at",
    "clock",
    "trains",
    "sizes",
    "stretches",
    "values",
)
#: Besides, of values of spikes: how many rows of the dataset are of one spike, where that is stated.
BLOCK = "block"
#: Besides: rows of the dataset [first, end), column, dimensions, whether it is a
#: coordinate, dtype and shape of values, the number of stretches of each unit.
ROWS, COLUMN, DIMS, COORD, DTYPE, SHAPE = "rows", "column", "dims", "coord", "dtype", "shape"
WIDTH = "width"
