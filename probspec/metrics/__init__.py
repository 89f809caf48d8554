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
from probspec.metrics.transfer import (
    cluster_labels,
    compression_ratio,
    cosine_distances,
    euclidean_distances,
    k_score,
    mean_euclidean_distance,
    negative_cosine,
    relative_squared_error,
)
from probspec.metrics.unmixing import (
    amplitude_rmse,
    component_nmse,
    false_counts,
    median_count_error,
    parameter_error,
    proportion_error,
    relative_amplitude_error,
    relative_amplitude_rmse,
)

__all__ = [
    "FLOOR",
    "Selective",
    "accuracy",
    "amplitude_rmse",
    "calibration_table",
    "class_report",
    "cluster_labels",
    "component_nmse",
    "compression_ratio",
    "cosine_distances",
    "coverage",
    "euclidean_distances",
    "expected_calibration_error",
    "false_counts",
    "k_score",
    "mean_absolute_error",
    "mean_euclidean_distance",
    "mean_kl",
    "median_count_error",
    "negative_cosine",
    "negative_log_likelihood",
    "parameter_error",
    "proportion_error",
    "relative_amplitude_error",
    "relative_amplitude_rmse",
    "relative_squared_error",
    "selective_accuracy",
    "threshold_for",
]
