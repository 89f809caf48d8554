"""Augmentation: which concentrations generated spectra are given, whether they obey the physics, and what it brings.

`strategies` choose concentrations, `physics` refuses pairs, `networks` are the regression networks that learn from
them, `choice` picks a strategy by cross-validation, `experiment` compares arms fold by fold, and `similarity` holds
generated spectra against real ones. None of them knows what makes the spectra: that is a function of concentrations.
"""

from probspec.augmentation.choice import Choice, choose_strategy
from probspec.augmentation.experiment import Comparison, compare_arms
from probspec.augmentation.networks import NetworkOptions, Networks
from probspec.augmentation.physics import PhysicsCheck
from probspec.augmentation.similarity import Similarity, channel_statistics, nearest_neighbours
from probspec.augmentation.strategies import (
    STRATEGIES,
    AggregatePosterior,
    Empirical,
    Equalised,
    Interpolation,
    Loaded,
    Strategy,
    Uniform,
    strategy_of,
)

__all__ = [
    "STRATEGIES",
    "AggregatePosterior",
    "Choice",
    "Comparison",
    "Empirical",
    "Equalised",
    "Interpolation",
    "Loaded",
    "NetworkOptions",
    "Networks",
    "PhysicsCheck",
    "Similarity",
    "Strategy",
    "Uniform",
    "channel_statistics",
    "choose_strategy",
    "compare_arms",
    "nearest_neighbours",
    "strategy_of",
]
