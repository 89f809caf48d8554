"""Honest rivals of the models: plain methods whose settings are chosen by grouped cross-validation inside `fit`.

`PLS`, `KNN` and `Ridge` go from spectra to compositions; `GaussianDiscriminant` and `NeuralClassifier` from oxides to
the name of a mineral; those of `unmixing` from counts to amplitudes.
"""

from probspec.baselines import unmixing
from probspec.baselines.classification import Classifier
from probspec.baselines.discriminant import GaussianDiscriminant
from probspec.baselines.neural import NeuralClassifier
from probspec.baselines.regression import KNN, PLS, Baseline, Ridge

__all__ = ["Baseline", "Classifier", "GaussianDiscriminant", "KNN", "NeuralClassifier", "PLS", "Ridge", "unmixing"]
