"""Poisson unmixing without posteriors: what probabilistic unmixing must beat.

All have one face: components go to the constructor, counts to `fit`, and `amplitudes_`, `parameters_` and
`components_` are what is found. `PixelLikelihood` fits amplitudes and parameters of every spectrum by itself,
`NonNegativeLeastSquares` and `RichardsonLucy` amplitudes of fixed spectra, `Sushi` maps of both.
"""

from probspec.baselines.unmixing.base import Unmixing
from probspec.baselines.unmixing.least_squares import NonNegativeLeastSquares
from probspec.baselines.unmixing.pixel_likelihood import PixelLikelihood
from probspec.baselines.unmixing.richardson_lucy import RichardsonLucy
from probspec.baselines.unmixing.sushi import Sushi

__all__ = ["NonNegativeLeastSquares", "PixelLikelihood", "RichardsonLucy", "Sushi", "Unmixing"]
