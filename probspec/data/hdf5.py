"""Reading other people's HDF5 files safely, and writing our own so that they are whole or not there.

A plain read of an HDF5 file can be made to return the bytes of other files (external links and storage, virtual
datasets, soft links) or to fill memory from a few bytes. `Reader` looks at every link on a path before it follows it,
and refuses what it does not need. `Writer` keeps checksums of all data and replaces the file in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from probspec.atomic import sync
from probspec.errors import DataError, ProbspecError, explain

ROWS = 128
"""Rows of spectra that are stored, and read, together."""

MOST_SHRUNK = 2000
"""Largest believable ratio of a dataset's size to what it takes up in the file; gzip reaches about 1000."""

_BROKEN = (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError, AttributeError)


class Reader:
    """An HDF5 file opened for reading, as a context manager.

    Parameters
    ----------
    file : path

    Raises
    ------
    DataError
        Naming file and path of what cannot be read or is not allowed: links other than hard links, virtual datasets,
        external storage, dtypes other than numbers and strings, sizes that the file cannot hold, failed checksums.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)

    def __enter__(self) -> Self:
        if not self.file.is_file():
            raise DataError(explain(str(self.file), "no such file"))
        with self._guard(""):
            self._root = h5py.File(self.file, "r")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.close()

    def where(self, path: str) -> str:
        """How messages name a path inside this file."""
        return f"{self.file.name}:/{path.strip('/')}"

    def has(self, path: str) -> bool:
        """Whether there is something at a path."""
        with self._guard(path):
            return self._walk(path) is not None

    def shape(self, path: str) -> tuple[int, ...]:
        """Shape of a dataset, whose values stay where they are."""
        with self._guard(path):
            return self._dataset(path, "numbers").shape

    def dims(self, path: str) -> tuple[str, ...]:
        """Names of a dataset's dims, from an attribute ``dims``, scales (as netCDF has) or labels; else empty."""
        listed = self.attribute(path, "dims")
        if isinstance(listed, tuple):
            return listed
        with self._guard(path):
            dataset = self._dataset(path, "numbers")
            return tuple(str(dim[0].name).rpartition("/")[2] if len(dim) else dim.label for dim in dataset.dims)

    def is_text(self, path: str) -> bool:
        """Whether a dataset holds strings."""
        with self._guard(path):
            node = self._walk(path)
            return isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype) is not None

    def numbers(self, path: str) -> NDArray[Any]:
        """Read a whole dataset of numbers."""
        with self._guard(path):
            return self._dataset(path, "numbers")[()]

    def names(self, path: str) -> NDArray[Any]:
        """Read a whole dataset of integers or strings, such as groups."""
        with self._guard(path):
            dataset = self._dataset(path, "names")
            text = h5py.check_string_dtype(dataset.dtype) is not None
            return np.asarray(dataset.asstr()[()], dtype=str) if text else dataset[()]

    def rows(self, path: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read some rows of a dataset [row, column], in any order, touching each stored block once.

        Those of a cube [line, pixel, column] are its pixels, line by line.
        """
        with self._guard(path):
            dataset = self._dataset(path, "numbers")
            line, inside = np.divmod(rows, dataset.shape[1] if dataset.ndim == 3 else 1)
            values = np.empty((len(rows), dataset.shape[-1]), dataset.dtype)
            for part in by_block(line, _block(dataset)):
                start, stop = line[part].min(), line[part].max() + 1
                whole = dataset.ndim == 2 and _runs(line[part])
                if whole and _runs(part):
                    dataset.read_direct(values, np.s_[start:stop], np.s_[part[0] : part[-1] + 1])
                    continue
                block = dataset[start:stop].reshape(stop - start, -1, dataset.shape[-1])
                values[part] = block[:, 0] if whole else block[line[part] - start, inside[part]]
            return values

    def attribute(self, path: str, name: str) -> str | int | tuple[str, ...] | None:
        """Read a text, a list of texts or a whole number beside a dataset or group; None where there is none."""
        with self._guard(f"{path}@{name}"):
            node = self._walk(path)
            if node is None or name not in node.attrs:
                return None
            return _plain(node.attrs[name])

    @contextmanager
    def _guard(self, path: str) -> Iterator[None]:
        try:
            yield
        except ProbspecError:
            raise
        except _BROKEN as error:
            raise DataError(explain(self.where(path), f"cannot be read ({error})")) from None

    def _walk(self, path: str) -> h5py.HLObject | None:
        """Follow hard links one by one; any other kind of link may lead out of the file."""
        node: h5py.HLObject = self._root
        for part in filter(None, path.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None or not isinstance(node, h5py.Group):
                return None
            if not isinstance(link, h5py.HardLink):
                kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
                raise DataError(explain(self.where(path), f"{part!r} is {kind}", expected="data inside the file"))
            node = node[part]
        return node

    def _dataset(self, path: str, want: str) -> h5py.Dataset:
        dataset = self._walk(path)
        if not isinstance(dataset, h5py.Dataset):
            problem = "missing" if dataset is None else "is not a dataset"
            raise DataError(explain(self.where(path), problem, expected=f"a dataset of {want}"))
        problem = _objection(dataset, want)
        if problem:
            raise DataError(explain(self.where(path), problem, expected=f"{want} stored inside the file"))
        return dataset


class Writer:
    """A new HDF5 file that appears under its name when the context ends without an error, and not before.

    What was under that name stays until then; all data carry checksums (fletcher32).

    Parameters
    ----------
    file : path

    Raises
    ------
    DataError
        Where the folder is missing or cannot be written.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        self._part = self.file.with_name(self.file.name + ".part")

    def __enter__(self) -> Self:
        with self._guard():
            self._root = h5py.File(self._part, "w")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._guard():
                self._root.close()
                if error is None:
                    sync(self._part)
                    os.replace(self._part, self.file)
                    sync(self.file.parent)
        finally:
            self._part.unlink(missing_ok=True)

    def attributes(self, path: str, values: Mapping[str, str | int | tuple[str, ...]]) -> None:
        """Write texts and numbers beside a dataset, or at the root (path ``"/"``)."""
        with self._guard():
            for name, value in values.items():
                self._root[path].attrs[name] = list(value) if isinstance(value, tuple) else value

    def array(self, path: str, values: NDArray[Any]) -> None:
        """Write an array of numbers, booleans or strings."""
        with self._guard():
            stored = _fixed_length(values) if values.dtype.kind == "U" else values
            self._root.create_dataset(path, data=stored, chunks=stored.shape, fletcher32=True)

    def rows(self, path: str, shape: tuple[int, int], blocks: Iterable[NDArray[np.float32]]) -> None:
        """Write spectra [row, channel] block by block."""
        with self._guard():
            chunks = (min(ROWS, shape[0]), shape[1])
            dataset = self._root.create_dataset(path, shape, np.float32, chunks=chunks, fletcher32=True)
            start = 0
            for block in blocks:
                dataset[start : start + len(block)] = block
                start += len(block)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except ProbspecError:
            raise
        except _BROKEN as error:
            raise DataError(explain(str(self.file), f"cannot be written ({error})")) from None


def _objection(dataset: h5py.Dataset, want: str) -> str:
    """Say why a dataset must not be read, if so."""
    if dataset.external:
        return "is stored in another file (external storage)"
    if dataset.is_virtual:
        return "is a virtual dataset, made of other files"
    if dataset.shape is None:
        return "holds nothing (null dataspace)"
    text = h5py.check_string_dtype(dataset.dtype) is not None
    allowed = dataset.dtype.kind in "iufb" if want == "numbers" else text or dataset.dtype.kind in "iu"
    if not allowed:
        return f"dtype {'string' if text else dataset.dtype}"
    if dataset.nbytes > MOST_SHRUNK * max(dataset.id.get_storage_size(), 1):
        return f"claims {dataset.nbytes} bytes but stores {dataset.id.get_storage_size()}"
    return ""


def _block(dataset: h5py.Dataset) -> int:
    """Whole chunks of about `ROWS` rows; a line of a cube has many of them."""
    wanted = ROWS if dataset.ndim == 2 else -(-ROWS // dataset.shape[1])
    chunk = dataset.chunks[0] if dataset.chunks else wanted
    return chunk * -(-wanted // chunk)


def by_block(rows: NDArray[np.int64], block: int) -> list[NDArray[np.int64]]:
    """Part positions in `rows` by the block that the row lies in.

    >>> by_block(np.array([5, 1, 4]), 2)
    [array([1]), array([2, 0])]
    """
    order = np.argsort(rows, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(rows[order] // block)) + 1) if len(rows) else []


def _runs(numbers: NDArray[np.int64]) -> bool:
    """Whether each number is one above that before."""
    return len(numbers) == numbers[-1] - numbers[0] + 1 and bool((np.diff(numbers) == 1).all())


def _fixed_length(values: NDArray[Any]) -> NDArray[Any]:
    """Text as fixed-length UTF-8, since checksums do not reach strings of variable length."""
    encoded = np.char.encode(values, "utf-8")
    return encoded.astype(h5py.string_dtype("utf-8", max(encoded.dtype.itemsize, 1)))


def _plain(value: Any) -> str | int | tuple[str, ...]:
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return tuple(_text(v) for v in value.ravel())
    return _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
