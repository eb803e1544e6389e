"""Masks of an area tell which values of a batch are known, so that an unknown value does not look like 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.fields import Field, field_of

#: Names of masks that are True where values can be trusted.
VALID = (schema.VALID, schema.VALID_UNITS)
#: Masks that are True where a competition withholds values: of the responses; of running and pupil.
WITHHELD, BEHAVIOR_WITHHELD = schema.WITHHELD, "behavior_withheld"


@dataclass(frozen=True)
class Mask:
    """A mask as a field.

    Attributes
    ----------
    field : Field
        The rows of the mask.
    dims : tuple of str
        Dimensions of the mask, the dimension of the rows first.
    known : bool
        The value of the mask where a value is known.
    """

    field: Field
    dims: tuple[str, ...]
    known: bool

    def blank(self, values: np.ndarray, out: np.ndarray, dims: Sequence[str]) -> None:
        """Write NaN into a variable of a batch where it is not known.

        Parameters
        ----------
        values : (n, ...) bool
            Values of the mask in the batch.
        out : (n, ...) float
            Values of the variable in the batch, in any unit; they are changed.
        dims : sequence of str
            Dimensions of the variable, the dimension of the rows first. In a batch of clips, both
            the mask and the variable have one more axis in front.
        """
        unknown = ~values if self.known else values
        if not unknown.any():
            return
        order, shared = self.layout(dims, out.ndim)
        ordered = unknown.transpose(order)
        sizes = iter(ordered.shape)
        shape = [next(sizes) if is_shared else 1 for is_shared in shared]
        np.copyto(out, np.nan, where=ordered.reshape(shape))

    def layout(self, dims: Sequence[str], n_axes: int) -> tuple[list[int], list[bool]]:
        """Return how the axes of the mask in a batch match those of a variable.

        Parameters
        ----------
        dims : sequence of str
            Dimensions of the variable, as for `blank`.
        n_axes : int
            Number of axes of the variable in the batch.

        Returns
        -------
        order : list of int
            Axes of the mask, in the order of those of the variable.
        shared : list of bool
            For each axis of the variable, whether the mask has it too.
        """
        front = ("",) * (n_axes - len(dims))
        mask_dims, value_dims = (*front, *self.dims), (*front, *dims)
        order = [mask_dims.index(dim) for dim in value_dims if dim in mask_dims]
        return order, [dim in mask_dims for dim in value_dims]


def masks_of(area: xr.DataTree, dim: str, location: str) -> dict[str, Mask]:
    """Return the masks of an area along a dimension.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    dim : str
        The dimension whose rows are gathered.
    location : str
        Session and area, for error messages.

    Returns
    -------
    dict of Mask
        The masks of the area, by name. Masks with an axis of units are read for each batch; the
        others are small and stay in memory.
    """
    masks = {}
    variables = area.to_dataset().variables
    for name in (*VALID, WITHHELD, BEHAVIOR_WITHHELD):
        array = variables.get(name)
        if array is not None and dim in array.dims and array.dtype == bool:
            dims = (dim, *(str(d) for d in array.dims if d != dim))
            keep = schema.UNIT not in dims
            field = field_of(array, dim, f"{location}: {name}", keep)
            masks[name] = Mask(field, dims, name in VALID)
    return masks


def masks_for(name: str, dims: Sequence[str], masks: Mapping[str, Mask]) -> list[str]:
    """Return the names of the masks that tell which values of a variable are known.

    Parameters
    ----------
    name : str
        Path of the variable below the area.
    dims : sequence of str
        Dimensions of the variable.
    masks : mapping of str to Mask
        The masks of the area.
    """
    is_behavior = name == "speed" or name.startswith(f"{schema.PUPIL}/")
    applies = {WITHHELD: schema.UNIT in dims, BEHAVIOR_WITHHELD: is_behavior}
    return [
        key for key, mask in masks.items() if applies.get(key, True) and set(mask.dims) <= set(dims)
    ]
