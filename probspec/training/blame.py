"""Which site of a model, and which rows, made a loss that is not finite."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.messenger import Messenger
from torch import Tensor


class FirstBadSite(Messenger):
    """Watch Pyro's sites go by, and keep the first whose value or log density is not finite.

    Attributes
    ----------
    name : str
        Of the site; empty while all are finite.
    problem : str
    rows : (sample,) bool Tensor, optional
        Where the site has a density for each row of the batch, those that are not finite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name, self.problem, self.rows = "", "", None

    def _pyro_post_sample(self, msg: Any) -> None:
        if self.name or not isinstance(msg["value"], Tensor) or msg["infer"].get("_deterministic"):
            return
        density = msg["fn"].log_prob(msg["value"], *msg["args"], **msg["kwargs"])
        density = scale_and_mask(density.detach(), 1.0, msg["mask"])
        if not torch.isfinite(density).all():
            value = "value and log density are" if not torch.isfinite(msg["value"]).all() else "log density is"
            self.name, self.problem = msg["name"], f"its {value} not finite under {type(msg['fn']).__name__}"
            self.rows = (~torch.isfinite(density)).cpu() if density.dim() else None


def name_rows(index: Tensor, bad: Tensor | None, shown: int = 8) -> str:
    """Row numbers of a batch, those that are bad where that is known.

    >>> name_rows(torch.tensor([4, 9, 2]), torch.tensor([False, True, True]))
    'rows 9, 2'
    """
    if bad is not None and bad.shape[-1:] == index.shape:
        index = index[bad.reshape(-1, len(index)).any(0)]
    words = [str(i) for i in index[:shown].tolist()]
    more = f" and {len(index) - shown} more" if len(index) > shown else ""
    return f"rows {', '.join(words)}{more}"
