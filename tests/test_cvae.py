"""The model of absorption spectra: its regression, its departure from the law, and its honest intervals."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from solutions import PURE, pairs

import probspec as ps
from probspec.draws.intervals import interval
from probspec.errors import SpecError
from probspec.models.cvae import CVAE
from probspec.nets.beer_lambert import regress
from probspec.nets.least_squares import left_out_errors
from probspec.posterior import posterior


def test_pure_spectra_are_found_with_honest_uncertainty():
    """Of 200 regressions, the true spectra are within two standard deviations as often as normal law says."""
    inside = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        c = rng.random((20, 3)) - 0.5
        x = torch.from_numpy(c @ PURE + 0.05 * rng.standard_normal((20, 60)))
        found = regress(x, torch.from_numpy(c), directions=0)
        sd = (found.root.square().sum(1)[:3, None] ** 0.5 * found.noise).numpy()
        inside.append((np.abs(found.pure[:3].numpy() - PURE) < 2 * sd).mean())
    assert 0.92 < np.mean(inside) < 0.975


def test_pure_spectra_of_ions_that_go_together_are_uncertain_together():
    """Of two ions that nearly always came in one ratio the sum is known, and the difference is not."""
    rng = np.random.default_rng(0)
    one, other = rng.random((60, 1)), rng.random((60, 1))
    C = np.hstack([one, one + 0.02 * rng.random((60, 1)), other])
    X = C @ PURE + 0.01 * rng.standard_normal((60, 60))
    spec = ps.spec.anonymous_spec({"x": 60}, ["a", "b", "c"], "positive")
    model = ps.fit(CVAE(spec), ps.Spectra.from_arrays(X, spec, targets=C), options=ps.TrainOptions(epochs=0)).model
    drawn = torch.stack([model.guide_pure.drawn() for _ in range(300)]) * model.decoder.spread
    together, apart, known = (values.std(0).mean() for values in (drawn[:, 0] + drawn[:, 1], drawn[:, 0], drawn[:, 2]))
    assert together < 0.1 * apart and known < 0.1 * apart
    regression = regress(torch.from_numpy(X), torch.from_numpy(C / C.max(0) - (C / C.max(0)).mean(0)), directions=0)
    sd = regression.root.square().sum(1).sqrt()[:3] * regression.noise.mean()
    assert torch.allclose(drawn.std(0).mean(1)[:3], sd, rtol=0.15)


def solutions(n: int, **how):
    X, C = pairs(n, **how)
    spec = ps.spec.anonymous_spec({"x": 60}, ["a", "b", "c"], "positive")
    model = CVAE(spec).with_priors(target=dist.Uniform(torch.zeros(3), 0.15).to_event(1))
    return model, ps.Spectra.from_arrays(X, spec, targets=C), C


def test_the_model_inverts_its_story():
    model, data, C = solutions(40)
    fitted = ps.fit(model, data, options=ps.TrainOptions(epochs=120, batch_size=40))
    _, test, C_test = solutions(60, seed=1)
    post = posterior(fitted, test, draws=300)
    lower, upper = post.interval("target", prob=0.9)
    assert np.abs(post.mean("target").values - C_test).mean() < 2e-3
    there = C_test > 0.002  # intervals of a positive quantity never reach 0
    assert 0.75 < ((lower.values <= C_test) & (C_test <= upper.values))[there].mean() <= 1
    strange = ps.Spectra.from_arrays(test.spectra("x") + 0.5 * PURE[0] ** 8, test.spec)
    assert np.asarray(posterior(fitted, strange, draws=50).anomaly()).min() > 3 * np.median(np.asarray(post.anomaly()))


def salts(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra whose ions are absent at two of five places, with residuals that few directions cannot foresee."""
    rng = np.random.default_rng(seed)
    C = 0.1 * rng.random((n, 3)) * (rng.random((n, 3)) < 0.6)
    waves = np.sin(np.outer(np.arange(1, 9), np.linspace(0, 6, 60)))
    return 10 * C @ PURE + 2e-3 * rng.standard_normal((n, 60)) + 5e-3 * rng.standard_normal((n, 8)) @ waves, C


