"""Search for hyperparameters: the widths, latent size and learning rate that give the lowest held-out loss.

One call on Optuna, the optional dependency ``probspec[search]``. Trials are proposed by the tree-structured Parzen
estimator (Bergstra et al. 2011) and pruned by Hyperband (Li et al. 2018): a trial is first trained for a ninth of its
epochs, then, if it is among the better ones, for a third, then for all. Each of these is a whole fit, with a schedule
that ends, so that short and long ones are compared fairly among themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from probspec.data.partition import hold_out
from probspec.data.spectra import Spectra
from probspec.errors import FitError, check_whole, explain
from probspec.fit import Fit, fit
from probspec.models.base import Model
from probspec.seeding import child_seed, seeded
from probspec.training.options import TrainOptions

if TYPE_CHECKING:
    import optuna

SHARES = (9, 3, 1)
"""A trial is trained for the epochs divided by each of these, as long as it is not pruned."""

AVERAGED = 8
"""Evaluations of the held-out loss, each with other random numbers."""

LARGEST = 512
"""Held-out rows of one evaluation."""

Make = Callable[["optuna.Trial"], tuple[Model, TrainOptions]]


@dataclass(frozen=True)
class Search:
    """Outcome of a search.

    Parameters
    ----------
    choices : dict of name -> value
        Of the best trial.
    loss : float, nats per spectrum
        Its held-out loss.
    model : Model
        Made of these choices, not fitted.
    options : TrainOptions
        Likewise.
    table : DataFrame, indexed by trial
        Each trial's held-out loss at the longest training that it was given, the epochs of that, its state
        ("complete", "pruned" or "fail") and its choices.
    """

    choices: dict[str, Any]
    loss: float
    model: Model
    options: TrainOptions
    table: pd.DataFrame

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value!r}"
            for name, value in self.choices.items()
        )
        return f"Search({told}; held-out loss {self.loss:.5g}, {len(self.table)} trials)"


def search(make: Make, spectra: Spectra, trials: int = 20, seed: int = 0, held_out: float = 0.2) -> Search:
    """Search for the choices whose model has the lowest held-out loss.

    Parameters
    ----------
    make : callable
        From Optuna's `Trial` to a model and how to train it; what it asks of the trial is what is searched.
    spectra : Spectra
        Whole groups are held out, the same in all trials.
    trials : int
    seed : int
    held_out : float, share of the rows

    Returns
    -------
    Search
        Fit its model with ``ps.fit(found.model, spectra, options=found.options)``.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    FitError
        If an argument is out of its range, `make` does not give a model and options, or every trial fails.

    Notes
    -----
    Losses are compared across trials: choices that change what a loss is made of, such as the prior of the target or
    the units of the spectra, cannot be searched by it.

    Examples
    --------
    >>> import probspec as ps
    >>> def make(trial):
    ...     rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    ...     latent = trial.suggest_int("latent", 2, 16)
    ...     nuisance = torch.distributions.Normal(torch.zeros(latent), 1.0)
    ...     model = ps.CVAE(data.spec, preset="cvae").with_priors(nuisance=nuisance)
    ...     return model, ps.TrainOptions(epochs=90, learning_rate=rate)
    >>> found = search(make, data, trials=20)  # doctest: +SKIP
    """
    _check(trials, seed, held_out)
    optuna = _optuna()
    aside = _aside(spectra, held_out, child_seed(seed, 0))
    train, test = spectra.select(np.flatnonzero(~aside)), spectra.select(np.flatnonzero(aside))

    def objective(trial: optuna.Trial) -> float:
        loss = math.inf
        for share in SHARES:
            model, options = _made(make, trial, seed)
            options = replace(options, epochs=max(1, options.epochs // share), progress=False)
            trial.set_user_attr("epochs", options.epochs)
            fitted = fit(model, train, seed=child_seed(seed, 1), options=options, held_out=0.0)
            loss = held_out_loss(fitted, test, len(train), child_seed(seed, 2))
            if not math.isfinite(loss):
                raise FitError(explain(f"trial {trial.number}", "the held-out loss is not finite"))
            trial.report(loss, max(SHARES) // share)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    with _quiet(optuna):
        sampler = optuna.samplers.TPESampler(seed=child_seed(seed, 3))
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(SHARES), reduction_factor=3)
        study = optuna.create_study(sampler=sampler, pruner=pruner, study_name="search")  # brackets hang on it
        study.optimize(objective, n_trials=trials, catch=(FitError,))
    return _outcome(study, make, seed)


def held_out_loss(fitted: Fit, spectra: Spectra, total: int, seed: int = 0) -> float:
    """Loss of a fit at rows that it has not seen, the mean over a few random draws.

    Parameters
    ----------
    fitted : Fit
    spectra : Spectra
    total : int
        Rows of the training set, over which terms of the whole set are spread.
    seed : int

    Returns
    -------
    float, nats per spectrum
    """
    model, summed = fitted.model, 0.0
    with torch.no_grad(), seeded(seed):
        for start in range(0, len(spectra), LARGEST):
            part = spectra.select(np.arange(start, min(start + LARGEST, len(spectra))))
            batch = part.to_batch(extras=model.encode(part), total=total)
            losses = [torch.stack(list(model.objective(batch).values())).sum() for _ in range(AVERAGED)]
            summed += float(torch.stack(losses).mean()) * len(part)
    return summed / len(spectra)


def _aside(spectra: Spectra, share: float, seed: int) -> np.ndarray:
    groups = np.arange(len(spectra)) if spectra.groups is None else spectra.groups
    if len(np.unique(groups)) < 2:
        problem = f"{len(spectra)} spectra of {len(np.unique(groups))} group(s), of which none can be held out"
        raise FitError(explain("spectra", problem, expected="two groups or more"))
    return hold_out(groups, share, seed)


def _made(make: Make, trial: Any, seed: int) -> tuple[Model, TrainOptions]:
    with seeded(child_seed(seed, 4)):
        made = make(trial)
    right = isinstance(made, tuple) and len(made) == 2
    if not right or not isinstance(made[0], Model) or not isinstance(made[1], TrainOptions):
        fix = "end it with: return model, ps.TrainOptions(...)"
        raise TypeError(explain("make", f"gave {type(made).__name__}", expected="(Model, TrainOptions)", fix=fix))
    return made


def _outcome(study: Any, make: Make, seed: int) -> Search:
    rows = [
        {"loss": trial.value, "epochs": trial.user_attrs.get("epochs"), "state": trial.state.name.lower()}
        | trial.params
        for trial in study.trials
    ]
    table = pd.DataFrame(rows).rename_axis("trial")
    if not (table["state"] == "complete").any():
        raise FitError(explain("search", f"none of {len(table)} trials gave a finite loss", fix="lower learning rates"))
    best = study.best_trial
    model, options = _made(make, best, seed)
    return Search(dict(best.params), float(best.value), model, options, table)


def _check(trials: int, seed: int, held_out: float) -> None:
    check_whole("trials", trials, least=1, error=FitError)
    check_whole("seed", seed, error=FitError)
    if not 0 < held_out < 1:
        raise FitError(explain("held_out", f"got {held_out!r}", expected="a share of the rows, between 0 and 1"))


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        problem = "optuna is not installed, which proposes and prunes the trials"
        raise ImportError(explain("search", problem, fix="pip install 'probspec[search]'")) from None
    return optuna


@contextmanager
def _quiet(optuna: ModuleType) -> Iterator[None]:
    """Without a line for each trial; the level is put back."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
