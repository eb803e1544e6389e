"""Any file or folder of arrays as one `Source`: npy, npz, MATLAB, HDF5, Zarr, text tables, parquet."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import (
    FormatError,
    MissingDependency,
    NeuroArraysError,
    UnknownFormat,
    shorten,
)
from neuroarrays.files import safety, source
from neuroarrays.files.matlab import is_matlab, matlab_source
from neuroarrays.files.members import Member, MemberSource
from neuroarrays.files.npz import NPYSource, is_zip, npz_source
from neuroarrays.files.source import Info, Key, Source, stamp

if TYPE_CHECKING:
    import pandas as pd

#: Suffixes of text tables, and bytes of one that is read; folders in folders, files in all.
TABLES, LARGEST, MAX_DEPTH, MAX_FILES = (".csv", ".tsv", ".txt"), 1 << 30, 6, 10_000
#: Characters of a line that is looked at, and bytes that parquet is believed to make of one.
_LINE, _PACKED = 1 << 20, 1000
_SUFFIXES = (*TABLES, ".parquet", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".nc")


def arrays_source(path: str | os.PathLike[str]) -> Source:
    """The source of a file or folder of arrays.

    Raises
    ------
    FormatError
        If it is of no kind that holds named arrays.
    """
    path = os.path.abspath(path)
    safety.check_pointer(path)
    if os.path.isdir(path):
        if source.is_zarr(path):
            return source.open_source(path)
        return FolderSource(path, stamp(os.stat(path)))
    known = stamp(safety.regular_file(path))
    suffix = os.path.splitext(path)[1].lower()
    if is_zip(path):
        return npz_source(path)
    if suffix == ".mat" or is_matlab(path):
        return matlab_source(path)
    if source.is_hdf5(path):
        return source.open_source(path)
    if suffix == ".npy":
        return NPYSource(path, known)
    if suffix in TABLES or suffix == ".parquet":
        return TableSource(path, known)
    raise UnknownFormat(path, "", "npy, npz, mat, HDF5, Zarr, csv, tsv, txt or parquet",
                        source.describe(path))  # fmt: skip


def names_inside(path: str) -> str:
    """What an NPZ or MATLAB file holds, in words for messages; "" of any other.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    if is_matlab(path) or (path.endswith(".npz") and is_zip(path)):
        return f" with {shorten(arrays_source(path).names('/'))}"
    return ""


