"""The main job on the bundled recording: open, align, save, train, draw."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neuroarrays as na
from neuroarrays.files.writing import written

AREA = "A2929-200711/adn"
#: Wake, in seconds: the first part trains, the last is held out, the gap keeps them apart.
TRAIN, HELD_OUT = (671.0, 1000.0), (1010.0, 1199.0)
#: Training ends with whichever comes first.
SECONDS_OF_TRAINING, EPOCHS = 6.0, 30


def main(out: str | Path = "demo-output", say: Callable[[str], Any] = print) -> list[Path]:
    """Run the demo.

    Parameters
    ----------
    out : path
        Folder for what it writes; made if it is not there.
    say : callable
        Where its lines go.

    Returns
    -------
    list of Path
        What it wrote: two HDF5 archives, two Zarr archives, a figure.
    """
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    say("1. Open the bundled recording (nothing is read yet)\n")
    tree = na.load_sample()
    say(outline(tree))

    say("\n2. One 50 Hz clock for spikes, position and head direction\n")
    clock = na.align(tree, bin_width=0.02)
    say(outline(clock))

    say("\n3. Spikes around every ripple of sleep, in 5 ms bins\n")
    ripples = na.align(
        tree, "sleep_ripples", bin_width=0.005, window=(-0.2, 0.3), clip=False, series=[]
    )
    say(outline(ripples))

    say("\n4. Save as HDF5 and as Zarr, open again, compare\n")
    written = []
    for name, aligned in (("clock", clock), ("ripples", ripples)):
        for suffix in (".h5", ".zarr"):
            path = na.save(aligned, out / f"{name}{suffix}", overwrite=True)
            again = na.open_datatree(path)
            xr.testing.assert_identical(again, aligned)
            size = sum(f.stat().st_size for f in path.rglob("*")) or path.stat().st_size
            say(f"   {path.name:<14} {size / 1e3:8.0f} kB   identical after reopening")
            written.append(path)

    say("\n5. Decode head direction from one second of spikes, streamed from the archive\n")
    error, chance = decode(na.open_datatree(out / "clock.h5"), say)
    say(f"   held-out error {error:.0f} degrees (median), chance {chance:.0f}")

    figure = out / "figure.png"
    draw(tree, clock, ripples, figure)
    say("\nWritten:")
    for path in (*written, figure):
        say(f"   {path}")
    return [*written, figure]


def outline(tree: xr.DataTree) -> str:
    """The tree in a few lines: nodes, variables, sizes."""
    shown = [
        f"{label} ({', '.join(f'{d}: {variable.sizes[d]:,}' for d in variable.dims)})"
        for label, variable in tree.data_vars.items()
    ]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    line = "   " + "  " * tree.level + f"{tree.name or '/'}  {'  '.join(shown[:3])}{more}".rstrip()
    return "\n".join([line, *(outline(child) for child in tree.children.values())])


def decode(archive: xr.DataTree, say: Callable[[str], Any] = print) -> tuple[float, float]:
    """Train a linear decoder of head direction, window by window from the archive.

    Parameters
    ----------
    archive : xr.DataTree
        The reopened continuous archive.
    say : callable
        Where its lines go.

    Returns
    -------
    error, chance : float, degrees
        Median absolute error on held-out time, and that of the best constant answer.
    """
    import torch

    torch.manual_seed(0)
    names = ["spike_data", "head_direction/ry"]
    train, test = (
        na.torch.ClipDataset(archive[AREA], names, 1.0, stride=stride, window=window)
        for stride, window in ((0.1, TRAIN), (0.5, HELD_OUT))
    )
    loader = na.torch.Loader(train, na.torch.Batches(len(train), 64, shuffle=True))
    n_units = archive[AREA].sizes["unit_id"]
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(50 * n_units, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
    begun, batches, epoch = time.monotonic(), 0, 0
    while time.monotonic() - begun < SECONDS_OF_TRAINING and epoch < EPOCHS:
        for batch in loader:
            loss = torch.nn.functional.mse_loss(model(batch[names[0]]), _aim(batch[names[1]]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            batches += 1
        epoch += 1
    took = time.monotonic() - begun
    say(
        f"   {len(train):,} windows to train on, {len(test)} held out; {batches} shuffled batches "
        f"in {took:.1f} s"
    )
    batch = test.batch(range(len(test)))
    with torch.no_grad():
        predicted = model(batch[names[0]]).numpy()
    angle = np.arctan2(predicted[:, 1], predicted[:, 0])
    truth = _middle(batch[names[1]]).numpy()
    chance = np.degrees(na.scoring.chance_error(truth, period=2 * np.pi))
    return _error(angle, truth), float(chance)


def _middle(direction: Any) -> Any:
    """Head direction at the middle of each window."""
    return direction[:, direction.shape[1] // 2]


def _aim(direction: Any) -> Any:
    """The direction to decode, as a point on the circle."""
    import torch

    middle = _middle(direction)
    return torch.stack([torch.cos(middle), torch.sin(middle)], dim=1)


def _error(angle: np.ndarray, truth: np.ndarray) -> float:
    """Return the median absolute error of decoded angles in degrees; the angles are in radians."""
    return float(np.degrees(np.median(np.abs(np.angle(np.exp(1j * (angle - truth)))))))


def draw(tree: xr.DataTree, clock: xr.DataTree, ripples: xr.DataTree, path: Path) -> None:
    """One figure: the head's direction in a raster, tuning to it, and the response to ripples."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    curves = na.tuning_curve(clock[AREA], "head_direction/ry")
    preferred = curves["ry"].values[np.nanargmax(curves.values, axis=1)]
    order = np.argsort(preferred)
    units = curves["unit_id"].values[order]
    hues = plt.get_cmap("hsv")(preferred[order] / (2 * np.pi))
    colors = np.clip(hues * [0.8, 0.62, 0.8, 1], 0, 1)
    look: Any = {"font.size": 8.5, "axes.titlesize": 9.5, "axes.titlelocation": "left"}
    with plt.rc_context(look):
        figure = plt.figure(figsize=(10, 7.2), layout="constrained")
        grid = figure.add_gridspec(3, 1, height_ratios=(1.1, 0.9, 1.3))
        _draw_wake(figure.add_subplot(grid[0]), tree, clock, units, colors)
        polar = grid[1].subgridspec(1, units.size)
        for i, unit in enumerate(units):
            ax = figure.add_subplot(polar[i], projection="polar")
            na.plot.tuning(curves.sel(unit_id=[unit]), colors=[colors[i]], ax=ax)
            peak = float(curves.sel(unit_id=unit).max())
            ax.set_title(f"unit {unit}\nup to {peak:.0f} spikes/s", fontsize=8, loc="center")
            ax.set(yticklabels=[], xticklabels=[] if i else ["0°", "", "180°", ""])
        lower = grid[2].subgridspec(1, 2)
        left, right = figure.add_subplot(lower[0]), figure.add_subplot(lower[1])
        area = ripples["A2929-200711/ca1"]
        na.plot.peri_event(area, unit=14, smooth=0.01, ax=left)
        left.set_title("CA1, sleep: unit 14 around 594 ripples")
        na.plot.psth(na.psth(area, smooth=0.01), ax=right)
        right.set_title("The ripple responses of all 8 units")
        with written(path, overwrite=True) as work:
            figure.savefig(work, dpi=150)
        plt.close(figure)


def _draw_wake(ax: Any, tree: xr.DataTree, clock: xr.DataTree, units: Any, colors: Any) -> None:
    """Draw the spikes during wake, and where the head points."""
    window = (867.0, 897.0)
    na.plot.raster(tree[f"{AREA}/spikes"], window, order=units, colors=colors, ax=ax)
    ax.set_title(
        "Anterodorsal nucleus, wake: head-direction cells by preferred direction, and where the head points"
    )
    angle = clock[f"{AREA}/head_direction"].to_dataset()["ry"].sel(time=slice(*window))
    jumps = np.abs(np.diff(angle, prepend=angle[0])) > np.pi
    twin = ax.twinx()
    twin.plot(angle["time"], np.degrees(np.where(jumps, np.nan, angle)), color="0.25", lw=1)
    twin.set(ylim=(0, 360), ylabel="head direction", yticks=[0, 90, 180, 270, 360])
    twin.yaxis.set_major_formatter("{x:.0f}°")
    twin.spines["top"].set_visible(False)
