"""`neuroarrays warmup` says where compiled code is kept."""

import pytest

from neuroarrays.cli import main

pytest.importorskip("numba")
from neuroarrays.kernels import jit


def test_warmup_says_where_code_is_kept(capsys, monkeypatch):
    from neuroarrays.cli import warmup_command

    done = []
    for name in ("_align", "_train", "_analyse"):
        monkeypatch.setattr(warmup_command, name, lambda tree: done.append(tree))
    assert main(["warmup"]) == 0
    assert f"kept in {jit.kept_in()}" in capsys.readouterr().out
    assert len(done) == 3
    monkeypatch.setattr(jit, "kept_in", lambda: "")
    assert main(["warmup"]) == 0
    assert "kept nowhere: no folder can be written; give one, NUMBA_CACHE_DIR" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
def test_warmup_does_what_people_do(capsys):
    assert main(["warmup"]) == 0
    assert capsys.readouterr().out.startswith("compiled for ")
