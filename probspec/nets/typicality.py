"""Typicality: how far into the tail of a class a row lies, whatever of it was reported.

Each class is a Gaussian in scaled coordinates. What was not reported is integrated out, which leaves the Gaussian of
the rest, so that rows with many and with few values are comparable: both are tail probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RIDGE = 3e-3  # variance, in scaled units, that no class goes below
POOLED = 5.0  # rows that the pooled covariance counts for


class Typicality(nn.Module):
    """Class-conditional Gaussians of scaled values.

    Parameters
    ----------
    classes, features : int

    Examples
    --------
    >>> typicality = Typicality(1, 2)
    >>> typicality.fit(torch.randn(5000, 2), torch.zeros(5000, dtype=torch.int64))
    >>> usual, stranger = typicality(torch.tensor([[0.0, float("nan")], [9.0, 0.0]]))[:, 0]
    >>> bool(usual < 0.1), bool(stranger > 20)
    (True, True)
    """

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(classes, features, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(features, dtype=torch.float64).repeat(classes, 1, 1))

    def fit(self, z: Tensor, codes: Tensor) -> None:
        """Set means and covariances from complete rows `z` : (sample, feature) of the classes `codes` : (sample,)."""
        z = z.double()
        classes = range(len(self.mean))
        self.mean = torch.stack([z[codes == c].mean(0) if (codes == c).any() else z.mean(0) for c in classes])
        apart = z - self.mean[codes]
        pooled = apart.T @ apart / len(z)
        scatter = [apart[codes == c].T @ apart[codes == c] for c in classes]
        counts = torch.bincount(codes, minlength=len(self.mean))
        ridge = RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
        shrunk = [(s + POOLED * pooled) / (n + POOLED) + ridge for s, n in zip(scatter, counts, strict=True)]
        self.covariance = torch.stack(shrunk)

    def forward(self, z: Tensor) -> Tensor:
        """Minus the log tail probability of each row in each class, (sample, class); NaN in `z` is not reported.

        It is 0.7 for half of the rows of a class, above 4.6 for one in a hundred; 0 where nothing was reported.
        """
        reported, z = ~z.isnan(), z.double()
        patterns, which = reported.unique(dim=0, return_inverse=True)
        answer = z.new_zeros(len(z), len(self.mean))
        for number, seen in enumerate(patterns):
            if seen.any():
                rows = which == number
                answer[rows] = _log_tail(self._distance(z[rows][:, seen], seen), int(seen.sum()))
        return answer

    def _distance(self, z: Tensor, seen: Tensor) -> Tensor:
        """Squared Mahalanobis distances from the classes, of what was seen : (sample, class)."""
        factor = torch.linalg.cholesky(self.covariance[:, seen][:, :, seen])
        apart = (z[:, None] - self.mean[:, seen]).permute(1, 2, 0)
        return torch.linalg.solve_triangular(factor, apart, upper=False).square().sum(1).T


def _log_tail(square: Tensor, freedom: int) -> Tensor:
    """Minus the log probability that chi-square exceeds `square`; its leading term where that underflows."""
    half, x = torch.as_tensor(freedom / 2, dtype=square.dtype), square / 2
    tail = torch.special.gammaincc(half, x)
    far = x - (half - 1) * x.clamp_min(1e-300).log() + torch.lgamma(half)
    return torch.where(tail > 1e-200, -tail.clamp_min(1e-200).log(), far)
