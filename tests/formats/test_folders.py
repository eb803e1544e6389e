"""A folder of sessions: one that cannot be read is never silently missing."""

import os
import shutil

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.demo.sample import sample_path
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import probe_of
from neuroarrays.files.safety import named
from neuroarrays.formats.sessions import find
from neuroarrays.testing.sources import close_all


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


def empty(path):
    path.write_bytes(b"")


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


def page(path):
    path.write_text("<!DOCTYPE html><title>404</title>")


def dangling(path):
    path.unlink()
    path.symlink_to(path.parent / "gone")


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def other(path):
    path.unlink()
    with h5py.File(path, "w") as file:
        file["x"] = 1


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


DAMAGES = [empty, zeroed, page, dangling, fifo, folder, other, cut]


def nwb(folder, name):
    """A small file: the least that is NWB."""
    with h5py.File(folder / f"{name}.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.6.0"
        units = file.create_group("units")
        units["id"], units["spike_times"], units["spike_times_index"] = [0], [0.1, 0.5], [2]
    return folder / f"{name}.nwb"


def openretina(folder, name):
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["responses_noise"] = np.ones((2, 50), "f4")
    return folder / f"{name}.h5"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("write", [nwb, openretina], ids=lambda one: one.__name__)
def test_a_damaged_session_is_an_error_or_a_note(tmp_path, write, damage):
    if write is openretina and damage in (folder, other):
        pytest.skip("another kind of file may lie there")
    paths = [write(tmp_path, name) for name in "abc"]
    damage(paths[1])
    for call in (na.open_datatree, na.catalog):
        with pytest.raises(FormatError, match=rf"{paths[1].name}.*skip_damaged=True"):
            call(tmp_path)
    tree = na.open_datatree(tmp_path, skip_damaged=True)
    found = tree.children if write is nwb else tree["noise"].children
    assert list(found) == ["a", "c"]
    assert any("b left out" in note for note in tree.attrs["notes"])
    assert set(na.catalog(tmp_path, skip_damaged=True)["session"]) == {"a", "c"}
    assert list(na.open_datatree(tmp_path, sessions="a").children)


def test_a_session_without_permission(tmp_path, monkeypatch):
    paths = [nwb(tmp_path, name) for name in "abc"]
    real = os.open

    def refuse(file, *args, **options):
        if os.fspath(file) == str(paths[1]) if isinstance(file, str | os.PathLike) else False:
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    for path in (tmp_path, tmp_path / "b.nwb"):
        with pytest.raises(
            FormatError, match=r"b\.nwb: .*no permission\); ask its owner, or: chmod"
        ):
            na.open_datatree(path)


def test_a_folder_of_nothing_but_damage_names_it(tmp_path):
    for name in "ab":
        empty(nwb(tmp_path, name))
    with pytest.raises(FormatError, match=r"a\.nwb: expected a session.*found an empty file"):
        na.open_datatree(tmp_path)
    good = nwb(tmp_path, "c")
    with pytest.raises(FormatError, match=r"a\.nwb"):
        na.open_datatree([good, tmp_path / "a.nwb"])


def test_what_else_lies_in_a_folder_is_noted(tmp_path):
    nwb(tmp_path, "a")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "figures").mkdir()
    (tmp_path / ".hidden").write_text("")
    tree = na.open_datatree(tmp_path)
    assert tree.attrs["notes"] == ["passed over: 'README.md', 'figures'"]


def test_archives_of_a_folder(tmp_path):
    tree = na.align(na.load_sample(), bin_width=1.0)
    for name in "abc":
        na.save(tree, tmp_path / f"{name}.h5")
    cut(tmp_path / "b.h5")
    for call in (na.open_datatree, na.catalog):
        with pytest.raises(FormatError, match=r"b\.h5.*skip_damaged=True"):
            call(tmp_path)
    opened = na.open_datatree(tmp_path, skip_damaged=True)
    assert list(opened.children) == ["a", "c"]
    assert opened.attrs["notes"][0].startswith("b left out")
    assert set(na.catalog(tmp_path, skip_damaged=True)["block"]) == {"a", "c"}
    zeroed(tmp_path / "b.h5")
    with pytest.raises(FormatError, match=r"b\.h5"):
        na.open_datatree(tmp_path)


def test_allen_and_files_of_another_kind(tmp_path):
    nwb(tmp_path, "a")

    def found(*sound):
        return find(
            probe_of(tmp_path), lambda p: p.stem == "a", lambda p: p.suffix == ".nwb", *sound
        )

    assert list(found().good) == ["a"]
    empty(nwb(tmp_path, "b"))
    nwb(tmp_path, "lfp")
    sessions = found(lambda p: p.stem == "lfp")
    assert list(sessions) == ["a", "b"]
    assert list(sessions.good) == ["a"]
    assert sessions.notes == ["passed over: 'lfp.nwb'"]


