"""Supports: coordinates of each kind, which are the same, and how they are described."""

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints

from probspec.distributions import LogUniform
from probspec.errors import GuideError
from probspec.supports import Coordinates, bijection, describe, same_support, settle, unconstrained_size

LAWS = {
    "real": dist.Normal(torch.zeros(3), 1.0).to_event(1),
    "positive": dist.LogNormal(torch.zeros(3), 1.0).to_event(1),
    "nonnegative": dist.HalfNormal(torch.ones(3)).to_event(1),
    "interval": dist.Uniform(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([1.5, 3.0, 2.5])).to_event(1),
    "unit interval": dist.Beta(torch.ones(3), 2.0).to_event(1),
    "above": dist.Pareto(torch.tensor([1.0, 2.0, 3.0]), 2.0).to_event(1),
    "simplex": dist.Dirichlet(torch.ones(3)),
    "simplexes": dist.Dirichlet(torch.ones(2, 3)).to_event(1),
    "log-uniform": LogUniform(0.1, torch.tensor([1.0, 2.0])).to_event(1),
    "cholesky": dist.LKJCholesky(3),
    "scalar": dist.Gamma(2.0, 2.0),
}


@pytest.mark.parametrize("name", LAWS)
def test_coordinates_of_every_support(name):
    torch.manual_seed(0)
    law = LAWS[name]
    coordinates = Coordinates(law.support, law.event_shape)
    values = law.sample((50,))
    transform = coordinates.transform()
    points = transform.inv(values)
    assert points.shape == (50, coordinates.size) and points.isfinite().all()
    torch.testing.assert_close(transform(points.clone()), values, rtol=1e-3, atol=1e-5)
    assert transform.log_abs_det_jacobian(points, values).shape == (50,)
    assert coordinates.support.check(transform(10 * torch.randn(50, coordinates.size))).all()
    assert same_support(coordinates.support, law.support, law.event_shape)
    assert unconstrained_size(law.support, law.event_shape) == coordinates.size


def test_only_equal_supports_are_the_same():
    base = {name: law for name, law in LAWS.items() if law.event_shape == (3,)}
    pairs = {(a, b) for a in base for b in base if same_support(base[a].support, base[b].support, (3,))}
    # Half-normal values are positive up to a single point.
    assert pairs == {(a, a) for a in base} | {("positive", "nonnegative"), ("nonnegative", "positive")}
    assert not same_support(dist.Uniform(0, 1).support, dist.Uniform(0, 2).support, ())
    assert same_support(dist.Uniform(0, 1).support, dist.Uniform(0, 1).support, ())


def test_bounds_lose_their_batch_dims():
    law = dist.Uniform(torch.tensor([0.0, 1.0]), 3.0).to_event(1).expand((7,))
    settled = settle(law.support, law.event_shape)
    assert settled.check(torch.tensor([0.5, 2.0])) and not settled.check(torch.tensor([0.5, 0.5]))
    assert settled.check(torch.full((9, 2), 2.0)).shape == (9,)
    with pytest.raises(GuideError, match="sample to sample"):
        settle(dist.Uniform(torch.zeros(4), torch.arange(1.0, 5.0)).support, ())


def test_bounds_move_with_the_module():
    coordinates = Coordinates(LAWS["interval"].support, (3,)).to(torch.float64)
    assert coordinates.transform()(torch.zeros(3, dtype=torch.float64)).dtype == torch.float64
    assert coordinates.lower_bound.dtype == torch.float64
    assert not coordinates.state_dict()


def test_no_coordinates():
    with pytest.raises(GuideError, match="boolean"):
        bijection(constraints.boolean)


@pytest.mark.parametrize(
    "support, words",
    [
        (constraints.simplex, "simplex"),
        (constraints.real_vector, "real"),
        (LAWS["positive"].support, "positive"),
        (constraints.interval(-1.5, 1.5), "between -1.5 and 1.5"),
        (LAWS["interval"].support, "between [-1 to 2] and [1.5 to 3]"),
        (constraints.greater_than(3.0), "above 3"),
        (constraints.less_than(torch.tensor(0.0)), "below 0"),
    ],
)
def test_describe(support, words):
    assert describe(support) == words
