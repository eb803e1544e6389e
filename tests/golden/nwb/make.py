"""Write the two golden NWB files: session.nwb with pynwb, session_zarr.nwb by hand.

Run once, from this folder: ``python make.py``. Running it again changes identifiers and nothing else.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numcodecs
import numpy as np

HERE = Path(__file__).parent


def trains(rng):
    """Three spike trains on a 30 kHz clock, s; the second is empty, the third not in order."""
    first = np.round(np.sort(rng.uniform(0, 30, 40)) * 30_000) / 30_000
    third = np.round(np.sort(rng.uniform(0, 30, 25)) * 30_000) / 30_000
    return [first, np.empty(0), np.roll(third, 3)]


def write_hdf5(path):
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.behavior import BehavioralEvents, EyeTracking, Position, SpatialSeries
    from pynwb.ecephys import ElectricalSeries
    from pynwb.file import Subject
    from pynwb.image import ImageSeries
    from pynwb.ophys import (
        Fluorescence,
        ImageSegmentation,
        OpticalChannel,
        RoiResponseSeries,
    )

    rng = np.random.default_rng(20261120)
    nwb = NWBFile(
        session_description="A golden file: random numbers in the layout of a recording.",
        identifier="golden-nwb",
        session_start_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        session_id="golden",
        institution="none",
        keywords=["golden", "synthetic"],
    )
    nwb.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D")

    device = nwb.create_device("probe")
    for area in ("VISp", "CA1"):
        group = nwb.create_electrode_group(area, "shank", area, device)
        for x in (0.0, 20.0):
            nwb.add_electrode(location=area, group=group, rel_x=x, rel_y=0.0)
    nwb.add_unit_column("quality", "how well it is isolated")
    nwb.add_unit_column("snr", "signal to noise")
    rows = zip(trains(rng), ([0, 1], [2], [3]), ("good", "mua", "good"), strict=True)
    for i, (train, electrodes, quality) in enumerate(rows):
        nwb.add_unit(
            id=100 + i,
            spike_times=train,
            electrodes=electrodes,
            quality=quality,
            snr=1.5 + i,
            waveform_mean=rng.normal(size=6),
        )

    nwb.add_trial_column("orientation", "deg")
    nwb.add_trial_column("outcome", "hit or miss")
    nwb.add_trial_column("rewarded", "whether")
    nwb.add_trial_column("lick_times", "s", index=True)
    for i in range(8):
        nwb.add_trial(
            start_time=1.0 + 3.5 * i,
            stop_time=3.0 + 3.5 * i,
            orientation=45.0 * (i % 4),
            outcome="hit" if i % 3 else "miss",
            rewarded=bool(i % 2),
            lick_times=(1.25 + 3.5 * i + 0.5 * np.arange(i % 3)).tolist(),
            tags=["easy", "first"][: 2 - i % 2],
        )

    running = nwb.create_processing_module("running", "wheel")
    times = 0.5 + np.arange(150) / 5 + rng.uniform(0, 0.02, 150)
    running.add(
        TimeSeries("running_speed", data=rng.gamma(2, 5, 150), unit="cm/s", timestamps=times)
    )
    gaze = SpatialSeries(
        "pupil_tracking",
        data=rng.normal(size=(150, 2)),
        timestamps=running["running_speed"],
        reference_frame="eye camera",
        unit="meters",
    )
    nwb.add_acquisition(EyeTracking(spatial_series=gaze))
    behavior = nwb.create_processing_module("behavior", "position and licks")
    place = SpatialSeries(
        "SpatialSeries",
        data=np.cumsum(rng.normal(size=(100, 2)), axis=0),
        starting_time=0.25,
        rate=5.0,
        reference_frame="corner of the box",
        unit="cm",
    )
    behavior.add(Position(spatial_series=place))
    licks = TimeSeries(
        "lick_left", data=np.ones(12), unit="a.u.", timestamps=np.sort(rng.uniform(0, 30, 12))
    )
    behavior.add(BehavioralEvents(time_series=licks))

    region = nwb.create_electrode_table_region([0, 2], "two electrodes")
    nwb.add_acquisition(
        ElectricalSeries(
            "LFP",
            data=rng.integers(-3000, 3000, (300, 2)).astype(np.int16),
            electrodes=region,
            starting_time=0.0,
            rate=20.0,
            conversion=2.0e-7,
            offset=1.0e-3,
        )
    )
    nwb.add_acquisition(
        ImageSeries(
            "video",
            external_file=["eye.avi"],
            format="external",
            rate=30.0,
            unit="n.a.",
            starting_frame=[0],
            num_samples=900,
        )
    )

    plane = nwb.create_imaging_plane(
        name="plane",
        optical_channel=OpticalChannel("green", "GCaMP", 510.0),
        description="L2/3",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="V1",
    )
    ophys = nwb.create_processing_module("ophys", "calcium")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    table = segmentation.create_plane_segmentation("rois", plane, name="PlaneSegmentation")
    for i in range(3):
        table.add_roi(id=7 + i, pixel_mask=[(i, j, 1.0) for j in range(2)])
    fluorescence = RoiResponseSeries(
        "dff",
        data=rng.normal(size=(160, 3)).astype(np.float32),
        rois=table.create_roi_table_region("all", region=[2, 0, 1]),
        unit="n.a.",
        timestamps=np.arange(160) / 8 + 0.125,
    )
    ophys.add(Fluorescence(roi_response_series=fluorescence))

    with NWBHDF5IO(path, "w") as io:
        io.write(nwb, cache_spec=False, expandable=[])  # contiguous: a third of the size


class ZarrStore:
    """Zarr format 2 as hdmf-zarr 0.8 lays it out: dtypes, references and links in `.zattrs`."""

    def __init__(self, folder):
        self.folder = folder

    def _json(self, place, name, content):
        (self.folder / place).mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, sort_keys=True)
        (self.folder / place / name).write_text(text + "\n")

    def group(self, place, **attrs):
        self._json(place, ".zgroup", {"zarr_format": 2})
        if attrs:
            self._json(place, ".zattrs", attrs)

    def array(self, place, values, chunk=None, codec=None, **attrs):
        values = np.asarray(values, object if codec else None)
        chunk = chunk or max(len(values), 1)
        compressor = numcodecs.Blosc("lz4", clevel=5, shuffle=1)
        meta = {
            "zarr_format": 2,
            "shape": list(values.shape),
            "chunks": [chunk, *values.shape[1:]],
            "dtype": "|O" if codec else values.dtype.str,
            "compressor": compressor.get_config(),
            "fill_value": 0 if codec else 0.0 if values.dtype.kind == "f" else 0,
            "filters": [codec.get_config()] if codec else None,
            "order": "C",
        }
        self._json(place, ".zarray", meta)
        self._json(place, ".zattrs", attrs)
        for i in range(-(-len(values) // chunk)):
            part = values[i * chunk : (i + 1) * chunk]
            full = np.zeros((chunk, *values.shape[1:]), values.dtype)
            full[: len(part)] = part
            data = compressor.encode(codec.encode(full) if codec else full)
            name = ".".join([str(i), *["0"] * (values.ndim - 1)])
            (self.folder / place / name).write_bytes(bytes(data))

    def text(self, place, value, **attrs):
        self.array(place, [value], codec=numcodecs.VLenUTF8(), zarr_dtype="scalar", **attrs)


def reference(path):
    value = {"object_id": None, "path": path, "source": ".", "source_object_id": None}
    return {"zarr_dtype": "object", "value": value}


def write_zarr(folder):
    rng = np.random.default_rng(20261121)
    shutil.rmtree(folder, ignore_errors=True)
    store = ZarrStore(folder)
    store.group(
        "", nwb_version="2.6.0", neurodata_type="NWBFile", namespace="core", object_id="golden"
    )
    store.text("identifier", "golden-nwb-zarr")
    store.text("session_description", "A golden file in the layout of hdmf-zarr")
    store.text("session_start_time", "2026-01-02T03:04:05+00:00")
    store.group("general", **{})
    store.group("general/subject", neurodata_type="Subject")
    store.text("general/subject/subject_id", "m2")
    store.text("general/subject/species", "Mus musculus")

    utf8, raw = numcodecs.VLenUTF8(), numcodecs.VLenBytes()
    store.group("general/extracellular_ephys")
    electrodes = "general/extracellular_ephys/electrodes"
    store.group(electrodes, colnames=["location"], neurodata_type="DynamicTable")
    store.array(f"{electrodes}/id", np.arange(2), zarr_dtype="int64")
    store.array(f"{electrodes}/location", ["MOs", "ORB"], codec=utf8, zarr_dtype="str")

    first, _, third = trains(rng)
    store.group("units", colnames=["spike_times", "electrodes"], neurodata_type="Units")
    store.array("units/id", np.arange(2), zarr_dtype="int64")
    store.array("units/spike_times", np.concatenate([first, third]), 32, zarr_dtype="float64")
    store.array("units/spike_times_index", np.array([40, 65], np.uint8), zarr_dtype="uint8")
    store.array(
        "units/electrodes",
        np.array([1, 0]),
        zarr_dtype="int",
        table=reference(f"/{electrodes}"),
    )
    store.array("units/electrodes_index", np.array([1, 2], np.uint8), zarr_dtype="uint8")

    trials = "intervals/trials"
    store.group("intervals")
    store.group(trials, colnames=["start_time", "stop_time", "cue", "note", "points"])
    store.array(f"{trials}/id", np.arange(5), zarr_dtype="int64")
    store.array(f"{trials}/start_time", 1.0 + 2.0 * np.arange(5), 2, zarr_dtype="float64")
    store.array(f"{trials}/stop_time", 2.5 + 2.0 * np.arange(5), 2, zarr_dtype="float64")
    cues = ["left", "right", "left", "", "µ-right"]
    store.array(f"{trials}/cue", cues, 2, codec=utf8, zarr_dtype="str")
    notes = [text.encode() for text in ("a", "b", "", "d", "é")]
    store.array(f"{trials}/note", notes, codec=raw, zarr_dtype="bytes")
    points = ["1", "2", "", "4", "5"]
    store.array(f"{trials}/points", points, codec=numcodecs.JSON(), zarr_dtype="object")
    store.array(f"{trials}/engaged", np.arange(5) % 2 == 0, zarr_dtype="bool")

    store.group("acquisition")
    clock = np.sort(rng.uniform(0, 12, 60))
    unit = {"conversion": 1.0, "offset": 0.0, "unit": "a.u."}
    store.group("acquisition/G_1", neurodata_type="TimeSeries", description="green")
    store.array("acquisition/G_1/data", rng.normal(size=60), 25, zarr_dtype="float64", **unit)
    store.array("acquisition/G_1/timestamps", clock, 25, zarr_dtype="float64")
    link = {
        "name": "timestamps",
        "source": ".",
        "path": "/acquisition/G_1/timestamps",
        "object_id": None,
        "source_object_id": None,
    }
    store.group("acquisition/R_1", neurodata_type="TimeSeries", zarr_link=[link])
    store.array("acquisition/R_1/data", rng.normal(size=60), 25, zarr_dtype="float64", **unit)


if __name__ == "__main__":
    write_hdf5(HERE / "session.nwb")
    write_zarr(HERE / "session_zarr.nwb")
