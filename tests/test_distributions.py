"""Laws of our own: densities against quadrature and simulation, symmetry, expansion."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions.transforms import AffineTransform, StickBreakingTransform

from probspec.distributions import LogisticNormal, LogUniform, PushedForward
from probspec.errors import PriorError
from probspec.supports import Coordinates

LOC = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64)
SCALE = torch.tensor([0.5, 1.0, 0.8], dtype=torch.float64)
FACTOR = torch.tensor([[0.7, 0.1], [-0.2, 0.5], [0.1, -0.9]], dtype=torch.float64)
LAWS = {
    "diagonal": LogisticNormal(LOC, SCALE),
    "low rank": LogisticNormal(LOC, SCALE, FACTOR),
    "batch": LogisticNormal(LOC, SCALE, torch.stack([FACTOR, -2 * FACTOR])),
}


def log_ratio_density(law: LogisticNormal, y: torch.Tensor) -> torch.Tensor:
    """Density by way of the log ratios to the last component: a Gaussian, and the Jacobian of the ratios."""
    contrast = torch.cat([torch.eye(2), -torch.ones(2, 1)], -1).double()
    covariance = torch.diag(law.scale**2) + law.factor @ law.factor.mT
    ratios = dist.MultivariateNormal(contrast @ law.loc, contrast @ covariance @ contrast.mT)
    return ratios.log_prob((y[..., :-1] / y[..., -1:]).log()) - y.log().sum(-1)


@pytest.mark.parametrize("name", ["diagonal", "low rank"])
def test_logistic_normal_is_a_gaussian_of_log_ratios(name):
    torch.manual_seed(0)
    y = LAWS[name].sample((100,))
    torch.testing.assert_close(LAWS[name].log_prob(y), log_ratio_density(LAWS[name], y))


@pytest.mark.parametrize("name", ["diagonal", "low rank"])
def test_logistic_normal_integrates_to_one(name):
    stick, grid = StickBreakingTransform(), torch.linspace(-12, 12, 601, dtype=torch.float64)
    v = torch.cartesian_prod(grid, grid)
    y = stick(v)
    inside = (LAWS[name].log_prob(y) + stick.log_abs_det_jacobian(v, y)).exp()
    assert inside.sum().item() * (grid[1] - grid[0]).item() ** 2 == pytest.approx(1, abs=1e-4)


def test_logistic_normal_draws_have_the_moments_of_the_law():
    torch.manual_seed(1)
    law = LAWS["low rank"]
    logs = law.sample((100_000,)).log()
    logs = logs - logs.mean(-1, keepdim=True)
    centre = torch.eye(3, dtype=torch.float64) - 1 / 3
    covariance = centre @ (torch.diag(SCALE**2) + FACTOR @ FACTOR.mT) @ centre
    torch.testing.assert_close(logs.mean(0), centre @ LOC, atol=0.02, rtol=0)
    torch.testing.assert_close(logs.T.cov(), covariance, atol=0.03, rtol=0)


def test_logistic_normal_has_no_reference_component():
    torch.manual_seed(2)
    order = torch.tensor([2, 0, 1])
    y = LAWS["low rank"].sample((20,))
    permuted = LogisticNormal(LOC[order], SCALE[order], FACTOR[order])
    torch.testing.assert_close(permuted.log_prob(y[:, order]), LAWS["low rank"].log_prob(y))


def test_logistic_normal_is_blind_to_a_common_shift():
    y = LAWS["diagonal"].sample((20,))
    shifted = LogisticNormal(LOC + 100, SCALE, FACTOR)
    torch.testing.assert_close(shifted.log_prob(y), LAWS["low rank"].log_prob(y))


def test_logistic_normal_is_differentiable():
    torch.manual_seed(3)
    loc, scale = LOC.clone().requires_grad_(), SCALE.clone().requires_grad_()
    law = LogisticNormal(loc, scale, FACTOR)
    law.log_prob(law.rsample((5,))).sum().backward()
    assert loc.grad.isfinite().all() and scale.grad.abs().sum() > 0


@pytest.mark.parametrize("name", LAWS)
def test_expand(name):
    torch.manual_seed(4)
    law = LAWS[name]
    wide = law.expand((4, 2))
    value = wide.sample((6,))
    assert value.shape == (6, 4, 2, 3) and wide.batch_shape == (4, 2)
    torch.testing.assert_close(wide.log_prob(value), law.log_prob(value))


def test_works_inside_plates():
    def story():
        with pyro.plate("draw", 5, dim=-2), pyro.plate("sample", 3, dim=-1):
            return pyro.sample("y", LogisticNormal(LOC, SCALE)), pyro.sample("t", LogUniform(0.1, 10.0))

    trace = pyro.poutine.trace(story).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["y"]["log_prob"].shape == trace.nodes["t"]["log_prob"].shape == (5, 3)


def test_logistic_normal_refuses():
    with pytest.raises(PriorError, match="two components"):
        LogisticNormal(torch.zeros(1), torch.ones(1))
    with pytest.raises(PriorError, match="scale"):
        LogisticNormal(torch.zeros(3), torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(PriorError, match="factor has 2 rows"):
        LogisticNormal(torch.zeros(3), torch.ones(3), torch.zeros(2, 3))


def test_log_uniform():
    torch.manual_seed(5)
    law = LogUniform(0.01, 100.0)
    draws = law.sample((20_000,))
    shares = torch.histc(draws.log10(), 4, -2, 2) / 20_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.015, rtol=0)
    grid = torch.linspace(math.log(0.010001), math.log(99.999), 1001).exp()
    assert torch.trapezoid(law.log_prob(grid).exp(), grid).item() == pytest.approx(1, abs=1e-3)
    outside = LogUniform(0.01, 100.0, validate_args=False).log_prob(torch.tensor([1e-3, 101.0, -1.0]))
    assert (outside == -math.inf).all()
    assert law.support.check(draws).all() and not law.support.check(torch.tensor(101.0))


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_log_uniform_refuses(low, high):
    with pytest.raises(PriorError, match="0 < low < high"):
        LogUniform(low, high)


def test_pushed_forward_knows_its_draws():
    """The density of a draw is that of the point it was made from, not of one recovered with rounding errors."""
    torch.manual_seed(6)
    coordinates = Coordinates(dist.Dirichlet(torch.ones(3)).support, (3,))
    base = dist.Normal(torch.zeros(7, 2), 1.0).to_event(1)
    transform = torch.distributions.ComposeTransform([AffineTransform(0.2, 3.0), coordinates.transform()], cache_size=1)
    law = PushedForward(base, transform, coordinates.support, (3,)).expand((5, 7))
    value = law.rsample()
    point = transform.inv(value)
    assert value.shape == (5, 7, 3) and law.support is coordinates.support
    exact = base.log_prob(point) - transform.log_abs_det_jacobian(point, value)
    assert torch.equal(law.log_prob(value), exact)
    assert value.min() < 1e-37  # so far out that the value alone does not tell the point
    assert not torch.equal(law.log_prob(value.clone()), exact)
