"""The MATLAB struct ``data`` that DRIADA's documents describe, which DRIADA itself does not read."""

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

#: The struct, and the fields of it that hold fields of their own.
STRUCT, INNER = "data/", ("behavior/", "info/")


@dataclass(frozen=True)
class StructField(Member):
    """A field of the struct: where it is stored, and which of its axes are kept."""

    stored: str = ""
    kept: tuple[int, ...] = ()


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
            axes = range(len(member.shape))
            matrix = name.lower() in ("calcium", "spikes")
            kept = tuple(a for a in axes if matrix or member.shape[a] != 1)
            members[name] = StructField(
                member.dtype, tuple(member.shape[a] for a in kept), False, -1, stored, kept
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
        given = dict(zip(member.kept, outer.normalise(key, member.shape), strict=True))
        axes = len(self.base.members()[member.stored].shape)
        return np.asarray(
            self.base.read(member.stored, tuple(given.get(a, 0) for a in range(axes)))
        )


def struct_source(probe: Probe) -> StructSource | None:
    """The struct of a MATLAB file (v5 to v7.3), None if it has none."""
    if probe.head[:10] not in (b"MATLAB 5.0", b"MATLAB 7.3"):
        return None
    base = matlab_source(probe)
    if not isinstance(base, MemberSource) or f"{STRUCT}calcium" not in base.members():
        return None
    return StructSource(base.location, base.stamp, base)
