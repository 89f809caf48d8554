"""Summaries that shrink towards the mean and exaggerate their widths, judged by held-out rows."""

import pytest
import torch
from torch.distributions import Dirichlet, constraints

from probspec.nets.encoder import Summary
from probspec.nets.tempering import Tempering


def tempered(mean: torch.Tensor, widths: torch.Tensor, y: torch.Tensor | None = None) -> tuple[Tempering, Summary]:
    """Fitted to, and answering for, summaries of a truth of zero, or of compositions `y`."""
    tempering, said = Tempering(mean.shape[1]), Summary(mean, widths.square())
    support = constraints.real_vector if y is None else constraints.simplex
    tempering.fit(said, torch.zeros_like(mean) if y is None else y, support)
    return tempering, tempering(said)


def test_widths_go_half_way_to_the_typical_one():
    mean = torch.randn(3, 1)
    _, found = tempered(mean, torch.tensor([[0.01], [0.04], [0.16]]))
    assert found.variance.sqrt()[:, 0].tolist() == pytest.approx([0.02, 0.04, 0.08])


def test_strangers_are_as_unknown_as_they_are_said_to_be():
    tempering, _ = tempered(torch.zeros(2, 1), torch.tensor([[1.0], [4.0]]))
    widths = tempering(Summary(torch.zeros(3, 1), torch.tensor([[4.0], [8.0], [40.0]]).square())).variance.sqrt()
    assert (widths / widths[0])[:, 0].tolist() == pytest.approx([1.0, 2.0, 10.0])


def test_units_do_not_matter():
    mean, width = torch.randn(20, 3), torch.randn(20, 3).exp()
    one, other = (tempered(unit * mean, unit * width)[1].variance.sqrt() / unit for unit in (1e-6, 1e6))
    assert torch.allclose(one, other)


class TestShrinkage:
    def shrunk(self, concentration: float, slope: float, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        y = Dirichlet(torch.full((10,), concentration)).sample((40000,))
        return y.mean(0) + slope * (y - y.mean(0)) + noise * torch.randn_like(y), y

    def test_is_undone_whole_where_compositions_are_sparse(self):
        mean, y = self.shrunk(0.1, slope=0.5, noise=0.02)
        tempering, found = tempered(mean, torch.full_like(mean, 0.02), y)
        assert tempering.slope.item() == pytest.approx(0.5, rel=0.02)
        assert (found.mean - y)[y > 0.8].mean().abs() < 0.02  # unbiased at every y, not only in the middle
        assert torch.allclose(found.variance.sqrt().float(), torch.tensor(0.04), rtol=0.02)

    def test_is_undone_half_where_more_would_only_add_noise(self):
        mean, y = self.shrunk(20.0, slope=0.49, noise=0.05)
        tempering, found = tempered(mean, torch.full_like(mean, 0.05), y)
        assert tempering.slope.item() == pytest.approx(0.7, rel=0.02)
        assert torch.allclose(found.mean.float(), y.mean(0) + (mean - y.mean(0)) / tempering.slope.float(), atol=1e-5)

    def test_an_encoder_that_knows_nothing_is_not_blown_up(self):
        y = Dirichlet(torch.full((10,), 0.1)).sample((4000,))
        tempering, found = tempered(y.mean(0) + 0.01 * torch.randn(4000, 10), torch.full_like(y, 0.01), y)
        assert tempering.slope >= Tempering.STEEPEST and found.variance.isfinite().all()

    def test_equal_labels(self):
        y = torch.full((9, 3), 1 / 3)
        _, found = tempered(y, torch.full((9, 3), 0.1), y)
        assert torch.allclose(found.mean.float(), y) and (found.variance > 0).all()
