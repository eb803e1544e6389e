"""Coverage-guided fuzzing of everything that reads bytes or text from elsewhere.

    python fuzz/fuzz.py npz CORPUS -max_total_time=300

Whatever comes, the answer is a value or an error of this package; anything else is a finding, and
libFuzzer leaves the input in a file ``crash-*``. An empty CORPUS is filled with small good files.
"""

import contextlib
import io
import pickle
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["neuroarrays"]):
    from neuroarrays import open_datatree, release
    from neuroarrays.errors import NeuroArraysError
    from neuroarrays.files import matlab, npy
    from neuroarrays.files.npz import npz_source
    from neuroarrays.files.pickles import load_pickle
    from neuroarrays.files.probe import probe_of
    from neuroarrays.formats.arrays import read_mapping
    from neuroarrays.formats.driada import DriadaReader
    from neuroarrays.tree import query

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def stored(name, data):
    """A file of these bytes; what is known of an earlier one of the name is forgotten."""
    release()
    path = FOLDER / name
    path.write_bytes(data)
    return path


def npz(data):
    """A whole zip, or its only member: half of what is tried has a good directory."""
    if data[:1] == b"M":
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("calcium.npy", data[1:])
        data = zipped.getvalue()
    path = stored("a.npz", data)
    file = npz_source(path)
    for name in file.names():
        with contextlib.suppress(NeuroArraysError):
            file.read(name)
    DriadaReader().guess_can_open(path)
    DriadaReader().open_groups_as_dict(path)


def npy_header(data):
    """The header of a npy file, and the values after it."""
    npy.values(data, "a.npy")


def pickled(data):
    """A pickle, with every name allowed and with none, in memory and from a file."""
    for allowed in (None, ()):
        with contextlib.suppress(NeuroArraysError):
            load_pickle(data, allowed)
    load_pickle(stored("a.pickle", data), stored=True)


def mat(data):
    """A MATLAB file, v5; through the struct of DRIADA's documents too."""
    path = stored("a.mat", data)
    if probe_of(path).container == "hdf5":
        return  # h5py's own ground
    DriadaReader().guess_can_open(path)
    file = matlab.matlab_source(path)
    for name in file.members():
        with contextlib.suppress(NeuroArraysError):
            file.read(name)


#: Parts that mappings are put together from, good ones and bad ones.
SCALARS = (0, 1, -1, 2.5, float("nan"), float("inf"), 10**30, True, "", "x", "time", "float32", "O")
PARTS = (
    *SCALARS, "dff", "ca_time", "behav_time", "lick", "spikes/*/time", "spikes/*/*", "*", "trials/kind/*",
    [], {}, ["time"], ["unit_id", "time"], ["time", "time"], [1], [["x"]],
)  # fmt: skip
KEYS = (
    "array",
    "column",
    "dims",
    "dtype",
    "scale",
    "offset",
    "units",
    "rate",
    "start",
    "long_name",
)
NAMES = ("time", "unit_id", "presentation_id", "x", "spike_times", "unit", "row_size", "start_time",
         "responses", "spike_data", "stimulus", "speed")  # fmt: skip
NODES = ("/", "V1", "V1/spikes", "V1/dff", "V1/presentations", "presentations/t", "position", "",
         "stimulus/s", "events/e", "tree", "session", "attrs", "a/b/c/d")  # fmt: skip


def mapping(data):
    """A mapping for a good MATLAB file: as TOML, or put together from parts."""
    if data[:1] != b"+":
        said = read_mapping(probe_of(stored("m.toml", data)))
    else:
        fuzzed = atheris.FuzzedDataProvider(data[1:])

        def pick(pool):
            return pool[fuzzed.ConsumeIntInRange(0, len(pool) - 1)]

        def entry():
            if fuzzed.ConsumeBool():
                return pick(PARTS)
            keys = {pick(KEYS): pick(PARTS) for _ in range(fuzzed.ConsumeIntInRange(0, 3))}
            return {"array": pick(PARTS), **keys}

        said = {"tree": pick(("recording", "aligned"))}
        for _ in range(fuzzed.ConsumeIntInRange(1, 3)):
            names = [pick(NAMES) for _ in range(fuzzed.ConsumeIntInRange(0, 3))]
            said[pick(NODES)] = {n: entry() for n in names} or pick(PARTS)
    tree = open_datatree(GOLDEN / "arrays" / "rig.mat", engine="arrays", mapping=said)
    for node in tree.subtree:
        with contextlib.suppress(NeuroArraysError):
            node.to_dataset().load()


def condition(data):
    """A query, and what it picks of three columns."""
    import numpy as np

    columns = {
        "a": np.array([0.5, np.nan, 2.0]),
        "b": np.array(["x", "", "y"], object),
        "c": np.array([True, False, True]),
    }
    query.parse(data.decode("utf-8", "replace")).where(lambda name: columns.get(name, 1), 3)


def seeds():
    """Small good inputs of each target."""
    trees = sorted((GOLDEN.parents[1] / "docs" / "examples").glob("*.toml"))
    fps = pickle.dumps({"fps": [20.0], "x": GOLDEN.name}, 2)
    session = (GOLDEN / "driada" / "session.npz").read_bytes()
    member = zipfile.ZipFile(io.BytesIO(session)).read("licks.npy")
    return {
        "npz": [session, b"M" + member],
        "npy": [member],
        "pickle": [fps, pickle.dumps(GOLDEN, 4), b"cnumpy\ndtype\n(S'f8'\nK\x00K\x01tR."],
        "mat": [(GOLDEN / "arrays" / "rig.mat").read_bytes()],
        "mapping": [t.read_bytes() for t in (*trees, GOLDEN / "arrays" / "rig.toml")],
        "query": [b"a > 1 and b in ['x', 'y']", b"not (0 < a <= 0.5 or c)"],
    }


TARGETS = {
    "npz": npz,
    "npy": npy_header,
    "pickle": pickled,
    "mat": mat,
    "mapping": mapping,
    "query": condition,
}


def main():
    """Fuzz the target named first; the rest of the arguments are libFuzzer's."""
    name, corpus = sys.argv[1:3]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    if not any(Path(corpus).iterdir()):
        for i, content in enumerate(seeds()[name]):
            (Path(corpus) / f"seed-{i}").write_bytes(content)
    warnings.simplefilter("ignore")

    def once(data):
        with contextlib.suppress(NeuroArraysError):
            TARGETS[name](data)

    atheris.Setup([sys.argv[0], corpus, *sys.argv[3:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
