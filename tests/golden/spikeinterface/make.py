"""Write the golden folders with spikeinterface itself: `python make.py`, where it is installed (0.105.3)."""

import shutil
from pathlib import Path

from spikeinterface.core import (
    NpzSortingExtractor,
    create_sorting_analyzer,
    generate_ground_truth_recording,
)

HERE = Path(__file__).parent
SMALL = {"num_channels": 4, "num_units": 3, "sampling_frequency": 10000.0}
METRICS = {"metric_names": ["num_spikes", "firing_rate", "snr"]}
SHAPES = {"metric_names": ["peak_to_trough_duration", "half_width"]}

if __name__ == "__main__":
    for old in ("analyzer", "stored.zarr", "numpy_folder", "npz_folder"):
        shutil.rmtree(HERE / old, ignore_errors=True)
    recording, sorting = generate_ground_truth_recording(durations=[4.0], seed=0, **SMALL)
    sorting.set_property("quality", ["good", "mua", "good"])
    analyzer = create_sorting_analyzer(
        sorting, recording, format="binary_folder", folder=HERE / "analyzer", sparse=False
    )
    analyzer.compute(["random_spikes", "templates", "noise_levels", "unit_locations"])
    analyzer.compute({"quality_metrics": METRICS, "template_metrics": SHAPES})
    stored = analyzer.save_as(format="zarr", folder=HERE / "stored.zarr")
    for extension in ("random_spikes", "template_metrics"):
        stored.delete_extension(extension)
    analyzer.compute(["spike_amplitudes", "spike_locations"])
    _, of_two = generate_ground_truth_recording(durations=[2.0, 1.0], seed=1, **SMALL)
    of_two.save(folder=HERE / "numpy_folder", format="numpy_folder")
    of_two.save(folder=HERE / "npz_folder", format="npz_folder")
    NpzSortingExtractor.write_sorting(of_two, HERE / "sorting.npz")
