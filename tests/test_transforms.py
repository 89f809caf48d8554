"""Maps onto the simplex and intervals: round trips, Jacobians against autograd, float32 at the edges."""

import math

import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import constraints
from torch.distributions import biject_to
from torch.distributions.transforms import StickBreakingTransform

from probspec.errors import GuideError
from probspec.transforms import BoundedInterval, LowerAffine, MixedRows, SmoothedSimplex

SIMPLEX = SmoothedSimplex()


def abundances(*shape: int, concentration: float = 0.5, dtype=torch.float64) -> torch.Tensor:
    return dist.Dirichlet(torch.full(shape, concentration, dtype=dtype)).sample()


def log_volume(transform, u: torch.Tensor) -> torch.Tensor:
    """Log |det| by autograd, for each row; of K components the largest is left out, which loses no digits."""
    rows = []
    for point in u:
        jacobian, y = torch.autograd.functional.jacobian(transform, point), transform(point)
        keep = torch.ones(len(y), dtype=torch.bool)
        keep[y.argmax()] = len(y) == len(point)
        rows.append(torch.linalg.slogdet(jacobian[keep])[1])
    return torch.stack(rows)


class TestSmoothedSimplex:
    @pytest.mark.parametrize("components", [2, 3, 23, 400])
    @pytest.mark.parametrize("spread", [1e-3, 0.1, 1e4])
    def test_lands_on_the_simplex(self, components, spread):
        u = spread * torch.randn(100, components - 1, generator=torch.Generator().manual_seed(0))
        y = SIMPLEX(u)
        assert constraints.simplex.check(y).all()
        assert (y > 0).all()

    @pytest.mark.parametrize("components", [2, 3, 23])
    def test_inverse(self, components):
        torch.manual_seed(1)
        y = abundances(500, components)
        torch.testing.assert_close(SIMPLEX(SIMPLEX.inv(y)), y, rtol=1e-9, atol=0)

    @pytest.mark.parametrize("components", [2, 3, 6])
    def test_jacobian_is_that_of_autograd(self, components):
        torch.manual_seed(2)
        u = 0.4 * torch.randn(30, components - 1, dtype=torch.float64)
        expected = log_volume(SIMPLEX, u)
        torch.testing.assert_close(SIMPLEX.log_abs_det_jacobian(u, SIMPLEX(u)), expected)

    def test_gradient_and_hessian_are_those_of_differences(self):
        torch.manual_seed(3)
        u = 0.3 * torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(SIMPLEX, u)
        assert torch.autograd.gradgradcheck(SIMPLEX, u)
        assert torch.autograd.gradcheck(lambda x: SIMPLEX.log_abs_det_jacobian(x, SIMPLEX(x)), u)

    def test_treats_components_alike(self):
        torch.manual_seed(4)
        y = abundances(50, 5)
        order = torch.tensor([3, 0, 4, 2, 1])
        u, permuted = SIMPLEX.inv(y), SIMPLEX.inv(y[:, order])
        torch.testing.assert_close(u @ u.T, permuted @ permuted.T)  # equal up to one rotation for all compositions
        volume, other = SIMPLEX.log_abs_det_jacobian(u, y), SIMPLEX.log_abs_det_jacobian(permuted, y[:, order])
        torch.testing.assert_close(volume, other)

    def test_stick_breaking_does_not(self):
        stick = StickBreakingTransform()
        y = abundances(50, 5)
        u, permuted = stick.inv(y), stick.inv(y.flip(-1))
        assert not torch.allclose(u @ u.T, permuted @ permuted.T, rtol=0.1)

    def test_is_an_isometry_in_the_interior(self):
        inner = 0.3 + 0.1 * torch.rand(40, 2, dtype=torch.float64)
        y = torch.cat([inner, 1 - inner.sum(-1, keepdim=True)], -1)
        y = y[y.min(-1).values > 0.25]
        torch.testing.assert_close(torch.cdist(SIMPLEX.inv(y), SIMPLEX.inv(y)), torch.cdist(y, y), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("components", [2, 3])
    @pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
    def test_pulled_back_dirichlet_integrates_to_one(self, components, alpha):
        grid = torch.linspace(-1.4, 1.4, 2001 if components == 2 else 401, dtype=torch.float64)
        u = torch.cartesian_prod(*[grid] * (components - 1)).reshape(-1, components - 1)
        y = SIMPLEX(u)
        density = dist.Dirichlet(torch.full((components,), alpha, dtype=torch.float64)).log_prob(y)
        mass = (density + SIMPLEX.log_abs_det_jacobian(u, y)).exp().sum() * (grid[1] - grid[0]) ** (components - 1)
        assert mass.item() == pytest.approx(1, abs=2e-3)

    def test_measure_is_that_of_stick_breaking(self):
        """The density of one law on the simplex must come out the same through both sets of coordinates."""
        torch.manual_seed(5)
        y, stick = abundances(100, 3, concentration=2), StickBreakingTransform()
        through = StickBreakingTransform().inv

        def between(u: torch.Tensor) -> torch.Tensor:
            return through(SIMPLEX(u))

        u, v = SIMPLEX.inv(y), stick.inv(y)
        difference = SIMPLEX.log_abs_det_jacobian(u, y) - stick.log_abs_det_jacobian(v, y)
        torch.testing.assert_close(difference, log_volume(between, u))

    @pytest.mark.parametrize("components", [2, 3, 30])
    @pytest.mark.parametrize("small", [1e-12, 1e-8, 1e-4, 1e-2])
    def test_float32_near_faces(self, components, small):
        """A component down to 1e-12 comes back as well as coordinates of order one, with their rounding, can say."""
        rounding = 16 * torch.finfo(torch.float32).eps / SIMPLEX.softness
        torch.manual_seed(8)
        y = abundances(200, components, concentration=1.0) + 1e-3
        faint = torch.randint(components, (200, 1))
        y = y.scatter(-1, faint, 0)
        y = (y / y.sum(-1, keepdim=True) * (1 - small)).scatter(-1, faint, small)
        torch.testing.assert_close(SIMPLEX(SIMPLEX.inv(y.float())).double(), y, rtol=rounding, atol=0)

    def test_float32_at_a_corner(self):
        y = torch.tensor([[1 - 1e-7, 0.5e-7, 0.5e-7], [1 - 2e-12, 1e-12, 1e-12], [1.0, 0.0, 0.0]])
        u = SIMPLEX.inv(y)
        assert u.isfinite().all()
        torch.testing.assert_close(SIMPLEX(u)[:2], y[:2], rtol=1e-4, atol=0)

    @pytest.mark.parametrize("size", [0.01, 1.0, 30.0, 3e3, 1e6])
    def test_float32_gradients_stay_finite_and_point_inwards(self, size):
        torch.manual_seed(6)
        u = (size * torch.randn(200, 22)).requires_grad_()
        y = SIMPLEX(u)
        density = dist.Dirichlet(torch.full((23,), 0.3)).log_prob(y) + SIMPLEX.log_abs_det_jacobian(u, y)
        (gradient,) = torch.autograd.grad(density.sum(), u)
        assert density.isfinite().all() and gradient.isfinite().all()
        if size >= 30:
            assert ((gradient * u).sum(-1) < 0).all()

    def test_float32_agrees_with_float64(self):
        torch.manual_seed(7)
        u = torch.randn(300, 22) * 0.3
        y = SIMPLEX(u.double())
        torch.testing.assert_close(SIMPLEX(u).double(), y, rtol=1e-4, atol=1e-12)
        single = SIMPLEX.log_abs_det_jacobian(u, SIMPLEX(u)).double()
        torch.testing.assert_close(single, SIMPLEX.log_abs_det_jacobian(u.double(), y), rtol=1e-4, atol=1e-3)

    def test_bad_options(self):
        with pytest.raises(GuideError, match="softness"):
            SmoothedSimplex(0)
        with pytest.raises(GuideError, match="two components"):
            SIMPLEX.inverse_shape(torch.Size((1,)))


class TestBoundedInterval:
    @pytest.mark.parametrize("low, high", [(-1.5, 1.5), (0, 1), (1000, 1001), (-1e-3, 1e5)])
    def test_a_uniform_law_has_density_everywhere(self, low, high):
        x = torch.linspace(-200, 200, 4001)
        y = BoundedInterval(low, high)(x)
        assert dist.Uniform(low, high).log_prob(y).isfinite().all()

    def test_torchs_own_lands_on_the_bound(self):
        y = biject_to(constraints.interval(1000.0, 1001.0))(torch.tensor(30.0))
        assert dist.Uniform(1000.0, 1001.0, validate_args=False).log_prob(y) == -math.inf

    def test_jacobian_and_inverse(self):
        transform = BoundedInterval(torch.tensor([0.0, -3.0]), torch.tensor([2.0, 5.0]))
        x = torch.tensor([[-3.0, 0.1], [4.0, 8.0]], dtype=torch.float64)
        y = transform(x)
        torch.testing.assert_close(transform.inv(y), x)
        (slope,) = torch.autograd.grad(transform(x.requires_grad_()).sum(), x)
        torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), slope.log())


