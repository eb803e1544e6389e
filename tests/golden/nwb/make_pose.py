"""Write pose.nwb with pynwb and ndx-pose: ``python make_pose.py``, in this folder. No recorded data."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject

HERE = Path(__file__).parent

if __name__ == "__main__":
    rng = np.random.default_rng(20261129)
    nwb = NWBFile("A golden file: random poses.", "golden-pose", datetime(2026, 1, 2, tzinfo=UTC))
    nwb.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")
    camera = nwb.create_device("side camera")
    nodes = ["snout", "ear", "tail"]
    edges = np.array([[0, 1], [1, 2]], np.uint8)
    skeleton = Skeleton(name="mouse", nodes=nodes, edges=edges, subject=nwb.subject)
    times = 0.5 + np.arange(30) / 25
    parts: list[PoseEstimationSeries] = []
    for name in nodes:
        parts.append(
            PoseEstimationSeries(
                name=name,
                description=f"the {name}",
                data=rng.normal(200, 30, (30, 2)).astype(np.float32),
                unit="pixels",
                reference_frame="(0,0) is the upper left corner",
                timestamps=parts[0] if parts else times,
                confidence=rng.uniform(0.5, 1, 30).astype(np.float32),
                confidence_definition="softmax",
            )
        )
    poses = PoseEstimation(
        name="SideCamera",
        pose_estimation_series=parts,
        description="random",
        original_videos=["side.mp4"],
        dimensions=np.array([[640, 480]], np.uint16),
        devices=[camera],
        scorer="nobody",
        source_software="DeepLabCut",
        source_software_version="3.0.0",
        skeleton=skeleton,
    )
    behavior = nwb.create_processing_module("behavior", "poses")
    behavior.add(Skeletons(skeletons=[skeleton]))
    behavior.add(poses)
    with NWBHDF5IO(HERE / "pose.nwb", "w") as io:
        io.write(nwb, cache_spec=False)
