"""The command line, run in this process; what must not load anything, in another."""

import builtins
import inspect
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.formats.registry import FORMATS
from neuroarrays.synthetic import write_nwb


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "session.nwb"
    write_nwb(path, relative_events=True, parts=("units", "trials", "running", "pupil", "licks"))
    return path


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command; gives its exit code, output and errors."""

    def run(*argv, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        code = cli.main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def refused(result, *words):
    """A refusal is one line that says these words, and nothing else is printed."""
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("neuroarrays: error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


# -------------------------------------------------------------------------- what commands print


def test_formats_lists_every_format(run):
    code, out, err = run("formats")
    assert (code, err) == (0, "")
    for format_ in FORMATS:
        assert re.search(rf"^{format_.name} +{format_.status} ", out, re.M)


def test_info_shows_the_tree_of_the_sample(run):
    code, out, err = run("info", na.sample_path())
    assert (code, err) == (0, "")
    assert out.startswith("A2929-200711.nwb: recording tree")
    assert re.search(r"spikes  spike 79,349, unit_id 7, interval 2$", out, re.M)
    assert re.search(r"spike_times +79,349  float64  s +635 kB$", out, re.M)
    assert re.search(r"ry +31,764  float64  radian +254 kB$", out, re.M)
    assert "experimenter" in out


@pytest.mark.parametrize("width", [80, 200])
def test_info_keeps_to_the_width_of_the_terminal(run, session, width):
    _, out, _ = run("info", session, width=width)
    assert max(map(len, out.splitlines())) <= width


def test_info_of_chosen_areas_only(run, session):
    _, out, _ = run("info", session, "--areas", "VIS*")
    assert "VISp" in out
    assert "CA1" not in out


def test_info_shows_what_a_reader_left_out(run, tmp_path):
    write_nwb(tmp_path / "a.nwb", parts=("running",))
    _, out, _ = run("info", tmp_path / "a.nwb")
    assert "notes" in out
    assert "no units with spikes" in out


def test_catalog_has_a_row_per_area(run, session):
    code, out, _ = run("catalog", session)
    assert code == 0
    assert re.search(r"^session +VISp +3 ", out, re.M)


def test_check_of_a_good_file(run):
    assert run("check", na.sample_path()) == (0, "A2929-200711.nwb: no faults\n", "")


def test_each_of_several_is_checked_by_itself(run, tmp_path):
    bad = tmp_path / "a.nwb"
    bad.write_bytes(b"no recording")
    code, out, err = run("check", bad, na.sample_path())
    assert (code, err) == (1, "")
    first, *_, last = out.splitlines()
    assert first.startswith("fault") and str(bad) in first  # noqa: PT018
    assert f"{bad}: 1 fault" in out
    assert last == f"{na.sample_path()}: no faults"
    assert run("check", na.sample_path(), bad)[0] == 1


def test_check_with_notes_is_fine(run, tmp_path):
    write_nwb(tmp_path / "a.nwb", spikes="unsorted")
    code, out, _ = run("check", tmp_path / "a.nwb")
    assert code == 0
    assert "note: a/VISp/spikes: " in out
    assert "not in order" in out


def test_check_with_faults_says_which_and_exits_with_1(run, tmp_path):
    path = tmp_path / "archive.h5"
    na.save(na.load_sample(), path)
    with h5py.File(path, "r+") as file:
        file["A2929-200711/adn/spikes/row_size"][0] += 5
    code, out, err = run("check", path)
    assert (code, err) == (1, "")
    assert "fault: A2929-200711/adn/spikes: row_size adds up to 79354" in out
    assert out.endswith("archive.h5: 1 fault\n")


# ----------------------------------------------------------------------------- align and convert


def test_align_writes_what_na_align_gives(run, tmp_path):
    out = tmp_path / "aligned.h5"
    code, said, err = run(
        "align",
        na.sample_path(),
        "--presentations",
        "sleep_ripples",
        "--bin-width",
        "0.01",
        "--window",
        "-0.1",
        "0.2",
        "--no-clip",
        "--series",
        "head_direction",
        "--areas",
        "ca1",
        "--dtype",
        "uint16",
        "-o",
        out,
    )
    assert (code, err) == (0, "")
    assert "ca1/spike_data" in said
    assert str(out) in said
    expected = na.align(
        na.open_datatree(na.sample_path(), areas="ca1"),
        "sleep_ripples",
        0.01,
        (-0.1, 0.2),
        clip=False,
        series="head_direction",
        dtype="uint16",
    )
    found = na.open_datatree(out)["A2929-200711/ca1"]
    assert found["spike_data"].dtype == np.uint16
    assert found["spike_data"].identical(expected["A2929-200711/ca1/spike_data"])
    assert list(found.children) == ["head_direction", "presentations"]


def test_align_on_one_continuous_clock(run, session, tmp_path):
    code, _, _ = run("align", session, "--bin-width", "0.1", "-o", tmp_path / "clock.h5")
    assert code == 0
    counts = na.open_datatree(tmp_path / "clock.h5")["session/VISp/spike_data"]
    assert counts.dims == ("time", "unit_id")


def test_align_says_for_what_event_times_were_taken(run, session, tmp_path):
    options = ("--presentations", "trials", "--event", "cue_time", "--window", "0", "0.2")
    code, out, _ = run("align", session, *options, "-o", tmp_path / "a.h5")
    assert code == 0
    assert "cue_time: its times were taken to count from the start of each presentation" in out
    _, out, _ = run(
        "align", session, *options, "--event-clock", "presentation", "-o", tmp_path / "b.h5"
    )
    assert "were taken to count" not in out


def test_convert_saves_the_same_tree(run, session, tmp_path):
    code, out, _ = run("convert", session, "-o", tmp_path / "a.h5", "--compression", "portable")
    assert code == 0
    assert "VISp/spikes/spike_times" in out
    assert na.open_datatree(tmp_path / "a.h5").identical(na.open_datatree(session))


def test_convert_writes_nwb(run, session, tmp_path):
    pytest.importorskip("pynwb", reason="pynwb is not installed: pip install 'neuroarrays[nwb]'")
    began = "2020-07-11T09:30:00+02:00"
    options = ("-o", tmp_path / "a.nwb", "--session-start-time", began)
    code, out, _ = run("convert", session, *options)
    assert code == 0
    assert "VISp/spikes/spike_times" in out
    assert na.open_datatree(tmp_path / "a.nwb").attrs["source"] == "nwb"
    refused(run("convert", session, *options), "a.nwb", "--overwrite replaces it")


def test_convert_replaces_an_archive_only_when_told(run, session, tmp_path):
    out = tmp_path / "a.h5"
    out.write_bytes(b"precious")
    refused(run("convert", session, "-o", out), str(out), "--overwrite replaces it")
    assert out.read_bytes() == b"precious"
    assert run("convert", session, "-o", out, "--overwrite")[0] == 0
    assert na.open_datatree(out).identical(na.open_datatree(session))


@pytest.mark.slow
def test_align_on_a_cluster(run, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        code, _, _ = run(
            "align",
            na.sample_path(),
            "--presentations",
            "sleep_ripples",
            "--scheduler",
            cluster.scheduler_address,
            "-o",
            tmp_path / "a.h5",
        )
    assert code == 0
    expected = na.align(na.load_sample(), "sleep_ripples")
    assert na.open_datatree(tmp_path / "a.h5").identical(expected)


def test_demo_is_given_its_folder(run, monkeypatch, tmp_path):
    demo = pytest.importorskip("neuroarrays.demo.script")
    asked = []
    monkeypatch.setattr(demo, "main", asked.append)
    assert run("demo", "-o", tmp_path)[0] == 0
    assert asked == [str(tmp_path)]


# ------------------------------------------------------------------------------------- refusals


def test_missing_path(run, tmp_path):
    refused(run("info", tmp_path / "gone.nwb"), "gone.nwb", "no such file")


def test_text_file(run, tmp_path):
    (tmp_path / "notes.nwb").write_text("not a recording\n")
    refused(run("info", tmp_path / "notes.nwb"), "notes.nwb", "a text file")


@pytest.mark.parametrize("command", ["info", "catalog", "check"])
def test_truncated_file(run, tmp_path, command):
    path = tmp_path / "short.nwb"
    path.write_bytes(na.sample_path().read_bytes()[:100_000])
    refused(run(command, path), "short.nwb", "truncated")


def test_unknown_engine(run):
    refused(run("info", na.sample_path(), "--engine", "nbw"), "--engine nbw", "'nwb'")


@pytest.mark.parametrize("options", [(), ("--engine", "arrays")])
def test_several_files_that_are_no_one_tree(run, tmp_path, options):
    paths = [tmp_path / name for name in ("a.h5", "b.h5")]
    for path in paths:
        with h5py.File(path, "w") as file:
            file["spikes"] = np.arange(3.0)
    result = run("info", *paths, *options)
    refused(result, "a.h5")
    assert "na." not in result[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--presentations", "ripples"], ["'ripples'", "did you mean 'sleep_ripples'?"]),
        (["--bin-width", "0"], ["--bin-width 0.0", "positive"]),
        (["--bin-width", "nan"], ["--bin-width nan", "positive"]),
        (["--bin-width", "wide"], ["--bin-width", "'wide'"]),
        (["--window", "1", "0"], ["--window 1.0 0.0", "start < stop"]),
        (["--dtype", "float32"], ["--dtype", "'float32'", "'uint8'"]),
        (["--presentations", "epochs", "--event", "peak"], ["'peak'", "'start_time'"]),
        (["--presentations", "epochs", "--bin-width", "100"], ["spikes", "--dtype uint16"]),
        (["--series", "pupil"], ["'pupil'", "'position'"]),
        (["--areas", "CA1"], ["'CA1'", "'ca1'"]),
        (["--max-gap", "-1"], ["--max-gap -1.0", "positive"]),
        (["--method", "cubic"], ["'cubic'", "'linear'"]),
        (["--colour", "red"], ["--colour"]),
    ],
)
def test_align_refuses_and_writes_nothing(run, tmp_path, options, words):
    out = tmp_path / "out.h5"
    refused(run("align", na.sample_path(), *options, "-o", out), *words)
    assert not out.exists()


def test_a_result_of_unknown_kind_is_refused(run, tmp_path):
    refused(run("convert", na.sample_path(), "-o", tmp_path / "out.txt"), "out.txt", ".zarr")
    assert not list(tmp_path.iterdir())


def test_a_missing_option_or_command_is_refused(run):
    refused(run("align", na.sample_path()), "-o/--output", "align --help")
    refused(run("inof", "x"), "'inof'", "'info'")


def test_nothing_asked_shows_the_help(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "usage: neuroarrays" in err


def test_debug_shows_the_traceback(run, tmp_path):
    code, _, err = run("info", tmp_path / "gone.nwb", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("neuroarrays: error: ")


def test_a_defect_of_our_own_is_called_one(run, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(na, "open_datatree", broken)
    code, _, err = run("info", "x")
    assert code == 3
    assert "Traceback" in err
    assert "no such luck" in err


def test_version_and_help(run):
    assert run("--version") == (0, f"neuroarrays {na.__version__}\n", "")
    for command in ("formats", "info", "catalog", "check", "align", "convert", "demo"):
        code, out, err = run(command, "--help")
        assert (code, err) == (0, "")
        assert f"neuroarrays {command}" in out


# --------------------------------------------------------------------- what must not drift apart


def options_of(command):
    parser = cli.build_parser()
    (commands,) = (a for a in parser._actions if a.dest == "command")
    return {action.dest: action for action in commands.choices[command]._actions}


@pytest.mark.parametrize(
    ("command", "function", "elsewhere"),
    [
        # `chunks` follows from --scheduler.
        ("align", na.align, {"tree", "chunks"}),
        ("align", na.save, {"tree", "path", "progress"}),
        ("convert", na.save, {"tree", "path", "progress"}),
        ("build", na.build, {"progress"}),
        # `chunks` and reader options mean nothing to a command that reads as it goes; the cache has a variable.
        ("info", na.open_datatree, {"path_or_url", "chunks", "options", "cache"}),
    ],
)
def test_options_are_those_of_the_function(command, function, elsewhere):
    options = options_of(command)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in elsewhere:
            continue
        assert name in options, f"{command} has no option for {name}"
        if parameter.default is not parameter.empty:
            assert options[name].default == parameter.default, name


def test_choices_are_those_of_the_library(tmp_path):
    """What the library names when it refuses is what the command offers."""
    options = options_of("align")
    for name, refuse in {
        "method": lambda: na.align(na.load_sample(), method="?"),
        "event_clock": lambda: na.align(na.load_sample(), event_clock="?"),
        "compression": lambda: na.save(na.load_sample(), tmp_path / "a.h5", compression="?"),
    }.items():
        with pytest.raises(ValueError, match="expected") as caught:
            refuse()
        offered = re.findall(r"'(\w+)'", str(caught.value).partition("expected")[2])
        assert offered == list(options[name].choices)
    for dtype in options["dtype"].choices:
        assert np.dtype(dtype).kind in "iu"


# ------------------------------------------------------------------------------- rich and colour


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self, stream):
        self.stream = stream

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self.stream, name)


def test_colour_only_on_a_terminal(run, monkeypatch):
    pytest.importorskip("rich")
    _, plain, _ = run("info", na.sample_path())
    assert "\x1b[" not in plain
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, coloured, _ = run("info", na.sample_path())
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [x.rstrip() for x in stripped.splitlines()] == plain.splitlines()


def test_works_without_rich(run, monkeypatch):
    _, expected, _ = run("info", na.sample_path())
    real = builtins.__import__

    def without_rich(name, *args, **kwargs):
        if name.partition(".")[0] == "rich":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    assert run("info", na.sample_path()) == (0, expected, "")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from neuroarrays.cli import main; assert main(['--help']) == 0; "
        "print(*sorted(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"xarray", "numpy", "pandas", "h5py", "dask", "numba", "rich"})


def test_output_that_is_cut_off_is_no_error(session):
    code = (
        f"import sys; from neuroarrays.cli import main; sys.exit(main(['info', {str(session)!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert errors == b""


def test_python_runs_the_package_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "neuroarrays", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, f"neuroarrays {na.__version__}\n")


def test_durations_may_be_milliseconds(run, tmp_path):
    out = tmp_path / "a.h5"
    code, *_ = run(
        "align",
        na.sample_path(),
        "-o",
        out,
        "--presentations",
        "sleep_ripples",
        "--bin-width",
        "20ms",
        "--window",
        "-100ms",
        "0.2",
    )
    assert code == 0
    time = na.open_datatree(out)["A2929-200711/adn"]["time"]
    assert time.attrs["bin_width"] == 0.02
    assert time.size == 15
    code, _, err = run("align", na.sample_path(), "-o", out, "--bin-width", "20 minutes")
    assert code == 2
    assert "give seconds or milliseconds, e.g. 0.02 or 20ms" in err


def test_the_catalog_of_chosen_sessions_and_areas(run):
    code, out, _ = run("catalog", na.sample_path(), "--areas", "c*", "--sessions", "A2929*")
    assert code == 0
    assert "ca1" in out
    assert "adn" not in out


def test_the_catalog_has_the_columns_that_python_has(run):
    code, out, _ = run("catalog", na.sample_path())
    assert code == 0
    columns = na.catalog(na.sample_path()).columns
    assert out.splitlines()[0].split() == [
        c for c in columns if c not in ("path", "node", "format", "stamp")
    ]


def test_a_build_that_made_nothing_does_not_say_how_to_open_it(run, tmp_path):
    (tmp_path / "b.nwb").write_text("junk")
    code, out, err = run("build", tmp_path, "-o", tmp_path / "archive")
    assert code != 0
    assert "open_datatree" not in out + err


def test_an_unknown_file_names_the_option_as_it_is_typed(tmp_path, capsys):
    empty = tmp_path / "e.nwb"
    empty.touch()
    assert cli.main(["info", str(empty)]) == 2
    assert "--engine NAME forces one" in capsys.readouterr().err
