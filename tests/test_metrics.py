"""Figures of merit: closed forms, the clipping rule, and refusals."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import classification_report, log_loss

from probspec.errors import DataError
from probspec.metrics import (
    accuracy,
    calibration_table,
    class_report,
    coverage,
    expected_calibration_error,
    mean_absolute_error,
    mean_kl,
    negative_log_likelihood,
    selective_accuracy,
    threshold_for,
)

HALVES = np.array([[0.5, 0.5, 0.0]])


def test_kl_of_equal_compositions_is_zero_although_a_component_is_absent():
    assert mean_kl(HALVES, HALVES) == pytest.approx(0, abs=3e-6)


def test_kl_in_closed_form_and_averaged_over_samples():
    truth, predicted = [[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]
    first = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert mean_kl(truth, predicted) == pytest.approx((first + np.log(2)) / 2)


def test_kl_clips_at_the_floor_and_renormalises():
    expected = np.log(1.000001) - 0.5 * np.log(2e-6) - 0.5 * np.log(2)
    assert mean_kl([[0.5, 0.5]], [[1.0, 0.0]]) == pytest.approx(expected)
    assert mean_kl([[0.5, 0.5]], [[1.0, -3.0]]) == pytest.approx(expected)
    assert mean_kl([[0.5, 0.5]], [[3.0, 3.0]]) == pytest.approx(0)


def test_kl_is_of_truth_from_prediction_and_not_the_other_way():
    assert mean_kl([[0.9, 0.1]], [[0.5, 0.5]]) == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))


def test_absolute_error_averages_over_samples_and_components():
    assert mean_absolute_error([[0, 0], [1, 1]], [[1, 0], [1, 3]]) == pytest.approx(0.75)


def test_coverage_counts_the_ends_as_inside():
    truth = np.array([[0.1], [0.2], [0.5], [0.9]])
    assert coverage(truth, np.full((4, 1), 0.1), np.full((4, 1), 0.5)) == 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_kl(HALVES, HALVES[:, :2]), "shapes"),
        (lambda: mean_kl([[0.5, 0.2]], [[0.5, 0.5]]), "compositions"),
        (lambda: mean_kl([[1.5, -0.5]], [[0.5, 0.5]]), "compositions"),
        (lambda: mean_absolute_error([[np.nan]], [[1.0]]), "NaN"),
        (lambda: mean_absolute_error(np.zeros((0, 3)), np.zeros((0, 3))), "shapes"),
        (lambda: coverage(HALVES, HALVES + 0.1, HALVES - 0.1), "below lower"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, message):
    with pytest.raises(DataError, match=message):
        call()


CLASSES = np.array(["augite", "biotite", "quartz", "zircon"])


def guesses(count=500, seed=0):
    """Probabilities of four classes, a few of them 0, and truths that follow them loosely."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(4, 0.3), count)
    codes = np.array([rng.choice(4, p=0.8 * p + 0.05) for p in proba])
    return proba, codes


def test_scores_of_classes_are_scikit_learns():
    proba, codes = guesses()
    report = class_report(proba, CLASSES[codes], CLASSES)
    theirs = classification_report(codes, proba.argmax(1), target_names=list(CLASSES), output_dict=True)
    for name in CLASSES:
        ours = report.loc[name, ["precision", "recall", "F1", "n"]]
        np.testing.assert_allclose(ours, [theirs[name][k] for k in ("precision", "recall", "f1-score", "support")])
    assert accuracy(proba, codes) == pytest.approx(theirs["accuracy"])
    floored = proba.clip(1e-6) / proba.clip(1e-6).sum(1, keepdims=True)
    assert negative_log_likelihood(proba, codes) == pytest.approx(log_loss(codes, floored))


def test_likelihood_of_a_class_ruled_out_is_the_floor():
    assert negative_log_likelihood([[1.0, 0.0]], [1]) == pytest.approx(-np.log(1e-6 / (1 + 1e-6)))
    assert negative_log_likelihood([[1.0, 0.0]], [1], floor=1e-3) == pytest.approx(-np.log(1e-3 / 1.001))


def test_likelihood_of_the_classes_averages_to_that_of_all():
    proba, codes = guesses()
    report = class_report(proba, codes, range(4))
    assert np.average(report["NLL"], weights=report["n"]) == pytest.approx(negative_log_likelihood(proba, codes))


