"""Tables over many recordings that are kept, written and used again; what goes wrong with them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuroarrays as na
from neuroarrays.collection import gathering, indexing, layout
from neuroarrays.collection.stacking import joined
from neuroarrays.errors import (
    FormatError,
    NothingLeft,
    NotInTree,
    PathExists,
    QueryError,
)
from neuroarrays.files import guard
from neuroarrays.synthetic.nwb import write_nwb
from neuroarrays.tree.query import Coded, parse

parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'neuroarrays[parquet]'")
SMALL = {"parts": ("units", "trials"), "units": 6, "duration": 5.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three sessions of two areas with three units each."""
    top = tmp_path_factory.mktemp("made")
    for number in range(3):
        write_nwb(top / f"s{number}.nwb", seed=number, **SMALL)
    return top


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "lab")


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """The cache folder of each test."""
    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tables"


@pytest.fixture
def scanned(monkeypatch):
    """Names of the recordings that are opened for their rows in this process."""
    names = []
    real = indexing.scan_recording

    def noted(probe, *args):
        names.append(probe.name)
        return real(probe, *args)

    monkeypatch.setattr(indexing, "scan_recording", noted)
    return names


def opened_anew(paths, names, *args, **options):
    """The units of paths, and the names of what was opened for them."""
    names.clear()
    frame = na.units(paths, *args, **options)
    return frame, list(names)


# ------------------------------------------------------------------------------ kept and extended


def test_each_recording_is_opened_once(folder, scanned, kept):
    first, opened = opened_anew(folder, scanned)
    assert opened == ["s0.nwb", "s1.nwb", "s2.nwb"]
    again, opened = opened_anew(folder, scanned)
    assert opened == []
    pd.testing.assert_frame_equal(again, first)
    assert len(na.catalog(folder)) == 6  # these were kept along with the units
    assert len(na.sessions(folder)) == 3
    assert scanned == []
    pd.testing.assert_frame_equal(na.units(folder, cache=False), first)
    assert len(list(kept.rglob("*.parquet"))) == 3


def test_new_files_extend_what_is_kept_and_removed_ones_leave_it(folder, scanned):
    na.units(folder)
    shutil.copy(folder / "s0.nwb", folder / "r9.nwb")
    frame, opened = opened_anew(folder, scanned)
    assert opened == ["r9.nwb"]
    assert frame["session"].unique().tolist() == ["r9", "s0", "s1", "s2"]
    (folder / "s1.nwb").unlink()
    frame, opened = opened_anew(folder, scanned)
    assert opened == []
    assert frame["session"].unique().tolist() == ["r9", "s0", "s2"]
    pd.testing.assert_frame_equal(frame, na.units(folder, cache=False))


def test_files_and_their_folder_share_what_is_kept(folder, scanned):
    na.units(folder)
    frame, opened = opened_anew([folder / "s2.nwb", folder / "s0.nwb"], scanned)
    assert opened == []
    assert frame["session"].unique().tolist() == ["s2", "s0"]
    whole, opened = opened_anew(folder, scanned)
    assert (len(whole), opened) == (18, [])


def test_folders_below_are_looked_into(folder, scanned):
    (folder.parent / "archive").mkdir()
    shutil.move(folder, folder.parent / "archive" / "monday")
    (folder.parent / "archive" / "notes.txt").write_text("hello")
    frame, opened = opened_anew(folder.parent / "archive", scanned)
    assert (len(frame), len(opened)) == (18, 3)
    assert opened_anew(folder.parent / "archive", scanned)[1] == []


def test_files_of_several_formats_in_one_folder(folder, scanned):
    na.save(na.open_datatree(folder / "s0.nwb"), folder / "archive.h5")
    below = folder / "below"
    below.mkdir()
    shutil.move(folder / "s2.nwb", below / "s2.nwb")
    frame, opened = opened_anew(folder, scanned)
    assert opened == ["archive.h5", "s2.nwb", "s0.nwb", "s1.nwb"]
    assert frame.groupby("format").size().to_dict() == {"neuroarrays": 6, "nwb": 18}
    assert opened_anew(folder, scanned)[1] == []
    assert len(na.open_datatree(frame).children) == 4
    (folder / "s1.nwb").write_bytes(b"damaged")
    with pytest.raises(FormatError, match="s1.nwb"):
        na.units(folder)


