"""Blocks of optimisation steps, and what to say of one that went wrong.

Nothing inside a block waits for the device. Whether all was finite is asked once after it; where it was not, the same
steps are taken again one at a time, from the same weights and random numbers, until the one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from probspec.batch import Batch
from probspec.errors import FitError, explain
from probspec.seeding import seeded
from probspec.training.blame import FirstBadSite, name_rows
from probspec.training.options import TrainOptions

Loss = Callable[[Batch, float], dict[str, Tensor]]


class NotFinite(Exception):
    """A loss or a weight is not finite."""


class Steps:
    """What is done at each step of a run.

    Parameters
    ----------
    module : nn.Module
        On the device of the options.
    loss : callable of (Batch, KL weight) -> dict of name -> scalar Tensor
    options : TrainOptions
    per_epoch : int
        Steps of an epoch.
    row_numbers : (row,) int64 Tensor, optional
        What messages call the rows of the batches.

    Attributes
    ----------
    optimiser : torch.optim.Optimizer
    names : tuple of str
        Loss terms, known after the first step.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        options: TrainOptions,
        per_epoch: int,
        row_numbers: Tensor | None = None,
    ):
        self.module, self.loss, self.options, self.per_epoch = module, loss, options, per_epoch
        self.row_numbers = row_numbers
        self.device = options.torch_device()
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = options.new_optimiser(self.parameters)
        self.names: tuple[str, ...] = ()

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.options.learning_rate_at(step / (self.options.epochs * self.per_epoch))

    def kl_weight(self, step: int) -> float:
        """Weight of the latent sites' share of the bound at a step."""
        return self.options.kl_weight_at(step / self.per_epoch)

    def run(self, batches: Iterable[Batch], start: int, seed: int) -> Tensor:
        """Take a block of steps.

        Returns
        -------
        (step, term) Tensor
            Loss terms, in the order of `names`.

        Raises
        ------
        NotFinite
            If a loss or a weight ceased to be finite.
        """
        taken: list[Tensor] = []
        try:
            with seeded(seed, self.device):
                for step, batch in enumerate(batches, start):
                    terms = self._terms(batch.to(self.device), step)
                    taken.append(torch.stack([term.detach() for term in terms.values()]))
                    self._descend(terms, step)
        except Exception as error:
            if self._is_finite(taken):
                raise
            raise NotFinite from error  # weights that are not finite break much else, such as a factorisation
        if not self._is_finite(taken):
            raise NotFinite
        return torch.stack(taken)

    def blame(self, batches: Iterable[Batch], start: int, seed: int) -> str:
        """Take a block of steps again, from the state that it began with, and say what first went wrong in it."""
        with seeded(seed, self.device):
            for step, batch in enumerate(batches, start):
                where = f"step {step} (epoch {step // self.per_epoch + 1})"
                with FirstBadSite() as site:
                    try:
                        terms = self._terms(batch.to(self.device), step)
                    except Exception as error:
                        return self._sentence(where, f"the loss raised {type(error).__name__}: {error}", site, batch)
                bad = [name for name, term in terms.items() if not torch.isfinite(term)]
                if bad:
                    return self._sentence(where, f"loss term {', '.join(bad)} is not finite", site, batch)
                self._descend(terms, step)
                weights = [n for n, p in self.module.named_parameters() if not torch.isfinite(p).all()]
                if weights:
                    problem = f"the loss is finite, its gradient by {weights[0]} is not"
                    return self._sentence(where, problem, site, batch)
        return f"a loss or weight after step {start} was not finite, but is when the steps are taken again"

    def evaluate(self, batches: Iterable[Batch], seed: int) -> float:
        """Mean loss of held-out batches at full KL weight, with the same random numbers every time."""
        self.module.eval()
        with torch.no_grad(), seeded(seed, self.device):
            sums = [(len(b), torch.stack(list(self.loss(b, self.options.kl_weight).values())).sum()) for b in batches]
        self.module.train()
        return float(sum(n * value for n, value in sums) / sum(n for n, _ in sums))

    def _terms(self, batch: Batch, step: int) -> dict[str, Tensor]:
        terms = self.loss(batch, self.kl_weight(step))
        if not self.names:
            _check_terms(terms)
            self.names = tuple(terms)
        return terms

    def _descend(self, terms: dict[str, Tensor], step: int) -> None:
        self.optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimiser.step()

    def _is_finite(self, taken: list[Tensor]) -> bool:
        tensors = [*taken, *self.parameters]
        return bool(torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all())

    def _sentence(self, where: str, problem: str, site: FirstBadSite, batch: Batch) -> str:
        index = batch.index if self.row_numbers is None else self.row_numbers[batch.index.cpu()]
        named = f"site {site.name!r}: {site.problem}; " if site.name else ""
        fix = "lower learning_rate, or look at these rows and at the priors"
        return explain(where, f"{problem}; {named}{name_rows(index.cpu(), site.rows)}", fix=fix)


def _check_terms(terms: dict[str, Tensor]) -> None:
    for name, term in terms.items():
        if term.shape != ():
            problem = f"has shape {tuple(term.shape)}"
            raise FitError(explain(f"loss term {name!r}", problem, expected="a single number", fix="sum over the rows"))
    if not any(term.requires_grad for term in terms.values()):
        raise FitError(explain("loss", "does not depend on any parameter of the model"))
