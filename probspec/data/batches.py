"""Minibatches of one shape, shuffled anew in each epoch.

Rows in memory, or few enough to be held there, are shuffled freely. More rows in a file are shuffled by stored blocks,
and then within a buffer of blocks: single random rows would cost a hundred times as much to read. The next buffer is
read by a thread of its own meanwhile, in the order of its batches, which then are slices of it: training waits for the
disk only where the disk is slower, and copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probspec.batch import Batch
from probspec.data.partition import generator
from probspec.errors import DataError, explain

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra

BUFFER_ROWS = 4096
"""Rows of a file that are shuffled together, at least; twice as many are held in memory."""


class Batches:
    """Epochs of minibatches; the last one is filled up with rows from the epoch's start, so that all have one shape.

    Parameters
    ----------
    spectra : Spectra
    size : int
        Rows of a batch; all rows where there are fewer.
    seed : int
        Same seed, same batches.
    extras : dict of name -> (sample, ...) Tensor, optional
        What the model prepared for these rows.

    Raises
    ------
    DataError
        Where `size` is less than 1, or extras do not have one row for each spectrum.
    """

    def __init__(self, spectra: Spectra, size: int, seed: int, extras: Mapping[str, Tensor] | None = None):
        if size < 1:
            raise DataError(explain("size", f"{size} rows in a batch", expected="at least 1"))
        self.spectra, self.size, self.seed, self.extras = spectra, min(size, len(spectra)), seed, extras
        streamed = spectra.is_lazy and len(spectra) > 2 * BUFFER_ROWS
        self._whole = None if streamed else spectra.to_batch(extras=extras)
        self._begun = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.spectra) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        """Give the next epoch."""
        self._begun += 1
        return self.epoch(self._begun - 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Give the epoch of that number, which depends on the seed alone."""
        rng = generator(self.seed, number)
        if self._whole is not None:
            for rows in torch.from_numpy(self._filled(rng.permutation(len(self.spectra)))).split(self.size):
                yield self._whole.rows(rows)
            return
        blocks = self.spectra.stored_blocks()
        order = self._filled(np.concatenate([blocks[i] for i in rng.permutation(len(blocks))]))
        held = self.size * max(1, BUFFER_ROWS // self.size)
        buffers = [rng.permutation(order[start : start + held]) for start in range(0, len(order), held)]
        for buffer in self._read_ahead(buffers):
            for start in range(0, len(buffer), self.size):
                yield buffer.rows(slice(start, start + self.size))

    def _read_ahead(self, buffers: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
        """Read each buffer while the one before it is used."""
        with ThreadPoolExecutor(1, "probspec-feed") as reader:
            coming = reader.submit(self.spectra.to_batch, buffers[0], self.extras)
            for rows in buffers[1:]:
                buffer = coming.result()
                coming = reader.submit(self.spectra.to_batch, rows, self.extras)
                yield buffer
            yield coming.result()

    def _filled(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.resize(order, -(-len(order) // self.size) * self.size)