def test_a_changed_file_is_read_again_and_said(folder, scanned):
    na.units(folder)
    write_nwb(folder / "s1.nwb", seed=7, **(SMALL | {"units": 8}))
    frame, opened = opened_anew(folder, scanned)
    assert opened == ["s1.nwb"]
    assert len(frame) == 20
    assert frame.attrs["notes"] == [
        f"{folder / 's1.nwb'} changed since it was indexed; it was read again"
    ]
    assert "notes" not in na.units(folder).attrs


def test_a_damaged_cache_is_no_cache(folder, kept):
    first = na.units(folder)
    for file in filter(Path.is_file, kept.rglob("*.*")):
        file.write_bytes(b"PAR1 and nothing more")
    pd.testing.assert_frame_equal(na.units(folder), first)


def test_options_of_readers_have_tables_of_their_own(folder, scanned):
    na.units(folder, engine="nwb")
    assert opened_anew(folder, scanned)[1] == ["s0.nwb", "s1.nwb", "s2.nwb"]
    with pytest.raises(TypeError, match="no option 'quality'"):
        na.units(folder, quality="good")


# ------------------------------------------------------------------------------ rows and columns


def test_a_condition_chooses_rows_as_select_units_does(folder):
    condition = "area == 'VISp' and (snr > 2 or unit_id == 10) and session in ['s0', 's2']"
    rows = na.units(folder, condition)
    chosen = na.select_units(na.open_datatree(folder), condition)
    tree = na.open_datatree(rows)
    assert [n.path for n in tree.subtree] == [n.path for n in chosen.subtree]
    for name, session in tree.children.items():
        assert session["VISp/spikes"].identical(chosen[f"{name}/VISp/spikes"])


def test_columns_and_names_choose(folder):
    frame = na.units(folder, "snr > 1", columns=["snr", "area"], sessions="s[01]", areas="VISp")
    assert frame.columns.tolist() == ["snr", "area"]
    assert len(frame) == 6
    with pytest.raises(NotInTree, match="no column 'srn' in the units.*did you mean 'snr'"):
        na.units(folder, columns=["srn"])
    with pytest.raises(NotInTree, match="no session 's9'"):
        na.units(folder, sessions="s9")


def test_a_unit_of_measurement_goes_along(folder):
    frame = na.presentations(folder)
    assert frame.attrs["units"]["start_time"] == "s"
    assert set(frame["table"]) == {"trials"}
    assert na.presentations(folder, "start_time > 5")["start_time"].min() > 5


def test_a_column_that_is_text_in_one_file_and_numbers_in_another():
    tables = [
        layout.from_pandas(
            pd.DataFrame({"path": "a", "x": [1, 2], "y": [1, 2], "z": [True, None]})
        ),
        layout.from_pandas(pd.DataFrame({"path": "b", "x": ["p"], "y": [0.5]})),
    ]
    frame = layout.to_pandas(joined(tables))
    assert frame["x"].tolist() == ["1", "2", "p"]
    assert frame["y"].tolist() == [1.0, 2.0, 0.5]
    assert frame["z"].tolist()[0] is True
    assert frame["z"].isna().tolist() == [False, True, True]
    apart = [pd.DataFrame({"a": [1.0]}) for _ in "ab"]
    for frame, unit in zip(apart, ("uV", "V"), strict=True):
        frame.attrs["units"] = {"a": unit}
    both = layout.to_pandas(joined([layout.from_pandas(frame) for frame in apart]))
    assert both.attrs["units"] == {"a": "uV or V"}


def test_a_condition_on_numbers_of_several_units_is_refused():
    frames = {unit: pd.DataFrame({"amplitude": [1.0]}) for unit in ("uV", "V", "")}
    for unit, frame in frames.items():
        frame.attrs["units"] = {"amplitude": unit}
    tables = {unit: layout.from_pandas(frame) for unit, frame in frames.items()}
    condition = parse("amplitude > 1")
    gathering.check_units(condition, joined([tables["uV"], tables[""]]))  # one does not say
    with pytest.raises(
        QueryError, match="'amplitude' is in uV in some recordings and in V in others"
    ):
        gathering.check_units(condition, joined(list(tables.values())))


