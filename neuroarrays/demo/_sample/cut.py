"""Cut the bundled sample out of the original A2929-200711 recording.

Run as ``python cut.py ORIGINAL.nwb A2929-200711.nwb``. Needs h5py only.

Everything is copied as it stands (paths, attributes, soft links, object references, dtypes, bits), with
four differences, which the README beside this file also states:

* the tracking series (``/acquisition/CompassDirection/*``, ``/acquisition/Position/*``) keep every second
  sample, 0, 2, 4, ..., 63526 (first and last sample included), so 120 Hz becomes 60 Hz;
* the six timestamps datasets of these series are identical, and become one dataset with six hard links;
* ``/specifications`` (the cached NWB schema) and the attribute ``.specloc`` that points at it are dropped;
* ``/general/notes`` is added and says all this.
"""

import hashlib
import sys
from pathlib import Path

import h5py
import numpy as np

ORIGINAL_SHA256 = "a329216d2108dac0fff3fd3326c99f52f1bec6c354c2cdb330978e558caeb1f2"
TRACKING = tuple(f"/acquisition/CompassDirection/{axis}" for axis in ("rx", "ry", "rz")) + tuple(
    f"/acquisition/Position/{axis}" for axis in ("x", "y", "z")
)
STEP = 2  # keep samples 0, STEP, 2 * STEP, ... of the tracking series
CHUNK = 16384  # values per chunk of a compressed dataset
COMPRESS_ABOVE = 256  # datasets with fewer values stay contiguous
NOTES = (
    "Excerpt bundled with neuroarrays. All units, spikes, epochs and ripples are those of the original; "
    "tracking series keep every second sample (120 Hz to 60 Hz). See README.md beside the file."
)


def translate(source, target, value):
    """Return an attribute or dataset value whose object references point into `target`."""
    if isinstance(value, h5py.Reference):
        return target[source[value].name].ref
    if isinstance(value, np.ndarray) and h5py.check_ref_dtype(value.dtype) is not None:
        moved = np.empty(value.shape, dtype=value.dtype)
        for index in np.ndindex(value.shape):
            moved[index] = target[source[value[index]].name].ref
        return moved
    return value


def copy_dataset(dataset, parent, name):
    """Copy one dataset, values bit for bit; fill in references later."""
    path = dataset.name
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        parent.create_dataset(name, shape=dataset.shape, dtype=dataset.dtype)
        return
    if dataset.ndim == 0:
        parent.create_dataset(name, data=dataset[()], dtype=dataset.dtype)
        return
    values = dataset[:]
    if path.rpartition("/")[0] in TRACKING:
        values = values[::STEP]
    options = {}
    if values.size > COMPRESS_ABOVE and values.dtype.kind in "iuf":
        options = {
            "chunks": (min(CHUNK, values.shape[0]), *values.shape[1:]),
            "compression": "gzip",
            "compression_opts": 9,
            "shuffle": True,
        }
    parent.create_dataset(name, data=values, dtype=dataset.dtype, **options)


def copy_tree(source, target, path="/"):
    """Copy groups, datasets and links below `path`; attributes and references come afterwards."""
    for name in source[path]:
        child = f"{path.rstrip('/')}/{name}"
        if child == "/specifications":
            continue
        link = source[path].get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            target[child] = h5py.SoftLink(link.path)
        elif not isinstance(link, h5py.HardLink):
            raise TypeError(f"{child}: unexpected link {link!r}")
        elif isinstance(source[child], h5py.Group):
            target.create_group(child)
            copy_tree(source, target, child)
        elif name == "timestamps" and path in TRACKING[1:]:
            target[child] = target[f"{TRACKING[0]}/timestamps"]
        else:
            copy_dataset(source[child], target[path], name)


def copy_attributes(source, target):
    """Copy every attribute and every dataset of references."""
    names = ["/"]
    target.visit(names.append)
    for name in names:
        path = "/" + name.strip("/")
        if path not in source:
            raise KeyError(f"{path}: not in the original")
        old, new = source[path], target[path]
        for key in old.attrs:
            if key == ".specloc":
                continue
            new.attrs.create(
                key, translate(source, target, old.attrs[key]), dtype=old.attrs.get_id(key).dtype
            )
        if isinstance(old, h5py.Dataset) and h5py.check_ref_dtype(old.dtype) is not None:
            new[...] = translate(source, target, old[()])


def cut(original, out):
    """Write the excerpt of the file `original` to the new file `out`."""
    digest = hashlib.sha256(Path(original).read_bytes()).hexdigest()
    if digest != ORIGINAL_SHA256:
        raise ValueError(
            f"{original}: not the original, sha256 is {digest}, expected {ORIGINAL_SHA256}"
        )
    with (
        h5py.File(original, "r") as source,
        h5py.File(out, "w-", libver=("earliest", "v108")) as target,
    ):
        clock = source[f"{TRACKING[0]}/timestamps"][:]
        for series in TRACKING[1:]:
            other = source[f"{series}/timestamps"][:]
            if clock.tobytes() != other.tobytes():
                raise ValueError(f"{series}/timestamps: differs from that of {TRACKING[0]}")
        copy_tree(source, target)
        copy_attributes(source, target)
        target["general"].create_dataset("notes", data=NOTES, dtype=h5py.string_dtype())


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python cut.py ORIGINAL.nwb OUT.nwb")
    cut(sys.argv[1], sys.argv[2])
