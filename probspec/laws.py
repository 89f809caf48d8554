"""Laws as plain tables: ``{"law": "Dirichlet", "concentration": 1.0}``, in TOML and in JSON.

Only the laws listed here are read, so that a file can name a distribution but never run code. A scalar parameter
stands for every component of its site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Transform, transforms

from probspec.distributions import LogisticNormal, LogUniform
from probspec.errors import PriorError, explain, known
from probspec.supports import SmoothedSimplex


def encode_law(law: TorchDistribution, where: str = "law") -> dict[str, Any]:
    """Write a distribution as a table of plain JSON values.

    Raises
    ------
    PriorError
        The distribution, or a part of it, has no table.

    Examples
    --------
    >>> encode_law(dist.LogNormal(0.0, 0.5))
    {'law': 'LogNormal', 'loc': 0.0, 'scale': 0.5}
    """
    return _write("law", _LAWS, law, where)


def decode_law(table: Mapping[str, Any], size: int | None = None, where: str = "law") -> TorchDistribution:
    """Read a distribution from its table.

    Parameters
    ----------
    table : mapping
        ``law`` names the distribution, the rest its parameters: numbers or nested lists.
    size : int, optional
        Number of components of the site; scalars are repeated, and laws of one number become independent ones.
    where : str
        Named in errors.

    Raises
    ------
    PriorError
        Unknown law, missing or unknown parameter, value out of range, or not of `size` components.

    Examples
    --------
    >>> decode_law({"law": "Dirichlet", "concentration": 0.3}, size=3)
    Dirichlet(concentration: torch.Size([3]))
    """
    law = _read("law", _LAWS, table, size, where)
    components = law.probs.shape if isinstance(law, dist.Categorical) else law.event_shape
    if size is not None and tuple(components) != (size,):
        raise PriorError(explain(where, f"values of shape {tuple(components)}", expected=f"{size} components"))
    return law


def _write(key: str, kinds: Mapping[str, _Kind], thing: object, where: str) -> dict[str, Any]:
    name = type(thing).__name__
    kind = kinds.get(name)
    if kind is None or type(thing) is not kind.type:
        raise PriorError(explain(where, f"{name} has no table; {known(name, kinds)}"))
    values = {part: codec.write(getattr(thing, codec.attribute or part)) for part, codec in kind.parts.items()}
    return {key: name, **{part: value for part, value in values.items() if value is not None}}


def _read(key: str, kinds: Mapping[str, _Kind], table: Mapping[str, Any], size: int | None, where: str) -> Any:
    name = table.get(key) if isinstance(table, Mapping) else None
    if not isinstance(name, str) or name not in kinds:
        raise PriorError(explain(where, f"no {key} {name!r}; {known(str(name), kinds)}"))
    kind, where = kinds[name], f"{where}, {name}"
    values = {part: value for part, value in table.items() if part != key}
    _require(values, kind, where)
    try:
        return kind.made({part: kind.parts[part].read(value, size, where) for part, value in values.items()}, size)
    except PriorError as error:
        raise error if str(error).startswith(where) else PriorError(f"{where}: {error}") from None
    except (ValueError, TypeError, RuntimeError) as error:
        raise PriorError(explain(where, str(error).splitlines()[0])) from None


def _require(values: Mapping[str, Any], kind: _Kind, where: str) -> None:
    unknown = [part for part in values if part not in kind.parts]
    missing = [part for part in kind.parts if part not in values and part not in kind.optional]
    if unknown or missing:
        problem = f"no parameter {unknown[0]!r}" if unknown else f"parameter {missing[0]!r} is missing"
        raise PriorError(explain(where, f"{problem}; {known((unknown or missing)[0], kind.parts)}"))


@dataclass(frozen=True)
class _Codec:
    """How one parameter is written and read; `attribute` is its name in the distribution, if another."""

    write: Callable[[Any], Any]
    read: Callable[[Any, int | None, str], Any]
    attribute: str = ""


@dataclass(frozen=True)
class _Kind:
    """A law or transform, its parameters, how to make it; of `single` numbers a site takes independent ones."""

    type: Any
    parts: Mapping[str, _Codec]
    make: Callable[..., Any] | None = None
    single: bool = False
    optional: tuple[str, ...] = ()

    def made(self, values: dict[str, Any], size: int | None) -> Any:
        law = (self.make or self.type)(**values)
        return law.to_event(1) if self.single and size is not None else law


def _plain(value: Any) -> Any:
    return value.detach().cpu().tolist() if isinstance(value, Tensor) else value


def _numbers(value: Any, size: int | None, where: str) -> Tensor:
    try:
        tensor = torch.tensor(value, dtype=torch.get_default_dtype())
    except (ValueError, TypeError, RuntimeError):
        raise PriorError(explain(where, f"{value!r}", expected="a number or a list of numbers")) from None
    if size is None or tensor.shape == (size,):
        return tensor
    if tensor.ndim:
        raise PriorError(explain(where, f"{tuple(tensor.shape)} numbers", expected=f"{size}, or one for all"))
    return tensor.expand(size).clone()


_VECTOR = _Codec(_plain, _numbers)
_MATRIX = _Codec(_plain, lambda value, size, where: _numbers(value, None, where))
_FACTOR = _Codec(lambda value: _plain(value) if value.numel() else None, _MATRIX.read)
_PLAIN = _Codec(_plain, lambda value, size, where: torch.tensor(value) if isinstance(value, list) else value)


def _part(attribute: str) -> _Codec:
    return _Codec(encode_law, lambda value, size, where: decode_law(value, None, where), attribute)


def _steps(value: Iterable[Mapping[str, Any]], size: int | None, where: str) -> list[Transform]:
    return [_read("transform", _TRANSFORMS, table, None, where) for table in value]


def _single(kind: Any, *parts: str) -> _Kind:
    return _Kind(kind, dict.fromkeys(parts, _VECTOR), single=True)


def _vector(kind: Any, *parts: str) -> _Kind:
    return _Kind(kind, dict.fromkeys(parts, _VECTOR))


_LAWS: dict[str, _Kind] = {
    "Bernoulli": _single(dist.Bernoulli, "probs"),
    "Beta": _single(dist.Beta, "concentration1", "concentration0"),
    "Categorical": _vector(dist.Categorical, "probs"),
    "Cauchy": _single(dist.Cauchy, "loc", "scale"),
    "Dirichlet": _vector(dist.Dirichlet, "concentration"),
    "Exponential": _single(dist.Exponential, "rate"),
    "Gamma": _single(dist.Gamma, "concentration", "rate"),
    "Gumbel": _single(dist.Gumbel, "loc", "scale"),
    "HalfCauchy": _single(dist.HalfCauchy, "scale"),
    "HalfNormal": _single(dist.HalfNormal, "scale"),
    "Independent": _Kind(
        dist.Independent,
        {"base": _part("base_dist"), "dims": _Codec(_plain, _PLAIN.read, "reinterpreted_batch_ndims")},
        lambda base, dims: base.to_event(dims),
    ),
    "InverseGamma": _single(dist.InverseGamma, "concentration", "rate"),
    "Laplace": _single(dist.Laplace, "loc", "scale"),
    "LogisticNormal": _Kind(
        LogisticNormal, {"loc": _VECTOR, "scale": _VECTOR, "factor": _FACTOR}, optional=("factor",)
    ),
    "LogNormal": _single(dist.LogNormal, "loc", "scale"),
    "LogUniform": _single(LogUniform, "low", "high"),
    "LowRankMultivariateNormal": _Kind(
        dist.LowRankMultivariateNormal, {"loc": _VECTOR, "cov_factor": _MATRIX, "cov_diag": _VECTOR}
    ),
    "MixtureSameFamily": _Kind(
        dist.MixtureSameFamily,
        {"mixing": _part("mixture_distribution"), "components": _part("component_distribution")},
        lambda mixing, components: dist.MixtureSameFamily(mixing, components),
    ),
    "MultivariateNormal": _Kind(dist.MultivariateNormal, {"loc": _VECTOR, "scale_tril": _MATRIX}),
    "Normal": _single(dist.Normal, "loc", "scale"),
    "OneHotCategorical": _vector(dist.OneHotCategorical, "probs"),
    "Poisson": _single(dist.Poisson, "rate"),
    "StudentT": _single(dist.StudentT, "df", "loc", "scale"),
    "TransformedDistribution": _Kind(
        dist.TransformedDistribution,
        {
            "base": _part("base_dist"),
            "transforms": _Codec(lambda steps: [_write("transform", _TRANSFORMS, t, "law") for t in steps], _steps),
        },
        lambda base, transforms: dist.TransformedDistribution(base, transforms),
    ),
    "Uniform": _single(dist.Uniform, "low", "high"),
    "Weibull": _single(dist.Weibull, "scale", "concentration"),
}
_TRANSFORMS: dict[str, _Kind] = {
    "AffineTransform": _Kind(transforms.AffineTransform, {"loc": _PLAIN, "scale": _PLAIN}),
    "ExpTransform": _Kind(transforms.ExpTransform, {}),
    "SigmoidTransform": _Kind(transforms.SigmoidTransform, {}),
    "SmoothedSimplex": _Kind(SmoothedSimplex, {"softness": _PLAIN}),
    "SoftplusTransform": _Kind(transforms.SoftplusTransform, {}),
    "StickBreakingTransform": _Kind(transforms.StickBreakingTransform, {}),
    "TanhTransform": _Kind(transforms.TanhTransform, {}),
}
