"""Loaders with the batches of open-retina or neuralpredictors, for models written for these libraries.

``na.torch.loaders(tree, compat="openretina")``
    Batches are `DataPoint(inputs (B, C, T, H, W), targets (B, T, N))` float32. Validation clips are
    those of open-retina (drawn by `RandomState(seed)`, 42 unless given), and chunks run across clips
    and removed clips as there. The starts of chunks in an epoch equal those that its sampler draws
    after ``np.random.seed(seed)``, for one session alone.
``na.torch.loaders(tree, compat="neuralpredictors")``
    Batches are `DataPoint(images, responses[, behavior[, pupil_center]])`; for movies, `videos`,
    whole or in windows, instead of `images`. They are normalised as in neuralpredictors, by the
    statistics that are stored beside the data, which are those of the train tier: images are
    z-scored by one mean and deviation; responses are divided by the deviation of each neuron, or by
    1 % of the mean deviation if that is larger; behaviour is divided by its deviation; the pupil
    position is z-scored. `loader.dataset` has `neurons`, `trial_info` and `tiers`, which the models
    and scores of SENSORIUM read.

Some rules of these libraries are not what one would choose: a window may run across a removed clip.
Without `compat` no such rule is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import xarray as xr
from torch.utils.data import DataLoader

from neuroarrays.errors import NotInTree
from neuroarrays.torch.neuralpredictors import neuralpredictors
from neuroarrays.torch.openretina import openretina

#: The function that makes the loaders, by the library of `compat`.
WAYS: dict[str, Callable[..., dict[str, dict[str, Any]]]] = {
    "openretina": openretina,
    "neuralpredictors": neuralpredictors,
}
_OPEN, _BY_OURS = "na.open_datatree(path)", 'say normalize="train", or normalize=False'
#: What to do in the place of an option that their functions have: the tree is chosen from before.
_INSTEAD = {
    "openretina": {
        "neuron_data_dictionary": f"give the tree: {_OPEN}",
        "movies_dictionary": f"give the tree: {_OPEN}",
        "movies": f"give the tree: {_OPEN}",
        "responses": 'say targets=["responses"]',
    },
    "neuralpredictors": {
        "path": f"give the tree: {_OPEN}",
        "paths": "give the tree: na.open_datatree(paths)",
        "file_tree": f"the reader finds the layout: {_OPEN}",
        "overwrite_data_path": "nothing is unpacked, so nothing is overwritten: leave it out",
        "areas": "open them alone: na.open_datatree(path, areas=[...])",
        "layers": "select first: na.select_units(tree, \"layer == 'L2/3'\")",
        "neuron_ids": "select first: na.select_units(tree, 'unit_id in [1, 2]')",
        "neuron_n": "draw them, then tree.sel(unit_id=drawn)",
        "exclude_neuron_n": "draw them, then tree.sel(unit_id=drawn)",
        "neuron_base_seed": "draw them, then tree.sel(unit_id=drawn)",
        "image_ids": "select first: na.trials(tree, 'image_id in [1, 2]')",
        "image_condition": "select first: na.trials(tree, \"image_class == 'imagenet'\")",
        "image_n": "draw them, then tree.sel(presentation_id=drawn)",
        "image_base_seed": "draw them, then tree.sel(presentation_id=drawn)",
        "trial_idx_selection": "select first: na.trials(tree, 'trial_idx in [1, 2]')",
        "tier": 'take that side of the result: loaders["train"]',
        "get_key": 'the keys are the sessions: list(loaders["train"])',
        "cuda": "move batches to the GPU as they come, or keep all there: na.torch.OnDevice",
        "select_input_channel": (
            'cut it first: tree["SESSION/stimulus"] = tree["SESSION/stimulus"].isel(channel=[0])'
        ),
        "inputs_mean": _BY_OURS,
        "inputs_std": _BY_OURS,
        "include_trial_info_keys": "loader.dataset.trial_info has them all",
        "include_px_position": "add them in your model: loaders have no such channels",
        "image_reshape_list": "say scale=, the size over that of the files",
        "include_pupil_centers": "here it is called include_eye_position",
        "include_pupil_centers_as_channels": "here it is called add_eye_pos_as_channels",
        "to_cut": "leave out frames= for whole movies",
    },
}
#: Options of `Loader`, and those of torch's DataLoader that `Loader` does not set itself.
_LOADING = {"prefetch", *inspect.signature(DataLoader).parameters} - {
    "dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last",
}  # fmt: skip


def check_loading(
    options: Mapping[str, Any],
    known: Collection[str],
    where: str,
    instead: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Check that all options are known, or are options of a loader.

    `instead` tells, for options that only the other library has, what to do in their place.

    Raises
    ------
    NotInTree
        If an option is not known; the message names it, the known ones, and the library of `compat`
        that has it.
    ValueError
        If an option is in `instead`; the message tells what to do.
    """
    for name in options:
        if name not in {*known, *_LOADING}:
            ways = [way for way, make in WAYS.items() if name in inspect.signature(make).parameters]
            hint = " and ".join(f"compat={way!r} has it" for way in ways)
            if name in instead:
                msg = f"{where} takes no {name}: {instead[name]}"
                raise ValueError(msg)
            raise NotInTree("option", name, sorted(known), hint, where)


def loaders(tree: xr.DataTree, compat: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Make the loaders for one of the two libraries; see `openretina` and `neuralpredictors`.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    compat : {"openretina", "neuralpredictors"}
        Name of the library.
    **options
        Options of its function, and those of `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        Loaders by side and session.
    """
    if compat not in WAYS:
        msg = f"compat={compat!r}: expected one of {tuple(WAYS)}"
        raise ValueError(msg)
    known = set(inspect.signature(WAYS[compat]).parameters) - {"tree", "loading"}
    check_loading(options, known, f"compat={compat!r}", _INSTEAD[compat])
    # Empty inputs or targets mean the defaults of the library.
    arguments = {k: v for k, v in options.items() if k not in ("inputs", "targets") or v}
    return WAYS[compat](tree, **arguments)
