"""Ridge regression whose penalty is told by rows and groups left out."""

import pytest
import torch

from probspec.nets.left_out_ridge import left_out_ridge


def test_bending_counts_what_the_law_itself_was_fitted_to():
    """With nearly as many pure spectra as rows nothing is left of noise, which must not pass for a law that bends."""
    generator = torch.Generator().manual_seed(0)
    design, noise = (torch.randn(24, k, generator=generator, dtype=torch.float64) for k in (12, 300))
    basis = torch.linalg.qr(design)[0]
    rest = noise - basis @ (basis.T @ noise)
    features = torch.randn(24, 40, generator=generator, dtype=torch.float64)
    found = left_out_ridge(rest, features - basis @ (basis.T @ features), basis)
    assert found.weights.any(0).double().mean() < 0.1
    assert found.left_out.square().mean() == pytest.approx(1 / (1 - 12 / 24), rel=0.15)


def test_left_out_residuals_are_those_of_a_fit_without_the_group():
    generator = torch.Generator().manual_seed(0)
    design, idle, noise = (torch.randn(30, k, generator=generator, dtype=torch.float64) for k in (3, 2, 4))
    groups, basis = torch.arange(30) // 3, torch.linalg.qr(design)[0]
    x = design @ torch.ones(3, 4, dtype=torch.float64) + noise
    found = left_out_ridge(*(part - basis @ (basis.T @ part) for part in (x, idle)), basis, groups)
    expected = torch.empty_like(x)
    for group in range(10):
        kept = groups != group
        expected[~kept] = x[~kept] - design[~kept] @ torch.linalg.lstsq(design[kept], x[kept]).solution
    assert not found.weights.any()
    torch.testing.assert_close(found.left_out, expected)
