"""The datasets of `neuroarrays.batches` with tensors, for torch's loaders."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from neuroarrays.batches.aligned import ClipSamples, TrialSamples
from neuroarrays.batches.base import Batch, Samples, check_samples
from neuroarrays.batches.composites import RepeatSamples, StackedSamples
from neuroarrays.batches.tokens import SpikeEventSamples
from neuroarrays.batches.windows import SpikeWindowSamples
from neuroarrays.torch.transfer import page_locked, tensor_of


class Tensors(Samples, Dataset[Batch]):
    """The base of datasets whose batches have tensors, which use the gathered memory without a copy."""

    def delivered(self, values: np.ndarray) -> torch.Tensor:
        return tensor_of(values)

    def pin(self) -> None:
        """Gather into page-locked memory, which a GPU reads directly, from the next batch on.

        Torch reuses this memory: only torch knows when the last copy of a dropped batch has ended.
        """
        self.gather_into(page_locked)

    def gather_into(self, memory: Callable[[int], np.ndarray]) -> None:
        """Gather into the memory that `memory(size)` returns, (size,) uint8, from the next batch on."""
        for gatherer in self.gatherers():
            gatherer.buffers.elsewhere = memory


def each(dataset: Any, method: str, *arguments: Any) -> list[Any]:
    """Call a method of a dataset, or of the datasets inside torch's `Subset` and others.

    Returns
    -------
    list
        The result of each call.
    """
    if hasattr(dataset, method):
        return [getattr(dataset, method)(*arguments)]
    parts = [dataset.dataset] if hasattr(dataset, "dataset") else getattr(dataset, "datasets", [])
    return [result for part in parts for result in each(part, method, *arguments)]


def check_dataset(dataset: Any) -> None:
    """Check that an argument is a dataset of this module.

    Raises
    ------
    TypeError
        If it is not; the message shows how to make one.
    """
    check_samples(dataset, Tensors, "na.torch.TrialDataset(area, ['spike_data'])")


#: The samples of numpy arrays -> the dataset of tensors.
_NAMES = {
    "TrialSamples": "TrialDataset",
    "ClipSamples": "ClipDataset",
    "SpikeEventSamples": "SpikeEventDataset",
    "SpikeWindowSamples": "SpikeWindowDataset",
    "RepeatSamples": "RepeatDataset",
    "StackedSamples": "Stack",
    "Scaling": "Normalize",
}


def _of_tensors(samples: type) -> str:
    """The docstring of a class of samples, with the names that its dataset of tensors has."""
    text = samples.__doc__ or ""
    for name, ours in _NAMES.items():
        text = text.replace(f"na.batches.{name}", f"na.torch.{ours}")
        text = re.sub(rf"\b{name}\b", ours, text)
    return text


class TrialDataset(Tensors, TrialSamples):  # noqa: D101
    __doc__ = _of_tensors(TrialSamples)


class ClipDataset(Tensors, ClipSamples):  # noqa: D101
    __doc__ = _of_tensors(ClipSamples)


class SpikeEventDataset(Tensors, SpikeEventSamples):  # noqa: D101
    __doc__ = _of_tensors(SpikeEventSamples)


class SpikeWindowDataset(Tensors, SpikeWindowSamples):  # noqa: D101
    __doc__ = _of_tensors(SpikeWindowSamples)


class RepeatDataset(Tensors, RepeatSamples):  # noqa: D101
    __doc__ = _of_tensors(RepeatSamples)

    @staticmethod
    def mean(repeats: torch.Tensor) -> torch.Tensor:
        return repeats.nanmean(1)


class Stack(Tensors, StackedSamples):  # noqa: D101
    __doc__ = _of_tensors(StackedSamples)

    def __init__(self, datasets: Sequence[Any]):
        datasets = list(datasets)
        for dataset in datasets:
            check_dataset(dataset)
        super().__init__(datasets)

    @staticmethod
    def joined(parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts)