def test_nothing_that_fits_says_what_each_part_alone_would(folder):
    with pytest.raises(NothingLeft) as caught:
        na.units(folder, "area == 'VISp' and snr > 100")
    text = str(caught.value)
    assert "fits no unit of 18: \"area == 'VISp'\" alone fits 9, 'snr > 100' alone fits 0" in text
    assert "'snr' goes from" in text
    assert text.endswith("by session: s0 3, 0; s1 3, 0; s2 3, 0")
    with pytest.raises(QueryError, match="function call"):
        na.units(folder, "max(snr) > 1")
    with pytest.raises(NotInTree, match="no column 'srn' in the units"):
        na.units(folder, "srn > 1")


# ----------------------------------------------------------------------------------- an index


def test_an_index_is_used_instead_of_looking(folder, scanned, monkeypatch):
    whole = na.units(folder)
    assert na.index(folder, folder / "units.parquet") == folder / "units.parquet"
    monkeypatch.setenv("NEUROARRAYS_CACHE", "off")
    moved = shutil.move(folder, folder.parent / "moved")
    for path in (moved, f"{moved}/units.parquet"):
        frame, opened = opened_anew(path, scanned)
        assert opened == []
        pd.testing.assert_frame_equal(frame.drop(columns="path"), whole.drop(columns="path"))
        assert frame["path"].iloc[0] == str(folder.parent / "moved" / "s0.nwb")
    assert len(na.open_datatree(na.units(moved, "snr > 2")).children) >= 1
    frame, opened = opened_anew([moved, f"{moved}/s1.nwb"], scanned)  # which the index has
    assert (len(frame), opened) == (18, [])


def test_an_index_whose_recordings_are_out_of_reach_still_answers(folder, scanned):
    whole = na.units(folder)
    na.index(folder, folder.parent / "units.parquet")
    shutil.rmtree(folder)
    frame, opened = opened_anew(folder.parent / "units.parquet", scanned)
    assert opened == []
    pd.testing.assert_frame_equal(frame, whole)


def test_what_changed_since_an_index_was_written_is_read_again_and_said(folder, scanned):
    na.index(folder, folder / "units.parquet")
    write_nwb(folder / "s1.nwb", seed=7, **(SMALL | {"units": 8}))
    frame, opened = opened_anew(folder, scanned)
    assert opened == ["s1.nwb"]
    assert len(frame) == 20
    assert "s1.nwb changed since it was indexed" in frame.attrs["notes"][0]


def test_tables_that_are_kept_take_no_more_than_they_may(folder, kept, monkeypatch):
    other = shutil.copytree(folder, folder.parent / "other")
    na.units(folder)
    na.units(other)
    assert len(list(kept.glob("*/*"))) == 2
    na.units(folder)  # used last
    monkeypatch.setattr("neuroarrays.files.sidecars.LIMIT", 1)
    third = shutil.copytree(folder, folder.parent / "third")
    na.units(third)
    (left,) = kept.glob("*/*")
    assert (left / "units.parquet").is_file()
    monkeypatch.setattr(
        "neuroarrays.files.sidecars.LIMIT", sum(f.stat().st_size for f in left.iterdir()) * 5 // 2
    )
    na.units(folder)
    na.units(third)
    na.units(other)  # no room for three: the folder was used before the third
    assert left.is_dir()
    assert len(list(kept.glob("*/*"))) == 2


def test_rows_of_a_recording_that_changed_since_do_not_open(folder):
    rows = na.units(folder, "area == 'VISp'")
    assert na.open_datatree(rows).sizes is not None
    write_nwb(folder / "s1.nwb", seed=7, **SMALL)  # the same units, other spikes
    with pytest.raises(FormatError, match=r"s1\.nwb.*found one that changed since.*na\.units"):
        na.open_datatree(rows)
    report = na.build(rows, folder / "archive", scheduler="sync")
    ((failed, why),) = report.failures
    assert failed.endswith("s1.nwb")
    assert "changed since" in why
    assert "s1" in na.open_datatree(rows.drop(columns="stamp")).children
    assert "s1" in na.open_datatree(na.units(folder)).children


