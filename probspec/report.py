"""What a fit found out about itself: how it ended, and how often its intervals hold the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from probspec.batch import Batch
from probspec.draws import intervals
from probspec.draws.draw import draw
from probspec.models.base import Model
from probspec.seeding import child_seed

DRAWS = 400
TOO_FAR = 3.0  # binomial standard deviations


@dataclass(frozen=True)
class Coverage:
    """Share of true values inside equal-tailed posterior intervals.

    Parameters
    ----------
    target : str
    kind : {"held-out", "out-of-fold"}
        Whether the rows were left out of the fit, or only of the encoders that told the guide about them.
    count : int
        Labelled rows.
    probs, shares : tuple of float
        Probability of the interval, and share of the values inside it.
    z : tuple of float
        Binomial standard deviations between the two.
    """

    target: str
    kind: str
    count: int
    probs: tuple[float, ...]
    shares: tuple[float, ...]
    z: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """Whether the intervals are as wide as they should be."""
        if min(self.z) < -TOO_FAR:
            return "too narrow"
        return "too wide" if max(self.z) > TOO_FAR else "as promised"

    def __str__(self) -> str:
        parts = [f"{prob:.0%}: {share:.1%}" for prob, share in zip(self.probs, self.shares, strict=True)]
        return f"{self.target}, {self.count} {self.kind} rows: intervals {self.verdict} ({', '.join(parts)})"


@dataclass(frozen=True)
class Report:
    """How a fit ended.

    Parameters
    ----------
    loss : float, nats per spectrum
        Of the last entry of the history; NaN if nothing was trained.
    seconds : float
    stopped : str
        Why training ended, in words.
    coverage : tuple of Coverage
        One for each target.
    note : str
        Why coverage was not checked, if it was not.
    """

    loss: float
    seconds: float
    stopped: str
    coverage: tuple[Coverage, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"loss": None if np.isnan(self.loss) else self.loss}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Inverse of `to_dict`."""
        rows = [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in values["coverage"]]
        loss = np.nan if values["loss"] is None else values["loss"]
        return cls(**{**values, "loss": loss, "coverage": tuple(Coverage(**row) for row in rows)})

    def __str__(self) -> str:
        covered = [str(one) for one in self.coverage] or [f"coverage not checked: {self.note}"]
        return "\n".join([f"loss {self.loss:.5g} after {self.seconds:.1f} s; {self.stopped}", *covered])

    def _repr_html_(self) -> str:
        lines = [f"<p>{escape(line)}</p>" for line in str(self).splitlines()[: None if not self.coverage else 1]]
        rows = [
            f"<tr><td>{escape(c.target)}</td><td>{c.count} {c.kind}</td>"
            + "".join(f"<td>{share:.1%}</td>" for share in c.shares)
            + f"<td>{c.verdict}</td></tr>"
            for c in self.coverage
        ]
        if not rows:
            return "".join(lines)
        heads = ("target", "rows", *(f"{prob:.0%}" for prob in self.coverage[0].probs), "intervals are")
        head = "".join(f"<th>{word}</th>" for word in heads)
        return "".join([*lines, f"<table><tr>{head}</tr>", *rows, "</table>"])


def coverage(model: Model, batches: Iterable[Batch], kind: str, seed: int) -> tuple[Coverage, ...]:
    """Compare the labels of some rows with draws made without them.

    Parameters
    ----------
    model : Model
        Trained.
    batches : iterable of Batch
        On the device of the model.
    kind : {"held-out", "out-of-fold"}
    seed : int

    Returns
    -------
    tuple of Coverage
        One for each target that the model draws and some row has.
    """
    draws: dict[str, list[np.ndarray]] = {}
    truth: dict[str, list[np.ndarray]] = {}
    for number, batch in enumerate(batches):
        values = draw(model, batch, DRAWS, child_seed(seed, number)).values
        for target in sorted(batch.y.keys() & values.keys()):
            known = batch.labelled[target]
            draws.setdefault(target, []).append(values[target][:, known].cpu().numpy())
            truth.setdefault(target, []).append(batch.y[target][known].cpu().numpy())
    joined = {t: (np.concatenate(parts, 1), np.concatenate(truth[t])) for t, parts in draws.items()}
    return tuple(_coverage(model, target, kind, *pair) for target, pair in joined.items() if len(pair[1]))


def _coverage(model: Model, target: str, kind: str, draws: np.ndarray, truth: np.ndarray) -> Coverage:
    dims = ("chain", "draw", "sample", "component")
    named = xr.DataArray(draws[None], dims=dims, attrs=model.sites[target].attrs)
    table = intervals.coverage(named, truth).xs("all")
    shares, z = tuple(table["covered"].tolist()), tuple(table["z"].tolist())
    return Coverage(target, kind, len(truth), intervals.PROBS, shares, z)
