r"""Minerals from oxides: a Bayesian neural network that knows what it was not given (Shi et al.).

The story. An analysis x of K oxides in wt%, some of them not reported, belongs to a mineral c,

.. math:: W_l, b_l \sim p(W_l)\,p(b_l), \qquad
          c \mid x, W \sim \mathrm{Categorical}(\mathrm{softmax}\, f_W([m \odot z, m])),

with z the oxides and their square roots, standardised, and m the flags of what was reported: sums of oxides are
linear, traces are told by their roots. The guide is a normal law of
all weights, independent by default (Blundell et al. 2015).

What was not reported is not zero. While the network learns, every gap is filled with values of the same mineral and
other gaps are made at random (`probspec.nets.completion`), so that the pattern of gaps says nothing about the class.
The filled analyses are measured anew, with an analytical error that grows with the amount.

One weighting is ours: an analysis is met under many veils and errors, and counts for about ten independent ones
(`options`: the divergence from the prior has the weight 0.1).

Beside the network each mineral has a Gaussian of its scaled oxides, set in closed form, that tells a stranger: a
network is as sure of a glass as of a feldspar. A stranger may be any mineral: with its strangeness s, minus the log
tail probability in the mineral that it fits best, up to a share `DOUBT` of the probability is spread over all,

.. math:: c \mid x, W \sim \mathrm{Categorical}((1 - \epsilon)\,p + \epsilon / C), \qquad
          \epsilon = \mathrm{DOUBT}\,(1 - e^{-s / \mathrm{FAR}}).

=============  ======================  ==================  ====
site           dims                    support             unit
=============  ======================  ==================  ====
weight_l       output, input           that of its prior   none
bias_l         output                  that of its prior   none
probability    sample, mineral         simplex, derived    none
mineral        sample                  category, observed  none
=============  ======================  ==================  ====
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import PriorError, SpecError, explain, known
from probspec.guides import LowRank, MeanField
from probspec.models.base import Model, SiteInfo, bound, rows
from probspec.nets.completion import complete, veil
from probspec.nets.typicality import Typicality
from probspec.priors import Priors
from probspec.seeding import seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.training.options import TrainOptions

HIDDEN = (64, 64, 32)
COPIES = 8  # fillings of a gap, among which each step chooses
ERROR = (0.01, 0.05)  # relative, and where there is nothing, wt%: what laboratories differ by
DOUBT, FAR = 0.06, 15.0  # most that is spread, and the strangeness (nats) by which nearly two thirds of it are
SCALE = 1.5  # standard deviation of a layer's output under the default prior, for inputs of order one
STEPS = 4000
RANK = 8

Weights = TorchDistribution | Mapping[str, TorchDistribution] | Callable[[str, tuple[int, ...]], TorchDistribution]


class MineralBNN(Model):
    """Mineral from an analysis of oxides, any of which may be missing.

    Parameters
    ----------
    spec : DataSpec
        With one modality, the oxides, and one category, the minerals.
    priors : Priors, optional
        Laws of the weights and biases of each layer; see `weight_priors`.
    hidden : sequence of int
        Width of the hidden layers.
    family : {"mean-field", "low-rank"}
        Of the guide.
    error : (float, float)
        Analytical error with which analyses are measured anew while the network learns: relative, and in wt%.

    Raises
    ------
    SpecError
        If the spec has no category or several modalities, or the family is unknown.

    Examples
    --------
    >>> from probspec import load_spec
    >>> sorted(MineralBNN(load_spec("epma_minerals"), hidden=(8,)).priors)
    ['bias_1', 'bias_2', 'weight_1', 'weight_2']
    """

    name: ClassVar[str] = "MineralBNN"
    takes_gaps: ClassVar[bool] = True

    def __init__(
        self,
        spec: DataSpec,
        priors: Priors | None = None,
        hidden: Sequence[int] = HIDDEN,
        family: str = "mean-field",
        error: Sequence[float] = ERROR,
    ):
        self.chosen = {"hidden": list(hidden), "family": family, "error": list(error)}
        super().__init__(spec, weight_priors(spec, hidden=hidden) if priors is None else priors)
        self.modality, self.target = _asked(spec)
        self.minerals = spec.targets[self.target].components
        self.shapes = layer_shapes(spec, hidden)
        oxides = self.shapes["weight_1"][1] // 3
        for name in ("centre", "level"):
            self.register_buffer(name, torch.zeros(oxides))
        for name in ("spread", "range"):
            self.register_buffer(name, torch.ones(oxides))
        self.typicality = Typicality(len(self.minerals), oxides)
        self.weights = _guide(family, [Site.of(name, self.priors.law(name), False) for name in self.shapes])

    @classmethod
    def default_priors(cls, spec: DataSpec) -> Priors:
        """Normal laws whose outputs are of order one, for the default layers."""
        return weight_priors(spec)

    def model(self, batch: Batch) -> None:
        """Weights, then the mineral of each analysis."""
        weights = {name: pyro.sample(name, self.priors.law(name)) for name in self.shapes}
        with rows(batch):
            x = batch.x[self.modality]
            strange = batch.extras["strangeness"] if "strangeness" in batch.extras else self.strangeness(x)
            logits = doubted(self.network(weights, self.seen(x)), strange)
            pyro.deterministic("probability", logits.exp(), event_dim=1)
            with poutine.mask(mask=batch.labelled[self.target] & batch.present[self.modality]):
                pyro.sample(self.target, dist.Categorical(logits=logits), obs=batch.y[self.target][:, 0].long())

    def guide(self, batch: Batch) -> None:
        """q(W)."""
        self.weights()

    def network(self, weights: Mapping[str, Tensor], seen: Tensor) -> Tensor:
        """Logits : (..., sample, mineral).

        Parameters
        ----------
        weights : mapping of name -> (output, input) or (draw, 1, output, input) Tensor, and likewise of biases
        seen : (sample, 3 * oxide) Tensor
        """
        value, last = seen, len(self.shapes) // 2
        for layer in range(1, last + 1):
            weight, bias = weights[f"weight_{layer}"], weights[f"bias_{layer}"]
            weight = weight.squeeze(-3) if weight.dim() > 2 else weight
            value = value @ weight.mT + bias
            value = value.relu() if layer < last else value
        return value

    def scaled(self, x: Tensor) -> Tensor:
        """Standardised square roots of oxides `x` : (sample, oxide), wt%; NaN stays."""
        return (x.clamp_min(0).sqrt() - self.centre) / self.spread

    def seen(self, x: Tensor) -> Tensor:
        """What the network is given: scaled roots and oxides, zero where not reported, and flags of what was."""
        reported = ~x.isnan()
        told = self.scaled(x), (x - self.level) / self.range
        return torch.cat([*(torch.where(reported, values, 0.0) for values in told), reported.to(x.dtype)], -1)

    def strangeness(self, x: Tensor) -> Tensor:
        """Minus the log tail probability of oxides `x` : (sample, oxide) in the mineral that they fit best, nats."""
        return self.typicality(self.scaled(x)).amin(-1).to(self.centre)

    # Learning and asking.

    def probabilities(self, x: Tensor, draws: int, seed: int = 0) -> Tensor:
        """Probability of each mineral under each of a number of draws of the weights : (draw, sample, mineral).

        Parameters
        ----------
        x : (sample, oxide) Tensor, wt%
            NaN where not reported.
        draws : int
        seed : int
        """
        with torch.no_grad(), seeded(seed), pyro.plate("draw", draws, dim=-2):
            weights = {name: value.squeeze(1) for name, value in self.weights().items()}
        biased = {name: w.unsqueeze(1) if w.dim() == 2 else w for name, w in weights.items()}
        with torch.no_grad():
            return doubted(self.network(biased, self.seen(x)), self.strangeness(x)).exp()

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Fill gaps from rows of the same mineral; set scales and the Gaussian of each mineral."""
        batch = spectra.to_batch()
        x, codes = batch.x[self.modality], batch.y[self.target][:, 0].long()
        taught = batch.labelled[self.target] & batch.present[self.modality]
        completed = x[:, None].repeat(1, COPIES, 1)
        completed[taught] = complete(x[taught], codes[taught], COPIES, torch.Generator().manual_seed(seed))
        full = completed[taught, 0]
        roots = full.clamp_min(0).sqrt()
        self.centre, self.spread = roots.mean(0), roots.std(0) + 0.02  # an oxide that is always the same stays small
        self.level, self.range = full.mean(0), full.std(0) + 0.1
        self.typicality.fit(self.scaled(full), codes[taught])
        return {"completed": completed}

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Negative evidence lower bound of analyses under random veils, in nats per analysis."""
        return {"elbo": bound(self.model, self.guide, self._veiled(batch), kl_weight)}

    def _veiled(self, batch: Batch) -> Batch:
        """One of the fillings of each row, measured anew, with gaps that are the same for every mineral.

        Rows that were held out have their own gaps besides.
        """
        completed = batch.extras.get("completed", batch.x[self.modality][:, None])
        pick = torch.randint(completed.shape[1], (len(batch),), device=completed.device)
        x = completed[torch.arange(len(batch), device=completed.device), pick]
        relative, floor = self.chosen["error"]
        x = x * (1 + relative * torch.randn_like(x)) + floor * torch.randn_like(x)
        seen = torch.where(veil(tuple(x.shape), x.device), torch.nan, x)
        familiar = torch.zeros(len(batch), device=x.device)  # what is learnt from is no stranger
        return replace(batch, x={self.modality: seen}, extras=batch.extras | {"strangeness": familiar})

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """Minus the log tail probability of each analysis in the mineral that it fits best."""
        return self.strangeness(batch.x[self.modality])

    def example(self, seed: int = 0) -> Batch:
        """Twelve analyses, the last two unlabelled, some oxides not reported."""
        n, oxides = 12, len(self.centre)
        with seeded(seed):
            x = 40 * torch.rand(n, oxides)
            x = torch.where(torch.rand(n, oxides) < 0.2, torch.nan, x)
            codes = torch.randint(len(self.minerals), (n, 1)).float()
            completed = torch.nan_to_num(x, nan=1.0)[:, None].repeat(1, COPIES, 1)
        present, labelled = torch.ones(n, dtype=torch.bool), torch.arange(n) < n - 2
        extras = {"completed": completed}
        x, y = {self.modality: x}, {self.target: codes}
        return Batch(x, {self.modality: present}, y, {self.target: labelled}, torch.arange(n), n, extras)

    # What persistence and people are told.

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the spec and the priors."""
        return self.chosen

    @property
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims, labels and units."""
        ends = ("output", "input")
        info = {
            name: SiteInfo(tuple(f"{name}_{end}" for end in ends[: len(shape)])) for name, shape in self.shapes.items()
        }
        return info | {"probability": SiteInfo(("mineral",), {"mineral": self.minerals}, "")}

    def options(self, count: int) -> TrainOptions:
        """As many epochs as `STEPS` steps take."""
        size = min(512, count)
        epochs = math.ceil(STEPS / math.ceil(count / size))
        return TrainOptions(
            epochs=epochs, batch_size=size, learning_rate=5e-3, schedule="cosine", kl_weight=0.1, clip_norm=None
        )


def weight_priors(spec: DataSpec, law: Weights | None = None, hidden: Sequence[int] = HIDDEN) -> Priors:
    """Laws of the weights and biases of each layer.

    Parameters
    ----------
    spec : DataSpec
    law : distribution, mapping of site -> distribution, or callable, optional
        One law of a single weight for all; laws by site ("weight_1", "bias_1", ...; the others keep the default); or a
        function of a site's name and shape. Normal with standard deviation `SCALE` over the square root of the
        number of inputs where left out.
    hidden : sequence of int

    Raises
    ------
    PriorError
        If a site is misspelt or a law does not fit the shape of its site.

    Examples
    --------
    >>> from probspec import load_spec
    >>> weight_priors(load_spec("epma_minerals"), dist.Laplace(0.0, 0.3)).law("weight_1").event_shape
    torch.Size([64, 30])
    """
    shapes = layer_shapes(spec, hidden)
    if isinstance(law, Mapping):
        for name in law:
            if name not in shapes:
                raise PriorError(explain(f"law[{name!r}]", f"no such site; {known(name, shapes)}"))
    return Priors({name: _spread_over(name, shape, _law_of(law, name, shape)) for name, shape in shapes.items()})


def _law_of(law: Weights | None, name: str, shape: tuple[int, ...]) -> TorchDistribution:
    if isinstance(law, Mapping):
        law = law.get(name)
    if law is None:
        return dist.Normal(0.0, SCALE / math.sqrt(shape[1]) if len(shape) > 1 else SCALE)
    return law if isinstance(law, Distribution) else law(name, shape)


def _spread_over(name: str, shape: tuple[int, ...], law: TorchDistribution) -> TorchDistribution:
    if tuple(law.event_shape) == shape:
        return law
    try:
        return law.expand(shape).to_event(len(shape))
    except RuntimeError:
        problem = f"a law of shape {tuple(law.batch_shape + law.event_shape)}"
        raise PriorError(explain(name, problem, expected=f"one number or {shape}")) from None


def layer_shapes(spec: DataSpec, hidden: Sequence[int] = HIDDEN) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights (output, input) and biases (output,) of the layers, by site."""
    modality, target = _asked(spec)
    widths = [3 * spec.channels()[modality], *hidden, len(spec.targets[target].components)]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False), 1):
        shapes |= {f"weight_{layer}": (outputs, inputs), f"bias_{layer}": (outputs,)}
    return shapes


