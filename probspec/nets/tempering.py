"""What held-out rows say of an encoder: how far it shrinks, and how it exaggerates its widths."""

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
    centre + slope (y - centre), the slope below 1 where spectra say little. This has to be undone, else the prior
    would shrink what is shrunk already, and two modalities twice. Encoders that held rows out have learnt from fewer
    than the one that is kept, and shrink further: their slope counts half, on a logarithmic scale, unless undoing it
    whole brings the held-out rows nearer to the truth, as it does for sparse compositions of many components.

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
        self.centre = y.mean(0)
        self.typical, self.widest = variance.log().mean().exp(), variance.max()
        apart, said = y - self.centre, held_out.mean - held_out.mean.mean(0)
        spread = apart.square().sum()
        slope = torch.where(spread > 0, (said * apart).sum() / spread, 1.0).clamp(self.STEEPEST, 1.0)
        self.slope = min((slope.sqrt(), slope), key=lambda undone: self._miss(undone, held_out, y, support))

    def _miss(self, slope: Tensor, held_out: Summary, y: Tensor, support: Constraint) -> Tensor:
        return (nearest(support, self._undone(held_out.mean, slope)) - y).abs().mean()

    def _undone(self, mean: Tensor, slope: Tensor) -> Tensor:
        return self.centre + (mean - self.centre) / slope

    def forward(self, summary: Summary) -> Summary:
        """Undo the shrinkage, and draw the widths together."""
        known = summary.variance.clamp_max(self.widest)
        variance = (known * self.typical).sqrt() * summary.variance / known
        return Summary(self._undone(summary.mean, self.slope), variance / self.slope.square())
