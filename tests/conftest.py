"""What holds for every test: one torch thread, and nothing global is left changed."""

import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from torch.distributions import Distribution


def switches() -> dict[str, Any]:
    """Global settings that a user may have made, and that no call may change."""
    return {
        "torch.distributions validation": Distribution._validate_args,
        "pyro.distributions validation": pyro.distributions.is_validation_enabled(),
        "pyro.infer validation": pyro.infer.is_validation_enabled(),
        "pyro.poutine validation": pyro.poutine.is_validation_enabled(),
        "torch threads": torch.get_num_threads(),
        "torch default dtype": torch.get_default_dtype(),
        "torch gradients": torch.is_grad_enabled(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "pyro parameter store": sorted(pyro.get_param_store().keys()),
        "pyro handlers": len(pyro.poutine.runtime._PYRO_STACK),
    }


def generators() -> dict[str, Any]:
    """State of the global random generators."""
    words, position = np.random.get_state()[1:3]
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (words.tobytes(), position),
        "python": random.getstate(),
    }


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def guard_settings(one_thread: None) -> Iterator[None]:
    """Fail the test that changes a global setting; every test begins from the same generators, and leaves them so."""
    before = switches()
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    random.setstate(python)
    np.random.set_state(numpy)
    changed = {name: (value, switches()[name]) for name, value in before.items() if switches()[name] != value}
    assert not changed, f"global settings were changed (before, after): {changed}"


@pytest.fixture
def untouched_generators() -> Iterator[None]:
    """Fail the test in which anything draws from, or seeds, a global random generator."""
    before = generators()
    yield
    drawn = [name for name, state in before.items() if generators()[name] != state]
    assert not drawn, f"global generators were used: {drawn}; pass a generator, or wrap the block in seeded(...)"
