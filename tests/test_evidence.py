"""Evidence: several Gaussian summaries as one, against closed forms."""

import pytest
import torch
from torch.distributions import MultivariateNormal, constraints

from probspec.nets.evidence import Evidence, inside, linearise
from probspec.supports import bijection

BOUNDED = constraints.independent(constraints.interval(0.0, 2.0), 1)


def vector(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def evidence(modalities: int = 1, components: int = 3, width: float = 0.05) -> Evidence:
    made = Evidence(modalities, components)
    made.width = torch.full((components,), width)
    return made


def seen(*flags: bool, components: int) -> torch.Tensor:
    return torch.tensor([flags]).repeat_interleave(components, -1)


class TestStart:
    def test_two_modalities_are_a_product_of_gaussians(self):
        one, other, sd_one, sd_other = vector(1.0, 5.0), vector(1.2, 4.0), vector(0.1, 0.2), vector(0.2, 0.1)
        start = evidence(2, 2).start(
            torch.cat([one, other], -1),
            torch.cat([sd_one, sd_other], -1),
            seen(True, True, components=2),
            constraints.real_vector,
        )
        precision = sd_one**-2 + sd_other**-2
        assert torch.allclose(start.location, (one * sd_one**-2 + other * sd_other**-2) / precision, atol=1e-4)
        assert torch.allclose(start.scale_tril[0].diagonal(), precision[0] ** -0.5, rtol=0.02)

    @pytest.mark.parametrize("support", [constraints.simplex, constraints.real_vector, constraints.positive])
    def test_what_was_not_measured_has_no_weight(self, support):
        summary, deviation = vector(0.2, 0.5, 0.3), vector(0.03, 0.05, 0.04)
        alone = evidence(1).start(summary, deviation, seen(True, components=3), support)
        beside = torch.cat([summary, vector(1e5, -7.0, 0.0)], -1), torch.cat([deviation, vector(1e-3, 1e3, 1.0)], -1)
        both = evidence(2).start(*beside, seen(True, False, components=3), support)
        assert torch.allclose(alone.location, both.location, atol=1e-5)
        assert torch.allclose(alone.scale_tril, both.scale_tril, atol=1e-5)
        assert torch.allclose(alone.context, both.context, atol=1e-4)

    def test_errors_that_go_together_count_less(self):
        summary, deviation = vector(1.0, 1.0), vector(0.1, 0.1)
        present, widths = seen(True, True, components=1), []
        for correlation in (0.0, 0.5, 0.9):
            joint = evidence(2, 1)
            joint.correlation = torch.tensor([[1.0, correlation], [correlation, 1.0]])
            widths.append(joint.start(summary, deviation, present, constraints.real_vector).scale_tril.item())
            assert widths[-1] == pytest.approx(0.1 * ((1 + correlation) / 2) ** 0.5, rel=0.02)
        assert widths[0] < widths[1] < widths[2] < 0.1

    def test_simplex_is_a_gaussian_conditioned_on_its_plane(self):
        """In the interior: the summary's Gaussian, given that the components sum to 1."""
        summary, variance = vector(0.35, 0.4, 0.3), vector(0.02, 0.03, 0.05).square()
        start = evidence().start(summary, variance.sqrt(), seen(True, components=3), constraints.simplex)
        mean = summary + (1 - summary.sum()) * variance / variance.sum()
        covariance = variance[0].diag() - variance.T @ variance / variance.sum()
        onto = bijection(constraints.simplex)
        assert torch.allclose(onto(start.location), mean, atol=2e-3)
        draws = onto(start.location + torch.randn(20000, 2) @ start.scale_tril[0].T)
        assert torch.allclose(draws.T.cov(), covariance, rtol=0.1, atol=1e-5)

    @pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
    def test_positive_is_a_lognormal_in_any_unit(self, unit):
        """Far from zero: the logarithm has the mean's logarithm and the relative width."""
        start = evidence(1, 2, 0.1 * unit).start(
            unit * vector(5.0, 2.0), unit * vector(0.1, 0.1), seen(True, components=2), constraints.positive
        )
        assert torch.allclose(start.location, (unit * vector(5.0, 2.0)).log(), atol=1e-3)
        assert torch.allclose(start.scale_tril[0].diagonal(), vector(0.02, 0.05)[0], rtol=0.05)

    @pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
    def test_real_keeps_its_unit(self, unit):
        start = evidence(1, 2, 0.1 * unit).start(
            unit * vector(-3.0, 2.0), unit * vector(0.1, 0.3), seen(True, components=2), constraints.real_vector
        )
        assert torch.allclose(start.location, unit * vector(-3.0, 2.0), rtol=1e-3)
        assert torch.allclose(start.scale_tril[0].diagonal(), unit * vector(0.1, 0.3)[0], rtol=0.05)

    @pytest.mark.parametrize(
        "support",
        [constraints.simplex, constraints.real_vector, constraints.positive, BOUNDED],
        ids=["simplex", "real", "positive", "interval"],
    )
    @pytest.mark.parametrize("present", [True, False])
    def test_hard_cases_are_finite(self, support, present):
        """Summaries outside the support, tiny and huge widths, and nothing measured at all."""
        summary = torch.tensor([[-0.4, 0.0, 1.4], [0.0, 0.0, 1.0], [1e-9, 3.0, -3.0], [0.3, 0.3, 0.4]])
        for width in (1e-4, 0.05, 10.0):
            deviation = torch.full_like(summary, width)
            start = evidence().start(summary, deviation, torch.full((4, 3), present), support)
            values = bijection(support)(start.location)
            assert start.location.isfinite().all() and start.context.isfinite().all() and support.check(values).all()
            assert (start.scale_tril.diagonal(dim1=-2, dim2=-1) > 0).all() and start.scale_tril.isfinite().all()

    def test_the_order_of_components_does_not_matter(self):
        order = [2, 0, 1]
        summary, deviation, onto = vector(0.1, 0.6, 0.3), vector(0.02, 0.03, 0.05), bijection(constraints.simplex)
        one, other = (
            evidence().start(s, d, seen(True, components=3), constraints.simplex)
            for s, d in ((summary, deviation), (summary[:, order], deviation[:, order]))
        )
        assert torch.allclose(onto(one.location)[:, order], onto(other.location), atol=1e-5)


class TestLaw:
    def test_density_is_that_of_the_joint_normal(self):
        joint = evidence(2, 2)
        joint.correlation = torch.eye(4) + 0.3 * (torch.ones(4, 4) - torch.eye(4))
        deviation, y, s = torch.rand(5, 4) + 0.1, torch.randn(5, 2), torch.randn(5, 4)
        said = joint.law(y, deviation, torch.ones(5, 4, dtype=torch.bool)).log_prob(s)
        for row in range(5):
            covariance = deviation[row].diag() @ joint.correlation @ deviation[row].diag()
            assert torch.allclose(said[row], MultivariateNormal(y[row].tile(2), covariance).log_prob(s[row]), atol=1e-3)

    def test_a_missing_modality_says_nothing_about_the_composition(self):
        joint, y = evidence(2, 2), torch.randn(5, 2, requires_grad=True)
        joint.correlation = torch.eye(4) + 0.3 * (torch.ones(4, 4) - torch.eye(4))
        nothing = joint.law(y, torch.rand(5, 4) + 0.1, torch.zeros(5, 4, dtype=torch.bool)).log_prob(torch.zeros(5, 4))
        (gradient,) = torch.autograd.grad(nothing.sum(), y)
        assert torch.equal(gradient, torch.zeros(5, 2))

    def test_draws_of_compositions_broadcast(self):
        law = evidence(2, 3).law(torch.rand(7, 5, 3), torch.ones(5, 6), torch.ones(5, 6, dtype=torch.bool))
        assert law.batch_shape == (7, 5) and law.event_shape == (6,)


class TestFit:
    """Summaries of held-out rows about a truth of zero."""

    def learnt(self, errors: torch.Tensor, components: int = 1, groups: int | None = None, stated: float = 1.0):
        """Evidence from errors, NaN where a modality is missing, of widths that are `stated`."""
        rows, width = errors.shape
        joint, present = Evidence(width // components, components), ~errors.isnan()
        y, deviation = torch.zeros(rows, components), torch.full_like(errors, stated)
        codes = torch.arange(rows) % (groups or rows)
        joint.fit(errors.nan_to_num(), deviation, present, y, codes, constraints.real_vector)
        return joint

    def errors(self, rows: int, correlation: float) -> torch.Tensor:
        common, own = torch.randn(rows, 1), torch.randn(rows, 2)
        return correlation**0.5 * common + (1 - correlation) ** 0.5 * own

    def test_correlation_is_found_and_shrunk(self):
        errors = self.errors(4000, 0.8)
        assert self.learnt(errors, groups=8).correlation[0, 1].item() == pytest.approx(0.4, abs=0.03)  # half is doubted
        assert self.learnt(errors).correlation[0, 1].item() == pytest.approx(0.8, abs=0.03)

    @pytest.mark.parametrize("boast", [0.5, 3.0])
    def test_widths_are_those_of_the_errors(self, boast):
        joint = self.learnt(self.errors(4000, 0.0), stated=1 / boast)
        scale = joint.errors(torch.full((1, 2), 1 / boast), torch.ones(1, 2, dtype=torch.bool))[0]
        assert torch.allclose((scale @ scale.T).diagonal().sqrt(), torch.ones(2), rtol=0.05)
        assert torch.allclose(joint.width, torch.ones(1), rtol=0.05)

    def test_one_modality_is_widened_without_the_other(self):
        joint = self.learnt(self.errors(4000, 0.0) * torch.tensor([1.0, 4.0]))
        assert joint.alone.tolist() == pytest.approx([1.0, 4.0], rel=0.05)

    def test_what_errs_together_is_widened_together(self):
        """Few groups: the correlation is doubted, but not what their mean was seen to miss."""
        joint, both = self.learnt(self.errors(4000, 0.9), groups=2), torch.ones(1, 2, dtype=torch.bool)
        assert joint.correlation[0, 1] < 0.3 and joint.together > 1.1
        start = joint.start(torch.zeros(1, 2), torch.ones(1, 2), both, constraints.real_vector)
        assert start.scale_tril.item() == pytest.approx(0.95**0.5, rel=0.05)  # of the mean of two that go together
        alone = torch.tensor([[True, False]])
        start = joint.start(torch.zeros(1, 2), torch.ones(1, 2), alone, constraints.real_vector)
        assert start.scale_tril.item() == pytest.approx(1.0, rel=0.05)

    def test_on_the_simplex_intervals_hold_nine_tenths_of_the_truth(self):
        """Errors that keep the sum are narrower on the plane than components taken one by one."""
        y = torch.distributions.Dirichlet(torch.full((3,), 5.0)).sample((4000,))
        errors = 0.02 * torch.randn(4000, 3)
        summary = y + errors - errors.mean(-1, keepdim=True)
        joint, present = Evidence(1, 3), torch.ones(4000, 3, dtype=torch.bool)
        deviation = torch.full_like(y, 0.005)
        joint.fit(summary, deviation, present, y, torch.arange(2).repeat(2000), constraints.simplex)
        start = joint.start(summary, deviation, present, constraints.simplex)
        draws = start.location + (start.scale_tril @ torch.randn(200, 4000, 2, 1))[..., 0]
        lower, upper = bijection(constraints.simplex)(draws).quantile(torch.tensor([0.05, 0.95]), 0)
        assert ((lower <= y) & (y <= upper)).float().mean().item() == pytest.approx(0.9, abs=0.02)

    def test_modalities_never_seen_together(self):
        errors = self.errors(100, 0.8)
        errors[:50, 0], errors[50:, 1] = torch.nan, torch.nan
        joint = self.learnt(errors)
        assert torch.allclose(joint.correlation, torch.eye(2)) and joint.together == 1

    def test_missing_pairs_leave_a_proper_covariance(self):
        joint = self.learnt(torch.where(torch.rand(12, 6) < 0.5, torch.nan, torch.randn(12, 6)), components=3)
        assert torch.linalg.eigvalsh(joint.correlation).min() > 0
        assert torch.allclose(joint.correlation.diagonal(), torch.ones(6), atol=1e-5)

    def test_no_error_at_all(self):
        joint = self.learnt(torch.zeros(9, 2))
        assert (joint.alone > 0).all() and joint.width.isfinite().all()


def test_a_tangent_touches():
    """value(u) = value + slope (u - origin), to first order, wherever the support bends."""
    for support in (constraints.real_vector, constraints.positive, BOUNDED):
        origin, value, slope = linearise(support, vector(0.5, 1.5), vector(0.1, 0.1))
        step = 1e-3 * vector(1.0, -2.0)
        moved = bijection(support)(origin + step)
        assert torch.allclose(moved, value + (slope @ step[..., None])[..., 0], atol=1e-5)


def test_inside():
    assert torch.equal(inside(constraints.positive, vector(-1.0, 2.0), vector(0.1, 0.1)), vector(0.1, 2.0))
    assert torch.equal(inside(constraints.real_vector, vector(-1.0, 2.0), vector(0.1, 0.1)), vector(-1.0, 2.0))
    bounded = inside(constraints.interval(0.0, 1.0), vector(-1.0, 2.0), vector(0.1, 50.0))
    assert torch.allclose(bounded, vector(0.1, 0.501))
