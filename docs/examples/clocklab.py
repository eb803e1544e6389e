"""Sessions of the (imaginary) Clock Lab: a folder each, arrays in npy files, samples of one clock.

In a folder::

    session.json              {"lab": "Clock Lab", "sampling_rate": 30000, "subject": "rat-2"}
    <area>/spike_samples.npy  (spike,) int64, samples of the clock, unit after unit
    <area>/spike_counts.npy   (unit,) spikes of each unit
    wheel.npy                 (time,) float32, cm/s
    wheel_samples.npy         (time,) int64, samples of the clock
"""

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.clocks import seconds
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.indexes import dataset


class ClockLabReader(Reader):
    """Reads sessions of the Clock Lab."""

    name = "clocklab"
    description = "Sessions of the Clock Lab, folders of npy files"

    def recognise(self, probe):
        about = probe.child("session.json")
        return about.is_file and about.read_json().get("lab") == "Clock Lab"

    def open_session(self, session, name, request, *, sampling_rate=None):
        about = session.child("session.json").read_json()
        rate = sampling_rate or about["sampling_rate"]
        nodes = {"": xr.Dataset(attrs={"subject": about["subject"]})}
        for area in session.children:
            if area.has("spike_samples.npy"):
                nodes[f"{area.name}/spikes"] = spikes(area, rate)
        speed, times = array(session.child("wheel.npy")), array(session.child("wheel_samples.npy"))
        nodes["running"] = dataset(
            {"speed": schema.var("series", "speed", wrap(speed), ("time",), units="cm/s")},
            {"time": seconds(times, rate).variable(["time"], {"units": "s"})},
        )
        return nodes


def array(file):
    """The array of an npy file, which stays in the file until it is indexed."""
    return file_array(file.source, file.stem)


def spikes(area, rate):
    """The spikes node of an area."""
    samples = array(area.child("spike_samples.npy"))
    counts = area.child("spike_counts.npy").source.read("spike_counts").astype("i8")
    if counts.sum() != samples.shape[0]:
        raise FormatError(
            area.as_given,
            "spike_counts.npy",
            expected=f"a sum of {samples.shape[0]}, the number of spikes",
            found=str(counts.sum()),
        )
    times = wrap(seconds(samples, rate))
    return dataset(
        {
            "spike_times": schema.var("spikes", "spike_times", times),
            "row_size": schema.var("spikes", "row_size", counts, sample_dimension="spike"),
        },
        {"unit_id": xr.Variable("unit_id", range(counts.size))},
    )
