"""Archives of ours behind an address: one session of them in few requests, damage named."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.archive import seal
from neuroarrays.errors import FormatError
from neuroarrays.files.locating import locate

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    tree = synthetic.aligned_tree(sessions=12, presentations=20, units=20, bins=20)
    return na.save(tree, tmp_path_factory.mktemp("archive") / "x.h5")


@pytest.fixture
def served(saved, folder):
    """A copy of the archive, apart from blocks of bytes that come with the first requests."""
    content = saved.read_bytes()
    (folder / "x.h5").write_bytes(content)
    return folder / "x.h5"


def sealed(path):
    with locate(path).open() as file:
        return seal.read(file)


def test_one_session_takes_two_requests_more(served, server, saved):
    opened = na.open_datatree(server.url("x.h5"), sessions=["session_7"])
    before = len(server.seen.log)
    assert before <= 4
    area = next(node for node in opened.subtree if schema.SPIKE_DATA in node.data_vars)
    values = area[schema.SPIKE_DATA].values
    assert len(server.seen.log) <= before + 2
    np.testing.assert_array_equal(
        values, na.open_datatree(saved)[area.path][schema.SPIKE_DATA].values
    )
    assert na.open_datatree(server.url("x.h5")).identical(na.open_datatree(saved))


def test_a_session_reads_no_copy_of_another(served, server):
    """Damage in one is named where it is read, and nowhere else."""
    copies = sealed(served).copies
    with open(served, "r+b") as file:
        file.seek(copies[3].offset + 8)  # of session_2: the first stands for what is above all
        file.write(bytes(16))
    tree = na.open_datatree(server.url("x.h5"))
    one, other = (
        next(n for n in tree[name].subtree if schema.SPIKE_DATA in n.data_vars)
        for name in ("session_1", "session_2")
    )
    assert one[schema.SPIKE_DATA].values.any()
    with pytest.raises(FormatError, match=r"x\.h5.*copy of a session's HDF5 metadata.*checksum"):
        _ = other[schema.SPIKE_DATA].values
    with pytest.raises(FormatError, match="outside of values"):
        na.open_datatree(served).load()
