"""Draws from a guide, with the densities that say how far they can be trusted.

The guide is run once under an outer plate of draws, the model is replayed on what it drew, and both log densities are
kept per draw and spectrum, without the scale of a minibatch. What belongs to the whole set rather than to a spectrum
(a global site) is kept apart. The global generators are left as they were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from probspec.batch import Batch
from probspec.errors import GuideError, QueryError, explain
from probspec.models.base import Model, Program
from probspec.seeding import seeded
from probspec.sites import PLATE
from probspec.training.blame import name_rows
from probspec.training.validation import validation

OUTER = "draw"
"""Plate of the draws, outside that of the spectra."""


@dataclass(frozen=True)
class Draws:
    """What a guide drew for the rows of one batch.

    Parameters
    ----------
    values : dict of site -> (draw, sample, ...) Tensor
        Latent and deterministic sites of the model, in their own units; global sites are (draw, 1, ...).
    log_q, log_p : (draw, sample) Tensor, nats
        Log density of the guide over the spectrum's own latent sites; of the model over these and what was observed.
    log_q_global, log_p_global : (draw, 1) Tensor, nats
        The same for the global sites.
    log_likelihood : dict of site -> (draw, sample) Tensor, nats
        The observed sites' share of `log_p`.
    """

    values: dict[str, Tensor]
    log_q: Tensor
    log_p: Tensor
    log_q_global: Tensor
    log_p_global: Tensor
    log_likelihood: dict[str, Tensor]


def draw(model: Model, batch: Batch, draws: int, seed: int = 0, given: Mapping[str, Tensor] | None = None) -> Draws:
    """Draw the latent sites of a batch from the guide, its labels hidden.

    Parameters
    ----------
    model : Model
        Trained; neither its mode nor its weights are changed.
    batch : Batch
        On the device of the model. Labels are not looked at.
    draws : int
    seed : int
    given : dict of site -> (draw, 1, ...) Tensor, optional
        Global sites drawn before, for a set that is worked through in blocks of rows: every block then holds the
        same draws of them.

    Returns
    -------
    Draws

    Raises
    ------
    QueryError
        If `draws` is not a positive number, or the guide draws values that are not finite.
    GuideError
        If a site opens a plate besides that of the spectra.
    """
    if draws < 1:
        raise QueryError(explain("draws", f"got {draws}", expected="a positive number", fix="draws=1000"))
    batch = batch.without_labels()
    with torch.no_grad(), validation(False), seeded(seed, batch.index.device):
        guide = _run(model.guide, batch, draws, _as_trace(given or {}))
        story = _run(model.model, batch, draws, guide)
        q, p = _densities(guide), _densities(story)
    latent = {name: site["value"] for name, site in _sites(story).items() if not site["is_observed"]}
    _check_drawn(latent, q, batch)
    observed = {name: p[name].expand(draws, len(batch)) for name in p if name not in latent}
    own_q, shared_q = _sums(guide, q, batch, draws)
    own_p, shared_p = _sums(story, p, batch, draws)
    return Draws(latent | _derived(story), own_q, own_p, shared_q, shared_p, observed)


def _run(program: Program, batch: Batch, draws: int, replayed: poutine.Trace) -> poutine.Trace:
    with pyro.plate(OUTER, draws, dim=-2):
        return poutine.trace(poutine.replay(program, trace=replayed)).get_trace(batch)


def _as_trace(values: Mapping[str, Tensor]) -> poutine.Trace:
    trace = poutine.Trace()
    for name, value in values.items():
        trace.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})
    return trace


def _sites(trace: poutine.Trace, derived: bool = False) -> dict[str, Any]:
    """Sites that carry a density, or the deterministic ones; the plates' own sites are neither."""
    nodes: Mapping[str, Any] = trace.nodes
    sites = {name: node for name, node in nodes.items() if node["type"] == "sample"}
    sites = {name: site for name, site in sites.items() if not poutine.util.site_is_subsample(site)}
    return {name: site for name, site in sites.items() if bool((site["infer"] or {}).get("_deterministic")) is derived}


def _derived(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: site["value"] for name, site in _sites(trace, derived=True).items()}


def _densities(trace: poutine.Trace) -> dict[str, Tensor]:
    return {name: _log_prob(name, site) for name, site in _sites(trace).items()}


def _log_prob(name: str, site: Any) -> Tensor:
    """Log density of one site; a mask counts, the scale of a minibatch does not."""
    others = _plates(site) - {PLATE, OUTER}
    if others:
        problem = f"lies in the plate {min(others)!r}, so that its density is not one number for each draw and spectrum"
        raise GuideError(explain(f"site {name!r}", problem, fix="declare that dim by .to_event(1) instead of a plate"))
    density = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(density, 1.0, site["mask"])


def _sums(trace: poutine.Trace, densities: Mapping[str, Tensor], batch: Batch, draws: int) -> tuple[Tensor, Tensor]:
    """Sum the densities of the spectra's own sites, (draw, sample), and of the global sites, (draw, 1)."""
    none = torch.zeros(draws, 1, device=batch.index.device)
    own = {name for name, site in _sites(trace).items() if PLATE in _plates(site)}
    per_row = sum((density for name, density in densities.items() if name in own), none)
    return per_row.expand(draws, len(batch)), sum((d for name, d in densities.items() if name not in own), none)


def _plates(site: Any) -> set[str]:
    return {frame.name for frame in site["cond_indep_stack"]}


def _check_drawn(values: Mapping[str, Tensor], log_q: Mapping[str, Tensor], batch: Batch) -> None:
    """Refuse draws from a law that is none: torch draws finite numbers from some laws whose parameters are NaN."""
    for name, value in values.items():
        bad = ~torch.isfinite(value).reshape(*value.shape[:2], -1).all(-1) | torch.isnan(log_q[name])
        if bad.any():
            problem = f"the guide gives no finite draws for {name_rows(batch.index.cpu(), bad.cpu())}"
            raise QueryError(explain(f"site {name!r}", problem, fix="look at these rows, and at fit.report"))
