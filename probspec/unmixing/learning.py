"""What a batch of spectra says of the share that the background usually makes of the counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from probspec.unmixing.guide import Drawn

LEAST_SD = 0.005  # of a learnt share
FEW = 20  # spectra that tell of it, below which nothing is learnt


def learnt_share(found: Sequence[Drawn], component: int) -> tuple[float, float] | None:
    """Mean and standard deviation of a component's share over spectra, beyond the doubt of each.

    A random effect (DerSimonian & Laird 1986): spectra count by the inverse of their variance and that of the shares.
    Only draws in which another component is present tell of it.

    Parameters
    ----------
    found : sequence of Drawn
    component : int

    Returns
    -------
    mean, standard deviation : float, or None where too few spectra tell of it
    """
    means, variances = [], []
    for one in found:
        several = (one.amplitude > 0).sum(-1) > 1
        if several.double().mean() > 0.5:
            share = one.amplitude[several, component] / one.amplitude[several].sum(-1)
            means.append(share.mean())
            variances.append(share.var())
    if len(means) < FEW:
        return None
    mean, variance = torch.stack(means), torch.stack(variances)
    between = (mean.var() - variance.mean()).clamp_min(0.0)
    weight = 1 / (variance + between).clamp_min(LEAST_SD**2)
    centre = float((weight * mean).sum() / weight.sum())
    return centre, float((between + 1 / weight.sum() + LEAST_SD**2).sqrt())
