"""How far predictions are from the truth: the figures that tables of methods compare."""

from probspec.metrics.classes import (
    Selective,
    accuracy,
    calibration_table,
    class_report,
    expected_calibration_error,
    negative_log_likelihood,
    selective_accuracy,
    threshold_for,
)
from probspec.metrics.compositions import FLOOR, coverage, mean_absolute_error, mean_kl

__all__ = [
    "FLOOR",
    "Selective",
    "accuracy",
    "calibration_table",
    "class_report",
    "coverage",
    "expected_calibration_error",
    "mean_absolute_error",
    "mean_kl",
    "negative_log_likelihood",
    "selective_accuracy",
    "threshold_for",
]
