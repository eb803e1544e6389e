"""`Normalize`, the normalisation of tensors by the statistics of `neuroarrays.batches.Scaling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import xarray as xr

from neuroarrays.batches.base import Batch
from neuroarrays.batches.scaling import Scaling
from neuroarrays.batches.scaling import scale as scale_array


@dataclass(frozen=True)
class Normalize:
    """Subtract a mean and divide by a standard deviation: a transform of batches.

    Attributes
    ----------
    mean : dict of str to () or (last axis,) float64 tensor
        The mean of each variable in its unit; it broadcasts against the last axes of the variable.
    std : dict of str to () or (last axis,) float64 tensor
        The standard deviation of each variable, in the same way.
    stated : str
        The samples of the statistics, and the rule.
    raw : dict of str to () or (last axis,) float64 tensor
        The standard deviations, before values of 0 became 1, in the unit of the variable.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.torch.TrialDataset(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> data.transform = na.torch.Normalize.fit(data, ["spike_data"])
    >>> round(float(data.batch(range(len(data)))["spike_data"].std()), 3)
    1.0
    """

    mean: dict[str, torch.Tensor]
    std: dict[str, torch.Tensor]
    stated: str
    raw: dict[str, torch.Tensor] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Batch:
        for name, mean in self.mean.items():
            if name in batch:
                values = batch[name]
                if not values.is_floating_point():
                    msg = f"{name} has dtype {values.dtype}; make the dataset with a float dtype"
                    raise ValueError(msg)
                scale(values, mean, 1 / self.std[name])
        return batch

    @classmethod
    def fit(
        cls,
        samples: Any,
        names: Sequence[str],
        *,
        per_unit: bool = False,
        center: bool = True,
        ddof: int = 1,
        split: str = "train",
    ) -> Normalize:
        """Compute the statistics of a dataset in float64, batch by batch; NaN is left out.

        Parameters
        ----------
        samples : dataset
            The samples for the statistics, usually one side of a split, without a transform.
        names : sequence of str
            Variables; each is normalised separately.
        per_unit : bool
            If True, one mean and deviation for each position on the last axis, instead of one for
            all.
        center : bool
            If True, subtract the mean.
        ddof : int
            Divide the sum of squares by the number of values minus this.
        split : str
            Name of the samples, for `stated`.

        Returns
        -------
        Normalize
            The transform; constant values are divided by 1.

        Raises
        ------
        ValueError
            If a variable is NaN in all samples, or infinite in one.
        """
        return cls._of(
            Scaling.fit(samples, names, per_unit=per_unit, center=center, ddof=ddof, split=split)
        )

    @classmethod
    def stored(cls, area: xr.DataTree, names: Sequence[str], scope: str = "all") -> Normalize:
        """Use the statistics that are stored with the data, by the rule of neuralpredictors.

        Parameters
        ----------
        area : DataTree node
            An area with the node ``statistics/<scope>`` (SENSORIUM).
        names : sequence of str
            Variables, as in a batch: ``responses``, ``speed``, ``pupil/dilation``, ``stimulus``.
        scope : str
            The stimuli of the statistics: "all" kinds, or one kind.

        Returns
        -------
        Normalize
            The transform. Responses are divided and not centred. A deviation below 1 % of the mean
            deviation (a silent unit) is replaced by that value; the mean is over all units of the
            session, selected or not. For other variables a deviation of 0 becomes 1. NaN where a
            statistic is NaN.

        Raises
        ------
        NotInTree
            If the statistic does not exist.
        """
        return cls._of(Scaling.stored(area, names, scope))

    @classmethod
    def _of(cls, scaling: Scaling) -> Normalize:
        """Return the same normalisation with tensors."""
        mean, std, raw = (
            {name: torch.as_tensor(values) for name, values in table.items()}
            for table in (scaling.mean, scaling.std, scaling.raw)
        )
        return cls(mean, std, scaling.stated, raw)


def scale(values: torch.Tensor, mean: torch.Tensor, factor: torch.Tensor) -> None:
    """Subtract and multiply in place, in the memory of the batch.

    Parameters
    ----------
    values : (...) float tensor
        Values in the unit of `mean`; they are changed, and have no unit afterwards.
    mean, factor : (...) tensor
        Mean in the unit of `values`, and factor in 1 over this unit; they broadcast against the
        last axes of `values`.
    """
    if values.device.type == "cpu":  # numpy: to start the threads of torch takes longer than this
        scale_array(values.numpy(), mean.numpy(), factor.numpy())
    else:
        values.sub_(mean.to(values)).mul_(factor.to(values))
