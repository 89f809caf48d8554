"""Hyperparameter search: one call, on any model; the tests of trials need Optuna."""

import builtins
import importlib.util
import sys

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from fused import few_candidates, fused

import probspec as ps
from probspec.errors import FitError
from probspec.search import held_out_loss
from probspec.spec import anonymous_spec

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="optuna is not installed: pip install 'probspec[search]'"
)


def solutions(n: int = 60) -> ps.Spectra:
    rng = np.random.default_rng(0)
    C = 0.1 * rng.random((n, 2))
    X = C @ (10 * rng.random((2, 30))) + 0.01 * rng.standard_normal((n, 30))
    return ps.Spectra.from_arrays(X, anonymous_spec({"x": 30}, ["a", "b"], "positive"), targets=C)


def networks(data: ps.Spectra, rates: tuple[float, float] = (1e-5, 1e-2), epochs: int = 27):
    def make(trial):
        rate = trial.suggest_float("learning_rate", *rates, log=True)
        nuisance = dist.Normal(torch.zeros(trial.suggest_int("latent", 1, 4)), 1.0).to_event(1)
        model = ps.CVAE(data.spec, preset="cvae", hidden=trial.suggest_categorical("hidden", [8, 32]))
        return model.with_priors(nuisance=nuisance), ps.TrainOptions(epochs=epochs, batch_size=16, learning_rate=rate)

    return make


@needs_optuna
def test_it_finds_a_learning_rate_that_learns_and_prunes(untouched_generators):
    data = solutions()
    found = ps.search(networks(data), data, trials=12)
    assert set(found.choices) == {"learning_rate", "latent", "hidden"} and len(found.table) == 12
    assert found.loss == found.table.loc[found.table["state"] == "complete", "loss"].min()
    assert found.choices["learning_rate"] > 1e-3 and found.options.learning_rate == found.choices["learning_rate"]
    assert found.model.priors.law("nuisance").event_shape == (found.choices["latent"],)
    pruned = found.table[found.table["state"] == "pruned"]
    assert len(pruned) and set(pruned["epochs"]) <= {3, 9, 27} and set(found.table["epochs"]) >= {27}
    assert "held-out loss" in repr(found) and len(repr(found)) < 150
    assert (
        ps.fit(found.model, data, options=ps.TrainOptions(epochs=1)).model.config["hidden"] == found.choices["hidden"]
    )


@needs_optuna
def test_the_seed_decides():
    data = solutions()
    one, same = (ps.search(networks(data, epochs=9), data, trials=3, seed=4) for _ in range(2))
    assert one.table.equals(same.table)


@needs_optuna
def test_a_model_that_cross_fits_is_searched_as_well():
    data = fused(40)

    def make(trial):
        nuisance = dist.Normal(torch.zeros(trial.suggest_int("latent", 2, 6)), 1.0).to_event(1)
        return ps.UVAE(data.spec).with_priors(nuisance=nuisance), ps.TrainOptions(epochs=9)

    with few_candidates():
        found = ps.search(make, data, trials=2)
    assert np.isfinite(found.loss) and found.model.name == "UVAE"


@needs_optuna
def test_trials_that_fail_are_told_apart():
    data = solutions()
    spoilt = networks(data, rates=(1e25, 1e30))
    with pytest.raises(FitError, match="none of 2 trials"):
        ps.search(spoilt, data, trials=2)
    with pytest.raises(TypeError, match=r"return model, ps.TrainOptions"):
        ps.search(lambda trial: ps.CVAE(data.spec), data, trials=1)


def test_the_held_out_loss_is_lower_after_training():
    data = solutions()
    model = ps.CVAE(data.spec, preset="cvae")
    short, long = (ps.fit(model, data, options=ps.TrainOptions(epochs=e, batch_size=16)) for e in (1, 60))
    assert held_out_loss(long, data, 60) < held_out_loss(short, data, 60)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"seed": -1}, {"held_out": 1.0}])
def test_bad_arguments_are_named(wrong):
    data = solutions()
    with pytest.raises(FitError, match=next(iter(wrong))):
        ps.search(networks(data), data, **wrong)


def test_without_optuna_it_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("optuna"):
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    for name in [name for name in sys.modules if name.startswith("optuna")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    data = solutions()
    with pytest.raises(ImportError, match=r"pip install 'probspec\[search\]'"):
        ps.search(networks(data), data)
