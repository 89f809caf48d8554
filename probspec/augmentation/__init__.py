"""Augmentation: which concentrations generated spectra are given, whether they obey the physics, and what it brings.

`concentrations` and `latents` hold strategies, which `strategies` names: they draw what spectra are made of. `physics`
refuses pairs, `networks` are the regression networks that learn from them, `choice` picks a strategy by
cross-validation, `experiment` compares arms fold by fold, and `similarity` holds generated spectra against real ones.
None of them knows what makes the spectra.
"""

from probspec.augmentation.choice import Choice, choose_strategy
from probspec.augmentation.concentrations import (
    Empirical,
    Equalised,
    Interpolation,
    Loaded,
    Uniform,
    dependent_ion,
)
from probspec.augmentation.experiment import Comparison, compare_arms
from probspec.augmentation.latents import AggregatePosterior, FlowPrior, UniformLatent
from probspec.augmentation.networks import NetworkOptions, Networks
from probspec.augmentation.physics import PhysicsCheck
from probspec.augmentation.similarity import Similarity, channel_statistics, nearest_neighbours
from probspec.augmentation.strategies import STRATEGIES, strategy_of
from probspec.augmentation.strategy import Sampler, Strategy, TrainingPairs

__all__ = [
    "STRATEGIES",
    "AggregatePosterior",
    "Choice",
    "Comparison",
    "Empirical",
    "Equalised",
    "FlowPrior",
    "Interpolation",
    "Loaded",
    "NetworkOptions",
    "Networks",
    "PhysicsCheck",
    "Sampler",
    "Similarity",
    "Strategy",
    "TrainingPairs",
    "Uniform",
    "UniformLatent",
    "channel_statistics",
    "choose_strategy",
    "compare_arms",
    "dependent_ion",
    "nearest_neighbours",
    "strategy_of",
]
