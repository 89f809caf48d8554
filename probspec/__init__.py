"""Measured spectra in, posterior distributions out."""

__version__ = "0.1.0"
