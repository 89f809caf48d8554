"""Pyro's and torch's argument checks, switched for a block and put back after it.

Pyro keeps its own copy of torch's flag, and its own context manager restores that copy; a caller who had set the two
apart would find torch's changed. Here each goes back to what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
from torch.distributions import Distribution


@contextmanager
def validation(on: bool) -> Iterator[None]:
    """Check (or do not check) arguments and supports of distributions inside the block.

    >>> with validation(False):
    ...     pyro.distributions.is_validation_enabled()
    False
    """
    torch_flag = Distribution._validate_args
    try:
        with pyro.validation_enabled(on):
            yield
    finally:
        Distribution.set_default_validate_args(torch_flag)
