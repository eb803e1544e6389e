"""The golden file of a reader, which all tests of a class share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import xarray as xr

from neuroarrays.formats import registry
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.trees import tree_of
from neuroarrays.testing.comparing import opened, variables
from neuroarrays.testing.sources import close_all


class Golden:
    """Fixtures of a reader and its golden file; `ReaderTests` describes the attributes."""

    reader: ClassVar[Any]
    path: ClassVar[Any]

    @pytest.fixture
    def golden(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        """The golden file."""
        if callable(self.path):
            yield Path(self._once("golden", lambda: self.path(tmp_path_factory.mktemp("golden"))))
        else:
            yield Path(self.path)
        close_all()

    @pytest.fixture
    def engine(self) -> Reader:
        """An instance of the reader."""
        if isinstance(self.reader, str):
            known = registry.named(self.reader)
            assert known is not None, f"no format is called {self.reader!r}"
            return known.load()
        reader: Reader = self.reader() if isinstance(self.reader, type) else self.reader
        return reader

    @pytest.fixture
    def tree(self, engine: Reader, golden: Path) -> xr.DataTree:
        """The golden file, opened but not read; a copy does not share the values that are read."""

        def made() -> dict[str, xr.Dataset]:
            nodes = opened(engine, golden).subtree_with_keys
            return {path: node.to_dataset(inherit=False) for path, node in nodes}

        datasets = self._once("datasets", made)
        return tree_of(datasets)

    @pytest.fixture
    def read(self, engine: Reader, golden: Path) -> xr.DataTree:
        """The golden file with all its values in memory, which others are compared with."""

        def made() -> xr.DataTree:
            tree = opened(engine, golden)
            for _, variable in variables(tree):
                _ = variable.values  # xarray keeps them
            return tree

        tree: xr.DataTree = self._once("read", made)
        return tree

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """What all tests of a class have in common, made by the first that needs it."""
        name = f"_{name}_of_{type(self).__qualname__}"
        if not hasattr(type(self), name):
            setattr(type(self), name, make())
        return getattr(type(self), name)
