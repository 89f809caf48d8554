"""Augmentation: strategies, physics, the choice, the experiment, the model behind them, and the face."""

import numpy as np
import pytest
import torch
from shared_data import shared_file
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from solutions import PURE, pairs

import probspec as ps
from probspec.augmentation import (
    STRATEGIES,
    Interpolation,
    NetworkOptions,
    Networks,
    PhysicsCheck,
    Uniform,
    choose_strategy,
    compare_arms,
)
from probspec.errors import DataError, FitError, ProbspecWarning, QueryError
from probspec.estimators import compare_augmentation

RNG = np.random.default_rng(0)


def test_the_physics_check_refuses_wrong_pairs_alone():
    X, C = pairs(40)
    check = PhysicsCheck.fit(X[:30], C[:30])
    assert check.accepts(X[30:], C[30:]).all()
    assert not check.accepts(X[30:], C[30:][::-1]).all() and not check.accepts(X + 0.3, C).any()


def test_a_network_learns_a_line():
    X = RNG.random((300, 4))
    Y = np.column_stack([X[:, 0], 2 * X[:, 1] - X[:, 2]])
    networks = Networks(NetworkOptions(epochs=40)).fit(X[:250], Y[:250])
    assert (np.abs(networks.predict(X[250:]) - Y[250:]).mean(0) < 0.05).all()
    with pytest.raises(FitError, match="epochs"):
        NetworkOptions(epochs=0)


def test_the_choice_finds_the_better_strategy():
    X, C = pairs(30)

    def generator(x, c):
        def generate(strategy, n, seed):
            drawn = strategy.rows(c, n, np.random.default_rng(seed))
            return 10 * drawn @ PURE + 2e-3 * np.random.default_rng(seed).standard_normal((n, 60)), drawn

        return generate

    class Constant(Uniform):
        name = "constant"

        def rows(self, concentrations, n, rng):
            return np.repeat(concentrations[:1], n, 0) + 1e-6 * rng.random((n, 1))

    choice = choose_strategy(X, C, generator, {"constant": Constant(), "uniform": Uniform()}, folds=3, pairs=500)
    assert choice.name == "uniform" and choice.table.loc["uniform", "error"] < choice.table.loc["constant", "error"]


def test_replicates_are_left_out_together():
    X, C = pairs(8)
    left_out = []

    def generator(x, c):
        left_out.append({tuple(row) for row in C} - {tuple(row) for row in c})
        return lambda strategy, n, seed: (x[np.arange(n) % len(x)], c[np.arange(n) % len(c)])

    choose_strategy(np.repeat(X, 3, 0), np.repeat(C, 3, 0), generator, {"uniform": Uniform()}, folds=4, pairs=10)
    assert [len(mixtures) for mixtures in left_out] == [2] * 4 and len(set.union(*left_out)) == 8


def test_groups_are_left_out_together():
    X, C = pairs(24)
    left_out = []

    def generator(x, c):
        left_out.append({tuple(row) for row in C} - {tuple(row) for row in c})
        return lambda strategy, n, seed: (x[np.arange(n) % len(x)], c[np.arange(n) % len(c)])

    groups = np.repeat(np.arange(6), 4)
    choose_strategy(X, C, generator, {"uniform": Uniform()}, folds=3, pairs=10, groups=groups)
    assert [len(solutions) for solutions in left_out] == [8] * 3
    fitted = ps.SpectralAugmenter(n_generated=10).fit(X, C, groups=[f"series {k}" for k in groups])
    alone = ps.SpectralAugmenter(n_generated=10).fit(X, C)
    assert not torch.equal(fitted.fit_.model.decoder.doubt, alone.fit_.model.decoder.doubt)
    with pytest.raises(DataError, match=r"groups: shape \(2,\)"):
        ps.SpectralAugmenter().fit(X, C, groups=[1, 2])


def test_the_experiment_pairs_the_folds():
    X, C = pairs(24)
    arms = {"plain": lambda X, C: (X, C), "same": lambda X, C: (X, C), "wrong": lambda X, C: (X, C[::-1])}
    found = compare_arms(X, C, arms, folds=3, ions=["a", "b", "c"], options=NetworkOptions(epochs=30))
    assert found.table.shape == (9, 3)
    assert found.summary.loc[("same", "mean"), ["difference", "difference_error"]].abs().max() == 0
    assert found.summary.loc[("wrong", "mean"), "ratio"] > 1.2
    assert len(compare_arms(X, C, arms, folds=4, only=1, options=NetworkOptions(epochs=1)).table) == 3
    with pytest.raises(DataError, match="folds"):
        compare_arms(X, C, arms, folds=1)


