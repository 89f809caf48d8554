"""Summaries of a batch: one frozen encoder per modality, and the evidence that their answers are together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pyro.distributions import MultivariateNormal
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probspec.batch import Batch
from probspec.errors import DataError, explain
from probspec.nets.encoder import Summary
from probspec.nets.encoders import fit_encoder, new_encoder, refitted
from probspec.nets.evidence import Evidence, Start
from probspec.nets.tempering import Tempering

KEPT = 0.7  # share of modalities that stay in a dream
SMALL = 500  # labelled spectra, below which encoders are refitted to learn how wrong they are
FEWEST = 5  # labelled spectra of a modality, below which nothing can be held out


class Summaries(nn.Module):
    """What frozen encoders say of each modality, laid side by side, and how far it may be off.

    Parameters
    ----------
    modalities : sequence of str
    components : int

    Notes
    -----
    A batch carries them as extras, all (sample, modality * component): ``summary``, its standard deviation
    ``deviation``, and ``measured``.
    """

    def __init__(self, modalities: Sequence[str], components: int):
        super().__init__()
        self.modalities, self.components = tuple(modalities), components
        self.encoders = nn.ModuleDict()
        self.temperings = nn.ModuleDict({name: Tempering(components) for name in self.modalities})
        self.evidence = Evidence(len(self.modalities), components)

    def fit(self, batch: Batch, target: str, support: Constraint, groups: Tensor, seed: int) -> dict[str, Tensor]:
        """Fit the encoders and the law of their errors to the labelled rows.

        Parameters
        ----------
        batch : Batch
            The whole training set.
        target : str
        support : Constraint
            Of the target.
        groups : (sample,) int Tensor
            Rows that are held out together.
        seed : int

        Returns
        -------
        dict of name -> (sample, modality * component) Tensor
            Extras, out of fold for the labelled rows.

        Raises
        ------
        DataError
            If a modality has fewer than five labelled spectra.
        """
        y, labelled = batch.y[target], batch.labelled[target]
        summaries, held_out = {}, {}
        for name in self.modalities:
            chosen = labelled & batch.present[name]
            if chosen.sum() < FEWEST:
                problem = f"{int(chosen.sum())} labelled spectra"
                fix = "label more spectra, or leave the modality out"
                raise DataError(explain(f"spectra/{name}", problem, expected=f"at least {FEWEST}", fix=fix))
            rows = batch.x[name][chosen], y[chosen], groups[chosen], seed
            self.encoders[name], out_of_fold = fit_encoder(*rows)
            honest = refitted(*rows) if len(y[chosen]) < SMALL else out_of_fold
            self.temperings[name].fit(honest, y[chosen], support)
            held_out[name] = self._summary(batch, name, chosen, honest)
            summaries[name] = self._summary(batch, name, chosen, out_of_fold)
        told = {name: values[labelled] for name, values in self._join(held_out, batch).items()}
        seen = told["summary"], told["deviation"], told["measured"]
        self.evidence.fit(*seen, y[labelled], groups[labelled], support)
        return self._join(summaries, batch)

    def _summary(self, batch: Batch, name: str, chosen: Tensor, out_of_fold: Summary) -> Summary:
        """Tempered summaries of all rows of a modality, those `chosen` out of fold; width 1 where it is missing."""
        mean = torch.zeros(len(batch), self.components, dtype=torch.float64, device=batch.index.device)
        variance = torch.ones_like(mean)
        others = batch.present[name] & ~chosen
        parts = [(chosen, out_of_fold)] if chosen.any() else []
        parts += [(others, self.encoders[name](batch.x[name][others]))] if others.any() else []
        for where, said in parts:
            tempered = self.temperings[name](said)
            mean[where], variance[where] = tempered.mean.double(), tempered.variance.double()
        return Summary(mean, variance)

    def _summarise(self, batch: Batch) -> dict[str, Summary]:
        nobody = torch.zeros(len(batch), dtype=torch.bool, device=batch.index.device)
        nothing = Summary(torch.zeros(0), torch.zeros(0))
        return {name: self._summary(batch, name, nobody, nothing) for name in self.encoders}

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Extras of new rows, on the CPU like the spectra that they belong to."""
        batch = batch.to(self.evidence.width.device)
        return {name: values.cpu() for name, values in self._join(self._summarise(batch), batch).items()}

    def _join(self, summaries: dict[str, Summary], batch: Batch) -> dict[str, Tensor]:
        like = next(iter(batch.x.values()))
        side_by_side = [summaries[name] for name in self.modalities]
        measured = torch.stack([batch.present[name] for name in self.modalities], -1)
        return {
            "summary": torch.cat([s.mean for s in side_by_side], -1).to(like),
            "deviation": torch.cat([s.variance.sqrt() for s in side_by_side], -1).to(like),
            "measured": measured.repeat_interleave(self.components, -1),
        }

    def seen(self, batch: Batch) -> Tensor:
        """Summaries as observed, zero where a modality is missing."""
        return batch.extras["summary"] * batch.extras["measured"]

    def law(self, batch: Batch, y: Tensor) -> MultivariateNormal:
        """Law of the summaries given the composition `y` : (..., sample, component)."""
        return self.evidence.law(y, batch.extras["deviation"], batch.extras["measured"])

    def start(self, batch: Batch, support: Constraint) -> Start:
        """Gaussian from which q(y | x) sets out."""
        return self.evidence.start(self.seen(batch), batch.extras["deviation"], batch.extras["measured"], support)

    def dream(self, batch: Batch, y: Tensor) -> Batch:
        """Replace the summaries by draws for other compositions, and leave out some modalities."""
        kept = torch.rand(len(batch), len(self.modalities)) < KEPT
        measured = batch.extras["measured"] & kept.repeat_interleave(self.components, -1)
        measured = torch.where(measured.any(-1, keepdim=True), measured, batch.extras["measured"])
        dreamt = replace(batch, extras=batch.extras | {"measured": measured})
        return replace(dreamt, extras=dreamt.extras | {"summary": self.law(dreamt, y).sample()})

    def pretend(self, batch: Batch, y: Tensor) -> dict[str, Tensor]:
        """Extras of an example, as good encoders would give them."""
        measured = torch.stack([batch.present[name] for name in self.modalities], -1)
        summary = y.tile(len(self.modalities))
        return {
            "summary": summary,
            "deviation": torch.full_like(summary, 0.05),
            "measured": measured.repeat_interleave(self.components, -1),
        }

    def architecture(self) -> dict[str, Any]:
        """Kind and shape of each encoder."""
        return {m: {"kind": e.name, **e.architecture()} for m, e in self.encoders.items()}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make empty encoders."""
        self.encoders = nn.ModuleDict({m: new_encoder(**shape) for m, shape in architecture.items()})
