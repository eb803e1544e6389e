"""Write the golden zip: `python make.py`, in this folder."""

import shutil
from pathlib import Path

from neuroarrays.synthetic.sensorium import DynamicOptions, write_dynamic, write_zip

FOLDER = Path(__file__).parent / "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"

if __name__ == "__main__":
    write_dynamic(
        FOLDER,
        DynamicOptions(
            train=2,
            repeated=1,
            repeats=1,
            surplus=1,
            units=3,
            frames=14,
            size=(2, 3),
            competition=True,
            seed=5,
        ),
    )
    for path in FOLDER.glob("meta/statistics/*/stimulus_Clip/*.npy"):
        if path.stem not in ("mean", "std"):  # those of "all" tell the rest
            path.unlink()
    write_zip(FOLDER)
    shutil.rmtree(FOLDER)
