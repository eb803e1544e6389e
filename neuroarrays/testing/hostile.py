"""Files made to do harm, and damaged good ones: small, always the same, for tests and campaigns."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: What lies outside of a hostile file, and must not come out of it.
SECRET = "top secret"
Case = tuple[str, Path, str | None]


def read_all(path: str, engine: str | None = None) -> str:
    """Open a recording, or its arrays with the engine "arrays", read every value and return the text."""
    import neuroarrays as na
    from neuroarrays.formats.arrays import files

    if engine == "arrays":
        source = files.arrays_source(path)
        infos = files.listing(source)
        whole = {name: (slice(None),) * len(info.shape) for name, info in infos.items()}
        return "\n".join(str(source.read(name, key)) for name, key in whole.items())
    tree = na.open_datatree(path, engine=engine)
    texts = []
    for node in tree.subtree:
        texts.append(repr(node.attrs))
        for variable in node.to_dataset(inherit=False).variables.values():
            values = variable.values
            if values.dtype.kind in "OU":
                texts += map(str, values.ravel()[:1000].tolist())
    return "\n".join(texts)


def hostile(folder: Path) -> Iterator[Case]:
    """Yield name, file and engine of each file that is made to do harm."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret.txt").write_text(SECRET)
    yield from _hdf5(folder)
    yield from _zarr(folder)
    yield from _numpy(folder)
    yield from _texts(folder)


