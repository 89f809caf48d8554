"""The starlet transform against its definition, and its noise levels against those published."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from probspec.errors import DataError
from probspec.starlet import B3_SPLINE, inverse, noise_factors, robust_sigma, starlet


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 9), (2, 3, 16, 5), (1, 1), (4, 1)])
@pytest.mark.parametrize("scales", [0, 1, 4])
def test_parts_add_up_to_the_map(shape, scales):
    image = noise(*shape)
    parts = starlet(image, scales)
    assert parts.shape == (scales + 1, *shape)
    torch.testing.assert_close(inverse(parts), image, atol=1e-14, rtol=0)


def test_an_impulse_leaves_the_b3_spline():
    image = torch.zeros(41, 41, dtype=torch.float64)
    image[20, 20] = 1
    spline = torch.outer(torch.tensor(B3_SPLINE), torch.tensor(B3_SPLINE)).double()
    fine, _, coarse = starlet(image, 2)
    torch.testing.assert_close((image - fine)[18:23, 18:23], spline)
    assert (image - fine).sum() == pytest.approx(1) and float(fine[20, 20]) == pytest.approx(1 - 36 / 256)
    # of two scales: the spline, and the spline with holes
    holes = np.zeros(9)
    holes[::2] = B3_SPLINE
    both = np.convolve(B3_SPLINE, holes)
    torch.testing.assert_close(coarse[14:27, 14:27], torch.from_numpy(np.outer(both, both)))


def test_borders_are_mirrors():
    image = noise(6, 5)
    spline = np.outer(B3_SPLINE, B3_SPLINE)
    np.testing.assert_allclose(starlet(image, 1)[1], convolve(image.numpy(), spline, mode="mirror"), atol=1e-14)


def test_a_constant_has_no_details_and_every_map_of_a_batch_is_its_own():
    parts = starlet(torch.full((8, 8), 3.0), 3)
    torch.testing.assert_close(parts[:-1], torch.zeros(3, 8, 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(parts[-1], torch.full((8, 8), 3.0))
    images = noise(3, 10, 12)
    torch.testing.assert_close(starlet(images, 2)[:, 1], starlet(images[1], 2))


def test_noise_factors_are_those_published_and_those_of_noise():
    factors = noise_factors(5)
    np.testing.assert_allclose(factors[:5], [0.889, 0.200, 0.086, 0.041, 0.020], rtol=0.03)  # Starck & Murtagh 2006
    measured = starlet(noise(300, 300), 2)[:2].std((-2, -1))
    np.testing.assert_allclose(measured, factors[:2], rtol=0.02)


def test_sigma_is_not_moved_by_a_few_bright_pixels():
    maps = torch.stack([noise(200, 200), 5 * noise(200, 200, seed=1)])
    maps[:, :4] = 1e6
    np.testing.assert_allclose(robust_sigma(maps), [1, 5], rtol=0.05)
    assert float(robust_sigma(torch.ones(4, 4))) == 0


@pytest.mark.parametrize("image", [torch.zeros(4), torch.zeros(0, 3), torch.zeros(3, 3, dtype=torch.int64)])
def test_what_is_no_map_is_refused(image):
    with pytest.raises(DataError, match=r"\(\.\.\., y, x\)"):
        starlet(image, 1)


def test_negative_scales_are_refused():
    with pytest.raises(DataError, match="scales: -1"):
        starlet(torch.zeros(3, 3), -1)
