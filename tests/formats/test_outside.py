"""Readers of other installed packages: the same doors, and no harm where one is broken."""

import re
import shlex
import shutil
import sys
import tomllib
import warnings
from pathlib import Path

import h5py
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.formats import registry
from neuroarrays.formats.nwb import NWBReader
from neuroarrays.testing import ReaderTests

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "adding_a_dataset.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## A reader in a package of your own") :]


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", SECTION, re.M | re.S)[1]


def write_session(path):
    with h5py.File(path, "w") as file:
        file.attrs["lab"] = "Grid Lab"
        file["V1/times"], file["V1/counts"], file["V1/depth"] = [0.5, 1.0, 1.5], [2, 1], [1.0, 2.0]
        file["gratings/on"], file["gratings/off"], file["gratings/angle"] = [0.5], [1.0], [0.0]
    return path


class Site:
    """A folder of installed packages, first on the path."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.modules = folder, set()
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))

    def install(self, project, code):
        """What pip writes: the modules, and beside them a folder with the entry points."""
        for module, text in code.items():
            (self.folder / f"{module}.py").write_text(text)
            self.modules.add(module)
        name, version = project["name"], project["version"]
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = project["entry-points"].items()
        lines = [f"[{g}]\n" + "".join(f"{k} = {v}\n" for k, v in ps.items()) for g, ps in groups]
        (info / "entry_points.txt").write_text("\n".join(lines))
        fresh()

    def claim(self, package, name, where, **code):
        """A package whose only reader is at `where`."""
        points = {registry.GROUP: {name: where}}
        self.install({"name": package, "version": "0.1", "entry-points": points}, code)


def fresh():
    na.release()
    xr.backends.refresh_engines()


@pytest.fixture
def site(tmp_path, monkeypatch):
    site = Site(tmp_path / "site", monkeypatch)
    yield site
    monkeypatch.undo()
    for module in site.modules:
        sys.modules.pop(module, None)
    fresh()


@pytest.fixture
def gridlab(site):
    """The package that the page describes."""
    code = (DOCS / "examples" / "gridlab.py").read_text(encoding="utf-8")
    site.install(tomllib.loads(block("toml"))["project"], {"gridlab": code})
    return site


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_session(tmp_path / "session.h5")


# ---------------------------------------------------------------------------------- every door


def test_what_the_page_says(gridlab, session, capsys):
    said = {"na": na, "xr": xr}
    for line in block("py").splitlines():
        exec(line, said)
        assert said["tree"].attrs["source"] == "gridlab", line
    assert said["rows"]["area"].tolist() == ["V1"]
    for line in block("shell").splitlines():
        assert cli.main(shlex.split(line)[1:]) == 0, line
        out, err = capsys.readouterr()
        assert err == ""
        assert "gridlab" in out or "session" in out, line


def test_it_is_listed(gridlab, capsys):
    assert cli.main(["formats"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "gridlab installed Sessions of the Grid Lab, HDF5 (gridlab-reader 1.2)" in text


def test_it_is_named_where_readers_are(gridlab, session):
    with pytest.raises(na.UnknownFormat, match=r"found engine='gridlap'; did you mean 'gridlab'\?"):
        na.open_datatree(session, engine="gridlap")


def test_a_list_of_its_files_is_one_tree(gridlab, session, tmp_path):
    other = write_session(tmp_path / "other.h5")
    assert list(na.open_datatree([session, other]).children) == [session.stem, "other"]
    (tmp_path / "notes.txt").write_text("spikes were fine")
    with pytest.raises(na.UnknownFormat, match="that can be read"):
        na.open_datatree([session, tmp_path / "notes.txt"])


def test_an_archive_is_built_of_what_is_found_by_looking(gridlab, tmp_path):
    (tmp_path / "in").mkdir()
    write_session(tmp_path / "in" / "a.h5")
    report = na.build(tmp_path / "in", tmp_path / "out", bin_width=0.1, scheduler="sync")
    assert (report.failures, report.parts_made) == ([], 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(na.NeuroArraysError, match=r"no sessions in '.*empty': expected"):
        na.build(str(tmp_path / "empty"), tmp_path / "none")


def test_a_damaged_one_is_named_as_it_was_typed(gridlab, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    write_session(tmp_path / "in" / "a.h5")
    (tmp_path / "in" / "b.h5").write_bytes((tmp_path / "in" / "a.h5").read_bytes()[:900])
    assert cli.main(["check", "in"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("neuroarrays: error: in/b.h5:")
    assert "--skip-damaged opens the other sessions" in said
    assert cli.main(["check", "in", "--skip-damaged"]) == 0


def test_it_is_read_in_another_process(gridlab, session):
    assert na.open_datatree(session, probe=True)["session/V1/spikes"].sizes["unit_id"] == 2


def test_its_class_needs_no_installation(site, session, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    site.modules.add("gridlab")
    from gridlab import GridLabReader

    for engine in (GridLabReader, "gridlab:GridLabReader"):
        assert na.open_datatree(session, engine=engine).attrs["source"] == "gridlab"
        assert na.catalog(session, engine=engine)["units"].tolist() == [2]
    assert cli.main(["info", str(session), "--engine", "gridlab:GridLabReader"]) == 0
    with pytest.raises(na.UnknownFormat, match="that can be read"):
        na.open_datatree(session)


def test_an_archive_is_built_of_a_folder_of_its_files(site, session, monkeypatch, tmp_path):
    from neuroarrays.collection.subsets import export_npy, subset

    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    site.modules.add("gridlab")
    from gridlab import GridLabReader

    (tmp_path / "notes.txt").write_text("no session")
    report = na.build([tmp_path], tmp_path / "out", bin_width=0.1, engine=GridLabReader)
    assert report.failures == []
    assert list(na.open_datatree(tmp_path / "out")["gratings"].children) == ["session"]
    part = subset(tmp_path / "out", tmp_path / "part.h5", areas="V1", engine="neuroarrays")
    assert na.catalog(part)["area"].tolist() == ["V1"]
    written = export_npy(tmp_path / "out", "gratings", "V1", tmp_path / "npy", engine="neuroarrays")
    assert [path.name for path in written] == ["session_session-gratings-V1-spike_data.npy"]
    with pytest.raises(na.UnknownFormat, match="found engine='gridlap'"):
        subset(tmp_path / "out", tmp_path / "other.h5", engine="gridlap")


def test_an_engine_is_a_name_or_a_reader(session):
    from xarray.backends import BackendEntrypoint

    for engine in (BackendEntrypoint, NWBReader(), 1):
        with pytest.raises(TypeError, match="engine: expected the name of a format or a subclass"):
            na.open_datatree(session, engine=engine)


def test_the_conformance_suite_knows_it(gridlab, session, tmp_path):
    class Suite(ReaderTests):
        reader = "gridlab"

    suite = Suite()
    engine = ReaderTests.engine.__wrapped__(suite)
    assert engine.name == "gridlab"
    suite.test_recognises_its_own(engine, session)


# ------------------------------------------------------------------------ read, and not imported


def test_nothing_is_imported_before_it_is_asked(gridlab):
    assert "gridlab" in [format_.name for format_ in registry.formats()]
    na.open_datatree(na.sample_path(), engine="nwb")
    assert "gridlab" not in sys.modules
    na.open_datatree(na.sample_path())
    assert "gridlab" in sys.modules


def test_entry_points_are_read_once_and_not_for_a_name_of_ours(site, monkeypatch):
    read, real = [], registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda **k: read.append(k) or real(**k))
    na.release()
    na.open_datatree(na.sample_path(), engine="nwb")
    assert read == []
    for _ in range(2):
        na.open_datatree(na.sample_path())
    assert read == [{"group": registry.GROUP}]


# ------------------------------------------------------------------------------- what is broken


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "has no attribute 'R'"),
        ("R = 1", "no subclass of neuroarrays.formats.reader.Reader"),
        ("from xarray.backends import BackendEntrypoint as R", "no subclass"),
        (
            "from neuroarrays.formats.reader import Reader\nclass R(Reader): name = 'other'",
            "has name = 'other'; its entry point says 'odd'",
        ),
    ],
)
def test_a_package_that_cannot_be_used(site, session, capsys, code, fault):
    site.claim("odd-reader", "odd", "odd_module:R", odd_module=code)
    with pytest.raises(na.BrokenReader, match=re.escape(fault)) as caught:
        na.open_datatree(session, engine="odd")
    assert "the reader 'odd' of odd-reader 0.1 cannot be used" in str(caught.value)
    assert cli.main(["info", str(session), "--engine", "odd"]) == 2
    assert "odd-reader 0.1" in capsys.readouterr().err
    with pytest.warns(UserWarning, match=r"passed over: the reader 'odd' of odd-reader 0\.1"):
        assert na.open_datatree(na.sample_path()).attrs["source"] == "nwb"
    assert cli.main(["formats"]) == 0
    assert fault in " ".join(capsys.readouterr().out.split())


def test_one_that_fails_while_looking(site):
    code = (
        "from neuroarrays.formats.reader import Reader\nclass R(Reader):\n"
        "    name = 'odd'\n    def recognise(self, probe): raise RuntimeError('no disk')\n"
    )
    site.claim("odd-reader", "odd", "odd_module:R", odd_module=code)
    with pytest.warns(UserWarning, match=r"'odd' of odd-reader 0\.1 fails while looking.*no disk"):
        assert na.open_datatree(na.sample_path()).attrs["source"] == "nwb"


def test_what_a_package_says_does_not_steer_the_terminal(site, capsys):
    site.claim("odd-reader", "odd", "odd_module:R", odd_module=r"raise ValueError('\x1b[2J')")
    assert cli.main(["formats"]) == 0
    assert cli.main(["info", str(na.sample_path()), "--engine", "odd"]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())


def test_a_name_of_ours_stays_ours(site, session):
    site.claim("other-nwb", "nwb", "other_module:R", other_module="R = 1")
    assert type(registry.named("nwb").load()) is NWBReader
    with pytest.warns(UserWarning, match=r"'nwb' of other-nwb 0\.1 .*taken by neuroarrays"):
        na.open_datatree(na.sample_path())


def test_a_name_that_two_packages_claim(gridlab, session):
    gridlab.claim("grid-tools", "gridlab", "grid_tools:R", grid_tools="R = 1")
    with pytest.raises(na.BrokenReader, match="several claim the name") as caught:
        na.open_datatree(session, engine="gridlab")
    for who in ("grid-tools 0.1 (grid_tools:R)", "gridlab-reader 1.2 (gridlab:GridLabReader)"):
        assert who in str(caught.value)
    assert na.open_datatree(session, engine="gridlab:GridLabReader").attrs["source"] == "gridlab"


def test_a_claim_made_twice_is_one(gridlab, session):
    gridlab.claim("gridlab-again", "gridlab", "gridlab:GridLabReader")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert na.open_datatree(session, engine="gridlab").attrs["source"] == "gridlab"


@pytest.mark.slow
def test_a_package_that_pip_installed(tmp_path, session):
    import subprocess

    pytest.importorskip("setuptools")
    work, target = tmp_path / "work", tmp_path / "target"
    work.mkdir()
    build = '\n[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    (work / "pyproject.toml").write_text(
        block("toml") + build + '[tool.setuptools]\npy-modules = ["gridlab"]\n'
    )
    shutil.copy(DOCS / "examples" / "gridlab.py", work)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", str(target), str(work)], check=True, timeout=300)
    code = (
        f"import sys; sys.path[:0] = [{str(target)!r}, {str(Path(na.__file__).parents[1])!r}]\n"
        "import neuroarrays as na, xarray as xr\n"
        f"assert na.open_datatree({str(session)!r}).attrs['source'] == 'gridlab'\n"
        f"assert xr.open_datatree({str(session)!r}, engine='gridlab').attrs['source'] == 'gridlab'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
