"""Write sessions in open-retina's own HDF5 layout, as its `create-data` does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import noise, rates

#: Clips of the first stimulus; each further one has one more.
CLIPS = 70
#: Pixels (y, x) of a frame.
SIZE = (16, 8)


def write_openretina(
    folder: str | os.PathLike[str],
    seed: int = 0,
    *,
    colors: int = 3,
    stimuli: int = 4,
    sessions: int = 2,
    clip_length: int = 75,
    clips: int = CLIPS,
) -> Path:
    """Sessions and stimuli that they share, in open-retina's own layout.

    Parameters
    ----------
    folder : str or path
        What to make.
    seed : int
        Of all random values.
    colors : int
        Channels of a frame; a unit sees one of them.
    stimuli, sessions : int
        How many: ``random_noise_0``, ... and ``session_0``, ...
    clip_length : int, frames
        Length of a clip.
    clips : int
        Clips of the first stimulus; each further one has one more.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If a number is less than 1.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_openretina
    >>> path = write_openretina("data", sessions=1, stimuli=2, clips=20)
    >>> list(na.open_datatree(path, sampling_rate=30).children)
    ['random_noise_0', 'random_noise_1']
    """
    counts = {
        "num-colors": colors,
        "num-stimuli": stimuli,
        "num-sessions": sessions,
        "clip-length": clip_length,
        "clips": clips,
    }
    if wrong := [name for name, count in counts.items() if count < 1]:
        msg = f"{wrong[0]}: expected at least 1, got {counts[wrong[0]]}"
        raise ValueError(msg)
    out = Path(folder)
    (out / "stimuli").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    movies: dict[str, np.ndarray] = {}
    for number in range(stimuli):
        frames = (clips + number) * clip_length
        movie = np.stack([noise((frames, *SIZE), rng) for _ in range(colors)])
        name = f"random_noise_{number}"
        movies[name] = movie
        np.save(out / "stimuli" / f"{name}.npy", movie.astype("f4"))
    for session in range(sessions):
        units = 6 + 2 * session
        with new_hdf5(out / f"session_{session}.hdf5", replaced=True) as (file, _):
            for name, movie in movies.items():
                drive = np.empty((units, movie.shape[1]))
                for color in range(colors):  # the same fields for every stimulus
                    sees = np.random.default_rng([seed, session])
                    drive[color::colors] = rates(movie[color], units, sees)[color::colors]
                file[f"responses_{name}"] = rng.poisson(drive).astype("f8")
            file["session_info/celltypes"] = np.arange(units) % 2
    return out