def test_lower_affine_in_batches():
    torch.manual_seed(0)
    loc, tril = torch.randn(4, 3), torch.randn(4, 3, 3).tril(-1) + torch.diag_embed(0.2 + torch.rand(4, 3))
    transform, x = LowerAffine(loc, tril), torch.randn(5, 4, 3)
    y = transform(x)
    expected = dist.MultivariateNormal(loc, scale_tril=tril).log_prob(y)
    base = dist.Normal(0, 1).expand((3,)).to_event(1)
    torch.testing.assert_close(base.log_prob(transform.inv(y)) - transform.log_abs_det_jacobian(x, y), expected)
    assert transform.log_abs_det_jacobian(x, y).shape == (5, 4)


def test_mixed_rows_are_a_kronecker_product():
    torch.manual_seed(0)
    root, column = (torch.randn(k, k).tril(-1) + torch.diag(0.5 + torch.rand(k)) for k in (3, 4))
    loc, scale = torch.randn(12), 0.5 + torch.rand(12)
    transform, x = MixedRows(loc, scale, root), torch.randn(5, 3, 4)
    y = transform(x)
    full = torch.kron(root @ root.T, column @ column.T) * scale * scale[:, None]
    rows = dist.MultivariateNormal(torch.zeros(4), scale_tril=column).expand((3,)).to_event(1)
    torch.testing.assert_close(transform.inv(y), x, rtol=1e-4, atol=1e-4)
    found = rows.log_prob(x) - transform.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(found, dist.MultivariateNormal(loc, full).log_prob(y), rtol=1e-4, atol=1e-3)
