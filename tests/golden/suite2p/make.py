"""Write the golden folder: `python make.py`, in this folder. Seeded; no recorded data."""

import shutil
from pathlib import Path

from neuroarrays.synthetic.suite2p import write_suite2p

FOLDER = Path(__file__).parent / "run_a"

if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_suite2p(FOLDER, rois=4, seconds=2.0, seed=7)
