"""Likelihoods of counts, and the amplitudes that raise them."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-30
"""Least expected counts: those of a channel that no component reaches."""


def log_likelihood(values: Tensor, exposure: Tensor, expected: Tensor) -> Tensor:
    """Log probability of counts up to a constant, in nats.

    Parameters
    ----------
    values : (..., channel) Tensor, counts
    exposure : (..., channel) or (..., 1) Tensor
    expected : (..., channel) Tensor, counts per exposure

    Returns
    -------
    (...) Tensor
    """
    return (torch.xlogy(values, expected.clamp_min(LEAST)) - exposure * expected).sum(-1)


def even_start(values: Tensor, exposure: Tensor, spectra: Tensor) -> Tensor:
    """Amplitudes (pixel, component) that are all the same and explain the total counts."""
    seen = _seen(exposure, spectra).clamp_min(LEAST)
    return (values.sum(-1, keepdim=True) / spectra.shape[-2]) / seen


def multiply(amplitude: Tensor, values: Tensor, exposure: Tensor, spectra: Tensor) -> Tensor:
    """One step of expectation maximisation, which never lowers the likelihood.

    A <- A sum(psi x / (psi A)) / sum(e psi): Richardson 1972, Lucy 1974; Shepp & Vardi, IEEE TMI 1 (1982) 113.

    Parameters
    ----------
    amplitude : (pixel, component) Tensor, counts
    values : (pixel, channel) Tensor, counts
    exposure : (pixel, channel) or (pixel, 1) Tensor
    spectra : (component, channel) or (pixel, component, channel) Tensor, unit sum

    Returns
    -------
    (pixel, component) Tensor, counts
    """
    ratio = values / mixed(amplitude, spectra).clamp_min(LEAST)
    return amplitude * against(ratio, spectra) / _seen(exposure, spectra).clamp_min(LEAST)


def mixed(amplitude: Tensor, spectra: Tensor) -> Tensor:
    """Expected counts (pixel, channel) of spectra common to all pixels, or of each pixel's own."""
    return amplitude @ spectra if spectra.ndim == 2 else (amplitude.unsqueeze(-2) @ spectra).squeeze(-2)


def against(values: Tensor, spectra: Tensor) -> Tensor:
    """Sums (pixel, component) of values (pixel, channel) times spectra, over the channels."""
    return values @ spectra.mT if spectra.ndim == 2 else (spectra @ values.unsqueeze(-1)).squeeze(-1)


def _seen(exposure: Tensor, spectra: Tensor) -> Tensor:
    """Exposure of each component, (pixel, component): the share of its counts that can be seen."""
    if exposure.shape[-1] == 1:
        return exposure.expand(-1, spectra.shape[-2])
    return against(exposure, spectra)
