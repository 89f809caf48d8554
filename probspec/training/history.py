"""What happened during training, epoch by epoch and loss term by loss term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class History:
    """Log of one training run.

    One entry of the lists is an epoch; where epochs are shorter than a few steps, several of them.

    Parameters
    ----------
    epoch : list of int
        Epochs done.
    terms : dict of loss term -> list of float, nats per spectrum
        Means over the steps.
    held_out : list of float, nats per spectrum
        Loss of the held-out rows; empty where none are held out.
    learning_rate, kl_weight : list of float
        At the last step.
    best_epoch : int, optional
        Epoch of the lowest held-out loss, whose weights were kept.
    seconds : float
    stopped : str
        "completed", "early", "interrupted", "non-finite", or "" while it runs.
    message : str
        The same in words.
    """

    epoch: list[int] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    held_out: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    kl_weight: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    seconds: float = 0.0
    stopped: str = ""
    message: str = ""

    def record(
        self, epoch: int, terms: Mapping[str, float], held_out: float | None, learning_rate: float, kl_weight: float
    ) -> None:
        """Add an entry."""
        self.epoch.append(epoch)
        for name, value in terms.items():
            self.terms.setdefault(name, []).append(value)
        if held_out is not None:
            self.held_out.append(held_out)
        self.learning_rate.append(learning_rate)
        self.kl_weight.append(kl_weight)

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return self.epoch[-1] if self.epoch else 0

    @property
    def best(self) -> float:
        """Lowest held-out loss that counts, nats per spectrum; infinite while there is none."""
        return math.inf if self.best_epoch is None else self.held_out[self.epoch.index(self.best_epoch)]

    @property
    def loss(self) -> np.ndarray:
        """Sum of the terms, (entry,), nats per spectrum."""
        return np.sum([np.asarray(v) for v in self.terms.values()], axis=0) if self.terms else np.zeros(0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a loss that is not finite becomes None."""
        values = asdict(self)
        values["held_out"] = [v if math.isfinite(v) else None for v in self.held_out]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """Inverse of `to_dict`."""
        held_out = [math.nan if v is None else v for v in values["held_out"]]
        return cls(**{**values, "held_out": held_out})

    def __repr__(self) -> str:
        loss = f", loss {self.loss[-1]:.4g}" if self.epoch else ""
        return f"History({self.epochs} epochs{loss}, {self.stopped or 'running'})"