def test_an_index_beside_the_recordings_is_no_note_of_theirs(folder):
    na.index(folder, folder / "units.parquet")
    (folder / "other.txt").write_text("x")
    assert na.open_datatree(folder).attrs["notes"] == ["passed over: 'other.txt'"]


def test_texts_of_conditions_are_compared_once_each():
    random = np.random.default_rng(0)
    values = np.array(["VISp", "CA1", "", None], object)
    codes = random.integers(-1, 3, 40)
    size = random.normal(size=40)
    names = np.array([*values], object)[codes]
    for text in (
        "a == 'VISp'",
        "a != 'VISp'",
        "not a in ['CA1', 'x']",
        "'CA1' == a or s > 0",
        "a < 'D'",
    ):
        plain = parse(text).where({"a": names, "s": size}.__getitem__, 40)
        coded = parse(text).where({"a": Coded(values, codes), "s": size}.__getitem__, 40)
        assert (plain == coded).all(), text
        assert set(plain) == {True, False}
    with pytest.raises(QueryError, match="'a' is a text, and 3 is a number"):
        parse("a > 3").where({"a": Coded(values, codes)}.__getitem__, 40)


def test_an_index_is_large_groups_of_rows_with_dictionaries(folder):
    out = na.index(folder, folder / "units.parquet")
    file = parquet.ParquetFile(out)
    assert file.metadata.num_row_groups == 1
    column = file.schema_arrow.names.index("area")
    assert "RLE_DICTIONARY" in file.metadata.row_group(0).column(column).encodings
    about = json.loads(file.schema_arrow.metadata[b"neuroarrays"])
    assert about["version"] == layout.VERSION
    assert [entry["path"] for entry in about["recordings"]] == ["s0.nwb", "s1.nwb", "s2.nwb"]


@pytest.mark.parametrize("package", ["polars", "duckdb"])
def test_other_programs_read_an_index(folder, package):
    reader = pytest.importorskip(package, reason=f"pip install {package}")
    out = na.index(folder, folder / "units.parquet")
    if package == "polars":
        rows = reader.read_parquet(out).filter(reader.col("area") == "VISp")
        assert rows.height == 9
    else:
        query = f"select count(*) from '{out}' where area = 'VISp'"
        assert reader.sql(query).fetchall() == [(9,)]


def test_an_index_of_another_kind_or_version_is_named(folder):
    out = na.index(folder, folder / "catalog.parquet", "catalog")
    with pytest.raises(FormatError, match="expected a table of units; found one of catalog"):
        na.units(out)
    table = parquet.read_table(out)
    about = json.loads(table.schema.metadata[b"neuroarrays"])
    newer = {
        b"neuroarrays": json.dumps(about | {"version": 99, "made_by": "neuroarrays 9"}).encode()
    }
    parquet.write_table(table.replace_schema_metadata(newer), out)
    for path in (out, folder):
        with pytest.raises(FormatError, match=r"version 99, made by neuroarrays 9; update"):
            na.catalog(path)
    na.index(folder, out, "catalog")  # it may be replaced
    assert len(na.catalog(folder)) == 6
    out.write_bytes(out.read_bytes()[:-40])
    with pytest.raises(FormatError, match="expected a parquet file"):
        na.catalog(folder)


def test_what_an_index_is_not_written_to(folder, tmp_path):
    (tmp_path / "x.parquet").write_text("mine")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "y.parquet")
    for name in ("x.parquet", "y.parquet"):
        with pytest.raises(PathExists, match="not an index"):
            na.index(folder, tmp_path / name)
    with pytest.raises(ValueError, match=r"ends with \.parquet"):
        na.index(folder, tmp_path / "units.csv")
    with pytest.raises(ValueError, match="expected one of units, presentations"):
        na.index(folder, tmp_path / "z.parquet", "spikes")
    with pytest.raises(TypeError, match="found a tree"):
        na.index(na.load_sample(), tmp_path / "z.parquet")
    with pytest.raises(TypeError, match="no options of readers; leave out quality"):
        na.index(folder, tmp_path / "z.parquet", quality="good")


