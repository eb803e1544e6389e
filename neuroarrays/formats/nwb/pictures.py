"""Pictures that a file stores one by one, in containers `Images` of NWB, as frames of a stimulus.

A container has a dataset for each picture, (y, x) or (y, x, colour), and may state their order
(`order_of_images`). An `IndexSeries` tells which picture was shown when.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.pictures import Pictures
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import columns, decode
from neuroarrays.formats.nwb.account import Account, printable, unreadable
from neuroarrays.formats.nwb.external import picture_of
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.computed import Movie
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Stacked, Taken

#: Groups that may have containers of pictures, and the dataset with the order of the pictures.
_ROOTS = ("stimulus/templates", "stimulus/presentation")
_ORDER = "order_of_images"
#: Name of the variable, and of the label along `frame` with the name of each picture.
IMAGES, IMAGE_NAME = "images", "image_name"


def picture_nodes(account: Account) -> dict[str, xr.Dataset]:
    """Return a lazy node ``stimulus/<container>`` for each container of pictures."""
    source, nodes = account.source, dict[str, xr.Dataset]()
    for root in _ROOTS:
        for name in source.names(root) if source.exists(root) else ():
            path = f"{root}/{name}"
            if source.link(path) is None and source.attr(path, "neurodata_type") == "Images":
                with account.step(path):
                    nodes[f"{schema.STIMULUS}/{decode.clean(name)}"] = _node(account, path)
    return nodes


def _node(account: Account, path: str) -> xr.Dataset:
    """Return pictures of one shape as ``images (frame, ...)``, and others each under its name."""
    pictures: dict[str, LazyArray] = {}
    for name in _in_order(account, path):
        info = account.source.info(f"{path}/{name}")
        if reason := unreadable(info):
            account.leave(f"{path}/{name}", f"no picture: {reason}")
            continue
        with account.step(f"{path}/{name}"):
            pictures[name] = _picture(account.source, f"{path}/{name}")
            account.take(f"{path}/{name}")
    attrs = columns.description(account.source, path) | {"nwb_path": path}
    arrays = tuple(pictures.values())
    if len({(array.shape, array.dtype) for array in arrays}) == 1:
        stack = Stacked(arrays, (len(arrays),))
        dims = (schema.FRAME, *(f"{IMAGES}_axis{i}" for i in range(1, stack.ndim)))
        names = np.array([*map(printable, pictures), None], object)[:-1]
        images = schema.var("stimulus", IMAGES, wrap(stack), dims, **attrs)
        return dataset({IMAGES: images}, {IMAGE_NAME: xr.Variable(schema.FRAME, names)})
    variables = {}
    for name, array in pictures.items():
        label = columns.free(name)
        dims = tuple(f"{label}_axis{i}" for i in range(array.ndim))
        variables[label] = schema.var("stimulus", label, wrap(array), dims, **attrs)
    return dataset(variables)


def _picture(source: Source, path: str) -> LazyArray:
    """Return one picture, (y, x) or (y, x, colour), from the file or from a file that it names.

    Raises
    ------
    FormatError
        If the named file cannot be read.
    """
    if not source.known(path).text:
        return file_array(source, path)
    (name,) = np.ravel(source.read(path)).tolist() or [""]
    return Taken(Movie(Pictures((picture_of(source, path, str(name)),))), 0)


def _in_order(account: Account, path: str) -> list[str]:
    """Return the names of the pictures of a container in its order, or in that of the file."""
    source = account.source
    names = [name for name in source.names(path) if name != _ORDER]
    if source.info(f"{path}/{_ORDER}") is None:
        return names
    with account.step(f"{path}/{_ORDER}"):
        stated = [
            str(target).rpartition("/")[2] for target in source.read(f"{path}/{_ORDER}").tolist()
        ]
        account.take(f"{path}/{_ORDER}")
        if sorted(stated) == sorted(names):
            return stated
        account.remark(
            f"{path}/{_ORDER}",
            f"names {len(stated)} pictures, there are {len(names)}: they are as they stand in the file",
        )
    return names
