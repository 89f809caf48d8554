"""The face of the minerals' network: tables in, probabilities, strangeness and doubt out."""

import numpy as np
import pandas as pd
import pytest
from shared_data import shared_table
from sklearn.utils import check_array
from sklearn.utils.estimator_checks import parametrize_with_checks

from probspec.errors import DataError, ProbspecWarning
from probspec.estimators import MineralClassifier
from probspec.oxides import OXIDES
from probspec.simulate import simulate
from probspec.spec import DataSpec, load_spec
from probspec.training.options import TrainOptions

BRIEF = TrainOptions(epochs=15, batch_size=64, learning_rate=3e-2)
FEW = ("Olivine", "Plagioclase", "Clinopyroxene", "Amphibole", "Garnet")
QUICK = TrainOptions(epochs=60, batch_size=128, learning_rate=1e-2, schedule="cosine", kl_weight=0.1, clip_norm=None)


def rows(n: int, seed: int, minerals: tuple[str, ...] = FEW) -> tuple[pd.DataFrame, np.ndarray]:
    config = load_spec("epma_minerals").to_config()
    config["targets"]["mineral"]["components"] = list(minerals)
    config["simulator"] = {"name": "minerals", "minerals": list(minerals)}
    made = simulate(DataSpec.from_config(config), n, seed=seed)
    codes = made.targets["mineral"][:, 0].astype(int)
    return pd.DataFrame(made.spectra("oxides"), columns=list(OXIDES)), np.array(minerals)[codes]


class FromAnyColumns(MineralClassifier):
    """Ten oxides made of whatever columns scikit-learn's checks bring."""

    def _table(self, X):
        values = check_array(X, dtype=np.float64, ensure_all_finite="allow-nan", input_name="X")
        known = values[:, : len(OXIDES)]
        return super()._table(np.pad(50 + 30 * np.tanh(known / 5), ((0, 0), (0, len(OXIDES) - known.shape[1]))))


TEN = "a table has ten oxides, whichever columns it is made of"
REASONS = dict.fromkeys(("check_n_features_in", "check_n_features_in_after_fitting", "check_classifiers_train"), TEN)


@parametrize_with_checks(
    [FromAnyColumns(textbook=0, draws=5, hidden=(16,), options=BRIEF)],
    expected_failed_checks=lambda estimator: REASONS,
)
@pytest.mark.filterwarnings("ignore:X. no oxide, or a strange total:probspec.errors.ProbspecWarning")
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def classifier() -> MineralClassifier:
    return MineralClassifier(textbook=0, options=QUICK).fit(*rows(600, 0))


@pytest.fixture(scope="module")
def new() -> tuple[pd.DataFrame, np.ndarray]:
    return rows(300, 1)


def test_it_tells_minerals_and_says_how_surely(classifier, new):
    X, y = new
    probability = classifier.predict_proba(X)
    assert (classifier.predict(X) == y).mean() > 0.97
    assert np.allclose(probability.sum(1), 1) and tuple(classifier.classes_) == tuple(sorted(FEW))
    assert classifier.score(X, y) == (classifier.predict(X) == y).mean()


def test_measured_minerals_of_other_papers():
    table = pd.read_csv(shared_table("epma", "epma_minerals"), low_memory=False)
    sound = table[table["composition_ok"] == 1].groupby(["mineral", "source_group"]).head(15)
    train, test = (sound[(sound["fold"] == 0) == out] for out in (False, True))
    X = list(OXIDES)
    fitted = MineralClassifier(textbook=60, options=QUICK).fit(train[X], train["mineral"], train["source_group"])
    assert fitted.score(test[X], test["mineral"].to_numpy(str)) > 0.97


class TestTables:
    def test_the_order_of_columns_does_not_matter(self, classifier, new):
        X, _ = new
        assert np.array_equal(classifier.predict_proba(X), classifier.predict_proba(X[list(reversed(OXIDES))]))
        assert np.array_equal(classifier.predict_proba(X), classifier.predict_proba(X.to_numpy()))

    def test_a_column_that_is_missing_is_not_reported(self, classifier, new):
        X, _ = new
        assert np.array_equal(
            classifier.predict_proba(X.drop(columns="Na2O")), classifier.predict_proba(X.assign(Na2O=np.nan))
        )

    def test_other_oxides_are_passed_over_and_other_columns_named(self, classifier, new):
        X, _ = new
        assert np.array_equal(classifier.predict_proba(X), classifier.predict_proba(X.assign(P2O5=0.1)))
        with pytest.raises(DataError, match="Sample"):
            classifier.predict(X.assign(Sample="a"))

    def test_rows_without_oxides_and_strange_totals_are_named(self, classifier, new):
        X = new[0].head(3).copy()
        X.iloc[1] = np.nan
        X.iloc[2] *= 3
        with pytest.warns(ProbspecWarning, match=r"in 2 of 3 rows \(1, 2\)"):
            score = classifier.ood_score(X)
        assert score[1] == 0 and score[2] > 20

    def test_what_cannot_be_wt_percent(self, classifier, new):
        with pytest.raises(DataError, match="SiO2"):
            classifier.predict(new[0].assign(SiO2=500_000.0))


