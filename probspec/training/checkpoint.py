"""A run of the training loop on disk, from which it goes on as if it had never stopped.

Tensors, numbers and strings only: the file is read by torch with ``weights_only=True``. Random numbers need no place
in it, since each part of a run is seeded by its place in the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probspec.atomic import write_file
from probspec.errors import FileError, FitError, explain
from probspec.training.history import History
from probspec.training.options import TrainOptions

FORMAT = "probspec checkpoint"
FORMAT_VERSION = 1
FREE = {"checkpoint", "checkpoint_every", "progress", "device"}
"""Options that may change when a run goes on; all others set what its weights will be."""


def save_checkpoint(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    history: History,
    options: TrainOptions,
    seed: int,
) -> None:
    """Write the state of a run, atomically."""
    state = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "module": dict(module.state_dict()),
        "optimiser": optimiser.state_dict(),
        "best": dict(best),
        "history": history.to_dict(),
        "options": options.to_dict(),
        "seed": seed,
    }
    write_file(path, lambda file: torch.save(state, file))


def load_checkpoint(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, options: TrainOptions, seed: int
) -> tuple[History, dict[str, Tensor]]:
    """Put the state of a run into `module` and `optimiser`.

    Returns
    -------
    history : History
        Up to the checkpoint.
    best : dict of name -> Tensor
        Weights at the lowest held-out loss so far; empty if nothing is held out.

    Raises
    ------
    FileError
        If the file is missing, damaged, or of another format.
    FitError
        If it belongs to another model, or to a run with another seed or other options.
    """
    state = _read(path)
    _check_same_run(path, state, options, seed)
    try:
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        problem = f"holds the weights of another model ({str(error).splitlines()[-1].strip()})"
        raise FitError(explain(str(path), problem, fix="resume with the model it was made with")) from error
    return History.from_dict(state["history"]), state["best"]


def _read(path: Path) -> dict[str, Any]:
    again = "start anew, without resume"
    if not path.is_file():
        raise FileError(explain(str(path), "no such checkpoint", fix=again))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types on a damaged file
        raise FileError(explain(str(path), f"cannot be read ({type(error).__name__})", fix=again)) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise FileError(explain(str(path), "is not a checkpoint of probspec", fix=again))
    if state["format_version"] > FORMAT_VERSION:
        problem = f"has format version {state['format_version']}, this probspec reads up to {FORMAT_VERSION}"
        raise FileError(explain(str(path), problem, fix="upgrade probspec"))
    return state


def _check_same_run(path: Path, state: Mapping[str, Any], options: TrainOptions, seed: int) -> None:
    then = state["options"] | {"seed": state["seed"]}
    now = options.to_dict() | {"seed": seed}
    changed = [f"{name}={then.get(name)!r}, now {now[name]!r}" for name in now if then.get(name) != now[name]]
    changed = [text for text in changed if text.partition("=")[0] not in FREE]
    if changed:
        problem = f"was made with {'; '.join(changed)}"
        raise FitError(explain(str(path), problem, fix="resume with the same seed and options, or start anew"))
