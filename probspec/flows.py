"""Conditional densities on R^d: a normalizing flow whose networks see the encoder's output.

All flows start as the standard normal, whatever the context. The affine and the spline flow are autoregressive in the
sampling direction (Kingma et al. 2016, inverse autoregressive flow): drawing, and the density of what was drawn, take
one pass; the density of a given point takes d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from probspec.errors import GuideError, explain, known

_validate = Distribution._validate_args
import zuko  # noqa: E402  (switches torch's validation off for the whole process: put it back)

Distribution.set_default_validate_args(_validate)


class FlowDistribution(TorchDistribution):
    """A zuko flow as a Pyro distribution, which knows the density of what it drew last.

    Parameters
    ----------
    flow : zuko.distributions.NormalizingFlow
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    support = constraints.real_vector  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, flow: Any):
        super().__init__(flow.batch_shape, flow.event_shape, validate_args=False)
        self._flow = flow
        self._last: tuple[Any, Any] = (None, None)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> FlowDistribution:
        """Repeat the law over a larger batch."""
        return FlowDistribution(self._flow.expand(torch.Size(batch_shape)))

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw values, differentiable in the parameters of the flow."""
        self._last = self._flow.rsample_and_log_prob(torch.Size(sample_shape))
        return self._last[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density."""
        drawn, log_prob = self._last
        return log_prob if value is drawn else self._flow.log_prob(value)


class ConditionalFlow(nn.Module):
    """Density of a vector in R^d given a context.

    Parameters
    ----------
    dim : int
        d, number of coordinates.
    context : int
        Number of context features, which should be of order one; with none the density is the same everywhere.
    kind : str
        ``"affine"`` or ``"spline"``: autoregressive flow, of `transforms` steps; ``"gaussian"``: full covariance;
        ``"diagonal"``: independent normals; ``"none"``: the standard normal, for a guide whose location and scale
        come from elsewhere.
    transforms : int
        Steps of an autoregressive flow; the order of the coordinates is reversed between them.
    hidden : sequence of int
        Widths of the hidden layers.

    Raises
    ------
    GuideError
        There is no such kind.

    Examples
    --------
    >>> flow = ConditionalFlow(3, context=5)
    >>> flow(torch.zeros(7, 5)).rsample().shape
    torch.Size([7, 3])
    """

    def __init__(
        self, dim: int, context: int, kind: str = "affine", transforms: int = 2, hidden: Sequence[int] = (64, 64)
    ):
        super().__init__()
        if kind not in _KINDS:
            raise GuideError(explain("flow", f"no kind {kind!r}; {known(kind, _KINDS)}"))
        if dim < 1 or transforms < 1:
            raise GuideError(explain("flow", f"dim {dim}, transforms {transforms}", expected="at least 1 of each"))
        self.dim, self.context, self.kind = dim, context, kind
        self.law = _KINDS[kind](dim, max(context, 1), transforms, tuple(hidden))

    def forward(self, context: Tensor) -> TorchDistribution:
        """Law given a context.

        Parameters
        ----------
        context : (..., context) Tensor

        Returns
        -------
        TorchDistribution
            Of batch shape (...) and event shape (d,).
        """
        if context.shape[-1] != self.context:
            problem = f"context has {context.shape[-1]} features"
            raise GuideError(explain("flow", problem, expected=str(self.context)))
        context = context if self.context else context.new_ones(*context.shape[:-1], 1)
        return self.law(_at_least_single(context))


class _Autoregressive(nn.Module):
    def __init__(self, flow: Any):
        super().__init__()
        for step in flow.transform.transforms:
            _silence(step.hyper)
        self.transform, self.base = flow.transform.inv, flow.base

    def forward(self, context: Tensor) -> TorchDistribution:
        base = self.base(None).expand(context.shape[:-1])
        return FlowDistribution(zuko.distributions.NormalizingFlow(self.transform(context), base))


class _Gaussian(nn.Module):
    """Location and Cholesky factor of the covariance, from one network."""

    def __init__(self, dim: int, context: int, hidden: tuple[int, ...]):
        super().__init__()
        self.dim = dim
        self.net = _network(context, dim * (dim + 3) // 2, hidden)

    def forward(self, context: Tensor) -> TorchDistribution:
        below = self.dim * (self.dim - 1) // 2
        loc, log_scale, rest = _at_least_single(self.net(context)).split([self.dim, self.dim, below], -1)
        row, column = torch.tril_indices(self.dim, self.dim, -1, device=context.device)
        scale_tril = torch.diag_embed(log_scale.exp())
        scale_tril[..., row, column] = rest
        return dist.MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


class _Diagonal(nn.Module):
    """Location and logarithm of the scale, from one network."""

    def __init__(self, dim: int, context: int, hidden: tuple[int, ...]):
        super().__init__()
        self.net = _network(context, 2 * dim, hidden)

    def forward(self, context: Tensor) -> TorchDistribution:
        loc, log_scale = _at_least_single(self.net(context)).chunk(2, -1)
        return dist.Normal(loc, log_scale.exp(), validate_args=False).to_event(1)


class _StandardNormal(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, context: Tensor) -> TorchDistribution:
        zero = context.new_zeros(*context.shape[:-1], self.dim)
        return dist.Normal(zero, torch.ones_like(zero), validate_args=False).to_event(1)


def _at_least_single(tensor: Tensor) -> Tensor:
    """Leave half precision, in which networks may run but no density is computed."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _network(inputs: int, outputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    net = zuko.nn.MLP(inputs, outputs, hidden)
    _silence(net)
    return net


def _silence(net: Any) -> None:
    """Let a network say zero until it is trained, so that the flow starts as the identity."""
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)


_KINDS: dict[str, Callable[[int, int, int, tuple[int, ...]], nn.Module]] = {
    "affine": lambda dim, context, transforms, hidden: _Autoregressive(
        zuko.flows.MAF(dim, context, transforms=transforms, hidden_features=hidden)
    ),
    "spline": lambda dim, context, transforms, hidden: _Autoregressive(
        zuko.flows.NSF(dim, context, transforms=transforms, hidden_features=hidden)
    ),
    "gaussian": lambda dim, context, transforms, hidden: _Gaussian(dim, context, hidden),
    "diagonal": lambda dim, context, transforms, hidden: _Diagonal(dim, context, hidden),
    "none": lambda dim, context, transforms, hidden: _StandardNormal(dim),
}
