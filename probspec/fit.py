"""Fit a model to spectra. The result is a value: what was passed in is left as it was.

A fit starts from a model made anew under its seed, so that the same seed gives the same weights whatever random
numbers were drawn before. It ends by counting how often its intervals hold labels that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probspec.batch import Batch
from probspec.data.batches import Batches
from probspec.data.partition import hold_out
from probspec.draws.gather import BLOCK
from probspec.errors import DataError, FitError, check_whole, explain, known
from probspec.models.base import Model
from probspec.report import DRAWS, Coverage, Report, coverage
from probspec.seeding import child_seed, seeded
from probspec.sites import check_pair
from probspec.spec import DataSpec
from probspec.training.history import History
from probspec.training.options import TrainOptions
from probspec.training.train import train

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra

FEW = 200
"""Labelled rows below which none is held out."""

VALIDATED = 4096
"""Held-out rows, at most, by which a run is stopped early."""

CHECKED = 400
"""Labelled rows, at most, on which coverage is checked."""


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A trained model and how it came about.

    Parameters
    ----------
    model : Model
        On the CPU, in evaluation mode.
    history : History
        Loss terms by epoch.
    report : Report
        How training ended, and the coverage found.
    seed : int
    options : TrainOptions
    """

    model: Model
    history: History
    report: Report
    seed: int
    options: TrainOptions

    @property
    def spec(self) -> DataSpec:
        """What the spectra are."""
        return self.model.spec

    def __repr__(self) -> str:
        return f"Fit({self.model.name} of {self.spec.name!r}, {self.history.epochs} epochs, seed {self.seed})"

    def _repr_html_(self) -> str:
        return f"<p><b>{self!r}</b></p>{self.report._repr_html_()}"


def fit(
    model: Model,
    spectra: Spectra,
    seed: int = 0,
    options: TrainOptions | None = None,
    held_out: float = 0.1,
    resume: str | Path | None = None,
) -> Fit:
    """Train a model on spectra.

    Parameters
    ----------
    model : Model
        Says which model; its own weights are neither used nor changed.
    spectra : Spectra
        Training set; labels, and spectra, may be missing.
    seed : int
        Same seed, same fit. The global random generators are left as they are.
    options : TrainOptions, optional
        The model's own choice where left out.
    held_out : float, share of the rows
        Kept out, whole groups at a time, for early stopping and for the coverage check; only where there are at
        least 200 labelled rows (200 rows, where the spec has no target) and the model does not cross-fit.
    resume : path, optional
        Checkpoint of an interrupted fit of the same model, spectra, seed and options.

    Returns
    -------
    Fit

    Raises
    ------
    DataError
        If the spectra are not of the kind that the model was made for.
    FitError
        If an argument is out of its range or the loss is not finite from the start.
    GuideError
        If the guide does not belong to the model.

    Examples
    --------
    >>> import probspec as ps
    >>> data = ps.simulate("simulated_fusion", 40)
    >>> ps.fit(ps.UVAE(data.spec), data, options=ps.TrainOptions(epochs=1))
    Fit(UVAE of 'simulated_fusion', 1 epochs, seed 0)
    """
    _check(model, spectra, seed, held_out)
    with seeded(child_seed(seed, 0)):
        fresh = model.with_priors()
    rows, aside = _split(spectra, fresh, held_out, seed)
    options = options or fresh.options(len(rows))
    with seeded(child_seed(seed, 1)):
        taught = _Prepared(part := spectra.select(rows), fresh.prepare(part, child_seed(seed, 2)))
    check_pair(fresh, fresh.guide, taught.complete())
    fresh.eval()
    others = _Prepared(part := spectra.select(aside), fresh.encode(part)) if len(aside) else None
    history = train(
        fresh,
        fresh.objective,
        Batches(taught.spectra, options.batch_size, child_seed(seed, 3), taught.extras),
        options,
        validate=[*others.blocks(options.batch_size, VALIDATED, total=len(rows))] if others else [],
        seed=child_seed(seed, 4),
        resume=None if resume is None else Path(resume),
        row_numbers=torch.from_numpy(rows),
    )
    found, note = _coverage(fresh.eval(), taught, others, history, child_seed(seed, 5))
    loss = float(history.loss[-1]) if history.epochs else np.nan
    report = Report(loss, history.seconds, history.message, found, note)
    return Fit(fresh.to("cpu"), history, report, seed, options)


