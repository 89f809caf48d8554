"""Measured spectra in, posterior distributions out.

A `DataSpec` says what a set of spectra is, and `Spectra` are validated against it. A `Model` tells how they came about;
its guide, made from the supports of its `Priors`, inverts the story. `fit` trains the pair and returns a `Fit`, and
`posterior` draws from its guide: a `Posterior` answers questions about given spectra.

>>> import probspec as ps
>>> ps.load_spec("simulated_fusion").targets["abundance"].components
('quartz', 'albite', 'calcite', 'olivine', 'diopside', 'gypsum')
"""

from probspec import baselines, checks, fields, metrics, plots
from probspec.calibration import calibrate
from probspec.cross_validation import nested_cross_validate
from probspec.cubes import read_cube
from probspec.data.analyses import read_analyses
from probspec.data.spectra import Spectra, open_spectra
from probspec.distributions import LogisticNormal
from probspec.element_maps import classify_map
from probspec.errors import ProbspecError, ProbspecWarning
from probspec.estimators import (
    CompositionRegressor,
    MineralClassifier,
    MineralClusters,
    PoissonUnmixer,
    SpectralAugmenter,
    SpectralTransfer,
)
from probspec.fit import Fit, fit
from probspec.models.base import Model
from probspec.models.cvae import CVAE
from probspec.models.minerals import MineralBNN
from probspec.models.uvae import UVAE
from probspec.persist import load, save
from probspec.posterior import Posterior, posterior
from probspec.priors import Priors
from probspec.search import search
from probspec.simulate import simulate
from probspec.spec import DataSpec, list_specs, load_spec
from probspec.surrogates import Surrogate
from probspec.training.options import TrainOptions

__version__ = "0.1.0"

__all__ = [
    "CVAE",
    "CompositionRegressor",
    "DataSpec",
    "Fit",
    "LogisticNormal",
    "MineralBNN",
    "MineralClassifier",
    "MineralClusters",
    "Model",
    "PoissonUnmixer",
    "Posterior",
    "Priors",
    "ProbspecError",
    "ProbspecWarning",
    "Spectra",
    "SpectralAugmenter",
    "SpectralTransfer",
    "Surrogate",
    "TrainOptions",
    "UVAE",
    "__version__",
    "baselines",
    "calibrate",
    "checks",
    "classify_map",
    "fields",
    "fit",
    "list_specs",
    "load",
    "load_spec",
    "metrics",
    "nested_cross_validate",
    "open_spectra",
    "plots",
    "posterior",
    "read_analyses",
    "read_cube",
    "save",
    "search",
    "simulate",
]