def _nwb(path: Path, change: Any) -> Path:
    """Write a small NWB file of one unit, with one change."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.5.0"
        file["session_start_time"] = "2020-01-01T00:00:00+00:00"
        file["units/id"] = np.arange(2)
        file["units/spike_times"] = np.arange(6.0)
        file["units/spike_times_index"] = np.array([3, 6])
        series = file.create_group("acquisition/x")
        series.attrs["neurodata_type"] = "TimeSeries"
        series["data"] = np.arange(5.0)
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = 10.0
        change(file)
    return path


def _external_link(file: Any, folder: Path) -> None:
    """An external link in place of a dataset."""
    import h5py

    del file["acquisition/x/data"]
    file["acquisition/x/data"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def _external_storage(file: Any, folder: Path) -> None:
    """A dataset whose values are in another file."""
    del file["acquisition/x/data"]
    where = [(str(folder / "secret.txt"), 0, 40)]
    file.create_dataset("acquisition/x/data", (5,), "f8", external=where)


def _virtual(file: Any, folder: Path) -> None:
    """A virtual dataset of another file."""
    import h5py

    del file["acquisition/x/data"]
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "numbers", (5,))
    file.create_virtual_dataset("acquisition/x/data", layout)


def _soft_circle(file: Any, folder: Path) -> None:
    """A soft link to itself."""
    import h5py

    file["acquisition/y"] = h5py.SoftLink("/acquisition/y")


def _hard_circle(file: Any, folder: Path) -> None:
    """A group that contains a group above it."""
    file["acquisition/x/again"] = file["acquisition"]


def _huge(file: Any, folder: Path) -> None:
    """A table of units with 2**36 rows."""
    for name in ("spike_times", "spike_times_index", "id"):
        del file[f"units/{name}"]
        kind = "f8" if name == "spike_times" else "i8"
        file.create_dataset(f"units/{name}", (1 << 36,), kind, chunks=(1 << 16,))


def _bomb(file: Any, folder: Path) -> None:
    """Compressed zeros that fill 4 GiB."""
    del file["units/id"]
    file.create_dataset("units/id", (1 << 29,), "i8", chunks=(1 << 20,), compression="gzip")


def _huge_table(file: Any, folder: Path) -> None:
    """A table of trials with 2**36 rows."""
    table = file.create_group("intervals/trials")
    for name in ("id", "start_time", "stop_time"):
        table.create_dataset(name, (1 << 36,), "f8", chunks=(1 << 16,))


def _index_of_no_unit(file: Any, folder: Path) -> None:
    """An index of spike times that points outside them."""
    file["units/spike_times_index"][...] = [1 << 62, -5]


def _deep(file: Any, folder: Path) -> None:
    """Groups nested 60 levels deep."""
    group = file
    for _ in range(60):
        group = group.create_group("g")


def _numbers(file: Any, folder: Path) -> None:
    """NaN and infinite times, and a rate of NaN."""
    file["acquisition/x/starting_time"].attrs["rate"] = np.nan
    file["units/spike_times"][...] = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0]


def _far(file: Any, folder: Path) -> None:
    """A spike 30 years before all others."""
    file["units/spike_times"][0] = -1e9


def _reference_out(file: Any, folder: Path) -> None:
    """References in place of the values of a signal."""
    import h5py

    del file["acquisition/x/data"]
    kind = h5py.ref_dtype
    file.create_dataset("acquisition/x/data", data=[file["units/id"].ref] * 5, dtype=kind)


def _hdf5(folder: Path) -> Iterator[Case]:
    """Yield hostile NWB files in HDF5."""
    import h5py

    with h5py.File(folder / "other.h5", "w") as file:
        file["secret"] = np.array([SECRET] * 5, object)
        file["numbers"] = np.arange(5.0)
    for change in (
        _external_link,
        _external_storage,
        _virtual,
        _soft_circle,
        _hard_circle,
        _huge,
        _bomb,
        _huge_table,
        _index_of_no_unit,
        _deep,
        _numbers,
        _far,
        _reference_out,
    ):
        name = change.__name__.strip("_")
        yield f"hdf5 {name}", _nwb(folder / f"{name}.nwb", lambda f, c=change: c(f, folder)), None


def _zarr(folder: Path) -> Iterator[Case]:
    """Yield hostile Zarr stores."""
    meta = {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [2],
        "dtype": "<f8",
        "order": "C",
        "compressor": None,
        "filters": None,
        "fill_value": 0,
    }
    changes: dict[str, dict[str, Any]] = {
        "shape": {"shape": [1 << 50]},
        "chunks": {"chunks": [1 << 50]},
        "no chunks": {"chunks": [0]},
        "negative": {"shape": [-4]},
        "text": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "shape": [1 << 40]},
        "small text": {
            "dtype": "|O",
            "filters": [{"id": "vlen-utf8"}],
            "chunks": [1],
            "shape": [1 << 24],
        },
        "pickle": {"dtype": "|O", "filters": [{"id": "pickle"}]},
        "unknown": {"compressor": {"id": "no such codec"}},
        "dtype": {"dtype": "nonsense"},
        "bomb": {"compressor": {"id": "zlib", "level": 1}},
    }
    for name, change in changes.items():
        yield f"zarr {name}", _store(folder / f"{name}.zarr", meta | change, b"\0" * 16), "arrays"
    for kind in ("link", "fifo", "link of metadata", "deep metadata"):
        if os.name == "nt":
            return
        path = _store(folder / f"{kind}.zarr", meta, b"\0" * 16)
        chunk = path / "x" / "0"
        if kind == "link":
            chunk.unlink()
            chunk.symlink_to(folder / "secret.txt")
        elif kind == "fifo":
            chunk.unlink()
            os.mkfifo(chunk)
        elif kind == "deep metadata":
            (path / "x" / ".zattrs").write_text("[" * 100_000)
        else:
            (folder / "outside.json").write_text(json.dumps({"note": SECRET}))
            (path / ".zattrs").symlink_to(folder / "outside.json")
        yield f"zarr {kind}", path, "arrays"


def _store(path: Path, meta: dict[str, Any], chunk: bytes) -> Path:
    """Write a Zarr store of one array."""
    shutil.rmtree(path, ignore_errors=True)
    (path / "x").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / "x" / ".zarray").write_text(json.dumps(meta))
    (path / "x" / "0").write_bytes(chunk)
    return path


def _numpy(folder: Path) -> Iterator[Case]:
    """Yield hostile npy and npz files."""

    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(folder / "ran"),)

    plain = io.BytesIO()
    np.save(plain, np.arange(6.0))
    content = plain.getvalue()
    heads = {
        "huge": content.replace(b"(6,)", b"(9" + b"9" * 11 + b",)", 1),
        "negative": content.replace(b"(6,)", b"(-6,)", 1),
        "objects": content.replace(b"'<f8'", b"'|O' ", 1),
        "cut": content[:-9],
        "no header": content[:9],
        "code": content.replace(b"(6,)", b"a.b()", 1),
    }
    for name, raw in heads.items():
        target = folder / f"npy {name}"
        target.mkdir(exist_ok=True)
        (target / "x.npy").write_bytes(raw)
        yield f"npy {name}", target, "arrays"
        path = folder / f"{name}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", raw)
        yield f"npz {name}", path, "arrays"
    with (
        zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(content[: content.index(b"\n") + 1].replace(b"(6,)", b"(25000000,)", 1))
        for _ in range(200):
            member.write(bytes(1 << 20))
    yield "npz bomb", folder / "bomb.npz", "arrays"
    (folder / "run.pickle").write_bytes(pickle.dumps({"x": Runs()}))
    yield "pickle", folder / "run.pickle", None


def _texts(folder: Path) -> Iterator[Case]:
    """Yield odd tables of text and JSON."""
    contents = {
        "empty.csv": b"",
        "nul.csv": b"a,b\n\0,1\n",
        "ragged.csv": b"a,b\n1,2,3,4\n",
        "wide.csv": b",".join([b"a"] * 1_000) + b"\n",
        "binary.csv": bytes(range(256)) * 20,
        "quote.csv": b'a,b\n"1,2\n',
        "cut.mat": b"MATLAB 5.0" + bytes(200),
        "empty.nwb": b"",
        "page.nwb": b"<html>not found</html>",
        "magic.nwb": b"\x89HDF\r\n\x1a\n" + bytes(4000),
    }
    for name, raw in contents.items():
        (folder / name).write_bytes(raw)
        yield f"text {name}", folder / name, "arrays" if name.endswith((".csv", ".mat")) else None


# ---------------------------------------------------------------------------------------- damage


def seeds(folder: Path) -> list[Case]:
    """Write small good files of each kind."""
    import neuroarrays as na

    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = [("nwb", _nwb(folder / "a.nwb", lambda file: None), None)]
    tree = na.open_datatree(folder / "a.nwb")
    cases.append(("h5", Path(na.save(tree, folder / "a.h5", overwrite=True)), None))
    meta = {
        "zarr_format": 2,
        "shape": [4],
        "chunks": [2],
        "dtype": "<f8",
        "order": "C",
        "compressor": {"id": "zlib", "level": 1},
        "filters": None,
        "fill_value": 0,
    }
    import zlib

    cases.append(("zarr", _store(folder / "a.zarr", meta, zlib.compress(bytes(16))), "arrays"))
    np.savez_compressed(folder / "a.npz", x=np.arange(50.0), names=np.array(["a", "b"]))
    cases.append(("npz", folder / "a.npz", "arrays"))
    (folder / "npy").mkdir(exist_ok=True)
    np.save(folder / "npy" / "x.npy", np.arange(9.0))
    cases.append(("npy", folder / "npy", "arrays"))
    (folder / "a.csv").write_text("time,x\n0,1\n1,2\n2,3\n")
    cases.append(("csv", folder / "a.csv", "arrays"))
    try:
        import scipy.io
    except ImportError:
        return cases
    scipy.io.savemat(folder / "a.mat", {"x": np.arange(5.0), "s": {"a": 1, "b": "text"}})
    cases.append(("mat", folder / "a.mat", "arrays"))
    return cases


def damaged(path: Path, into: Path, draw: random.Random) -> tuple[str, Path]:
    """Copy a file or folder with one file cut, zeroed in a part, or with flipped bits."""
    into.mkdir(parents=True, exist_ok=True)
    copy = into / path.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy) if path.is_dir() else shutil.copyfile(path, copy)
    files = sorted(p for p in copy.rglob("*") if p.is_file()) if copy.is_dir() else [copy]
    file = draw.choice(files)
    raw = bytearray(file.read_bytes())
    offset = draw.randrange(max(1, len(raw)))
    how = draw.choice(("cut", "zero", "flip", "flip", "ones", "swap"))
    stretch = draw.choice((1, 4, 8, 64, 512))
    if how == "cut":
        del raw[offset:]
    elif how == "zero":
        raw[offset : offset + stretch] = bytes(len(raw[offset : offset + stretch]))
    elif how == "ones":
        raw[offset : offset + stretch] = b"\xff" * len(raw[offset : offset + stretch])
    elif how == "swap":
        other = draw.randrange(max(1, len(raw)))
        raw[offset : offset + stretch] = raw[other : other + len(raw[offset : offset + stretch])]
    elif raw:
        for _ in range(draw.choice((1, 1, 3))):
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    file.write_bytes(bytes(raw))
    return f"{how} {stretch} at {offset} of {file.name}", copy
