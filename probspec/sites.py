"""The latent sites of a model, read off one run of it.

A guide is made from them, and `check_pair` refuses one that was made for other priors, which would otherwise train in
silence: a simplex guide under a positive prior has a finite loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch.distributions.constraints import Constraint

from probspec.batch import Batch
from probspec.errors import GuideError, explain, known
from probspec.seeding import seeded
from probspec.supports import Coordinates, describe, same_support, settle, unconstrained_size

PLATE = "sample"
_DRAWS = 500


class HasModel(Protocol):
    """What tells a generative story of a batch."""

    def model(self, batch: Batch) -> None:
        """Sample the sites."""


@dataclass(frozen=True)
class Site:
    """A latent quantity, as a guide sees it.

    Parameters
    ----------
    name : str
    support : Constraint
    event_shape : tuple of int
    per_sample : bool
        Whether each spectrum has a value of its own.
    location, scale : tuple of float, optional
        Where the prior lies in unconstrained coordinates (median and half-width): there a guide starts.
    """

    name: str
    support: Constraint
    event_shape: tuple[int, ...]
    per_sample: bool = True
    location: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None

    @property
    def size(self) -> int:
        """Number of unconstrained coordinates."""
        return unconstrained_size(self.support, self.event_shape)

    @classmethod
    def of(cls, name: str, law: TorchDistribution, per_sample: bool = True) -> Site:
        """Make the site of a prior law.

        >>> import pyro.distributions as dist
        >>> Site.of("abundance", dist.Dirichlet(torch.ones(3))).size
        2
        """
        support = settle(_support(law), law.event_shape)
        with seeded(0):
            location, scale = _spread(law, Coordinates(support, law.event_shape))
        return cls(name, support, tuple(law.event_shape), per_sample, location, scale)


def latent_sites(model: HasModel, batch: Batch) -> tuple[Site, ...]:
    """Read the latent sites of a model, in the order in which it draws them.

    Parameters
    ----------
    model : Model
    batch : Batch
        Complete: a label that the batch lacks would count as a latent site.

    Raises
    ------
    GuideError
        A site is discrete, lies in plates of its own, or its support differs between samples.
    """
    return tuple(_site(name, node) for name, node in _latents(model.model, batch).items())


def check_pair(model: HasModel, guide: Callable[[Batch], object], batch: Batch) -> None:
    """Make sure that a guide covers exactly the latent sites of a model, each on its support.

    Parameters
    ----------
    model : Model
    guide : callable of Batch
        Usually ``model.guide``.
    batch : Batch
        Complete, as for `latent_sites`.

    Raises
    ------
    GuideError
        Naming the first site that is missing, superfluous, or differs in support, event shape or plates.
    """
    ours, theirs = _latents(model.model, batch), _latents(guide, batch)
    theirs = {name: node for name, node in theirs.items() if not node["infer"].get("is_auxiliary")}
    for name in [*ours, *theirs]:
        if name not in theirs:
            _refuse(name, f"the model draws it, the guide does not; {known(name, theirs)}")
        if name not in ours:
            _refuse(name, f"the guide draws it, the model does not; {known(name, ours)}")
        _compare(name, ours[name], theirs[name])


def _compare(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    prior, law = ours["fn"], theirs["fn"]
    if prior.event_shape != law.event_shape:
        _refuse(name, f"the guide's values have shape {tuple(law.event_shape)}, the prior's {tuple(prior.event_shape)}")
    if not same_support(prior.support, law.support, prior.event_shape):
        _refuse(name, f"the guide covers {describe(law.support)}, the prior is {describe(prior.support)}")
    if _plates(ours) != _plates(theirs):
        guide, model = (", ".join(sorted(_plates(node))) or "none" for node in (theirs, ours))
        _refuse(name, f"the guide's plates are {guide}, the model's {model}")


def _refuse(name: str, problem: str) -> None:
    fix = f"make the guide anew for these priors: model.with_priors({name}=...) returns a model that has one"
    raise GuideError(explain(f"site {name!r}", problem, fix=fix))


def _latents(program: Callable[[Batch], object], batch: Batch) -> dict[str, dict[str, Any]]:
    """Record the latent sites of a model or a guide in one run, which leaves the random state alone."""
    with seeded(0):
        nodes: Any = poutine.trace(program).get_trace(batch).nodes
    return {
        name: node
        for name, node in nodes.items()
        if node["type"] == "sample" and not node["is_observed"] and not poutine.util.site_is_subsample(node)
    }


def _plates(node: dict[str, Any]) -> set[str]:
    """Name the plates around a site."""
    return {frame.name for frame in node["cond_indep_stack"]}


def _site(name: str, node: dict[str, Any]) -> Site:
    law, around = node["fn"], _plates(node)
    if _support(law).is_discrete:
        problem = f"{type(law).__name__} is discrete; guides draw differentiable values"
        fix = "enumerate it (sum over its values), marginalise it (observe a mixture) or relax it (RelaxedBernoulli)"
        raise GuideError(explain(f"site {name!r}", problem, fix=fix))
    if around - {PLATE}:
        problem = f"lies in the plates {', '.join(sorted(around))}"
        fix = f"keep the plate {PLATE!r} alone and declare the other dims with .to_event()"
        raise GuideError(explain(f"site {name!r}", problem, fix=fix))
    try:
        return Site.of(name, law, PLATE in around)
    except GuideError as error:
        raise GuideError(f"site {name!r}: {error}") from None


def _support(law: TorchDistribution) -> Constraint:
    support: Any = law.support
    return support


def _spread(law: TorchDistribution, coordinates: Coordinates) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Median and half-width of a law in unconstrained coordinates."""
    with torch.no_grad():
        points = coordinates.flat(law.sample(torch.Size((_DRAWS,)))).reshape(-1, coordinates.size)
        points = points[:: len(points) // _DRAWS].sort(0).values
    low, middle, high = (points[int(share * len(points))] for share in (0.16, 0.5, 0.84))
    return tuple(middle.tolist()), tuple((0.5 * (high - low)).clamp_min(1e-3).tolist())
