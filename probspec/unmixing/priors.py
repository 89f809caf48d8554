"""What is believed of a mixture before its counts are seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from probspec.errors import PriorError, explain, known
from probspec.mixtures import BACKGROUND, Mixture
from probspec.priors import Priors
from probspec.unmixing.laws import AsTaught, Shared


@dataclass(frozen=True)
class UnmixingPriors:
    """Laws of the amplitudes and of the parameters of one spectrum.

    Parameters
    ----------
    presence : float, or mapping of component -> float
        Probability that a component is present; the background always is, unless it is named.
    concentration : float
        Of the Dirichlet law of the shares that the components which are present have in the counts: at 1 all shares
        are equally probable, below 1 one component tends to make most. The total is exponential about what was counted.
    share : mapping of component -> (float, float)
        Mean and standard deviation of the share that a component makes of all counts where others are present, too;
        for components that always are, such as the background. What `learnt_share` finds in other spectra.
    parameters : mapping of parameter -> Pyro distribution
        Laws of parameters, by their names in the mixture ("thickness", "thermal.kT"), in their units, cut to the taught
        range. By default a parameter is as probable as it was taught often: examples on a logarithmic grid make a
        logarithmic law.

    Raises
    ------
    PriorError
        If a probability lies outside 0 to 1, the concentration is not positive, or a law is none.

    Examples
    --------
    >>> import pyro.distributions as dist
    >>> UnmixingPriors(presence={"Co60": 0.1}, parameters={"thickness": dist.LogNormal(0.0, 1.0)})
    UnmixingPriors(presence={'Co60': 0.1}, concentration=1.0, share={}, parameters={'thickness': LogNormal()})
    """

    presence: float | Mapping[str, float] = 0.6
    concentration: float = 1.0
    share: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    parameters: Mapping[str, TorchDistribution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.presence.items() if isinstance(self.presence, Mapping) else [("", self.presence)]
        for name, value in given:
            if not 0 <= value <= 1:
                where = f"presence[{name!r}]" if name else "presence"
                raise PriorError(explain(where, f"{value}", expected="a probability"))
        Priors(dict(self.parameters))  # refuses what is no law
        if not self.concentration > 0:
            raise PriorError(explain("concentration", f"{self.concentration}", expected="a positive number"))

    def presences(self, mixture: Mixture) -> Tensor:
        """Probability of presence of each component, (component,).

        Raises
        ------
        PriorError
            If a component is not known.
        """
        default = 0.6 if isinstance(self.presence, Mapping) else self.presence
        chance = {name: 1.0 if name == BACKGROUND else default for name in mixture.names}
        for name, value in self.presence.items() if isinstance(self.presence, Mapping) else ():
            if name not in chance:
                raise PriorError(explain(f"presence[{name!r}]", known(name, mixture.names)))
            chance[name] = value
        return torch.tensor([chance[name] for name in mixture.names], dtype=torch.float64)

    def share_directions(self, mixture: Mixture) -> Tensor:
        """Directions (direction, component) in which amplitudes are held: a share's deviation, in sd, of unit counts.

        Raises
        ------
        PriorError
            If a component is not known, or a standard deviation is not positive.
        """
        rows = []
        for name, (mean, sd) in self.share.items():
            if name not in mixture.names or not sd > 0:
                problem = known(name, mixture.names) if name not in mixture.names else f"({mean}, {sd})"
                raise PriorError(
                    explain(f"share[{name!r}]", problem, expected="mean and standard deviation of a share")
                )
            row = torch.full((len(mixture.names),), -mean / sd, dtype=torch.float64)
            row[mixture.names.index(name)] += 1 / sd
            rows.append(row)
        return torch.stack(rows) if rows else torch.zeros(0, len(mixture.names), dtype=torch.float64)

    def amplitude_law(self, present: Tensor, total: Tensor, held: Tensor) -> Shared:
        """Law of the amplitudes of which some are present : (..., component), given the usual total : (...).

        `held` are the `share_directions`.
        """
        return Shared(present, total, self.concentration, held)

    def parameter_laws(self, mixture: Mixture) -> dict[str, TorchDistribution]:
        """Law of each parameter, by name, in the order of the mixture.

        Raises
        ------
        PriorError
            If a parameter is not known.
        """
        for name in self.parameters:
            if name not in mixture.parameter_names:
                raise PriorError(explain(f"parameters[{name!r}]", known(name, mixture.parameter_names)))
        taught = zip(mixture.parameter_names, mixture.taught.unbind(-1), strict=True)
        return {name: self.parameters.get(name) or AsTaught(quantiles) for name, quantiles in taught}
