"""How the nuisance of generated pairs is chosen where its prior is not what the model sees.

An autoencoder's training spectra seldom fill the prior of its latent space: what is drawn from the prior may lie where
no spectrum was ever encoded. These strategies draw where spectra were (Mushchina et al. 2024; Tomczak & Welling 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from probspec.augmentation.strategy import Array, Sampler, Strategy, TrainingPairs
from probspec.errors import DataError, explain
from probspec.flows import ConditionalFlow
from probspec.seeding import seeded

RATE = 5e-3  # of learning, of the flow
ROWS = 256  # of a step


@dataclass(frozen=True)
class AggregatePosterior(Strategy):
    """Concentrations and nuisance of one training row, the nuisance from its posterior (Tomczak & Welling 2018)."""

    name: ClassVar[str] = "aggregate_posterior"

    def sampler(self, pairs: TrainingPairs) -> Sampler:
        """Draw training rows with replacement."""

        def draw(n: int, rng: np.random.Generator) -> tuple[Array, Array | None]:
            rows = rng.integers(len(pairs.concentrations), size=n)
            return pairs.concentrations[rows], pairs.encode(rows, int(rng.integers(2**31)))

        return draw


@dataclass(frozen=True)
class UniformLatent(Strategy):
    """Concentrations of training rows, and a nuisance uniform in the range of those that were encoded."""

    name: ClassVar[str] = "uniform_latent"

    def sampler(self, pairs: TrainingPairs) -> Sampler:
        """Draw from the box."""
        seen = pairs.encode(np.arange(len(pairs.concentrations)), 0)
        low, width = seen.min(0), np.ptp(seen, axis=0)

        def draw(n: int, rng: np.random.Generator) -> tuple[Array, Array | None]:
            rows = rng.integers(len(pairs.concentrations), size=n)
            return pairs.concentrations[rows], low + width * rng.random((n, len(width)))

        return draw


@dataclass(frozen=True)
class FlowPrior(Strategy):
    """Concentrations and nuisance from a normalizing flow that was fitted to those of the training rows.

    What is drawn beyond the range of the training concentrations is put at its end.

    Parameters
    ----------
    steps : int
        Of training.
    blur : float
        Standard deviation of what is added to the training rows at each step, in units of their own: it keeps the
        flow from collapsing onto few rows.

    Raises
    ------
    DataError
        If there is no step, or the blur is not positive.
    """

    name: ClassVar[str] = "flow_prior"
    steps: int = 400
    blur: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.blur > 0:
            problem = f"steps={self.steps}, blur={self.blur}"
            raise DataError(explain("FlowPrior", problem, expected="one step or more, and a blur above 0"))

    def sampler(self, pairs: TrainingPairs) -> Sampler:
        """Train the flow, and draw from it."""
        c, rows = pairs.concentrations, np.arange(len(pairs.concentrations))
        seen = np.hstack([c, pairs.encode(rows, 0)])
        centre, scale = seen.mean(0), np.maximum(seen.std(0), 1e-300)
        flow = self._trained(torch.from_numpy((seen - centre) / scale).float())

        def draw(n: int, rng: np.random.Generator) -> tuple[Array, Array | None]:
            with torch.no_grad(), seeded(int(rng.integers(2**31))):
                drawn = flow(torch.empty(n, 0)).sample().double().numpy() * scale + centre
            return drawn[:, : c.shape[1]].clip(c.min(0), c.max(0)), drawn[:, c.shape[1] :]

        return draw

    def _trained(self, points: torch.Tensor) -> ConditionalFlow:
        with seeded(0):
            flow = ConditionalFlow(points.shape[1], 0, "affine")
            optimiser = torch.optim.Adam(flow.parameters(), RATE)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
            for _ in range(self.steps):
                some = points[torch.randint(len(points), (min(ROWS, 4 * len(points)),))]
                loss = -flow(some[:, :0]).log_prob(some + self.blur * torch.randn_like(some)).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return flow