def test_generated_spectra_are_like_the_real_ones():
    X, C = pairs(60)
    augmenter = ps.SpectralAugmenter(strategy="empirical").fit(X, C)
    made, c = augmenter.sample(2000)
    assert np.abs(made.mean(0) - X.mean(0)).max() < 0.1
    rest = made - 10 * c @ PURE
    assert 0.7 < rest.std() / (X - 10 * C @ PURE).std() < 1.4
    correlation = np.corrcoef(rest[:, 5], rest[:, 50])[0, 1]
    assert 0.2 < correlation < 0.8, "the common offset of a spectrum is half of the variance"


def test_augmentation_halves_the_error_of_a_network():
    X, C = pairs(20)
    test_X, test_C = pairs(100, seed=1)
    augmenter = ps.SpectralAugmenter(strategy="loaded", n_generated=1500)
    options = NetworkOptions(epochs=60)
    plain, helped = (Networks(options).fit(*p) for p in ((X, C), augmenter.fit_resample(X, C)))
    errors = [np.abs(n.predict(test_X) - test_C).mean(0) for n in (plain, helped)]
    assert (errors[1] < errors[0]).all() and errors[1].mean() < 0.5 * errors[0].mean()


def test_the_strategy_is_chosen_on_request():
    assert ps.SpectralAugmenter().fit(*pairs(20)).choice_ is None
    augmenter = ps.SpectralAugmenter(strategy="auto").fit(*pairs(20))
    assert augmenter.strategy_.name in STRATEGIES and list(augmenter.choice_.table.index) == list(STRATEGIES)
    best = augmenter.choice_.table["error"].idxmin()
    gap = augmenter.choice_.table["error"][augmenter.strategy_.name] - augmenter.choice_.table["error"][best]
    assert gap <= augmenter.choice_.table["gap_error"][augmenter.strategy_.name] or augmenter.strategy_.name == best


def test_real_pairs_come_first_and_the_seed_decides(untouched_generators):
    X, C = pairs(20)
    first, again, other = (
        ps.SpectralAugmenter(strategy="uniform", n_generated=50, random_state=s).fit_resample(X, C) for s in (0, 0, 1)
    )
    assert np.array_equal(first[0][:20], X) and np.array_equal(first[1][:20], C) and first[0].shape == (70, 60)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][20:], other[0][20:])


def test_concentrations_can_be_asked_for():
    X, C = pairs(20)
    augmenter = ps.SpectralAugmenter(strategy="uniform").fit(X, C)
    made, c = augmenter.sample(5, C=C[:5])
    assert np.array_equal(c, C[:5]) and np.abs(made - 10 * C[:5] @ PURE).max() < 0.05
    assert augmenter.sample(7, strategy=Interpolation(3))[0].shape == (7, 60) and augmenter.sample(0)[0].shape == (
        0,
        60,
    )
    with pytest.raises(QueryError, match="shape"):
        augmenter.sample(4, C=C[:5])


def test_pairs_against_the_physics_are_rejected_and_counted():
    X, C = pairs(60)
    augmenter = ps.SpectralAugmenter(strategy="uniform", tolerance=0.6).fit(X, C)
    augmenter.sample(300)
    assert augmenter.rejected_ > 0
    augmenter.set_params(tolerance=np.inf).fit(X, C).sample(300)
    assert augmenter.rejected_ == 0


@pytest.mark.parametrize("how", [{"method": "vae"}, {"preset": "paper"}], ids=str)
def test_the_published_networks_make_pairs(how):
    X, C = pairs(60)
    options = ps.TrainOptions(epochs=20)
    augmenter = ps.SpectralAugmenter(**how, strategy="aggregate_posterior", tolerance=np.inf, options=options)
    made, c = augmenter.set_params(n_generated=30).fit_resample(X, C)
    assert made.shape == (90, 60) and np.isfinite(made).all() and c.shape == (90, 3)


def test_a_vae_cannot_be_told_concentrations():
    X, C = pairs(20)
    augmenter = ps.SpectralAugmenter("vae", options=ps.TrainOptions(epochs=1)).fit(X, C)
    with pytest.raises(QueryError, match="cannot be told"):
        augmenter.sample(5, C=C[:5])


def test_one_column_stays_one_column():
    X, C = pairs(20)
    made, c = ps.SpectralAugmenter(strategy="uniform", n_generated=10).fit_resample(X, C[:, 0])
    assert c.shape == (30,)