class TestDoubt:
    def test_strangers_score_higher(self, classifier, new):
        strangers, _ = rows(100, 2, ("Ilmenite", "Tourmaline"))
        assert np.quantile(classifier.ood_score(strangers), 0.05) > np.quantile(classifier.ood_score(new[0]), 0.95)

    def test_planted_labels_are_found(self, classifier, new):
        X, y = new
        planted = np.random.default_rng(0).permutation(len(y))[:15]
        wrong = y.copy()
        wrong[planted] = [FEW[(FEW.index(mineral) + 2) % len(FEW)] for mineral in y[planted]]
        doubtful = np.argsort(-classifier.review(X, wrong))[:15]
        assert len(set(doubtful) & set(planted)) >= 14

    def test_a_label_that_was_never_met(self, classifier, new):
        with pytest.raises(DataError, match=r"y\[0\]: 'Clinopyroxen' was not met in fit.*did you mean 'Clinopyroxene'"):
            classifier.review(new[0].head(1), ["Clinopyroxen"])

    def test_entropy_has_two_parts(self, classifier, new):
        total, ambiguity, ignorance = classifier.entropy(new[0].assign(SiO2=np.nan, CaO=np.nan, MgO=np.nan))
        assert np.allclose(total, ambiguity + ignorance, atol=1e-9) and (ignorance >= 0).all()
        assert total.mean() > classifier.entropy(new[0]).total.mean()

    def test_a_threshold_keeps_the_wanted_share(self, classifier, new):
        X, _ = new
        kept = classifier.predict_proba(X).max(1) >= classifier.threshold_for(X, coverage=0.8)
        assert kept.mean() == pytest.approx(0.8, abs=0.01)


class TestFit:
    def test_large_papers_are_capped(self):
        X, y = rows(400, 0)
        papers = np.where(np.arange(400) < 300, "large", "small")
        face = MineralClassifier(cap=10, textbook=0, options=TrainOptions(epochs=1)).fit(X, y, papers)
        kept = face._capped(np.searchsorted(face.classes_, y), papers)
        counts = pd.Series(y[kept]).groupby(papers[kept]).value_counts()
        assert (counts == 10).all() and len(counts) == 2 * len(FEW) and (np.diff(kept) > 0).all()

    def test_textbook_analyses_teach_what_was_not_measured(self):
        """Olivine of one composition alone, and pyroxene; asked about olivine of any other."""
        X, y = rows(400, 0, ("Olivine", "Clinopyroxene"))
        narrow = (y == "Clinopyroxene") | (X["FeOt"] < X["FeOt"][y == "Olivine"].quantile(0.3))
        asked, truth = rows(300, 5, ("Olivine", "Clinopyroxene"))
        strange = {}
        for count in (0, 300):
            face = MineralClassifier(textbook=count, options=QUICK).fit(X[narrow], y[narrow])
            strange[count] = np.median(face.ood_score(asked[truth == "Olivine"]))
            assert face.score(asked, truth) > 0.9
        assert strange[300] < strange[0]

    def test_noisier_analyses_can_be_said_to_come(self):
        fitted = MineralClassifier(textbook=0, error=(0.05, 0.3), options=BRIEF).fit(*rows(60, 0))
        assert fitted.fit_.model.config["error"] == [0.05, 0.3]

    def test_one_class_is_refused(self):
        X, _ = rows(20, 0)
        with pytest.raises(DataError, match="y: one class"):
            MineralClassifier().fit(X, ["Olivine"] * 20)

    def test_another_number_of_labels(self):
        X, y = rows(20, 0)
        with pytest.raises(DataError, match="y: 19 rows; expected 20"):
            MineralClassifier().fit(X, y[:-1])

    def test_same_seed_same_answer(self):
        X, y = rows(120, 0)
        options = TrainOptions(epochs=3)
        one, again, other = (
            MineralClassifier(textbook=5, options=options, random_state=seed).fit(X, y).predict_proba(X)
            for seed in (0, 0, 1)
        )
        assert np.array_equal(one, again) and not np.array_equal(one, other)
