"""The kinds of encoder, and the choice among them by what they say of held-out rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probspec.nets.encoder import Encoder, Summary
from probspec.nets.kernels import KernelEncoder
from probspec.nets.networks import NetworkEncoder

KINDS: dict[str, type[Encoder]] = {kind.name: kind for kind in (KernelEncoder, NetworkEncoder)}


def new_encoder(kind: str, **architecture: Any) -> Encoder:
    """Make an empty encoder of the given kind and shape."""
    encoder = KINDS[kind]()
    encoder.build(architecture)
    return encoder


def fit_encoder(x: Tensor, y: Tensor, groups: Tensor, seed: int) -> tuple[Encoder, Summary]:
    """Fit every kind of encoder that suits the number of rows, and keep the one that predicts held-out rows best.

    Parameters
    ----------
    x : (sample, channel) Tensor
    y : (sample, component) Tensor
    groups : (sample,) int Tensor
    seed : int

    Returns
    -------
    encoder : Encoder
    out_of_fold : Summary
        Of the rows it was fitted to.
    """
    suited = [kind() for kind in KINDS.values() if len(x) in kind.ROWS]
    tried = [(encoder, encoder.fit(x, y, groups, seed)) for encoder in suited]
    return max(tried, key=lambda pair: pair[1].log_density(y))


def refitted(x: Tensor, y: Tensor, groups: Tensor, seed: int, folds: int = 5) -> Summary:
    """Summaries by encoders that were fitted, choice and all, without each fold of the groups.

    Summaries that are only left out in closed form share the choice of kernels with the rows that they are held
    against, and look some 20 % better on small sets than they are.
    """
    _, codes, sizes = groups.unique(return_inverse=True, return_counts=True)
    if len(sizes) < 3 or len(x) - sizes.max() < 3:  # too little would remain
        codes = torch.arange(len(x))
    order = torch.randperm(int(codes.max()) + 1, generator=torch.Generator().manual_seed(seed))
    fold = order[codes] % folds
    mean, variance = torch.zeros_like(y, dtype=torch.float64), torch.ones_like(y, dtype=torch.float64)
    for number in fold.unique():
        held = fold == number
        encoder, _ = fit_encoder(x[~held], y[~held], groups[~held], seed)
        said = encoder(x[held])
        mean[held], variance[held] = said.mean.double(), said.variance.double()
    return Summary(mean, variance)
