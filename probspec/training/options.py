"""How to train: the settings of the one loop, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any

import torch
from torch import nn

from probspec.errors import FitError, explain, known

OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
CHOICES = {
    "optimiser": tuple(OPTIMISERS),
    "schedule": ("constant", "cosine"),
    "precision": ("float32", "tf32", "bf16"),
    "device": ("auto", "cpu", "cuda"),
}
LEAST = {"epochs": 0, "batch_size": 1, "kl_cycles": 1, "checkpoint_every": 1, "patience": 1}
"""Whole numbers, at least so large."""

REAL = {"learning_rate": True, "clip_norm": True, "weight_decay": False, "kl_weight": False, "kl_warmup": False}
"""Finite numbers, not negative; whether they must be above zero."""

OPTIONAL = ("clip_norm", "patience")


@dataclass(frozen=True)
class TrainOptions:
    """Settings of `fit`.

    Parameters
    ----------
    epochs : int
        Passes over the training set; 0 keeps the weights as they start.
    batch_size : int, spectra
    learning_rate : float
    optimiser : {"adam", "adamw", "sgd"}
        In torch's fused form.
    weight_decay : float
    schedule : {"constant", "cosine"}
        Of the learning rate; "cosine" falls to zero at the last step.
    clip_norm : float, optional
        Largest norm of the gradient over all parameters.
    kl_weight, kl_warmup, kl_cycles : float, float in epochs, int
        The weight of the latent sites' share of the bound rises linearly from 0 to `kl_weight` over `kl_warmup`
        epochs, in `kl_cycles` ramps (Fu et al. 2019), and stays there.
    patience : int, epochs, optional
        Stop when the held-out loss has found no new minimum for so long, and return to the minimum. Nothing is held
        out from small sets; then, as with None, every epoch is run.
    precision : {"float32", "tf32", "bf16"}
        Of matrix products: "tf32" of all of them, on CUDA only; "bf16" of those of dense and convolution layers.
    device : {"auto", "cpu", "cuda"}
    checkpoint : Path, optional
        File from which `fit(..., resume=file)` goes on as if it had never stopped.
    checkpoint_every : int, epochs
    progress : bool
        Show a bar.

    Raises
    ------
    FitError
        If a setting is out of its range.

    Examples
    --------
    >>> TrainOptions(epochs=10, kl_warmup=4).kl_weight_at(1)
    0.25
    """

    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimiser: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "constant"
    clip_norm: float | None = 10.0
    kl_weight: float = 1.0
    kl_warmup: float = 0.0
    kl_cycles: int = 1
    patience: int | None = 20
    precision: str = "float32"
    device: str = "auto"
    checkpoint: Path | None = None
    checkpoint_every: int = 10
    progress: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for name, least in LEAST.items():
            self._check(name, int, f"an integer, at least {least}", lambda value, least=least: value >= least)
        for name, above in REAL.items():
            expected = f"a finite number {'above' if above else 'not below'} 0"
            self._check(name, int | float, expected, lambda value, above=above: value > 0 or (value == 0 and not above))
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", Path(self.checkpoint))

    def _check(self, name: str, kind: type | UnionType, expected: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if value is None and name in OPTIONAL:
            return
        right = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
        if not right or not holds(value):
            raise FitError(explain(name, f"got {value!r}", expected=expected))

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate at a share (0 to 1) of the run."""
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        return self.learning_rate

    def kl_weight_at(self, epoch: float) -> float:
        """Weight of the latent sites' share of the bound, `epoch` epochs after the start."""
        if epoch >= self.kl_warmup:
            return self.kl_weight
        return self.kl_weight * (epoch / self.kl_warmup * self.kl_cycles % 1.0)

    def new_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser of these parameters."""
        made = OPTIMISERS[self.optimiser]
        return made(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def torch_device(self) -> torch.device:
        """Device to train on; "auto" takes CUDA where there is one.

        Raises
        ------
        FitError
            If CUDA is asked for and not there.
        """
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise FitError(explain("device", "'cuda', but torch finds no CUDA device", fix='device="auto"'))
        return torch.device("cuda" if there and self.device != "cpu" else "cpu")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"checkpoint": None if self.checkpoint is None else str(self.checkpoint)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainOptions:
        """Inverse of `to_dict`.

        Raises
        ------
        FitError
            If a name is unknown or a value out of its range.
        """
        names = [f.name for f in fields(cls)]
        for name in values:
            if name not in names:
                raise FitError(explain(f"options[{name!r}]", f"no such option; {known(name, names)}"))
        return cls(**values)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FitError(explain(f"{name}={value!r}", known(value, choices)))
