"""scikit-learn faces: the models as estimators, for pipelines, cross-validation and who knows `fit` and `predict`.

The constructor stores, `fit` checks, results end in an underscore. What a face adds is only the translation between
arrays and `Spectra`; the model, its training and its posterior are those that everybody else uses.
"""

from probspec.estimators.arms import compare_augmentation
from probspec.estimators.augmenter import SpectralAugmenter
from probspec.estimators.baseline_correction import BaselineCorrection
from probspec.estimators.clusters import MineralClusters
from probspec.estimators.composition import CompositionRegressor, learnt_prior
from probspec.estimators.minerals import MineralClassifier
from probspec.estimators.preprocessing import ReversibleScaler, SlidingMinimumBaseline
from probspec.estimators.transfer import SpectralTransfer
from probspec.estimators.unmixing import PoissonUnmixer
from probspec.nets.neighbours import EmbeddingOptions

__all__ = [
    "BaselineCorrection",
    "CompositionRegressor",
    "EmbeddingOptions",
    "MineralClassifier",
    "MineralClusters",
    "PoissonUnmixer",
    "ReversibleScaler",
    "SlidingMinimumBaseline",
    "SpectralAugmenter",
    "SpectralTransfer",
    "compare_augmentation",
    "learnt_prior",
]
