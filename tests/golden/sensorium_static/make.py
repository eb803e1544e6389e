"""Write the golden folder: `python make.py`, in this folder."""

import shutil
from pathlib import Path

from neuroarrays.synthetic.sensorium import StaticOptions, write_static

FOLDER = Path(__file__).parent / "static26872-17-20-GrayImageNet-94c6ff995dac583098847cfecd43e7b6"

if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_static(
        FOLDER,
        StaticOptions(
            train=2,
            validation=1,
            test=1,
            repeats=2,
            units=3,
            areas=("V1", "LM"),
            size=(2, 3),
            competition=True,
            seed=5,
        ),
    )
    for path in FOLDER.glob("meta/statistics/*/stimulus_Frame/*.npy"):
        if path.stem not in ("mean", "std"):  # those of "all" tell the rest
            path.unlink()
