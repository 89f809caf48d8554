"""The contract of a model: a generative story, the guide that inverts it, and what `fit` and `posterior` ask of both.

The author of a method writes `default_priors`, `model`, `guide` and `example`, and where the method needs it
`prepare`, `encode` and `objective`. Nothing else in probspec knows what a method is made of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from probspec.batch import Batch
from probspec.errors import QueryError, SpecError, explain
from probspec.priors import Priors
from probspec.spec import DataSpec
from probspec.training.options import TrainOptions

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra

Program = Callable[[Batch], None]


@dataclass(frozen=True)
class SiteInfo:
    """How a latent site is shown to people.

    Parameters
    ----------
    dims : tuple of str
        The site's own dims.
    coords : mapping of dim -> labels, optional
    unit : str
    edges : tuple of float, unit of the site
        Values that are possible but have no density of their own, such as the 0 of a component that is absent.
    resolution : float or tuple of float, unit of the site
        An interval that comes closer to an edge than this reaches it; several are those of the labels of the last dim.
    """

    dims: tuple[str, ...] = ()
    coords: Mapping[str, tuple[str, ...]] | None = None
    unit: str = ""
    edges: tuple[float, ...] = ()
    resolution: float | tuple[float, ...] = 0.0

    @property
    def attrs(self) -> dict[str, Any]:
        """What an array of the site's values carries along."""
        if not self.edges:
            return {"unit": self.unit}
        ends: dict[str, Any] = {"edges": list(self.edges), "resolution": self.resolution}
        if isinstance(self.resolution, tuple):
            ends = ends | {"resolution": list(self.resolution), "resolution_dim": self.dims[-1]}
        return {"unit": self.unit} | ends


class Model(nn.Module, ABC):
    """A Pyro model/guide pair for one kind of data.

    Parameters
    ----------
    spec : DataSpec
        Modalities, targets and their supports.
    priors : Priors, optional
        Laws of the latent sites; those of `default_priors` where left out.

    Notes
    -----
    `model` and `guide` take a `Batch`, open ``rows(batch)`` for what belongs to a spectrum, and name their sites.
    Parameters live in the module, constants are buffers, and Pyro's parameter store stays empty.
    """

    name: ClassVar[str]
    cross_fits: bool = False
    """Whether `prepare` makes extras for the training rows out of fold, so that no rows need to be held out."""

    takes_gaps: ClassVar[bool] = False
    """Whether single channels may be missing (`Modality.gaps`); they are NaN in `Batch.x`."""

    def __init__(self, spec: DataSpec, priors: Priors | None = None):
        super().__init__()
        gaps = [name for name, modality in spec.modalities.items() if modality.gaps]
        if gaps and not self.takes_gaps:
            problem = f"{self.name} needs every channel of a spectrum"
            raise SpecError(explain(f"{spec.name}: modalities.{gaps[0]}.gaps", problem, expected="gaps = false"))
        self.spec = spec
        self.priors = self.default_priors(spec) if priors is None else priors

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Model:
        """Move the priors together with the weights."""
        self.priors = self.priors.map(fn)
        return super()._apply(fn, recurse)

    @classmethod
    @abstractmethod
    def default_priors(cls, spec: DataSpec) -> Priors:
        """Laws of the latent sites where the user names none."""

    @abstractmethod
    def model(self, batch: Batch) -> None:
        """Tell the story of how the spectra came about, as Pyro sites."""

    @abstractmethod
    def guide(self, batch: Batch) -> None:
        """Sample the latent sites of `model` from the approximate posterior."""

    @abstractmethod
    def example(self, seed: int = 0) -> Batch:
        """Make a tiny simulated batch that holds labelled and unlabelled rows."""

    @property
    @abstractmethod
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims, labels and units of the latent sites."""

    def __repr__(self) -> str:
        return f"{self.name}({self.spec.name!r}, {self.priors!r})"

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides `spec` and `priors`, as plain JSON values."""
        return {}

    def with_priors(self, **laws: Any) -> Model:
        """Return a new, unfitted model with some priors replaced and its guide made anew for their supports."""
        return type(self)(self.spec, self.priors.replace(**laws), **self.config)

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Set what the model takes from the training set at once (scaling, kernel encoders), before the first step.

        Returns
        -------
        dict of name -> (sample, ...) Tensor
            Extras of the training rows, made without looking at the row's own labels.
        """
        return {}

    def encode(self, spectra: Spectra) -> dict[str, Tensor]:
        """Extras of new rows, as `prepare` gave them for the training rows."""
        return {}

    def architecture(self) -> dict[str, Any]:
        """Plain JSON values that say which modules `prepare` made, for `build`."""
        return {}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make the modules that `prepare` made, empty, so that saved weights fit in."""

    def options(self, count: int) -> TrainOptions:
        """How to train on `count` spectra where the user does not say."""
        return TrainOptions()

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Draw spectra anew given latent values, modality -> (draw, sample, channel), in the unit of the spec."""
        raise QueryError(explain(self.name, "does not predict spectra"))

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """How much worse the spectra fit than ones the model was made for, (sample,), about 1 where they do not."""
        raise QueryError(explain(self.name, "has no anomaly score"))

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Named loss terms of a batch, whose sum is minimised, in nats per row of the training set.

        By default one term, the negative evidence lower bound; `kl_weight` scales the latent sites' share of it.
        """
        return {"elbo": bound(self.model, self.guide, batch, kl_weight)}


def bound(model: Program, guide: Program, batch: Batch, kl_weight: float = 1.0) -> Tensor:
    """Negative evidence lower bound of a pair, one draw, in nats per row of the training set."""
    sampled = poutine.trace(guide).get_trace(batch)
    told = poutine.trace(poutine.replay(model, trace=sampled)).get_trace(batch)
    divergence = log_prob(sampled, observed=False) - log_prob(told, observed=False)
    return (kl_weight * divergence - log_prob(told, observed=True)) / batch.total


def rows(batch: Batch) -> pyro.plate:
    """Plate over the spectra of a batch, which scales their terms up to the whole set."""
    return pyro.plate("sample", batch.total, subsample=batch.index, dim=-1)


def log_prob(trace: poutine.Trace, observed: bool) -> Tensor:
    """Sum the log density of a trace over its observed or its latent sites, scales and masks applied."""
    trace.compute_log_prob()
    sites = (s for s in trace.nodes.values() if s["type"] == "sample" and s["is_observed"] is observed)
    terms = [s["log_prob_sum"] for s in sites if not poutine.util.site_is_subsample(s)]
    return torch.stack(terms).sum() if terms else torch.zeros(())
