"""Write the golden folder: `python make.py`, in this folder. Seeded; no recorded data."""

import shutil
from pathlib import Path

from neuroarrays.synthetic.alf import write_alf

DAY = Path(__file__).parent / "lab_a" / "Subjects" / "KS023" / "2019-12-10"

if __name__ == "__main__":
    shutil.rmtree(DAY.parents[2], ignore_errors=True)
    write_alf(DAY / "001", units=4, seconds=6.0, seed=3)
    write_alf(DAY / "002", units=3, seconds=3.0, seed=4, probes=1, behaviour=False)
