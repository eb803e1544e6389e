"""Stimuli averaged by the responses that follow them: one matrix product per block of frames."""

from collections.abc import Callable

import numpy as np

from neuroarrays.kernels.running import Moments

#: Frames whose squares are summed in float64 together: they stay in the cache.
_AT_ONCE = 64


def triggered_sums(
    frames: Callable[[int, int], np.ndarray],
    n_frames: int,
    weights: np.ndarray,
    n_lags: int,
    block: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum frames before responses, weighted by these.

    Parameters
    ----------
    frames : callable
        Gives frames ``begin`` to ``end`` as (frame, pixel).
    n_frames : int
        How many there are.
    weights : (n_frames, unit) float64
        Weight of the response at each frame; each column adds up to 0, and the first
        ``n_lags - 1`` rows are 0.
    n_lags : int
        Lags 0 to ``n_lags - 1``, in frames.
    block : int
        Frames that are read at once.

    Returns
    -------
    sums : (unit, n_lags, pixel) float64
        ``sum_t weights[t, u] * frame[t - l]``, each block in float32, in the unit of the frames
        times that of the weights.
    spread : (pixel,) float64
        Standard deviation of each pixel over all frames, ddof 0, in the unit of the frames; exactly
        0 for a pixel that never changes.
    """
    n_units = weights.shape[1]
    padded = np.zeros((n_units, n_frames + n_lags - 1), np.float32)
    padded[:, :n_frames] = weights.T
    raw = np.asarray(frames(0, min(block, n_frames)))
    n_pixels = raw.shape[1]
    offset = _offset(raw)
    buffer = np.empty(raw.shape, np.float32)
    sums = np.zeros((n_units * n_lags, n_pixels))
    moments = Moments((n_pixels,))
    for begin in range(0, n_frames, block):
        end = min(begin + block, n_frames)
        if begin > 0:
            raw = np.asarray(frames(begin, end))
        values = np.subtract(raw, offset, out=buffer[: end - begin], casting="unsafe")
        # Row l of a unit has its weights, shifted by l frames.
        lagged = np.lib.stride_tricks.sliding_window_view(
            padded[:, begin : end + n_lags - 1], end - begin, axis=1
        )
        sums += lagged.reshape(n_units * n_lags, end - begin) @ values
        for few in range(0, len(values), _AT_ONCE):
            part = values[few : few + _AT_ONCE].astype(np.float64)
            mean = part.mean(axis=0)
            part -= mean
            moments.merge(len(part), mean, np.einsum("tp,tp->p", part, part))
    return sums.reshape(n_units, n_lags, n_pixels), moments.deviation(0)


def _offset(frames: np.ndarray) -> np.ndarray:
    """Return what is subtracted from each pixel, (pixel,): its mean over the first block of frames.

    The weights add up to 0, so a constant falls out, and without it float32 is finer. It has the
    digits of the frames: a mean in float32 would be as far from a large mean as the pixel changes.
    """
    mean = frames.mean(axis=0, dtype=np.float64)
    is_constant = (frames == frames[0]).all(axis=0)  # the mean of equal values may be rounded
    dtype = np.result_type(frames.dtype, np.float32)
    offset: np.ndarray = np.where(is_constant, frames[0], mean).astype(dtype)
    return offset
