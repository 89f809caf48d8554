"""Honest rivals of the models: plain methods whose settings are chosen by grouped cross-validation inside `fit`.

`PLS`, `KNN` and `Ridge` go from spectra to compositions; `GaussianDiscriminant` and `NeuralClassifier` from oxides to
the name of a mineral; `DirectStandardisation` and the `...Transfer` ones from spectra of one
instrument to another's; those of `unmixing` from counts to amplitudes.
"""

from probspec.baselines import unmixing
from probspec.baselines.classification import Classifier
from probspec.baselines.discriminant import GaussianDiscriminant
from probspec.baselines.neural import NeuralClassifier
from probspec.baselines.regression import KNN, PLS, Baseline, Ridge
from probspec.baselines.transfer import (
    DirectStandardisation,
    KNNTransfer,
    MLPTransfer,
    PCRTransfer,
    PiecewiseDirectStandardisation,
    PLSTransfer,
    RidgeTransfer,
    TransferBaseline,
)

__all__ = [
    "Baseline",
    "Classifier",
    "DirectStandardisation",
    "GaussianDiscriminant",
    "KNN",
    "KNNTransfer",
    "MLPTransfer",
    "NeuralClassifier",
    "PCRTransfer",
    "PLS",
    "PLSTransfer",
    "PiecewiseDirectStandardisation",
    "Ridge",
    "RidgeTransfer",
    "TransferBaseline",
    "unmixing",
]
