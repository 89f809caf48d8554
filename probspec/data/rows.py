"""Where the rows of a modality lie: in memory, or in a file that is read block by block.

Both answer the same question, `read(rows)`. A row holds float32 channels, NaN where the modality
has gaps; a missing spectrum is a row of NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from probspec.data import intake
from probspec.data.hdf5 import Reader
from probspec.errors import DataError, explain

BLOCK_BYTES = 2**24
"""Memory that one block of rows takes up, about."""


class Rows(Protocol):
    """Spectra of one modality."""

    @property
    def shape(self) -> tuple[int, int]:
        """(sample, channel)."""
        ...

    @property
    def is_lazy(self) -> bool:
        """Whether reading goes to a file."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give a new array (row, channel)."""
        ...

    def turned(self) -> Rows:
        """Give the same spectra with the channels in reverse order."""
        ...


@dataclass(frozen=True)
class ArrayRows:
    """Spectra in memory, checked before."""

    values: NDArray[np.float32]
    is_lazy = False

    @classmethod
    def missing(cls, samples: int, channels: int) -> ArrayRows:
        """Make rows of NaN, which take up no memory."""
        return cls(np.broadcast_to(np.float32(np.nan), (samples, channels)))

    @property
    def shape(self) -> tuple[int, int]:
        """(sample, channel)."""
        samples, channels = self.values.shape
        return samples, channels

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give a new array (row, channel)."""
        return self.values[rows]

    def turned(self) -> ArrayRows:
        """Give the same spectra with the channels in reverse order."""
        return ArrayRows(self.values[:, ::-1])


@dataclass(frozen=True)
class FileRows:
    """Spectra in an HDF5 file, opened for each reading, so that processes may share them; checked as they are read.

    Parameters
    ----------
    file : Path
    path : str
        Of the dataset (sample, channel).
    shape : (int, int)
    noise : {"gaussian", "poisson"}
        Noise law of the modality, see `intake.spectra`.
    stamp : tuple of int
        State of the file when it was opened, see `stamp`.
    is_turned : bool
        Whether channels are given in reverse order.
    gaps : bool
        Whether single channels may be NaN, see `intake.spectra`.
    """

    file: Path
    path: str
    shape: tuple[int, int]
    noise: str
    stamp: tuple[int, ...]
    is_turned: bool = False
    gaps: bool = False
    is_lazy = True

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give a new array (row, channel).

        Raises
        ------
        DataError
            Where the file changed since it was opened, cannot be read, or holds channels that are no spectra.
        """
        values, measured = self._checked(rows)
        if not measured.all():
            where = f"{self.file.name}:/{self.path}[{rows[~measured][0]}]"
            raise DataError(explain(where, "NaN in every channel", expected="a spectrum, as the mask says"))
        return values

    def measured(self) -> NDArray[np.bool_]:
        """Read the whole set once, block by block, to see which rows are not NaN."""
        parts = [self._checked(rows)[1] for rows in blocks(*self.shape)]
        return np.concatenate(parts)

    def turned(self) -> FileRows:
        """Give the same spectra with the channels in reverse order."""
        return replace(self, is_turned=not self.is_turned)

    def _checked(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if len(rows) == 0:
            return np.empty((0, self.shape[1]), np.float32), np.empty(0, bool)
        if stamp(self.file) != self.stamp:
            raise DataError(explain(str(self.file), "changed since it was opened", fix="open it again"))
        with Reader(self.file) as reader:
            raw = reader.rows(self.path, rows)
            values, measured = intake.spectra(raw, reader.where(self.path), self.noise, rows, self.gaps, False)
        return np.ascontiguousarray(values[:, ::-1]) if self.is_turned else values, measured


def stamp(file: Path) -> tuple[int, ...]:
    """State of a file, by which a change is noticed; empty where there is no file."""
    try:
        state = file.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def blocks(samples: int, channels: int) -> Iterator[NDArray[np.int64]]:
    """Part row numbers into blocks of bounded memory."""
    size = max(1, BLOCK_BYTES // (4 * channels))
    for start in range(0, samples, size):
        yield np.arange(start, min(start + size, samples))
