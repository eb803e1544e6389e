"""Write a small recording by hdmf-zarr as it is installed, and what hdmf-zarr itself reads of it as JSON.

Run once with each writer, from this folder, in an environment of Python 3.12:

    pip install "hdmf-zarr>=0.14" pynwb && python make.py current
    pip install "hdmf-zarr<0.12" "zarr<3" "pynwb<3.2" "hdmf<4.2"
    NUMCODECS_ALLOW_UNSAFE_PICKLE_DECODE=1 python make.py older
"""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hdmf_zarr.nwb import NWBZarrIO
from pynwb import NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.file import Subject

HERE = Path(__file__).parent


def recording():
    """Units with electrodes, trials with text and ragged columns, series that share timestamps by a link."""
    rng = np.random.default_rng(20261128)
    nwb = NWBFile(
        session_description="golden, written by hdmf-zarr",
        identifier="golden-hdmf-zarr",
        session_start_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    nwb.subject = Subject(subject_id="m3", species="Mus musculus", sex="M", age="P90D")
    device = nwb.create_device("probe")
    for area in ("MOs", "ORB"):
        group = nwb.create_electrode_group(area, "shank", area, device)
        for x in (0.0, 20.0):
            nwb.add_electrode(location=area, group=group, rel_x=x, rel_y=0.0)
    nwb.add_unit_column("quality", "how well it is isolated")
    nwb.add_unit_column("snr", "signal to noise")
    rows = zip((12, 0, 7), ([0], [2, 3], [1]), ("good", "mua", "good"), strict=True)
    for i, (count, electrodes, quality) in enumerate(rows):
        times = np.round(np.sort(rng.uniform(0, 20, count)) * 30_000) / 30_000
        nwb.add_unit(
            id=10 + i, spike_times=times, electrodes=electrodes, quality=quality, snr=1.5 + i
        )
    nwb.add_trial_column("cue", "left or right")
    nwb.add_trial_column("rewarded", "whether")
    nwb.add_trial_column("licks", "s", index=True)
    for i in range(5):
        nwb.add_trial(
            start_time=1.0 + 3.0 * i,
            stop_time=2.5 + 3.0 * i,
            cue="left" if i % 2 else "µ-right",
            rewarded=bool(i % 2),
            licks=(1.25 + 3.0 * i + 0.25 * np.arange(i % 3)).tolist(),
        )
    clock = np.sort(rng.uniform(0, 20, 40))
    green = TimeSeries("green", data=rng.normal(size=40), unit="a.u.", timestamps=clock)
    red = TimeSeries("red", data=rng.normal(size=40), unit="a.u.", timestamps=green)
    nwb.add_acquisition(green)
    nwb.add_acquisition(red)
    module = nwb.create_processing_module("behavior", "speed")
    speed = TimeSeries("speed", data=rng.gamma(2, 5, 50), unit="cm/s", starting_time=0.5, rate=2.5)
    module.add(BehavioralTimeSeries(time_series=speed))
    region = nwb.create_electrode_table_region([0, 2], "two")
    data = rng.integers(-3000, 3000, (60, 2)).astype(np.int16)
    nwb.add_acquisition(
        ElectricalSeries(
            "LFP", data=data, electrodes=region, starting_time=0.0, rate=4.0, conversion=2.0e-7
        )
    )
    return nwb


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value.decode() if isinstance(value, bytes) else value


def series(one):
    times = one.timestamps
    if times is None:
        times = one.starting_time + np.arange(len(one.data)) / one.rate
    return {"data": plain(np.asarray(one.data)), "time": plain(np.asarray(times))}


def values(path):
    """What hdmf-zarr reads."""
    with NWBZarrIO(str(path), "r") as io:
        nwb = io.read()
        electrodes = nwb.electrodes.to_dataframe()
        units = nwb.units
        return {
            "session_start_time": nwb.session_start_time.isoformat(),
            "subject": {"subject_id": nwb.subject.subject_id, "species": nwb.subject.species},
            "electrodes": {"location": plain(electrodes["location"].to_numpy())},
            "units": {
                "id": plain(np.asarray(units.id[:])),
                "quality": plain(np.asarray(units["quality"].data[:])),
                "snr": plain(np.asarray(units["snr"].data[:])),
                "spike_times": [plain(np.asarray(units["spike_times"][i])) for i in range(3)],
                "electrodes": [plain(units["electrodes"][i].index.to_numpy()) for i in range(3)],
            },
            "trials": {
                name: [plain(value) for value in nwb.trials.to_dataframe()[name]]
                for name in ("start_time", "stop_time", "cue", "rewarded", "licks")
            },
            "series": {
                "green": series(nwb.acquisition["green"]),
                "red": series(nwb.acquisition["red"]),
                "speed": series(nwb.processing["behavior"]["BehavioralTimeSeries"]["speed"]),
                "LFP": series(nwb.acquisition["LFP"]),
            },
        }


def main(name):
    path = HERE / f"{name}.nwb.zarr"
    shutil.rmtree(path, ignore_errors=True)
    with NWBZarrIO(str(path), "w") as io:
        io.write(recording(), cache_spec=False)
    (HERE / f"{name}.json").write_text(json.dumps(values(path), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
