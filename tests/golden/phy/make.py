"""Write the golden folder: `python make.py`, in this folder. Seeded; no recorded data."""

import shutil
from pathlib import Path

from neuroarrays.synthetic.phy import write_phy

FOLDER = Path(__file__).parent / "probe_a"

if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_phy(FOLDER, units=4, seconds=2.0, seed=7, recording=False)
