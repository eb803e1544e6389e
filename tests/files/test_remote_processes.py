"""What is behind an address, read in other processes and threads."""

import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays.errors import NeuroArraysError
from neuroarrays.files import state
from neuroarrays.lazy.arrays import file_array
from neuroarrays.testing.processes import in_processes
from neuroarrays.testing.sources import open_source

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


def rows_of(source):
    """Two rows of the file as a lazy variable, pickled."""
    array = file_array(source, "rows").variable(("row", "column"))[60_000:60_002]
    sent = pickle.dumps({"rows": array})
    assert len(sent) < 2000
    return sent


EXPECTED = [
    [240_000.0, 240_001.0, 240_002.0, 240_003.0],
    [240_004.0, 240_005.0, 240_006.0, 240_007.0],
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads(server, numbers):
    source = open_source(server.url(numbers))
    source.read("rows", (slice(0, 2),))
    assert not state.forked_from_network()
    found = in_processes("fork", rows_of(source), 2)
    assert [one["rows"].tolist() for one in found] == [EXPECTED, EXPECTED]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("way", ["memory", "file", pytest.param("run", marks=pytest.mark.slow)])
def test_workers_of_loaders_are_started_so_that_they_can_read(server, folder, way):
    torch = pytest.importorskip("torch")
    aligned = na.align(na.open_datatree(SAMPLE), "sleep_ripples", bin_width=0.05)
    na.save(aligned, folder / "a.h5")
    trees = na.open_datatree(server.url("a.h5")), na.open_datatree(folder / "a.h5")
    remote, local = (
        na.torch.TrialDataset(tree["A2929-200711/adn"], ["spike_data"], cache=way == "memory")
        for tree in trees
    )
    loader = na.torch.Loader(remote, na.torch.Batches(len(remote), 16), num_workers=1)
    loader._choose_start()
    beside = na.torch.Loader(
        torch.utils.data.Subset(local, [0]), na.torch.Batches(1, 1), num_workers=1
    )
    beside._choose_start()
    assert beside.multiprocessing_context is None
    if way == "memory":
        remote.load()
        loader.multiprocessing_context = None
        loader._choose_start()
        assert loader.multiprocessing_context is None
        return
    assert loader.multiprocessing_context.get_start_method() == "forkserver"
    if way == "run":
        batches = [batch["spike_data"] for batch in loader]
        expected = na.torch.Loader(local, na.torch.Batches(len(local), 16))
        for batch, other in zip(batches, expected, strict=True):
            torch.testing.assert_close(batch, other["spike_data"], equal_nan=True)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_reads(server, numbers, scheduler):
    """In other processes, which have nothing of this one, the file is opened by its address and the name in it."""
    dask = pytest.importorskip("dask")
    rows = file_array(open_source(server.url(numbers)), "rows").variable(("row", "column"))
    fresh = sorted({"forkserver"} & {*multiprocessing.get_all_start_methods()} or {"spawn"})[0]
    with dask.config.set({"multiprocessing.context": fresh}):
        total = rows.chunk({"row": 50_000}).sum().compute(scheduler=scheduler, num_workers=1)
    assert total == 400_000 * 399_999 / 2


def test_a_build_from_signed_addresses(server, folder, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    server.behaviour.signed = True
    address = f"{server.url('a.nwb')}?X-Amz-Signature=2000000000"
    options = {"stimuli": "sleep_ripples", "bin_width": 0.1}  # in a child process
    report = na.build(address, tmp_path / "archive", **options)
    assert (report.parts_made, report.failures) == (1, [])
    assert na.units(address)["path"].unique().tolist() == [server.url("a.nwb")]
    for file in (tmp_path / "archive").rglob("*"):
        assert file.is_dir() or b"2000000000" not in file.read_bytes()
    with pytest.raises(NeuroArraysError, match="no permission"):
        na.build(server.url("a.nwb"), tmp_path / "other", **options)