# ------------------------------------------------------------------------------------ experanto


def experanto(folder):
    for modality, size in (("responses", 3), ("treadmill", 1)):
        inside = folder / modality
        inside.mkdir(parents=True)
        np.save(inside / "data.npy", np.ones((40, size), "f4"))
        (inside / "meta.yml").write_text(
            f"modality: sequence\nstart_time: 0.0\nend_time: 4.0\nsampling_rate: 10.0\n"
            f"n_signals: {size}\nn_timestamps: 40\nis_mem_mapped: false\n"
        )
    return folder


@pytest.mark.parametrize(
    "damage", [empty, zeroed, page, dangling, fifo], ids=lambda one: one.__name__
)
def test_a_modality_that_cannot_be_read_is_said(tmp_path, damage):
    session = experanto(tmp_path / "s")
    assert na.open_datatree(session)
    damage(session / "treadmill" / "meta.yml")
    with pytest.raises(FormatError, match=r"treadmill.*skip_damaged=True"):
        na.open_datatree(session)
    tree = na.open_datatree(session, skip_damaged=True)
    assert "treadmill" not in tree["s"].children
    assert any("treadmill left out" in note for note in tree["s"].attrs["notes"])


def test_data_of_a_modality_that_are_cut(tmp_path):
    session = experanto(tmp_path / "s")
    raw = (session / "treadmill" / "data.npy").read_bytes()
    (session / "treadmill" / "data.npy").write_bytes(raw[:-20])
    (session / "notes").mkdir()
    with pytest.raises(FormatError, match=r"treadmill/data\.npy"):
        na.open_datatree(session)
    notes = na.open_datatree(session, skip_damaged=True)["s"].attrs["notes"]
    assert any("treadmill left out" in note for note in notes)
    assert "notes passed over: no meta.yml" in notes


@pytest.mark.parametrize("damage", [empty, page, dangling, fifo], ids=lambda one: one.__name__)
def test_what_stands_in_the_place_of_a_modality_is_said(tmp_path, damage):
    session = experanto(tmp_path / "s")
    shutil.rmtree(session / "treadmill")
    (session / "treadmill").write_bytes(b"")
    damage(session / "treadmill")
    if damage in (dangling, fifo):
        with pytest.raises(FormatError, match=r"treadmill.*skip_damaged=True"):
            na.open_datatree(session)
    notes = na.open_datatree(session, skip_damaged=True)["s"].attrs["notes"]
    assert any(note.startswith(("treadmill left out", "treadmill passed over")) for note in notes)


def test_an_experanto_session_of_three(tmp_path):
    for name in "abc":
        experanto(tmp_path / name)
    for modality in ("responses", "treadmill"):
        page(tmp_path / "b" / modality / "meta.yml")
    with pytest.raises(FormatError, match=r"/b.*skip_damaged=True"):
        na.open_datatree(tmp_path)
    tree = na.open_datatree(tmp_path, skip_damaged=True)
    assert list(tree.children) == ["a", "c"]
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "gone")
    with pytest.raises(FormatError, match="a link to .*where there is nothing"):
        na.open_datatree(tmp_path)


# --------------------------------------------------------------------------- errors from inside


def endless():
    endless()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: int("a"), r"rec\.x: expected .*ValueError: invalid literal"),
        (lambda: {}["a"], r"rec\.x: .*KeyError: 'a'"),
        (endless, r"rec\.x: .*RecursionError"),
        (lambda: np.ones(2).reshape(3), r"rec\.x: .*ValueError: cannot reshape"),
    ],
)
def test_errors_from_inside_name_the_file(call, said):
    with pytest.raises(FormatError, match=said), named("rec.x"):
        call()


def test_wrong_options_stay_as_they_are(tmp_path):
    openretina(tmp_path, "a")
    with pytest.raises(ValueError, match="^mismatch") as caught:
        na.open_datatree(tmp_path, mismatch="no such thing")
    assert not isinstance(caught.value, FormatError)


def test_the_sample_beside_a_copy(tmp_path):
    shutil.copy(sample_path(), tmp_path / "a.nwb")
    shutil.copy(sample_path(), tmp_path / "b.nwb")
    cut(tmp_path / "b.nwb")
    with pytest.raises(FormatError, match=r"b\.nwb"):
        na.open_datatree(tmp_path)
