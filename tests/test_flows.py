"""Flows start as the standard normal, depend on their context, and know their own density."""

import subprocess
import sys

import pyro.distributions as dist
import pytest
import torch

from probspec.errors import GuideError
from probspec.flows import ConditionalFlow

KINDS = ["affine", "spline", "gaussian", "diagonal", "none"]
TRAINABLE = KINDS[:-1]


def stirred(kind: str, dim: int, context: int = 4) -> ConditionalFlow:
    """A flow whose networks say something."""
    torch.manual_seed(0)
    flow = ConditionalFlow(dim, context, kind, hidden=(16,))
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return flow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("context", [0, 4])
def test_starts_as_the_standard_normal(kind, dim, context):
    torch.manual_seed(0)
    law = ConditionalFlow(dim, context, kind)(torch.randn(7, context))
    value = 2 * torch.randn(7, dim)
    assert law.batch_shape == (7,) and law.event_shape == (dim,)
    torch.testing.assert_close(law.log_prob(value), dist.Normal(0, 1).log_prob(value).sum(-1))


@pytest.mark.parametrize("kind", TRAINABLE)
@pytest.mark.parametrize("dim", [1, 3])
def test_density_of_draws_is_the_density(kind, dim):
    law = stirred(kind, dim)(torch.randn(50, 4)).expand((6, 50))
    value = law.rsample()
    own = law.log_prob(value)
    assert own.shape == (6, 50)
    torch.testing.assert_close(law.log_prob(value.clone()), own, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_density_integrates_to_one(kind):
    law = stirred(kind, 2)(torch.randn(4))
    grid = torch.linspace(-9, 9, 181)
    mass = law.log_prob(torch.cartesian_prod(grid, grid)).exp().sum() * 0.1**2
    assert mass.item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_depends_on_its_context(kind):
    law = stirred(kind, 3)(torch.randn(2, 4))
    first, second = law.log_prob(torch.zeros(3))
    assert (first - second).abs() > 1e-3


@pytest.mark.parametrize("kind", TRAINABLE)
def test_every_parameter_gets_a_gradient(kind):
    flow = stirred(kind, 3)
    law = flow(torch.randn(8, 4))
    value = law.rsample()
    (law.log_prob(value) + value.sin().sum(-1)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())


@pytest.mark.parametrize("kind", ["affine", "spline", "gaussian"])
def test_learns_a_correlation(kind):
    """A curved or a straight dependence on the first coordinate, as far as the family has it: here a straight one."""
    torch.manual_seed(1)
    flow = ConditionalFlow(2, 1, kind, hidden=(32,))
    optimiser = torch.optim.Adam(flow.parameters(), 0.02)
    target = dist.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    for _ in range(200):
        context = torch.randn(128, 1)
        law = flow(context)
        value = law.rsample()
        loss = (law.log_prob(value) - target.log_prob(value - context)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    law = flow(torch.full((4000, 1), 0.5))
    value = law.sample()
    divergence = (law.log_prob(value) - target.log_prob(value - 0.5)).mean()
    assert divergence.item() < 0.05  # standard normals shifted to the context would leave 1.3 nats


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_stays_inside_the_networks(kind):
    flow = stirred(kind, 3)
    context = torch.randn(9, 4)
    with torch.autocast("cpu", torch.bfloat16):
        law = flow(context.bfloat16())
        value = law.rsample()
        log_prob = law.log_prob(value)
    assert value.dtype == log_prob.dtype == torch.float32


@pytest.mark.parametrize(
    "arguments, message",
    [((3, 2, "afine"), "did you mean 'affine'"), ((0, 2), "dim 0"), ((2, 2, "affine", 0), "transforms 0")],
)
def test_refuses(arguments, message):
    with pytest.raises(GuideError, match=message):
        ConditionalFlow(*arguments)


def test_refuses_another_context():
    with pytest.raises(GuideError, match="context has 3 features; expected 2"):
        ConditionalFlow(3, 2)(torch.zeros(5, 3))


def test_import_leaves_torchs_validation_alone():
    code = "from torch.distributions import Distribution; import probspec.flows; assert Distribution._validate_args"
    subprocess.run([sys.executable, "-c", code], check=True)