def test_calibration_error_bin_by_bin():
    proba, codes = guesses()
    confidence, right = proba.max(1), proba.argmax(1) == codes
    expected = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(proba, codes) == pytest.approx(expected)


def test_calibration_table_agrees_with_scikit_learns_curve():
    proba, codes = guesses()
    table = calibration_table(proba, codes, bins=10)
    theirs = calibration_curve(proba.argmax(1) == codes, proba.max(1), n_bins=10)
    np.testing.assert_allclose([table["accuracy"], table["confidence"]], theirs)
    assert table["n"].sum() == len(codes)
    assert ((table["lower"] < table["confidence"]) & (table["confidence"] <= table["upper"])).all()


def test_calibrated_probabilities_have_a_small_error_and_certain_lies_one_of_1():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 20_000)
    codes = (rng.random(20_000)[:, None] > proba.cumsum(1)).sum(1)
    assert expected_calibration_error(proba, codes) < 3 * np.sqrt(15 / 20_000)
    assert expected_calibration_error([[1.0, 0.0], [1.0, 0.0]], [1, 1]) == 1
    assert expected_calibration_error([[1.0, 0.0], [0.0, 1.0]], [0, 1]) == 0


def test_calibration_error_of_a_class_is_that_of_the_rows_named_so():
    proba, codes = guesses()
    named = proba.argmax(1) == 2
    report = class_report(proba, codes, range(4))
    assert report.loc[2, "ECE"] == pytest.approx(expected_calibration_error(proba[named], codes[named]))


def test_a_class_that_is_never_met_or_named_has_no_scores():
    report = class_report([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], ["a", "b"], ["a", "b", "c"])
    assert report.loc["c", "n"] == 0
    assert report.loc["c", ["precision", "recall", "F1", "NLL", "ECE"]].isna().all()


def test_selective_accuracy_sets_the_least_confident_aside_first():
    proba = np.array([[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.8, 0.2]])
    coverage_, accuracy_ = selective_accuracy(proba, [1, 0, 0, 1])
    np.testing.assert_allclose(coverage_, [0.25, 0.75, 1.0])  # the two of one confidence come together
    np.testing.assert_allclose(accuracy_, [1, 2 / 3, 0.5])


def test_selective_accuracy_ends_at_the_accuracy():
    proba, codes = guesses()
    curve = selective_accuracy(proba, codes)
    assert (curve.coverage[-1], curve.accuracy[-1]) == (1, accuracy(proba, codes))
    kept = proba.max(1) >= threshold_for(proba.max(1), 0.3)
    at = np.searchsorted(curve.coverage, kept.mean())
    assert curve.accuracy[at] == pytest.approx((proba.argmax(1) == codes)[kept].mean())


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 1.0])
def test_threshold_keeps_the_wanted_share_and_no_row_more(share):
    confidence = np.random.default_rng(0).permutation(np.arange(1, 1001) / 1000)
    assert np.sum(confidence >= threshold_for(confidence, share)) == round(1000 * share)


def test_threshold_among_ties_keeps_more():
    assert threshold_for([0.9, 0.9, 0.9, 0.5], 0.25) == 0.9
    assert threshold_for([0.9, 0.9, 0.9, 0.5], 0.8) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy([[0.5, 0.5]], [0, 1]), "proba and y: shapes"),
        (lambda: accuracy([[1.0]], [0]), "two classes or more"),
        (lambda: accuracy([[0.5, 0.6]], [0]), r"proba\[0\]"),
        (lambda: accuracy([[0.5, 0.5], [np.nan, 0.5]], [0, 1]), r"proba\[1\]"),
        (lambda: accuracy([[1.5, -0.5]], [0]), r"proba\[0\]"),
        (lambda: accuracy([[0.5, 0.5]], ["quarz"], ["quartz", "zircon"]), "did you mean 'quartz'"),
        (lambda: accuracy([[0.5, 0.5]], [2]), "2 has no column"),
        (lambda: accuracy([[0.5, 0.5]], ["a"], ["a"]), "classes: 1 names"),
        (lambda: expected_calibration_error([[0.5, 0.5]], [0], bins=0), "bins: got 0"),
        (lambda: threshold_for([0.5, np.nan], 0.5), "confidence"),
        (lambda: threshold_for([0.5], 0.0), "coverage: got 0"),
    ],
)
def test_bad_classes_are_refused_with_their_reason(call, message):
    with pytest.raises(DataError, match=message):
        call()
