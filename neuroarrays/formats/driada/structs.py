"""The MATLAB struct ``data`` in DRIADA's documentation, which DRIADA itself does not read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroarrays.files import outer
from neuroarrays.files.matlab import matlab_source
from neuroarrays.files.members import MemberSource
from neuroarrays.files.outer import Key
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Info

#: Name of the struct, and its fields that are structs themselves.
STRUCT, INNER = "data/", ("behavior/", "info/")


@dataclass(frozen=True)
class StructField(Member):
    """A field of the struct: its path in the file, and the axes that it has in the tree."""

    stored: str = ""
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class StructSource(MemberSource):
    """Fields of ``data`` under the names they would have in an NPZ."""

    base: MemberSource

    def _scan(self) -> dict[str, Member]:
        members: dict[str, Member] = {}
        for stored, member in self.base.members().items():
            if not stored.startswith(STRUCT):
                continue
            name = stored.removeprefix(STRUCT)
            for inner in INNER:
                name = name.removeprefix(inner)
            is_matrix = name.lower() in ("calcium", "spikes")
            axes = tuple(a for a, n in enumerate(member.shape) if is_matrix or n != 1)
            members[name] = StructField(
                member.dtype, tuple(member.shape[a] for a in axes), False, -1, stored, axes
            )
        return members

    def info(self, name: str) -> Info | None:
        member = self.members().get(name.strip("/"))
        stored = self.base.info(member.stored) if isinstance(member, StructField) else None
        if member is None or stored is None:
            return None
        return Info(member.shape, stored.dtype, None, stored.text)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        member = self.members().get(name.strip("/"))
        if not isinstance(member, StructField):
            return super().read(name, key)
        keys = dict(zip(member.axes, outer.normalise(key, member.shape), strict=True))
        axes = len(self.base.members()[member.stored].shape)
        return np.asarray(self.base.read(member.stored, tuple(keys.get(a, 0) for a in range(axes))))


def struct_source(probe: Probe) -> StructSource | None:
    """Return the struct of a MATLAB file (v5 to v7.3), or None."""
    if probe.head[:10] not in (b"MATLAB 5.0", b"MATLAB 7.3"):
        return None
    base = matlab_source(probe)
    if not isinstance(base, MemberSource) or f"{STRUCT}calcium" not in base.members():
        return None
    return StructSource(base.location, base.stamp, base)
