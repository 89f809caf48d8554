"""What is believed about each latent quantity before a spectrum is seen.

`Priors` maps the names of a model's latent sites to laws, and cannot be changed: `replace` makes a new set, and a
misspelt name is an error. A law is a Pyro distribution, or a callable of the sites drawn before it. Laws are stored
as plain tables, ``{"law": "Dirichlet", "concentration": 1.0}``, in data specs and in saved fits alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import Distribution, Transform

from probspec.errors import PriorError, explain, known
from probspec.laws import decode_law, encode_law
from probspec.spec import Target

MOST_SHOWN = 4
"""Laws that `repr` shows; of more, the first two and the last."""

Law = TorchDistribution | Callable[[Mapping[str, Tensor]], TorchDistribution]


class Priors(Mapping[str, Law]):
    """Immutable mapping of site name to law.

    Parameters
    ----------
    laws : mapping of site -> law
        A law is a Pyro distribution, or a callable that takes the values of earlier sites and returns one.

    Raises
    ------
    PriorError
        Something is not a law.

    Examples
    --------
    >>> import pyro.distributions as dist
    >>> priors = Priors({"abundance": dist.Dirichlet(torch.ones(3))})
    >>> priors.replace(abundance=dist.Dirichlet(torch.full((3,), 0.3)))
    Priors(abundance=Dirichlet)
    >>> priors.replace(abundence=dist.Dirichlet(torch.ones(3)))
    Traceback (most recent call last):
    probspec.errors.PriorError: priors: no site 'abundence'; did you mean 'abundance'? Known: abundance.
    """

    def __init__(self, laws: Mapping[str, Law]):
        self._laws = {name: _checked(name, law) for name, law in laws.items()}

    def __getitem__(self, name: str) -> Law:
        return self._laws[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._laws)

    def __len__(self) -> int:
        return len(self._laws)

    def __repr__(self) -> str:
        words = [f"{name}={_word(law)}" for name, law in self.items()]
        shown = words if len(words) <= MOST_SHOWN else [*words[:2], "...", words[-1]]
        return f"Priors({', '.join(shown)})"

    def replace(self, **laws: Law) -> Priors:
        """Return priors in which some laws are others.

        Raises
        ------
        PriorError
            A name is not among these priors.
        """
        for name in laws:
            self._require(name)
        return Priors({**self._laws, **laws})

    def law(self, name: str, earlier: Mapping[str, Tensor] | None = None) -> TorchDistribution:
        """Return the distribution of a site.

        Parameters
        ----------
        name : str
            Site.
        earlier : mapping of site -> Tensor, optional
            Values of the sites before it, for laws that are callables.

        Raises
        ------
        PriorError
            No such site, or a callable did not return a distribution.
        """
        self._require(name)
        law = self._laws[name]
        return law if isinstance(law, TorchDistributionMixin) else _called(name, law, earlier or {})

    def map(self, f: Callable[[Tensor], Tensor]) -> Priors:
        """Apply `f` to every tensor of every law, as ``Module._apply`` does to move a model to another device."""
        return Priors({name: _mapped(law, f) for name, law in self.items()})

    def to_config(self) -> dict[str, dict[str, Any]]:
        """Write the laws as tables of plain JSON values.

        Raises
        ------
        PriorError
            A law is a callable, or a distribution that has no table.
        """
        return {name: _stored(name, law) for name, law in self.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int] | None = None) -> Priors:
        """Read tables of laws.

        Parameters
        ----------
        config : mapping of site -> law table
        sizes : mapping of site -> int, optional
            Numbers of components, over which scalars are repeated.

        Raises
        ------
        PriorError
            A table is not one of a law, or contradicts its size.
        """
        sizes = sizes or {}
        return cls({name: decode_law(table, sizes.get(name), f"priors[{name!r}]") for name, table in config.items()})

    def _require(self, name: str) -> None:
        if name not in self._laws:
            raise PriorError(explain("priors", f"no site {name!r}; {known(name, self)}"))


def _checked(name: str, law: Law) -> Law:
    where = f"priors[{name!r}]"
    if isinstance(law, type):
        raise PriorError(explain(where, f"{law.__name__} is a class, not a law", fix=f"write {law.__name__}(...)"))
    if isinstance(law, Distribution) and not isinstance(law, TorchDistributionMixin):
        fix = f"take {type(law).__name__} from pyro.distributions"
        raise PriorError(explain(where, "torch's own distribution cannot be a Pyro site", fix=fix))
    if not callable(law):  # Pyro's distributions are callable as well
        expected = "a Pyro distribution, or a callable of the earlier sites"
        raise PriorError(explain(where, f"{type(law).__name__} is not a law", expected=expected))
    return law


def _called(
    name: str, law: Callable[[Mapping[str, Tensor]], TorchDistribution], earlier: Mapping[str, Tensor]
) -> TorchDistribution:
    where = f"priors[{name!r}]"
    try:
        made = law(earlier)
    except KeyError as error:
        problem = f"the callable asks for site {error}, which is not drawn before it"
        raise PriorError(explain(where, f"{problem}; {known(error.args[0], earlier)}")) from None
    if not isinstance(made, TorchDistributionMixin):
        problem = f"the callable returned {type(made).__name__}"
        raise PriorError(explain(where, problem, expected="a Pyro distribution"))
    return made


def _stored(name: str, law: Law) -> dict[str, Any]:
    if not isinstance(law, TorchDistributionMixin):
        fix = "write it as a distribution, or as a site of the model"
        raise PriorError(explain(f"priors[{name!r}]", "a callable cannot be stored", fix=fix))
    return encode_law(law, f"priors[{name!r}]")


def _word(law: Law) -> str:
    inner = law
    while isinstance(inner, torch.distributions.Independent):
        inner = inner.base_dist
    return type(inner).__name__ if isinstance(law, TorchDistributionMixin) else "callable"


def _mapped(part: Any, f: Callable[[Tensor], Tensor]) -> Any:
    """Copy of a law whose tensors went through `f`, whatever the law is made of."""
    if isinstance(part, Tensor):
        return f(part)
    if isinstance(part, list | tuple) and not isinstance(part, torch.Size):
        return type(part)(_mapped(item, f) for item in part)
    if not isinstance(part, Distribution | Transform):
        return part
    clone = copy(part)
    if isinstance(clone, Transform):  # its inverse points back to it, and would be followed without end
        clone._inv, clone._cached_x_y = None, (None, None)
    clone.__dict__.update({name: _mapped(value, f) for name, value in vars(clone).items()})
    return clone


def flat(target: Target) -> TorchDistribution:
    """Law that says least of a target on its support."""
    size = len(target.components)
    if target.support == "simplex":
        return dist.Dirichlet(torch.ones(size))
    if target.support == "unit_interval":
        return dist.Uniform(torch.zeros(size), 1.0).to_event(1)
    if target.support == "positive":
        return dist.HalfCauchy(torch.ones(size)).to_event(1)
    return dist.StudentT(3.0, torch.zeros(size), 10.0).to_event(1)
