"""Posteriors of mixtures of counted spectra, one spectrum at a time.

Given the parameters of the components, the mean of the counts is linear in the amplitudes and the posterior of these is
nearly normal, cut at zero, for each set of components that may be present. Given those, few parameters are left, and
they are gone through on nodes: a grid that draws together, or points that are drawn where they matter. What the
approximations miss is made good by importance weights, whose effective share is told.
"""

from probspec.unmixing.amplitudes import Counted
from probspec.unmixing.guide import Drawn, SpectrumGuide
from probspec.unmixing.priors import UnmixingPriors
from probspec.unmixing.spectrum import SpectrumUnmixer

__all__ = ["Counted", "Drawn", "SpectrumGuide", "SpectrumUnmixer", "UnmixingPriors"]
