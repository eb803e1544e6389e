"""Write the golden folder: `python make.py`, in this folder."""

import json
import shutil
from pathlib import Path

from neuroarrays.synthetic.experanto import write_experanto

FOLDER = Path(__file__).parent / "dynamic17797-4-7-Video-021a75_30hz"

if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_experanto(
        FOLDER, units=3, seconds=4.0, size=(2, 3), phase_shifts=True, spikes=True, seed=5
    )
    # The number of its name and not that of the seed.
    key = {"animal_id": 17797, "session": 4, "scan_idx": 7}
    (FOLDER / "meta.json").write_text(json.dumps({"scan_key": key}))
