"""Read pickled DRIADA experiments without DRIADA, and without running code in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.members import MemberSource
from neuroarrays.files.pickles import Global, Record, StoredArray, load_pickle
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.formats.driada.contents import MASK, METADATA, neural_member

#: The first bytes of a pickle, in which its class must be named.
_HEAD = 256
#: DRIADA's function that builds an experiment. A pickle written by `neuroarrays` names it with its
#: arguments. DRIADA calls it when it loads the file; this reader only reads the arguments.
BUILDER = Global("driada.experiment.exp_build", "load_exp_from_aligned_data")
#: Positions of the arguments of the builder.
_PARAMS, _DATA, _TYPES, _BAD, _STATIC = 1, 2, 4, 5, 6


def is_experiment(probe: Probe) -> bool:
    """Whether the file begins like a pickled DRIADA experiment."""
    head = probe.head[:_HEAD]
    named = b"Experiment" in head or BUILDER.name.encode() in head
    return head[:1] == b"\x80" and b"driada." in head and named


def experiment_source(probe: Probe) -> ExperimentSource:
    """Return the arrays of a pickled experiment, under the names they would have in an NPZ.

    Raises
    ------
    FormatError
        If it is damaged, or not an experiment.
    """
    source = ExperimentSource(probe.location, probe.stamp)
    source.members()
    return source


@dataclass(frozen=True)
class Facts(Member):
    """The metadata of an experiment."""

    facts: tuple[tuple[str, Any], ...] = ()
    types: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True)
class ExperimentSource(MemberSource):
    """A pickled ``Experiment``, whose large arrays stay in the file."""

    def _scan(self) -> dict[str, Member]:
        experiment = load_pickle(self.path, stored=True)
        if not _is_meant(experiment):
            raise FormatError(self.path, "", "a pickled DRIADA experiment", f"{experiment!r}"[:80])
        members: dict[str, Member] = {}
        small: dict[str, np.ndarray] = {}
        for name, value in _arrays(experiment):
            if isinstance(value, StoredArray):
                members[name] = Member(value.dtype, value.shape, value.fortran, value.offset)
            elif isinstance(value, np.ndarray) and value.dtype.kind in "biufSU":
                small[name] = value
                members[name] = Member(value.dtype, value.shape)
        if "calcium" not in members:
            raise FormatError(self.path, "calcium", "a matrix", "none")
        self._keep(small)
        facts = tuple((str(k), v) for k, v in _facts(experiment).items())
        types = tuple(_types(experiment))
        return {**members, METADATA: Facts(np.dtype(object), (), facts=facts, types=types)}

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        for other, value in _arrays(load_pickle(self.path, stored=True)):
            if other == name and isinstance(value, np.ndarray):
                return value
        raise FormatError(self.path, name, "an array", "nothing of that name")

    def feature_types(self) -> dict[str, dict[str, Any]]:
        """Return the types of features that DRIADA detected.

        The period of an angle is left out, because DRIADA also detects random walks as angles, and this
        library treats every signal with a period as an angle.
        """
        member = self.members()[METADATA]
        assert isinstance(member, Facts)
        return {
            name: {"feature_type": kind, "feature_type_score": score}
            for name, kind, score in member.types
        }

    def kept_frames(self) -> np.ndarray | None:
        """Return the numbers of the frames that are left, (time,) int64; None if none was deleted.

        Raises
        ------
        FormatError
            If the mask keeps another number of frames than the data have.
        """
        if MASK not in self.members():
            return None
        mask = np.asarray(self.read(MASK))
        frames = np.flatnonzero(~mask.astype(bool))
        left = self.members()["calcium"].shape[-1]
        if mask.ndim != 1 or mask.dtype != bool or frames.size != left:
            raise FormatError(
                self.path,
                "bad_frames_mask",
                f"a mask that leaves the {left:,} frames of calcium",
                f"{mask.dtype} of shape {mask.shape}, which leaves {frames.size:,}",
            )
        return frames

    def value(self, name: str) -> Any:
        member = self.members().get(name)
        return dict(member.facts) if isinstance(member, Facts) else super().value(name)


def _is_meant(value: Any) -> bool:
    """Whether an object is an experiment, or the arguments of its builder."""
    if not isinstance(value, Record):
        return False
    data = value.args[_DATA] if value.cls == BUILDER and len(value.args) > _STATIC else None
    return value.cls.name == "Experiment" or isinstance(data, dict)


def _arrays(experiment: Record) -> Iterator[tuple[str, Any]]:
    """Yield names and arrays; DRIADA stores spikes of zeros if there are none, which are left out."""
    if experiment.cls == BUILDER:
        data = experiment.args[_DATA].items()
        yield from ((name, v) for name, v in data if isinstance(name, str) and name != METADATA)
        return
    yield "calcium", _data(experiment.get("calcium"))
    neurons = experiment.get("neurons")
    for neuron in neurons if isinstance(neurons, list) else ():
        if isinstance(neuron, Record) and neuron.get("sp") is not None:
            yield "spikes", _data(experiment.get("spikes"))
            break
    mask = experiment.get("bad_frames_mask")
    if mask is not None and experiment.get("filtered_flag") is not False:
        yield MASK, mask
    features = experiment.get("dynamic_features")
    for name, series in features.items() if isinstance(features, dict) else ():
        if isinstance(name, str) and name not in (METADATA, MASK) and not neural_member([name]):
            yield name, _data(series)


def _types(experiment: Record) -> Iterator[tuple[str, str, float]]:
    """Yield name, type and confidence of each feature that has a type."""
    if experiment.cls == BUILDER:
        types = experiment.args[_TYPES]
        for name, kind in types.items() if isinstance(types, dict) else ():
            if isinstance(name, str) and isinstance(kind, str):
                yield name, kind, 1.0
        return
    features = experiment.get("dynamic_features")
    for name, series in features.items() if isinstance(features, dict) else ():
        info = series.get("type_info") if isinstance(series, Record) else None
        if isinstance(name, str) and isinstance(info, Record):
            kind, score = info.get("subtype"), info.get("confidence")
            if isinstance(kind, str) and isinstance(score, int | float):
                yield name, kind, float(score)


def _data(series: Any) -> Any:
    return series.get("data") if isinstance(series, Record) else series


def _facts(experiment: Record) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if experiment.cls == BUILDER:
        params = experiment.args[_PARAMS]
        for part in (experiment.args[_DATA].get(METADATA), experiment.args[_STATIC], params):
            facts |= part if isinstance(part, dict) else {}
        bad = experiment.args[_BAD]
        facts |= {"session_name": facts.pop("name")} if isinstance(facts.get("name"), str) else {}
        return facts | ({} if bad is None else {"bad_frames": bad})
    for name in ("metadata", "static_features", "exp_identificators"):
        part = experiment.get(name)
        facts |= part if isinstance(part, dict) else {}
    signature = experiment.get("signature")
    if isinstance(signature, str) and signature:
        facts.setdefault("session_name", signature.removeprefix("Exp "))
    return facts
