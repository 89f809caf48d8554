"""Strategies by name."""

from __future__ import annotations

from collections.abc import Mapping

from probspec.augmentation.concentrations import Empirical, Equalised, Interpolation, Loaded, Uniform
from probspec.augmentation.latents import AggregatePosterior, FlowPrior, UniformLatent
from probspec.augmentation.strategy import Strategy
from probspec.errors import DataError, explain, known

_ALL = (
    Loaded(),
    Uniform(),
    Interpolation(),
    Equalised(),
    Empirical(),
    AggregatePosterior(),
    FlowPrior(),
    UniformLatent(),
)

STRATEGIES: Mapping[str, Strategy] = {strategy.name: strategy for strategy in _ALL}
"""Strategies by name, in their default settings; earlier ones are preferred where cross-validation cannot tell."""


def strategy_of(given: str | Strategy) -> Strategy:
    """Look a strategy up by its name; an object is its own.

    Raises
    ------
    DataError
        If there is no such name.

    Examples
    --------
    >>> strategy_of("uniform")
    Uniform(margin=0.0)
    """
    if isinstance(given, Strategy):
        return given
    if not isinstance(given, str) or given not in STRATEGIES:
        fix = 'take one of these, "auto", or an object such as Uniform(margin=0.1)'
        raise DataError(explain(f"strategy={given!r}", known(str(given), STRATEGIES), fix=fix))
    return STRATEGIES[given]
