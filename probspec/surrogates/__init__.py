"""Decoder surrogates: few spectra, or a simulator's, distilled into a smooth function of their parameters.

A surrogate answers with a positive spectrum of unit sum for every value of its parameters, says in which range it was
taught, and how far off it was on spectra that it had not seen.
"""

from probspec.surrogates.held_out import HeldOutError
from probspec.surrogates.options import Convolution, Dense, IAEOptions, PCAOptions
from probspec.surrogates.surrogate import QUANTILES, Surrogate

__all__ = ["Convolution", "Dense", "HeldOutError", "IAEOptions", "PCAOptions", "QUANTILES", "Surrogate"]
