"""Regression networks, one for each ion, side by side.

The published ones (Mushchina et al. 2024): hidden layers of 64 and 16, one output, Adam at 1e-3 for 100 epochs. As the
gradient of one network does not depend on another, all are trained at once by batched products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from probspec.errors import FitError, explain
from probspec.seeding import seeded

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkOptions:
    """How regression networks are built and trained.

    Parameters
    ----------
    hidden : tuple of int
    epochs : int
    batch_size : int, spectra
    learning_rate : float

    Raises
    ------
    FitError
        If a setting is not positive.
    """

    hidden: tuple[int, ...] = (64, 16)
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise FitError(explain(f"NetworkOptions({name})", f"{getattr(self, name)}", expected="above 0"))


class Networks:
    """One network for each output, on standardised channels and outputs.

    Parameters
    ----------
    options : NetworkOptions, optional
    seed : int

    Examples
    --------
    >>> X = np.random.default_rng(0).random((200, 5))
    >>> networks = Networks(NetworkOptions(epochs=30)).fit(X, X[:, :2])
    >>> bool(abs(networks.predict(X) - X[:, :2]).mean() < 0.1)
    True
    """

    def __init__(self, options: NetworkOptions | None = None, seed: int = 0):
        self.options = options or NetworkOptions()
        self.seed = seed

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Train.

        Parameters
        ----------
        X : (sample, channel) array
        Y : (sample, output) array
        """
        x, y = np.asarray(X, float), np.asarray(Y, float)
        self.x_scale, self.y_scale = _scale(x), _scale(y)
        self.layers = train_side_by_side(
            _standard(x, self.x_scale)[None], _standard(y, self.y_scale)[None], self.options, self.seed
        )
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Outputs, (sample, output), in their unit."""
        with torch.no_grad():
            out = self.layers(_standard(np.asarray(X, float), self.x_scale)[None])[0].numpy().astype(float)
        return out * self.y_scale[1] + self.y_scale[0]


class SideBySide(nn.Module):
    """Perceptrons of equal shape: `groups` times `outputs` of them, those of a group with the same input.

    Parameters
    ----------
    groups, inputs, outputs : int
    hidden : sequence of int
    """

    def __init__(self, groups: int, inputs: int, outputs: int, hidden: Sequence[int]):
        super().__init__()
        self.groups, self.outputs = groups, outputs
        sizes = [inputs, *hidden, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for a, b in zip(sizes[:-1], sizes[1:], strict=True):
            bound = a**-0.5
            self.weights.append(torch.empty(groups * outputs, a, b).uniform_(-bound, bound))
            self.biases.append(torch.empty(groups * outputs, 1, b).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """From (group, sample, input) to (group, sample, output)."""
        value = x.repeat_interleave(self.outputs, 0)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = torch.baddbmm(bias, value, weight)
            value = value.relu() if layer < last else value
        return value[..., 0].reshape(self.groups, self.outputs, -1).mT


def train_side_by_side(x: Tensor, y: Tensor, options: NetworkOptions, seed: int) -> SideBySide:
    """Train networks on (group, sample, input) and (group, sample, output)."""
    with seeded(seed):
        made = SideBySide(len(x), x.shape[-1], y.shape[-1], options.hidden)
        optimiser = torch.optim.Adam(made.parameters(), options.learning_rate, fused=True)
        for _ in range(options.epochs):
            for rows in torch.randperm(x.shape[1]).split(options.batch_size):
                loss = (made(x[:, rows]) - y[:, rows]).square().mean(1).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return made


def _scale(values: Array) -> tuple[Array, Array]:
    deviation = values.std(0)
    return values.mean(0), np.where(deviation > 0, deviation, 1.0)


def _standard(values: Array, scale: tuple[Array, Array]) -> Tensor:
    return torch.from_numpy((values - scale[0]) / scale[1]).float()