# -------------------------------------------------------------------------------------- bad input


def test_a_damaged_recording_is_named_and_left_out_when_asked(folder, scanned):
    (folder / "s1.nwb").write_bytes((folder / "s1.nwb").read_bytes()[:3000])
    for _ in range(2):
        with pytest.raises(FormatError, match=r"s1\.nwb.*skip_damaged=True"):
            na.units(folder)
    frame, opened = opened_anew(folder, scanned, skip_damaged=True)
    assert opened == ["s1.nwb"]  # the others were kept
    assert frame["session"].unique().tolist() == ["s0", "s2"]
    assert "left out" in frame.attrs["notes"][0]
    assert "s1.nwb" in frame.attrs["notes"][0]


def test_a_session_without_units_has_no_row_and_is_in_the_catalogue(folder):
    write_nwb(folder / "s3.nwb", parts=("running",))
    assert "s3" not in set(na.units(folder)["session"])
    row = na.catalog(folder, "session == 's3'").iloc[0]
    assert (row["area"], row["units"]) == ("", 0)
    assert na.sessions(folder)["session"].tolist() == ["s0", "s1", "s2", "s3"]
    assert set(na.presentations(folder)["session"]) == {"s0", "s1", "s2"}


def test_several_are_opened_in_processes_of_their_own(folder):
    expected = na.units(folder, cache=False)
    pd.testing.assert_frame_equal(na.units(folder, workers=1), expected)
    numbers = guard._children.keys()
    assert not [number for number in numbers if number >= 1000]  # they ended


def test_a_worker_that_is_killed_names_its_file(folder, monkeypatch):
    real = guard.Child.ask

    def killed(self, request, seconds):
        if "s1.nwb" in request["path"]:
            os.kill(self.process.pid, signal.SIGKILL)
        return real(self, request, seconds)

    monkeypatch.setattr(guard.Child, "ask", killed)
    paths = [folder / "s0.nwb", folder / "s1.nwb"]
    frame = na.units(paths, workers=1, skip_damaged=True)
    assert frame["session"].unique().tolist() == ["s0"]
    assert "s1.nwb" in frame.attrs["notes"][0]


def test_without_pyarrow_tables_are_made_each_time_and_that_is_said_once(folder):
    code = (
        "import sys, warnings; sys.modules['pyarrow'] = None\n"
        "import neuroarrays as na\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        f"    rows = [na.units({str(folder)!r}, 'snr > 2') for _ in range(2)][1]\n"
        "print(len(rows), [str(w.message)[:40] for w in said if 'pyarrow' in str(w.message)])\n"
        "try:\n"
        f"    na.index({str(folder)!r}, 'units.parquet')\n"
        "except na.MissingDependency as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert (
        first == f"{len(na.units(folder, 'snr > 2'))} ['tables over many recordings are not kept']"
    )
    assert second.endswith("pip install 'neuroarrays[parquet]'")


def test_bad_arguments(folder):
    with pytest.raises(FormatError, match="each path of a list once; found it twice"):
        na.units([folder, str(folder)])
    with pytest.raises(ValueError, match="workers"):
        na.units(folder, workers=0, cache=False)
    with pytest.raises(ValueError, match="select its rows and columns with pandas"):
        na.units(folder, "snr > 1", compat="mlynarski")


@pytest.mark.parametrize("change", ["sort", "cut"])
def test_an_index_that_another_program_sorted_or_filtered_is_refused(folder, change):
    """Its metadata would give rows to the wrong recordings."""
    parquet = pytest.importorskip("pyarrow.parquet")
    out = folder / "units.parquet"
    na.index(folder, out, workers=1)
    table = parquet.read_table(out)
    table = table.sort_by([("unit_id", "descending")]) if change == "sort" else table.slice(0, 3)
    parquet.write_table(table, out)
    with pytest.raises(FormatError, match="sorted or left out"):
        na.units(out)
