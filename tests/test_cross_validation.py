"""Nested cross-validation: no group on both sides, leaks exposed, settings chosen inside, absent classes counted."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from probspec.baselines import GaussianDiscriminant
from probspec.cross_validation import nested_cross_validate
from probspec.errors import DataError, ProbspecWarning
from probspec.folds import INDEPENDENT, check_groups, fixed_folds, grouped_folds
from probspec.metrics import accuracy, negative_log_likelihood


class Recorder:
    """Knows nothing and writes down who was shown to it: column 0 of X is the number of the row."""

    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def __init__(self, sureness=0.5):
        self.sureness = sureness

    def fit(self, X, y, groups=None):
        self.classes_, self.rows, self.groups = np.unique(y), X[:, 0].astype(int), groups
        return self

    def predict_proba(self, X):
        Recorder.seen.append((self.rows, X[:, 0].astype(int)))
        proba = np.full((len(X), len(self.classes_)), (1 - self.sureness) / (len(self.classes_) - 1))
        proba[:, 0] = self.sureness
        return proba


def papers(count=300, sources=15, classes=3, seed=0):
    """Rows whose class depends on the paper alone, and whose features tell the paper: nothing can be learnt."""
    rng = np.random.default_rng(seed)
    source = rng.integers(0, sources, count)
    y = np.array(["augite", "biotite", "quartz"])[rng.permutation(np.arange(sources) % classes)[source]]
    return rng.normal(0, 1, (sources, 4))[source] + 1e-3 * rng.standard_normal((count, 4)), y, source


def numbered(count=120, sources=12):
    rng = np.random.default_rng(0)
    X = np.c_[np.arange(count), rng.random(count)]
    return X, np.array(["a", "b"])[rng.integers(0, 2, count)], rng.integers(0, sources, count)


def test_no_group_is_ever_on_both_sides():
    X, y, source = numbered()
    Recorder.seen = []
    scores = nested_cross_validate(Recorder, X, y, source, grid={"sureness": [0.5, 0.6]}, outer=4, inner=3)
    assert len(Recorder.seen) == 4 * (2 * 3 + 1)
    for train, test in Recorder.seen:
        assert not set(source[train]) & set(source[test])
    for number in range(4):
        *inside, (outer_train, outer_test) = Recorder.seen[7 * number : 7 * number + 7]
        assert set(outer_train) | set(outer_test) == set(range(120))
        np.testing.assert_array_equal(np.sort(outer_test), np.flatnonzero(scores.folds == number))
        for train, test in inside:  # settings are chosen without the rows that score
            assert not (set(train) | set(test)) & set(outer_test)


def test_groups_expose_a_classifier_that_remembers_papers():
    X, y, source = papers()

    def nearest():
        return KNeighborsClassifier(1)

    leaking = nested_cross_validate(nearest, X, y, INDEPENDENT)
    honest = nested_cross_validate(nearest, X, y, source)
    assert leaking.summary.loc["accuracy", "all rows"] == 1
    assert honest.summary.loc["accuracy", "all rows"] < 0.6


def test_settings_are_those_of_the_lowest_loss_inside_each_fold():
    X, y, source = numbered()
    share = np.mean(y == "a")
    grid = {"sureness": [0.01, 0.3, round(float(share), 2), 0.99]}
    table = nested_cross_validate(Recorder, X, y, source, grid=grid, outer=3).table
    assert set(table["sureness"]) == {grid["sureness"][2]}


def test_a_single_candidate_needs_no_inner_folds():
    X, y, source = numbered()
    Recorder.seen = []
    nested_cross_validate(Recorder, X, y, source, outer=3)
    assert len(Recorder.seen) == 3


def test_table_and_confusion_agree_with_the_probabilities():
    X, y, source = papers()
    scores = nested_cross_validate(lambda **s: DecisionTreeClassifier(random_state=0, **s), X, y, source,
                                   grid={"max_depth": [1, 2]}, outer=3)  # fmt: skip
    assert list(scores.table.columns) == ["n", "accuracy", "precision", "recall", "F1", "NLL", "ECE", "max_depth"]
    assert scores.table.index.names == ["fold", "class"]
    for fold in range(3):
        rows = scores.folds == fold
        whole = scores.table.loc[(fold, "all")]
        assert whole["n"] == rows.sum()
        assert whole["accuracy"] == pytest.approx(accuracy(scores.proba[rows], y[rows], scores.classes))
        assert whole["NLL"] == pytest.approx(negative_log_likelihood(scores.proba[rows], y[rows], scores.classes))
        quartz = rows & (y == "quartz")
        right = scores.classes[scores.proba[quartz].argmax(1)] == "quartz"
        assert scores.table.loc[(fold, "quartz"), "accuracy"] == pytest.approx(right.mean())
        assert scores.table.loc[(fold, "quartz"), "n"] == quartz.sum()
    assert scores.confusion.to_numpy().sum() == 300
    named = scores.classes[scores.proba.argmax(1)]
    assert scores.confusion.loc["quartz", "augite"] == np.sum((y == "quartz") & (named == "augite"))
    np.testing.assert_allclose(scores.proba.sum(1), 1)


def test_same_seed_same_folds_and_another_seed_others():
    X, y, source = numbered()
    first, second, third = (nested_cross_validate(Recorder, X, y, source, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.folds, second.folds)
    assert (first.folds != third.folds).any()


def test_global_generators_are_left_alone(untouched_generators):
    X, y, source = papers(90)
    nested_cross_validate(lambda: GaussianDiscriminant([1], [1e-2]), X, y, source, outer=2)


def test_classes_absent_from_training_are_named_and_cost_the_floor():
    X, y, source = numbered()
    y = np.where(source == 5, "zircon", y)
    with pytest.warns(ProbspecWarning, match=r"fold \d: no row of zircon to learn from"):
        scores = nested_cross_validate(Recorder, X, y, source, outer=3)
    (fold,) = np.unique(scores.folds[source == 5])
    assert (scores.proba[source == 5, 2] == 0).all()
    assert scores.table.loc[(fold, "zircon"), "NLL"] == pytest.approx(-np.log(1e-6), abs=1e-5)
    assert scores.table.loc[(fold, "zircon"), "accuracy"] == 0


def test_fixed_folds_are_kept_with_their_numbers():
    X, y, source = numbered()
    folds = np.array([4, 7, 9])[source % 3]
    scores = nested_cross_validate(Recorder, X, y, source, folds=folds)
    np.testing.assert_array_equal(scores.folds, folds)
    assert list(scores.table.index.unique("fold")) == [4, 7, 9]


def test_data_frames_reach_the_classifier_as_such():
    X, y, source = papers()
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(300)[::-1])
    scores = nested_cross_validate(lambda: DecisionTreeClassifier(random_state=0), frame, y, source, outer=3)
    plain = nested_cross_validate(lambda: DecisionTreeClassifier(random_state=0), X, y, source, outer=3)
    np.testing.assert_array_equal(scores.proba, plain.proba)


def test_scores_describe_themselves_shortly():
    X, y, source = numbered()
    scores = nested_cross_validate(Recorder, X, y, source, outer=3)
    assert len(repr(scores)) < 80
    assert "accuracy" in str(scores)
    assert "<table" in scores._repr_html_()
    with pytest.raises(AttributeError):
        scores.folds = None


def test_folds_of_rows_without_groups_hold_every_row_once():
    y = np.repeat(["a", "b"], [90, 10])
    splits = grouped_folds(y, check_groups(INDEPENDENT, 100), 5, seed=0)
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(100))
    assert [np.sum(y[test] == "b") for _, test in splits] == [2] * 5


def test_rare_classes_raise_no_warning_of_scikit_learns():
    y = np.array(["a"] * 50 + ["b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grouped_folds(y, np.arange(51), 3, seed=0)
        grouped_folds(y, np.arange(51) // 5, 3, seed=0)


def test_bad_input_is_refused_with_its_reason():
    X, y, source = numbered()
    torn = source % 3
    torn[0] = (torn[0] + 1) % 3
    other = np.flatnonzero(source == source[0])[1]
    refusals = {
        "groups: none given; rows of one source.*memory.*groups='rows are independent'": {"groups": None},
        "groups: got 'no'": {"groups": "no"},
        "groups: shape": {"groups": source[:4]},
        r"groups\[2\]: no group": {"groups": np.where(np.arange(120) == 2, np.nan, source)},
        "groups: 2 groups.*folds: 5": {"groups": source % 2},
        "cut into folds: 1.*two folds or more": {"outer": 1},
        f"folds: rows 0 and {other} are of one group": {"folds": torn},
        "folds: float64": {"folds": source % 3 / 2},
        r"grid\['sureness'\]": {"grid": {"sureness": 0.5}},
        r"grid\['kind'\]": {"grid": {"kind": "quadratic"}},
    }
    for message, arguments in refusals.items():
        with pytest.raises(DataError, match=message):
            nested_cross_validate(Recorder, X, y, **({"groups": source} | arguments))
    with pytest.raises(DataError, match="y: shape"):
        nested_cross_validate(Recorder, X, y[:3], source)
    with pytest.raises(DataError, match="folds: int64"):
        fixed_folds(np.zeros(120, int), source)