@pytest.mark.parametrize("preset", ["beer_lambert", "cvae"])
def test_intervals_hold_their_share_and_absent_ions(preset):
    (X, C), (test_X, test_C) = salts(60, 0), salts(200, 1)
    spec = ps.spec.anonymous_spec({"x": 60}, ["a", "b", "c"], "positive")
    model = CVAE(spec, preset=preset).with_priors(target=dist.Uniform(torch.zeros(3), 0.15).to_event(1))
    options = ps.TrainOptions(epochs=150, batch_size=60, schedule="cosine")
    fitted = ps.fit(model, ps.Spectra.from_arrays(X, spec, targets=C), options=options)
    post = posterior(fitted, ps.Spectra.from_arrays(test_X, spec), draws=400)
    lower, upper = (end.values for end in post.interval("target", prob=0.9))
    held, absent = (lower <= test_C) & (test_C <= upper), test_C == 0
    # of a share of 0.9: counted in 200 spectra, with widths from the errors of 60
    bound = 3 * (0.9 * 0.1 * (1 / 200 + 1 / 60)) ** 0.5
    assert held[~absent].mean() == pytest.approx(0.9, abs=bound) and held[absent].mean() == pytest.approx(
        0.9, abs=bound
    )
    assert (lower[test_C > 0.05] > 0).all() and (lower[absent] == 0).any()
    one = interval(post.draws["target"].sel(component="b"), prob=0.9)
    assert (one.lower.values[absent[:, 1]] == 0).mean() > 0.5


@pytest.mark.parametrize("n", [40, 400])
def test_the_law_bends_where_spectra_show_it_and_only_there(n):
    straight, bent = (
        ps.fit(m, d, options=ps.TrainOptions(epochs=0)).model for m, d, _ in (solutions(n), solutions(n, bend=0.2))
    )
    assert not straight.decoder.bent.any() and bent.decoder.bent.any()
    true = 10 * np.full((1, 3), 0.09) @ PURE
    found = bent.expected(torch.full((1, 3), 0.09)).numpy()
    assert np.abs(found - (true - 0.2 * true**2)).mean() < 0.3 * (0.2 * true**2).mean()


def test_what_replicates_share_does_not_bend_the_law():
    """Each of thirty mixtures five times, with an error of its own that its replicates share."""
    rng = np.random.default_rng(0)
    C = np.repeat(0.1 * rng.random((30, 3)), 5, 0)
    X = 10 * C @ PURE + np.repeat(0.05 * rng.standard_normal((30, 60)), 5, 0) + 1e-3 * rng.standard_normal((150, 60))
    spec = ps.spec.anonymous_spec({"x": 60}, ["a", "b", "c"], "positive")
    data = ps.Spectra.from_arrays(X, spec, targets=C)
    model = ps.fit(CVAE(spec), data, options=ps.TrainOptions(epochs=0)).model
    assert model.decoder.bent.any(0).float().mean() < 0.1


def test_errors_are_those_of_groups_left_out():
    """Replicates of one mixture share an error, which only leaving all of them out shows."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 5)
    c = rng.random((12, 3))[group] - 0.5
    x = torch.from_numpy(c @ PURE + 0.05 * rng.standard_normal((12, 60))[group] + 0.002 * rng.standard_normal((60, 60)))
    centred = torch.from_numpy(c - c.mean(0))
    whole, row_by_row = (left_out_errors(x, centred, torch.from_numpy(g)) for g in (group, np.arange(60)))
    assert whole.square().mean() > 1.5 * row_by_row.square().mean()


@pytest.mark.parametrize(("preset", "hidden"), [("cvae", 0), ("beer_lambert", 8)])
def test_a_width_that_is_none_is_refused(preset, hidden):
    with pytest.raises(SpecError, match="hidden"):
        CVAE(ps.spec.anonymous_spec({"x": 60}, ["a"], "positive"), preset=preset, hidden=hidden)