@dataclass(frozen=True)
class TableSource(MemberSource):
    """Columns of a text table or parquet file; without a header they are called 0, 1, 2, ..."""

    def _scan(self) -> dict[str, Member]:
        columns = self._columns()
        self._keep(columns)
        return {name: Member(v.dtype, v.shape) for name, v in columns.items()}

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        columns = self._columns()
        self._keep(columns)
        return columns[name]

    def _columns(self) -> dict[str, np.ndarray]:
        if self.stamp[1] > LARGEST:
            raise FormatError(self.path, "", f"a table of at most {LARGEST:,} bytes",
                              f"{self.stamp[1]:,}")  # fmt: skip
        try:
            frame = self._frame()
        except (MemoryError, NeuroArraysError):
            raise
        except Exception as error:  # parsers raise nearly anything on damaged files
            raise FormatError(self.path, "", "a readable table",
                              f"{type(error).__name__}: {error}"[:200]) from error  # fmt: skip
        columns = {}
        for name in frame.columns:
            values = frame[name].to_numpy()
            if values.dtype.kind not in "biuf":
                values = frame[name].astype(str).to_numpy().astype("U")
            columns[str(name)] = values
        return columns

    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        if self.path.endswith(".parquet"):
            return self._parquet()
        skipped, names, first, second = self._head()
        comma = next((c for c in (",", "\t", ";") if c in first), r"\s+")
        if first.startswith("scorer,"):  # DeepLabCut: bodypart/coordinate below the scorer
            frame = pd.read_csv(self.path, header=[0, 1, 2], index_col=0)
            frame.columns = ["/".join(str(part) for part in name[1:]) for name in frame.columns]
            return frame
        header = None if first and _numbers(first, comma) else "infer"
        with warnings.catch_warnings():
            # A row that is longer than the header would lose values.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                self.path, sep=comma, header=header, index_col=False, skiprows=skipped,
                decimal="," if comma == ";" and "," in second else ".",
            )  # fmt: skip
        if header is None and len(names) == frame.shape[1]:
            frame.columns = names
        frame.columns = [str(name) for name in frame.columns]
        return frame

    def _head(self) -> tuple[int, list[str], str, str]:
        """How many lines of comments there are, words of the last, and the two lines after them."""
        skipped, names = 0, ""
        with open(self.path, encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(_LINE)
            while line.startswith("#"):
                skipped, names, line = skipped + 1, line, file.readline(_LINE)
            words = re.split(r"[,;\t]\s*" if re.search(r"[,;\t]", names) else r"\s+",
                             names.lstrip("# ").strip())  # fmt: skip
            return (
                skipped,
                [word for word in words if word],
                line.strip(),
                file.readline(_LINE).strip(),
            )

    def _parquet(self) -> pd.DataFrame:
        import pandas as pd

        try:
            from pyarrow import parquet
        except ImportError as error:
            raise MissingDependency("pyarrow", "parquet", "reading parquet files") from error
        said = parquet.read_metadata(self.path)
        nbytes = 8 * said.num_rows * said.num_columns
        if nbytes > max(LARGEST, _PACKED * self.stamp[1]):
            raise FormatError(self.path, "", f"at most {max(LARGEST, _PACKED * self.stamp[1]):,} bytes "
                              "of values", f"{nbytes:,}", "the file is made to exhaust memory")  # fmt: skip
        return pd.read_parquet(self.path)


def _numbers(line: str, comma: str) -> bool:
    """Whether a line holds numbers only, so that it is no header."""
    words = line.split() if comma == r"\s+" else [word or "nan" for word in line.split(comma)]
    try:
        return bool([float(word.replace(",", ".")) for word in words])
    except ValueError:
        return False


@dataclass(frozen=True)
class FolderSource(Source):
    """A folder of files of arrays: ``table.csv/column``, ``file.npz/member``, ``file.npy``."""

    def names(self, group: str = "/") -> list[str]:
        found = self._inside(group)
        if found is not None:
            return found[0].names(found[1] or "/")
        prefix = group.strip("/")
        prefix += "/" if prefix else ""
        inside = (name[len(prefix) :] for name in self.files() if name.startswith(prefix))
        return list(dict.fromkeys(name.partition("/")[0] for name in inside))

    def files(self) -> list[str]:
        """Files of arrays below the folder, Zarr stores as one."""
        found: list[str] = []
        todo = [("", 0)]
        while todo:
            folder, depth = todo.pop(0)
            path = os.path.join(self.path, folder)
            for name in sorted(os.listdir(path)):
                inner, full = f"{folder}/{name}".lstrip("/"), os.path.join(path, name)
                if os.path.isdir(full) and not os.path.islink(full):
                    if source.is_zarr(full):
                        found.append(inner)
                    elif depth < MAX_DEPTH:
                        todo.append((inner, depth + 1))
                elif os.path.isfile(full) and name.lower().endswith(_SUFFIXES):
                    found.append(inner)
            if len(found) > MAX_FILES:
                raise FormatError(self.path, "", f"at most {MAX_FILES:,} files", "more")
        return found

    def _inside(self, name: str) -> tuple[Source, str] | None:
        """The source of the file that a name is in, and the rest of the name."""
        parts = name.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            path = os.path.join(self.path, *parts[:i])
            if ".." in parts[:i]:
                break
            if os.path.isfile(path) or source.is_zarr(path):
                file, rest = arrays_source(path), "/".join(parts[i:])
                if not rest and isinstance(file, NPYSource):
                    rest = next(iter(file.members()))
                return file, rest
        return None

    def info(self, name: str) -> Info | None:
        found = self._inside(name)
        return found[0].info(found[1]) if found and found[1] else None

    def attrs(self, name: str = "/") -> dict[str, Any]:
        return {}

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        found = self._inside(name)
        if found is None:
            raise FormatError(self.path, name, "an array", "nothing of that name")
        return found[0].read(found[1], key)


def listing(file: Source) -> dict[str, Info]:
    """Every array of a source by name, in the order of the file."""
    return dict(_walk(file, "", 0))


def _walk(file: Source, group: str, depth: int) -> Iterator[tuple[str, Info]]:
    if isinstance(file, MemberSource):
        for name in file.members():
            info = file.info(name)
            if info is not None:
                yield name, info
        return
    if isinstance(file, FolderSource):
        for inner in file.files():
            try:
                inside = arrays_source(os.path.join(file.path, inner))
                found = listing(inside)
            except NeuroArraysError:
                continue  # `neuroarrays info` of that file says why
            for name, info in found.items():
                yield inner if isinstance(inside, NPYSource) else f"{inner}/{name}", info
        return
    for child in file.names(group or "/") if depth < 16 else ():
        name = f"{group}/{child}".lstrip("/")
        info = file.info(name)
        if info is not None:
            yield name, info
        else:
            yield from _walk(file, name, depth + 1)
