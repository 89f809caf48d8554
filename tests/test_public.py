"""What users meet: every public name is documented and its examples run, and the import has no side effect."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

import probspec as ps

ROOT = Path(__file__).parents[1]
MODULES = ["probspec", *(module.name for module in pkgutil.walk_packages(ps.__path__, "probspec."))]


def test_all_is_sorted_complete_and_small():
    assert ps.__all__ == sorted(ps.__all__)
    assert all(hasattr(ps, name) for name in ps.__all__)
    assert 15 <= len(ps.__all__) <= 40


@pytest.mark.parametrize("name", [name for name in ps.__all__ if not name.startswith("_")])
def test_public_name_is_documented_and_typed(name: str):
    thing = getattr(ps, name)
    assert thing.__doc__ and len(thing.__doc__.split()) >= 4
    for function in public_functions(thing):
        assert function.__doc__, f"{function.__qualname__} has no docstring"
        assert not (untyped := without_type(function)), f"{function.__qualname__}: no type for {untyped}"


def public_functions(thing: object) -> list[FunctionType]:
    """A function itself, or the public methods that a class (not a library's class maker) defines."""
    parts = vars(thing).values() if inspect.isclass(thing) else [thing]
    functions = (part.fget if isinstance(part, property) else getattr(part, "__func__", part) for part in parts)
    found = [f for f in functions if isinstance(f, FunctionType) and f.__module__ == thing.__module__]
    return [f for f in found if not f.__name__.startswith("_")]


def without_type(function: FunctionType) -> list[str]:
    parameters = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    return [name for name in (*parameters, "return") if name not in function.__annotations__]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str):
    module = importlib.import_module(name)
    assert module.__doc__
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert not failed


# Dependencies are imported first, for what they do at import is theirs: rich draws from Python's generator.
STATE = """
import random
import matplotlib, numpy, pandas, pyro, rich.style, torch, xarray

def state():
    return {
        "validation of torch": torch.distributions.Distribution._validate_args,
        "settings of Pyro": pyro.settings.get(),
        "parameters of Pyro": list(pyro.get_param_store()),
        "generator of torch": torch.get_rng_state().tolist(),
        "generator of NumPy": [part.tolist() if hasattr(part, "tolist") else part for part in numpy.random.get_state()],
        "generator of Python": random.getstate(),
        "threads of torch": torch.get_num_threads(),
        "default type of torch": torch.get_default_dtype(),
        "gradients of torch": torch.is_grad_enabled(),
        "settings of matplotlib": dict(matplotlib.rcParams),
        "options of pandas": pandas.get_option("display.max_rows"),
        "options of xarray": dict(xarray.get_options()),
    }

before = state()
import probspec
after = state()
print([name for name in before if before[name] != after[name]])
"""


def test_import_changes_no_global_state():
    done = subprocess.run([sys.executable, "-c", STATE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
