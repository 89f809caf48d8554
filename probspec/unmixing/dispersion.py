"""How much further counts lie from what the components can make than chance allows.

Signatures are never exact. Where a spectrum has so many counts that this shows, its likelihood is told to count for
less (quasi-likelihood: Wedderburn 1974), and the intervals widen by the root of the dispersion.
"""

from __future__ import annotations

from torch import Tensor

GROUPED = 10.0  # counts expected in a group of channels, so that their squares follow chi-square
CERTAIN = 3.0  # standard deviations by which a dispersion must stand out


def dispersion(counts: Tensor, expected: Tensor, free: int) -> float:
    """Pearson's chi-square by its degrees of freedom, 1 where it does not stand out.

    Parameters
    ----------
    counts, expected : (channel,) Tensor, counts
        Neighbouring channels are joined until enough is expected.
    free : int
        Number of parameters that were fitted.
    """
    order = (expected.cumsum(0) / GROUPED).long()
    groups = int(order[-1]) + 1
    seen = counts.new_zeros(groups).index_add(0, order, counts)
    made = counts.new_zeros(groups).index_add(0, order, expected).clamp_min(1e-9)
    used = made > GROUPED / 2
    degrees = int(used.sum()) - free
    if degrees < 1:
        return 1.0
    found = float((((seen - made).square() / made) * used).sum() / degrees)
    return found if found > 1 + CERTAIN * (2 / degrees) ** 0.5 else 1.0