BAD = {
    "counts": (lambda X, C: (X, C[:-1]), "19 rows beside 20 spectra"),
    "NaN": (lambda X, C: (np.where(np.arange(1200).reshape(20, 60) == 63, np.nan, X), C), r"X\[1, 3\]: NaN"),
    "infinite": (lambda X, C: (X, np.where(C == C[4, 2], np.inf, C)), r"C\[4, 2\]: infinite"),
    "constant channel": (lambda X, C: (X * (np.arange(60) != 7), C), "channel 7 is the same in every row"),
    "constant ion": (lambda X, C: (X, C * [1, 0, 1]), "ion 1 is the same"),
    "one sample": (lambda X, C: (X[:1], C[:1]), "1 sample, from which 3 pure"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_pairs_are_named(kind):
    spoil, message = BAD[kind]
    with pytest.raises(DataError, match=message):
        ps.SpectralAugmenter().fit(*spoil(*pairs(20)))


@pytest.mark.parametrize(
    "setting",
    [
        {"method": "gan"},
        {"preset": "big"},
        {"strategy": "x"},
        {"tolerance": 0},
        {"tolerance": "1"},
        {"n_generated": "5"},
        {"random_state": None},
        {"options": {"epochs": 3}},
    ],
    ids=str,
)
def test_bad_settings_are_named(setting):
    with pytest.raises(DataError, match=next(iter(setting))):
        ps.SpectralAugmenter(**setting).fit(*pairs(20))


def test_bad_questions_are_named():
    X, C = pairs(20)
    augmenter = ps.SpectralAugmenter(random_state=np.int64(1)).fit(X, C)
    for question, message in (
        ({"n": 2.5}, "n: got 2.5"),
        ({"n": 3, "seed": "a"}, "seed: got 'a'"),
        ({"n": 20, "C": np.where(C == C[4, 2], np.nan, C)}, r"C\[4, 2\]: NaN"),
        ({"n": 20, "C": C.astype(str)}, "C: no array of numbers"),
    ):
        with pytest.raises((DataError, QueryError), match=message):
            augmenter.sample(**question)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"folds": 2.5}, "folds: got 2.5"),
        ({"folds": 30}, "folds: 30 of 24 samples"),
        ({"only": 0}, "only: got 0"),
        ({"seed": -1}, "seed: got -1"),
        ({"ions": ["a"]}, "ions: 1 names; expected 3"),
        ({"augmenters": [ps.SpectralAugmenter()]}, "augmenters: got list"),
        ({"augmenters": {"one": 1}}, "augmenters: got int"),
        ({"options": {"epochs": 3}}, "options: got dict"),
    ],
)
def test_a_bad_experiment_is_named(how, message):
    with pytest.raises(DataError, match=message):
        compare_augmentation(*pairs(24), **how)


def test_nothing_that_is_rejected_goes_unsaid():
    augmenter = ps.SpectralAugmenter("vae", options=ps.TrainOptions(epochs=1), n_generated=30)
    with pytest.warns(ProbspecWarning, match="30 of 30 generated pairs were rejected 6 times, and none"):
        assert len(augmenter.fit_resample(*pairs(24))[0]) == 24


def test_ions_that_vary_together_are_named():
    C = pairs(24)[1]
    C[:, 1] = 2 * C[:, 0]
    X = 10 * C @ PURE + 2e-3 * np.random.default_rng(0).standard_normal((24, 60))
    with pytest.warns(ProbspecWarning, match=r"C\[:, [01]\]: concentrations of ion [01] follow from the others"):
        ps.SpectralAugmenter().fit(X, C)
    made, c = ps.SpectralAugmenter(strategy="interpolation", n_generated=50).fit_resample(X, C)
    assert np.abs(c[:, 1] - 2 * c[:, 0]).max() < 1e-12 and made.max() < 1.5 * X.max()


@pytest.mark.parametrize("offset", [-5.0, 10.0, 100.0])
def test_an_offset_of_all_spectra_does_not_matter(offset):
    X, C = pairs(24)
    made, c = ps.SpectralAugmenter(n_generated=200).fit_resample(X + offset, C)
    assert len(made) == 224 and np.abs(made[24:] - offset - 10 * c[24:] @ PURE).std() < 0.02


REASONS = {
    "check_fit_score_takes_y": "the second argument is called C, for concentrations, not y",
    "check_dtype_object": "what is no number is a DataError, which is a ValueError and not a TypeError",
}


@parametrize_with_checks([ps.SpectralAugmenter(n_generated=20)], expected_failed_checks=lambda estimator: REASONS)
def test_scikit_learn(estimator, check):
    check(estimator)


def test_arrays_may_be_read_only():
    X, C = (part.astype(np.float32) for part in pairs(20))
    X.setflags(write=False), C.setflags(write=False)
    assert len(ps.SpectralAugmenter(n_generated=20).fit_resample(X, C)[0]) == 40


def test_it_clones():
    augmenter = ps.SpectralAugmenter(strategy=Uniform(margin=0.1), n_generated=3)
    assert clone(augmenter).get_params() == augmenter.get_params()


@pytest.mark.parametrize(
    "name", ["ions_cu_co_cr_ni_visible", "ions_co_cr_ni_uvvis", "ions_nitrate_nitrite_uv", "ftir_salt_solutions"]
)
def test_real_sets_are_read_and_obey_the_law(name):
    data = ps.open_spectra(shared_file(name), name).load()
    (modality,) = data.modalities
    X, C = data.spectra(modality).astype(float), data.targets["concentration"]
    made, c = ps.SpectralAugmenter(strategy="empirical", n_generated=200).fit_resample(X, C)
    assert np.isfinite(made).all() and len(made) == len(X) + 200
