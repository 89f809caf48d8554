"""Fit a model to spectra. The result is a value: what was passed in is left as it was.

A fit starts from a model made anew under its seed, so that the same seed gives the same weights whatever random
numbers were drawn before. It ends by counting how often its intervals hold labels that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probspec.batch import Batch
from probspec.batches import Batches
from probspec.errors import DataError, FitError, explain, known
from probspec.gather import BLOCK
from probspec.guides import check_pair
from probspec.history import History
from probspec.models.base import Model
from probspec.options import TrainOptions
from probspec.report import DRAWS, Coverage, Report, coverage
from probspec.seeding import child_seed, seeded
from probspec.spec import DataSpec
from probspec.train import train

if TYPE_CHECKING:
    from probspec.data import Spectra

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
        least 200 labelled rows and the model does not cross-fit.
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
    rows, aside = _part(spectra, fresh, held_out, seed)
    part = spectra.select(rows)
    options = options or fresh.options(len(part))
    with seeded(child_seed(seed, 1)):
        extras = fresh.prepare(part, child_seed(seed, 2))
    check_pair(fresh, fresh.guide, _complete(part, extras))
    others = spectra.select(aside) if len(aside) else None
    history = train(
        fresh,
        fresh.objective,
        Batches(part, options.batch_size, child_seed(seed, 3), extras),
        options,
        validate=() if others is None else tuple(_blocks(others, fresh.encode(others), options.batch_size, VALIDATED)),
        seed=child_seed(seed, 4),
        resume=None if resume is None else Path(resume),
        row_numbers=torch.from_numpy(rows),
    )
    fresh.eval()
    found, note = _coverage(fresh, part, extras, others, history, child_seed(seed, 5))
    loss = float(history.loss[-1]) if history.epochs else np.nan
    report = Report(loss, history.seconds, history.message, found, note)
    return Fit(fresh.to("cpu"), history, report, seed, options)
