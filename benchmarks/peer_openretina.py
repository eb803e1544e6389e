"""What open-retina does with the files of bench_retina.py, which runs this with its interpreter.

python benchmarks/peer_openretina.py karamanlis FOLDER FRAMES
python benchmarks/peer_openretina.py hoefling FOLDER
"""

import importlib.metadata
import json
import sys
import time
from pathlib import Path

import h5py
import numpy as np


def memory(field):
    """What the kernel says of this process's memory, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def karamanlis(folder, frames):
    """Its composition of a block on the full screen, and the resize of the whole block."""
    from einops import rearrange
    from openretina.data_io.karamanlis_2024.stimuli import return_fix_movie_torch
    from torchvision.transforms import Resize

    resize = Resize((60, 80))

    def render(count):
        with h5py.File(next(Path(folder).rglob("fixationmovie_data.mat"))) as file:
            images = file["runningImages"][:]
            gaze = file["runningfixations"][0, :count].astype(int)
        movie = return_fix_movie_torch((600, 800), rearrange(images, "n x y -> y x n"), gaze.T)
        return resize(rearrange(movie, "h w n -> 1 n h w")).numpy()

    render(4)
    yield
    block = render(int(frames))
    np.save(Path(folder) / "theirs.npy", block[0])


def hoefling(folder):
    """Its movies for both eyes and every order of the clips."""
    from openretina.data_io.hoefling_2024.stimuli import (
        get_all_movie_combinations,
        movies_from_pickle,
    )

    yield
    movie = movies_from_pickle(next(Path(folder).glob("*.pkl")))
    kept = get_all_movie_combinations(
        movie.train, movie.test_movie, movie.random_sequences, list(range(0, 105, 7))
    )
    assert len(kept["left"]["train"]) == 20


def main():
    """Print the CPU time and the peak of memory above imports as JSON."""
    work = {"karamanlis": karamanlis, "hoefling": hoefling}[sys.argv[1]](*sys.argv[2:])
    next(work)
    Path("/proc/self/clear_refs").write_text("5")  # peak memory starts anew
    before, begun = memory("VmRSS"), time.process_time()
    next(work, None)
    found = {
        "cpu": time.process_time() - begun,
        "peak": memory("VmHWM") - before,
        "version": importlib.metadata.version("openretina"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
