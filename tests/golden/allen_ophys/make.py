"""Write the golden file: `python make.py`, in this folder. Seeded; no recorded data."""

from pathlib import Path

from neuroarrays.synthetic.allen_ophys import write_allen_ophys

if __name__ == "__main__":
    write_allen_ophys(Path(__file__).parent / "501271265.nwb", units=3, trials=10, seed=5)
