"""`SpikeEventSamples`: windows of raw spikes as tokens, for models that read spikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields
from neuroarrays.batches.base import Batch
from neuroarrays.batches.gathering import names
from neuroarrays.batches.layouts import Layout, TimedSignal, all_known, filled
from neuroarrays.batches.recorded import RecordedSamples
from neuroarrays.batches.target_checks import check_target
from neuroarrays.batches.vocabulary import Vocabulary
from neuroarrays.errors import SchemaError
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.given import check, whole_number
from neuroarrays.tree.columns import duration

#: Names of the arrays of a batch.
UNIT_INDEX, TOKEN_TYPE, TOKEN_MASK, TOKEN_OFFSETS = (
    "unit_index", "token_type", "token_mask", "token_offsets",
)  # fmt: skip
LATENT_INDEX, LATENT_TIMES = "latent_index", "latent_times"
SESSION_INDEX, SUBJECT_INDEX = "session_index", "subject_index"


class Part(NamedTuple):
    """The windows of one dataset in a batch."""

    samples: SpikeEventSamples
    #: Numbers of the windows, (k,) int64.
    numbers: np.ndarray
    #: Their positions in the batch, (k,) int64.
    rows: np.ndarray


class SpikeEventSamples(RecordedSamples):
    """A dataset of windows of raw spikes: a time and a unit index for each spike.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    length : float, s
        Length of a half-open window.
    starts : (n,) float, s, optional
        Starts of the windows on the session clock, within the recorded time (default: one every
        `stride`).
    stride : float, s, optional
        Time from one start to the next (default: `length`).
    window : (float, float) or (n, 2) float, s, optional
        Stretches, such as a side of a split; windows are wholly within one (default: all the
        recorded time).
    targets : sequence of str
        Signals of the recording, with their own sample times: ``"running/speed"``.
    ragged : bool
        If True, the spikes of all windows are concatenated, without padding.
    width : int, optional
        Number of tokens of each window (default: those of the fullest window of a batch, rounded up
        to a multiple of 8).
    unit_tokens : bool
        If True, each window begins with two tokens for each unit, for the start and the end of the
        window, as in POYO (Azabou et al. 2023, https://arxiv.org/abs/2310.16046).
    latents : (float, int), optional
        Latents of POYO: the step between them in s, and their number at each step.
    vocabulary : Vocabulary, optional
        The numbers of units, sessions and subjects of all recordings in the training (default: of
        this area only).
    cache : {"auto", True, False}
        Whether to keep values of targets in memory, as for `TrialSamples`.
    labels : bool
        Put `session`, `area` and `unit_id` into every batch.
    transform : callable, optional
        A function from batch to batch.

    Attributes
    ----------
    unit_index : (unit_id,) int32
        The number of each unit of the area in the vocabulary.
    starts : (n,) float64, s
        Starts of the windows.

    Notes
    -----
    A padded batch of n windows has:

    - `spike_times` ``(n, token)`` float32, s from the start of the window, in order; `unit_index`
      ``(n, token)`` int32; `token_mask` ``(n, token)`` bool, False for padding, whose values are 0;
      with `unit_tokens` also `token_type` ``(n, token)`` int32: 0 is a spike, 1 a start, 2 an end.
    - for each target `<name>` ``(n, item, ...)`` float32 in its unit, `<name>_times` ``(n, item)``
      float32 in s from the start of the window, and `<name>_mask` ``(n, item)`` bool, True where
      the value is known; padding is NaN.
    - with `latents`: `latent_index` ``(n, latent)`` int32, `latent_times` ``(n, latent)`` float32, s.
    - `session_index`, `subject_index` ``(n,)`` int64, and the starts as `time` ``(n,)`` float64, s.

    With `ragged`, tokens ``(token,)`` and items ``(item, ...)`` are concatenated. `token_offsets`
    and `<name>_offsets` ``(n + 1,)`` int64, the start of each window, replace the masks. The start
    of the window is subtracted in float64, before times become float32.

    Raises
    ------
    NotInTree
        If a target does not exist, or a unit is not in the vocabulary.
    SchemaError
        If the area has no spikes, or a target has no times.
    ValueError
        If no window fits, a window of `starts` is not wholly within the time when all units were
        recorded, or a window has more tokens than `width`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> adn = tree["A2929-200711/adn"]
    >>> data = na.batches.SpikeEventSamples(adn, 1.0, window=(671, 700))
    >>> sorted(data.batch([0, 1]))
    ['session_index', 'spike_times', 'subject_index', 'time', 'token_mask', 'unit_index']
    """

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree,
        length: float,
        starts: Any = None,
        *,
        stride: float | None = None,
        window: Any = None,
        targets: Sequence[str] = (),
        ragged: bool = False,
        width: int | None = None,
        unit_tokens: bool = False,
        latents: tuple[float, int] | None = None,
        vocabulary: Vocabulary | None = None,
        cache: bool | str = "auto",
        labels: bool = False,
        transform: Callable[[Batch], Batch] | None = None,
    ):
        self.length = duration(length, "length")
        step = self.length if stride is None else duration(stride, "stride")
        extent = self.length, self.length, step
        super().__init__(area, extent, starts, window, labels, transform, ordered=True)
        expected = f"{self.location}: vocabulary: expected na.batches.Vocabulary.of(tree), or None"
        check(vocabulary, Vocabulary | None, expected, TypeError)
        self.vocabulary = Vocabulary.of(area) if vocabulary is None else vocabulary
        self.unit_index = self.vocabulary.unit_index(area)
        self.session_and_subject = (
            self.vocabulary.session_index(area),
            self.vocabulary.subject_index(area),
        )
        if ragged and width is not None:
            msg = "width= is for padded windows: leave out width= or ragged=True"
            raise ValueError(msg)
        self.is_ragged, self.unit_tokens = ragged, unit_tokens
        self.width = None if width is None else whole_number(width, "width", 1)
        self.latents = None if latents is None else _latents(latents, self.length)
        fields.check_cache(cache)
        self.targets = [TimedSignal(area, name, cache) for name in names(targets)]

    @property
    def ragged(self) -> dict[str, str]:
        """Names of the offsets of the arrays of a batch whose samples are concatenated."""
        if not self.is_ragged:
            return {}
        tokens = [schema.SPIKE_TIMES, UNIT_INDEX, *([TOKEN_TYPE] if self.unit_tokens else [])]
        offsets = dict.fromkeys(tokens, TOKEN_OFFSETS)
        for signal in self.targets:
            arrays = [signal.name, f"{signal.name}_times"]
            offsets |= dict.fromkeys(arrays, f"{signal.name}_offsets")
        return offsets

    @property
    def encodings(self) -> dict[str, str]:
        """A label of the vocabulary of unit numbers; loaders keep it in their state."""
        return {UNIT_INDEX: self.vocabulary.label}

    def load(self) -> None:
        super().load()
        for signal in self.targets:
            signal.field.load()

    def unread(self) -> list[LazyArray]:
        return [array for signal in self.targets for array in signal.field.unread()]

    def shapes(self) -> dict[str, str]:
        width = "" if self.width is None else f"{self.width:,} "
        shown = {schema.SPIKE_TIMES: f"({width}token) float32", UNIT_INDEX: f"({width}token) int32"}
        for signal in self.targets:
            sizes = ", ".join(["item", *map(str, signal.field.shape[1:])])
            shown[signal.name] = f"({sizes}) float32"
        return shown

    def batch(self, indices: Sequence[int]) -> Batch:
        numbers = self._numbers(indices)
        part = Part(self, numbers, np.arange(numbers.size))
        return self._finish(self.gather([part], numbers.size))

    def gather(self, parts: Sequence[Part], n: int) -> dict[str, np.ndarray]:
        """Gather n windows of several datasets into one batch, with the options of this dataset."""
        arrays = self._tokens(parts, n)
        for i, signal in enumerate(self.targets):
            signals = [(part, part.samples.targets[i]) for part in parts]
            arrays |= self._items(signals, signal.name, n)
        if self.latents is not None:
            index, times = self.latents
            arrays[LATENT_INDEX] = np.tile(index, (n, 1))
            arrays[LATENT_TIMES] = np.tile(times, (n, 1))
        session, subject = np.empty((2, n), np.int64)
        begins = np.empty(n)
        for samples, numbers, rows in parts:
            session[rows], subject[rows] = samples.session_and_subject
            begins[rows] = samples.starts[numbers]
        return arrays | {SESSION_INDEX: session, SUBJECT_INDEX: subject, schema.TIME: begins}

    def _tokens(self, parts: Sequence[Part], n: int) -> dict[str, np.ndarray]:
        """Return the times, units and masks or offsets of the tokens of a batch."""
        from neuroarrays.kernels import tokens

        needed, spans = np.empty(n, np.int64), []
        for samples, numbers, rows in parts:
            starts = samples.starts[numbers]
            begin, end = tokens.find(samples.slices, starts, starts + self.length)
            needed[rows] = end - begin + (2 * samples.unit_index.size if self.unit_tokens else 0)
            spans.append((begin, end, starts))
        if self.width is not None and needed.max(initial=0) > self.width:
            msg = (
                f"{self.location}: a window has {needed.max():,} tokens, more than "
                f"width={self.width:,}"
            )
            raise ValueError(msg)
        layout = Layout.of(needed, self.is_ragged, self.width)
        size = int(np.prod(layout.shape))
        kinds, mask = (size if wanted else 0 for wanted in (self.unit_tokens, not self.is_ragged))
        get = self.buffers.get
        out = tokens.Tokens(
            get((size,), np.dtype(np.float32)),
            get((size,), np.dtype(np.int32)),
            get((kinds,), np.dtype(np.int32)),
            get((mask,), np.dtype(bool)),
        )
        for (samples, _, rows), (begin, end, starts) in zip(parts, spans, strict=True):
            windows = begin, end, starts, self.length
            positions = layout.first[rows], layout.capacity[rows]
            tokens.write(samples.slices, windows, samples.unit_index, positions, out)
        arrays = {schema.SPIKE_TIMES: out.times, UNIT_INDEX: out.units}
        arrays |= {TOKEN_TYPE: out.kinds} if self.unit_tokens else {}
        if self.is_ragged:
            return arrays | {TOKEN_OFFSETS: layout.offsets}
        return {k: v.reshape(layout.shape) for k, v in {**arrays, TOKEN_MASK: out.known}.items()}

    def _items(
        self, parts: Sequence[tuple[Part, TimedSignal]], name: str, n: int
    ) -> dict[str, np.ndarray]:
        """Return the times, values and masks or offsets of a target in a batch."""
        counts, spans = np.zeros(n, np.int64), []
        for (samples, numbers, rows), signal in parts:
            starts = samples.starts[numbers]
            first, end = signal.spans(starts, starts + self.length)
            counts[rows] = end - first
            spans.append((first, starts))
        layout = Layout.of(counts, self.is_ragged)
        rest = parts[0][1].field.shape[1:]
        times = filled(self.buffers, layout, (), np.float32, 0)
        values = filled(self.buffers, layout, rest, np.float32, np.nan)
        for (part, signal), (first, starts) in zip(parts, spans, strict=True):
            part_counts = counts[part.rows]
            stamps, items = signal.read(first, part_counts)
            check_target(part.samples, name, items, partial(part.samples.items, signal))
            positions = layout.positions(part.rows, part_counts)
            times[positions] = stamps - np.repeat(starts, part_counts)
            values[positions] = items
        if self.is_ragged:
            return {name: values, f"{name}_times": times, f"{name}_offsets": layout.offsets}
        return {
            name: values.reshape(*layout.shape, *rest),
            f"{name}_times": times.reshape(layout.shape),
            f"{name}_mask": all_known(values).reshape(layout.shape),
        }

    def items(self, signal: TimedSignal, numbers: np.ndarray) -> np.ndarray:
        """Return the values of a target in windows, concatenated: (item, ...) float32 in its unit."""
        starts = self.starts[numbers]
        first, end = signal.spans(starts, starts + self.length)
        return signal.read(first, end - first)[1]

    def check_alike(self, other: SpikeEventSamples) -> None:
        """Check that windows of another dataset can be in one batch with those of this dataset.

        Raises
        ------
        SchemaError
            If they cannot; the message names both datasets and the difference.
        """
        if self.vocabulary != other.vocabulary:
            both = f"{self.location} and {other.location} have vocabularies of their own"
            msg = f"{both}: give all of them one, vocabulary=Vocabulary.of(tree)"
            raise SchemaError(msg)
        names_here, names_there = ([p.name for p in s.targets] for s in (self, other))
        if missing := [name for name in names_here if name not in names_there]:
            msg = f"{other.location} has no target {missing[0]!r}, which {self.location} has"
            raise SchemaError(f"{msg}: leave it out, or the session")
        if self.transform is not None or other.transform is not None:
            msg = (
                f"{other.location}: the windows of a batch come from several datasets: set the "
                "transform of the stack, not of the datasets"
            )
            raise SchemaError(msg)
        for option in ("length", "is_ragged", "width", "unit_tokens", "labels"):
            if getattr(self, option) != getattr(other, option):
                values = f"{getattr(other, option)} in {other.location}"
                msg = f"{option} is {getattr(self, option)} in {self.location}, {values}"
                raise SchemaError(f"{msg}: all windows of a batch need the same")
        for first, second in zip(self.targets, other.targets, strict=False):
            for what, here, there in (
                ("the target", first.name, second.name),
                ("the shape of its values", first.field.shape[1:], second.field.shape[1:]),
                ("its unit", first.unit, second.unit),
            ):
                if here != there:
                    msg = (
                        f"{first.location}: {what} is {here!r}, but {there!r} in {second.location}"
                    )
                    raise SchemaError(f"{msg}: all windows of a batch need the same")


def _latents(latents: Any, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents of POYO in a window of `length` s, from their step in s and their number.

    They are indices (latent,) int32 and times (latent,) float32 in s from the start of the window.
    """
    expected = "latents: expected the step in s and a number, as (0.125, 32)"
    if not isinstance(latents, tuple | list) or len(latents) != 2:
        raise ValueError(f"{expected}, found {latents!r:.60}")
    step = duration(latents[0], "latents: the step")
    number = whole_number(latents[1], "latents: the number at each step", 1)
    times = np.arange(0, length, step) + step / 2
    index = np.tile(np.arange(number, dtype=np.int32), times.size)
    return index, np.repeat(times, number).astype(np.float32)
