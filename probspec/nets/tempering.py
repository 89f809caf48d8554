"""What held-out rows say of an encoder: whether its shrinkage is worth undoing, and how it exaggerates its widths."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probspec.nets.encoder import Summary
from probspec.nets.evidence import nearest


class Tempering(nn.Module):
    """Summaries as they should have been, judged by held-out rows.

    A regression answers with the mean of what is left possible: the summary of a composition y lies about
    centre + slope (y - centre), the slope below 1 where spectra say little. Where compositions are sparse and there
    are many components, undoing this brings held-out rows nearer to the truth, as far as the support goes; where they
    are alike it does not, and is left alone.

    An encoder knows which spectra it knows less, but exaggerates: held-out errors grow about as the square root of
    the widths, which are therefore drawn half-way, on a logarithmic scale, to their typical value. Beyond the widest
    that was held out nobody has checked, and a stranger's width grows as stated. How wide they are all in all is
    learnt where the modalities come together.

    Parameters
    ----------
    components : int
    """

    STEEPEST: ClassVar[float] = 0.2  # least slope that is undone; an encoder below it knows next to nothing

    def __init__(self, components: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(components, dtype=torch.float64))
        for name in ("slope", "typical", "widest"):
            self.register_buffer(name, torch.ones((), dtype=torch.float64))

    def fit(self, held_out: Summary, y: Tensor, support: Constraint) -> None:
        """Learn from summaries of held-out rows and their true `y` : (sample, component), which lies in `support`."""
        variance, y = held_out.variance.double(), y.double()
        self.centre, self.slope = y.mean(0), torch.ones_like(self.slope)
        self.typical, self.widest = variance.log().mean().exp(), variance.max()
        before = self._miss(held_out, y, support)
        apart, said = y - self.centre, held_out.mean - held_out.mean.mean(0)
        self.slope = ((said * apart).sum() / apart.square().sum().clamp_min(1e-300)).clamp(self.STEEPEST, 1.0)
        if self._miss(held_out, y, support) >= before:
            self.slope = torch.ones_like(self.slope)

    def _miss(self, held_out: Summary, y: Tensor, support: Constraint) -> Tensor:
        return (nearest(support, self(held_out).mean) - y).abs().mean()

    def forward(self, summary: Summary) -> Summary:
        """Undo the shrinkage, and draw the widths together."""
        mean = self.centre + (summary.mean - self.centre) / self.slope
        known = summary.variance.clamp_max(self.widest)
        variance = (known * self.typical).sqrt() * summary.variance / known
        return Summary(mean, variance / self.slope.square())
