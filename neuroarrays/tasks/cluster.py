"""A check that all workers of a cluster have this package, before tasks are sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neuroarrays._version import __version__
from neuroarrays.errors import NeuroArraysError, shorten

if TYPE_CHECKING:
    from distributed import Client


def check_workers(client: Client) -> None:
    """Refuse a cluster with workers that do not have this package, in this version.

    Raises
    ------
    NeuroArraysError
        Names the workers, and what they have.
    """
    found: dict[str, str] = client.run(_version)
    other: dict[str, list[str]] = {}
    for address, version in found.items():
        if version != __version__:
            other.setdefault(version, []).append(address)
    if other:
        what = "; ".join(f"{shorten(at, 3)}: {version}" for version, at in other.items())
        scheduler: Any = client.scheduler
        msg = (
            f"workers of the cluster at {scheduler.address} do not have neuroarrays "
            f"{__version__}, which this process has: {what}. Install it there"
        )
        raise NeuroArraysError(msg)


def _version() -> str:
    """The version of this package that a worker imports; it is sent there as source, not by its name."""
    from importlib import import_module

    try:
        return str(import_module("neuroarrays").__version__)
    except ImportError as error:
        return f"no neuroarrays ({error})"


_version.__module__ = "__main__"  # which cloudpickle takes for a function of no package