@dataclass(frozen=True)
class _Prepared:
    """Spectra, and what the model made of them beforehand."""

    spectra: Spectra
    extras: dict[str, Tensor]

    def complete(self) -> Batch:
        """Take a few rows, with labels where there are any: without them a label would count as latent."""
        first = np.argsort(~_labelled(self.spectra), kind="stable")[:8]
        return self.spectra.to_batch(np.sort(first), self.extras)

    def blocks(self, size: int, most: int, total: int | None = None, labelled: bool = False) -> Iterator[Batch]:
        """Give batches of at most `most` rows, evenly spread over all or over the labelled ones."""
        rows = np.flatnonzero(_labelled(self.spectra)) if labelled else np.arange(len(self.spectra))
        rows = rows[:: max(1, -(-len(rows) // most))]
        for start in range(0, len(rows), size):
            yield self.spectra.to_batch(rows[start : start + size], self.extras, total)


def _check(model: Model, spectra: Spectra, seed: int, held_out: float) -> None:
    if not isinstance(model, Model):
        fix = "ps.fit(model, spectra)"
        raise FitError(explain("model", f"got {type(model).__name__}", expected="a model", fix=fix))
    check_whole("seed", seed, error=FitError)
    if not 0 <= held_out < 1:
        raise FitError(explain("held_out", f"got {held_out!r}", expected="a share of the rows, from 0 to below 1"))
    _check_modalities(model.spec, spectra)
    _check_targets(model.spec, spectra.spec)


def _check_modalities(spec: DataSpec, spectra: Spectra) -> None:
    for name, modality in spec.modalities.items():
        if name not in spectra.axes:
            fix = f"give {name!r} an axis and rows of NaN if it was not measured"
            raise DataError(explain(f"spectra: no modality {name!r}", known(name, spectra.axes), fix=fix))
        found = len(spectra.axes[name])
        if modality.channels not in (None, found):
            expected = f"{modality.channels}, as in the model's spec"
            raise DataError(explain(f"spectra/{name}", f"{found} channels", expected=expected))


def _check_targets(wanted: DataSpec, given: DataSpec) -> None:
    for name, target in wanted.targets.items():
        if name in given.targets and given.targets[name].components != target.components:
            problem = f"components {', '.join(given.targets[name].components)}"
            expected, fix = ", ".join(target.components), "make the model from spectra.spec"
            raise DataError(explain(f"targets/{name}", problem, expected=expected, fix=fix))


def _split(spectra: Spectra, model: Model, held_out: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the rows to train on, and of those held out."""
    groups = np.arange(len(spectra)) if spectra.groups is None else spectra.groups
    counted = _labelled(spectra).sum() if model.spec.targets else len(spectra)
    enough = counted >= FEW and len(np.unique(groups)) > 1
    if not held_out or not enough or model.cross_fits:
        return np.arange(len(spectra)), np.arange(0)
    aside = hold_out(groups, held_out, child_seed(seed, 6))
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _labelled(spectra: Spectra) -> NDArray[np.bool_]:
    """Rows that have any label."""
    return np.any([np.zeros(len(spectra), dtype=bool), *(spectra.labelled(t) for t in spectra.targets)], axis=0)


def _coverage(
    model: Model, taught: _Prepared, others: _Prepared | None, history: History, seed: int
) -> tuple[tuple[Coverage, ...], str]:
    """Coverage on the held-out rows, else on training rows that the guide sees out of fold; or why there is none."""
    if history.stopped == "interrupted":
        return (), "training was interrupted"
    if others is None and not taught.extras:
        return (), f"no rows were held out, which takes {FEW} labelled ones"
    rows, kind = (taught, "out-of-fold") if others is None else (others, "held-out")
    channels = sum(len(axis) for axis in rows.spectra.axes.values())
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    blocks = rows.blocks(max(1, BLOCK // (DRAWS * channels)), CHECKED, labelled=True)
    found = coverage(model, (batch.to(device) for batch in blocks), kind, seed)
    return found, "" if found else f"no {kind} row has a label that the model draws"
