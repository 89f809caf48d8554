"""Randomness that stays inside: a block that is seeded, and leaves every global generator as it found it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators inside the block and restore them after it.

    Pyro and torch's distributions draw from the global generators; a caller's own random numbers must not depend on
    whether a fit was made in between.

    Parameters
    ----------
    seed : int
        Not negative.
    device : torch.device
        A CUDA device whose generator is seeded as well; that of no other device is touched.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded(0):
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    seed = int(seed)
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=cuda):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed every CUDA device
            for one in cuda:
                with torch.cuda.device(one):
                    torch.cuda.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def child_seed(seed: int, *path: int) -> int:
    """Derive the seed of one part of a run, unrelated to those of the other parts.

    >>> len({child_seed(0), child_seed(0, 1), child_seed(0, 2), child_seed(0, 1, 0)})
    4
    """
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1)[0])
