"""Pictures that lie beside an NWB file: read where the file names them, and only in its own folder."""

import struct
import zlib

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.lazy.arrays import LazyArray, array_of

Image = pytest.importorskip("PIL.Image", reason="reads pictures: pip install 'neuroarrays[images]'")
TiffImagePlugin = pytest.importorskip("PIL.TiffImagePlugin", reason="see above")
TEXT = h5py.string_dtype()
FRAMES = np.random.default_rng(2).integers(0, 255, (4, 5, 6), dtype="u1")


@pytest.fixture
def folder(tmp_path):
    """A folder of a session with four pictures below it, and one beside it."""
    inside = tmp_path / "session"
    (inside / "images").mkdir(parents=True)
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(inside / "images" / f"{number}.png")
    Image.fromarray(FRAMES[0]).save(tmp_path / "secret.png")
    return inside


def series(folder, files, path="stimulus/templates/movie", times=None, **attrs):
    (folder / "s.nwb").unlink(missing_ok=True)
    with h5py.File(folder / "s.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        group = file.create_group(path)
        group.attrs["neurodata_type"] = "ImageSeries"
        group["data"] = np.zeros((0, 0, 0), "u1")
        group["data"].attrs["unit"] = "n.a."
        group["format"] = "external"
        group["external_file"] = np.array(files, object).astype(TEXT)
        group["external_file"].attrs.update(attrs)
        if times is None:
            group["starting_time"] = 0.0
            group["starting_time"].attrs["rate"] = 10.0
        else:
            group["timestamps"] = np.asarray(times, "f8")
    return na.open_datatree(folder / "s.nwb")["s"]


def notes(session):
    return "\n".join(session.attrs.get("notes", []))


@pytest.mark.parametrize("sign", ["/", "\\"])
def test_templates_in_files_of_their_own(folder, sign):
    names = [f".{sign}images{sign}{n}.png" for n in (0, 1, 2, 3)]
    session = series(folder, names, starting_frame=[0, 1, 2, 3])
    node = session["stimulus/movie"].to_dataset()
    assert node.movie.dims[0] == "frame"
    assert isinstance(array_of(node.variables["movie"]), LazyArray)
    np.testing.assert_array_equal(node.movie[2].values, FRAMES[2])
    np.testing.assert_array_equal(node.movie[[3, 0]].values, FRAMES[[3, 0]])
    np.testing.assert_array_equal(node.movie.values, FRAMES)
    assert "not in the tree" not in notes(session)


def test_pictures_on_a_clock_in_one_file_of_several(folder):
    pages = [Image.fromarray(frame) for frame in FRAMES]
    pages[0].save(folder / "stack.tif", save_all=True, append_images=pages[1:])
    times = [1.0, 2.0, 4.0, 5.0]
    session = series(folder, ["stack.tif"], "acquisition/camera", times, starting_frame=[0])
    node = session["camera"].to_dataset()
    assert node.camera.dims[0] == "time"
    np.testing.assert_array_equal(node.time.values, times)
    np.testing.assert_array_equal(node.camera.sel(time=4.0).values, FRAMES[2])
    session = series(folder, ["stack.tif"], "acquisition/camera", times[:3])
    assert "4 time stamps, one for each sample" in notes(session)


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [("RGB", (5, 6, 3), "u1"), ("I;16", (5, 6), "u2"), ("1", (5, 6), "?"), ("P", (5, 6, 3), "u1")],
)
def test_what_a_pixel_has(folder, mode, shape, dtype):
    picture = Image.fromarray(FRAMES[0])
    picture = Image.fromarray(FRAMES[0].astype("u2")) if mode == "I;16" else picture.convert(mode)
    picture.save(folder / "one.png")
    movie = series(folder, ["one.png"])["stimulus/movie"].movie
    assert movie.shape == (1, *shape)
    assert movie.dtype == dtype
    colours = "RGB" if mode == "P" else picture.mode
    np.testing.assert_array_equal(movie[0].values, np.asarray(picture.convert(colours)))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "leads out"),
        ("images/../../secret.png", "leads out"),
        ("images\\..\\..\\secret.png", "leads out"),
        ("{parent}/secret.png", "an absolute path"),
        ("~/secret.png", "an absolute path"),
        ("C:\\secret.png", "an absolute path"),
        ("\\\\server\\secret.png", "an absolute path"),
        ("https://example.org/secret.png", "an address"),
        ("file:///secret.png", "an address"),
        ("linked.png", "a link that leads out"),
        ("linked/secret.png", "a link that leads out"),
        ("images/9.png", "where there is no file"),
        ("movie.avi", "they are in images/0.png, movie.avi)"),
        ("images/text.png", "expected a picture"),
        ("images/eps.png", "expected a picture"),
        ("", "they are in images/0.png, )"),
    ],
)
def test_what_leads_elsewhere_or_is_no_picture_is_a_note(folder, name, reason):
    (folder / "linked.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent, target_is_directory=True)
    (folder / "images" / "text.png").write_text("no picture")
    (folder / "images" / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    session = series(folder, ["images/0.png", name.format(parent=folder.parent)])
    assert not [node.path for node in session.subtree if "movie" in node.path]
    assert reason in notes(session)
    assert "they are in images/0.png" in notes(session)


def test_pictures_that_disagree_are_a_note(folder):
    Image.fromarray(FRAMES[0][:2]).save(folder / "small.png")
    said = notes(series(folder, ["images/0.png", "small.png"]))
    assert "pictures of one size" in said
    assert "small.png" in said
    assert "first frames are" in notes(
        series(folder, ["images/0.png", "images/1.png"], starting_frame=[0, 4])
    )


def test_a_picture_that_is_cut_or_changed_is_an_error_where_it_is_read(folder):
    session = series(folder, ["images/0.png", "images/1.png"])
    path = folder / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"1\.png"):
        session["stimulus/movie"].movie[1].load()
    assert session["stimulus/movie"].movie[0].shape == (5, 6)
    again = series(folder, ["images/0.png", "images/1.png"])
    with pytest.raises(FormatError, match=r"1\.png.*expected a whole picture"):
        again["stimulus/movie"].movie[1].load()


def png_of_words(frame):
    """A PNG of colours of 16 bits, which Pillow does not write."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in frame)
    header = struct.pack(">IIBBBBB", frame.shape[1], frame.shape[0], 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_values_that_pillow_would_round_are_a_note(folder):
    (folder / "words.png").write_bytes(png_of_words(np.full((5, 6, 3), 1000)))
    assert "found 16 bits of each colour" in notes(series(folder, ["words.png"]))
    signed = TiffImagePlugin.ImageFileDirectory_v2()
    signed[339] = 2
    Image.fromarray(FRAMES[0]).save(folder / "signed.tif", tiffinfo=signed)
    assert "found signed values" in notes(series(folder, ["signed.tif"]))


@pytest.mark.parametrize(
    ("first", "second"),
    [(FRAMES[0], np.full((5, 6), 70_000, "i4")), (FRAMES[0], np.full((5, 6), 0.5, "f4"))],
    ids=["whole numbers", "numbers"],
)
def test_a_page_whose_values_do_not_fit_is_an_error(folder, first, second):
    pages = Image.fromarray(first), Image.fromarray(second)
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    movie = series(folder, ["pages.tif"])["stimulus/movie"].movie
    np.testing.assert_array_equal(movie[0].values, first)
    with pytest.raises(FormatError, match="of picture 1, which does not fit"):
        movie[1].load()


def images(folder):
    with h5py.File(folder / "s.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        group = file.create_group("stimulus/templates/scenes")
        group.attrs["neurodata_type"] = "Images"
        for name, number in (("b", 0), ("a", 1)):
            group[name] = f"images/{number}.png"
            group[name].attrs.update(neurodata_type="ExternalImage", image_format="PNG")
        group["own"] = FRAMES[2]
        group["order_of_images"] = np.array(
            [group[n].ref for n in ("own", "b", "a")], h5py.ref_dtype
        )
        shown = file.create_group("stimulus/presentation/shown")
        shown.attrs["neurodata_type"] = "IndexSeries"
        shown["data"] = np.array([2, 0], "u4")
        shown["timestamps"] = [0.5, 1.5]
        shown["indexed_images"] = h5py.SoftLink("/stimulus/templates/scenes")
    return na.open_datatree(folder / "s.nwb")["s"]


def test_external_images_of_a_container_in_its_order(folder):
    session = images(folder)
    node = session["stimulus/scenes"].to_dataset()
    np.testing.assert_array_equal(node.images.values, FRAMES[[2, 0, 1]])
    assert node.image_name.values.tolist() == ["own", "b", "a"]
    assert session["shown"].shown.attrs["frames_of"] == "stimulus/scenes"
    assert "notes" not in session.attrs or "scenes" not in notes(session)


def test_without_pillow_it_is_a_note_that_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("neuroarrays.files.pictures.is_installed", lambda: False)
    assert "pip install 'neuroarrays[images]'" in notes(series(folder, ["images/0.png"]))