def doubted(logits: Tensor, strangeness: Tensor) -> Tensor:
    """Log probabilities, (..., sample, mineral), with the share for any mineral that a stranger is given."""
    share = DOUBT * -torch.expm1(-strangeness / FAR)[:, None]
    anything = (share / logits.shape[-1]).log()
    return torch.logaddexp(logits.log_softmax(-1) + torch.log1p(-share), anything)


def _asked(spec: DataSpec) -> tuple[str, str]:
    """Names of the modality and of the category."""
    categories = [name for name, target in spec.targets.items() if target.support == "category"]
    if not categories or len(spec.modalities) != 1:
        problem = f"{len(spec.modalities)} modalities and {len(categories)} categories"
        raise SpecError(explain(spec.name, problem, expected="one modality and a target with support = 'category'"))
    return next(iter(spec.modalities)), categories[0]


def _guide(family: str, sites: list[Site]) -> MeanField | LowRank:
    """Normals about random weights of the usual size: from zero no layer would learn."""
    start = {site.name: _random(site.event_shape) for site in sites}
    if family == "mean-field":
        return MeanField(sites, start)
    if family == "low-rank":
        return LowRank(sites, RANK, start)
    raise SpecError(explain(f"family={family!r}", known(family, ("mean-field", "low-rank"))))


def _random(shape: tuple[int, ...]) -> Tensor:
    """He's start for rectified layers; zero biases."""
    return torch.randn(shape) * (2 / shape[1]) ** 0.5 if len(shape) > 1 else torch.zeros(shape)
