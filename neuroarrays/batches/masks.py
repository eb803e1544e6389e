"""Masks of an area: which values of a batch are known. An unknown one must not look like 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.fields import Field, field_of

#: True where values are to be trusted.
VALID = (schema.VALID, schema.VALID_UNITS)
#: True where a competition blanked values: the responses; running and pupil.
WITHHELD, BEHAVIOR_WITHHELD = schema.WITHHELD, "behavior_withheld"


@dataclass(frozen=True)
class Mask:
    """A mask as a field.

    Attributes
    ----------
    field : Field
        Its rows.
    dims : tuple of str
        Its dimensions, that of the rows first.
    known : bool
        What it is where a value is known.
    """

    field: Field
    dims: tuple[str, ...]
    known: bool

    def blank(self, values: np.ndarray, out: np.ndarray, dims: Sequence[str]) -> None:
        """Write NaN into the values of a batch where they are not known.

        Parameters
        ----------
        values : (n, ...) bool
            The mask's own values in the batch.
        out : (n, ...) float
            The values of a variable there; changed.
        dims : sequence of str
            The variable's dimensions, that of the rows first. In a batch of clips there is one
            more axis in front, of both.
        """
        unknown = ~values if self.known else values
        if not unknown.any():
            return
        order, there = self.layout(dims, out.ndim)
        ordered = unknown.transpose(order)
        sizes = iter(ordered.shape)
        np.copyto(out, np.nan, where=ordered.reshape([next(sizes) if yes else 1 for yes in there]))

    def layout(self, dims: Sequence[str], n_axes: int) -> tuple[list[int], list[bool]]:
        """How the mask's values in a batch lie along those of a variable.

        Parameters
        ----------
        dims : sequence of str
            The variable's dimensions, as for `blank`.
        n_axes : int
            Number of axes of its values in the batch.

        Returns
        -------
        order : list of int
            Axes of the mask in the order of the variable's.
        there : list of bool
            Which axes of the variable the mask has.
        """
        front = ("",) * (n_axes - len(dims))
        mask_dims, value_dims = (*front, *self.dims), (*front, *dims)
        order = [mask_dims.index(dim) for dim in value_dims if dim in mask_dims]
        return order, [dim in mask_dims for dim in value_dims]


def masks_of(area: xr.DataTree, dim: str, location: str) -> dict[str, Mask]:
    """The masks of an area along a dimension.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    dim : str
        The dimension whose rows are gathered.
    location : str
        Session and area, for errors.

    Returns
    -------
    dict of Mask
        Those it has, by name. What is masked unit by unit is read with each batch; the others are
        small and stay in memory.
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
    """The masks that tell which values of a variable are known.

    Parameters
    ----------
    name : str
        Its path below the area.
    dims : sequence of str
        Its dimensions.
    masks : mapping of str to Mask
        Those of the area.

    Returns
    -------
    list of str
        Their names.
    """
    behavior = name == "speed" or name.startswith(f"{schema.PUPIL}/")
    asked = {WITHHELD: schema.UNIT in dims, BEHAVIOR_WITHHELD: behavior}
    return [
        key for key, mask in masks.items() if asked.get(key, True) and set(mask.dims) <= set(dims)
    ]
