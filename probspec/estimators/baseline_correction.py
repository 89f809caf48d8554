"""Baselines of spectra by any of the methods of pybaselines, the optional dependency ``probspec[preprocessing]``.

The same extra brings chemotools, whose steps are scikit-learn transformers already and need nothing from here: scatter
correction, derivatives, smoothing and scaling stand before any face of probspec in a `Pipeline`. Before a
`SpectralAugmenter` take only steps that are linear in the spectrum, such as derivatives: scatter correction and
rescaling divide each spectrum by a number of its own, after which absorbances are no longer proportional to
concentrations. Steps that leave a channel without variance, as a baseline through both ends does, are followed there
by `VarianceThreshold(1e-12)` of scikit-learn.

    make_pipeline(BaselineCorrection("arpls"), chemotools.scatter.StandardNormalVariate(), ps.CompositionRegressor())
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from probspec.data import intake
from probspec.errors import DataError, ProbspecWarning, explain, known

Array = NDArray[np.float64]
Method = Callable[..., tuple[Array, dict[str, Any]]]

TOGETHER = {"collab_pls"}
"""Methods that look at many spectra at once: what they say of one would depend on the others."""


class BaselineCorrection(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract from each spectrum the baseline that a method of pybaselines finds in it.

    Parameters
    ----------
    method : str
        Name of a method of ``pybaselines.Baseline``, such as "arpls", "asls", "snip", "rolling_ball" or "imodpoly".
    settings : dict of name -> value, optional
        Its settings, such as ``{"lam": 1e5}``; those of pybaselines where left out. A grid search takes a list of such
        dicts.
    positions : (channel,) array, optional
        Of the channels, ascending or descending; evenly spaced where left out.

    Raises
    ------
    ImportError
        By `fit`, if pybaselines is not installed.
    DataError
        If there is no such method or setting, pybaselines refuses a value, or a method finds no finite baseline.

    Warns
    -----
    ProbspecWarning
        Once a call, with what pybaselines warned of and the spectra concerned.

    Examples
    --------
    >>> positions = np.linspace(400, 1800, 500)
    >>> slope, line = 2 + 1e-3 * positions, np.exp(-((positions - 1000) ** 2) / 200)
    >>> correction = BaselineCorrection("arpls", {"lam": 1e6}, positions)
    >>> left = correction.fit_transform([slope + line])  # doctest: +SKIP
    >>> bool(np.abs(left - line).max() < 0.01)  # doctest: +SKIP
    True
    """

    def __init__(
        self, method: str = "arpls", settings: Mapping[str, Any] | None = None, positions: ArrayLike | None = None
    ):
        self.method = method
        self.settings = settings
        self.positions = positions

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check the settings, and look at the number of channels."""
        self._method(None)
        spectra = np.asarray(validate_data(self, X, dtype=np.float64))
        _check_positions(self.positions, spectra.shape[1])
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Spectra without their baseline : (sample, channel)."""
        check_is_fitted(self)
        spectra = np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
        return spectra - self._baselines(spectra)

    def baseline(self, X: ArrayLike) -> Array:
        """The baseline itself : (sample, channel)."""
        check_is_fitted(self)
        return self._baselines(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def _baselines(self, spectra: Array) -> Array:
        method, settings = self._method(self.positions), dict(self.settings or {})
        found, said = np.empty_like(spectra), defaultdict(list)
        for row, spectrum in enumerate(spectra):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found[row] = _baseline(method, spectrum, settings, f"X[{row}]")
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                said[text].append(row)
        for text, rows in said.items():
            problem = f"{self.method} of pybaselines warns of {len(rows)} of {len(spectra)} spectra: {text.rstrip('.')}"
            warnings.warn(explain(f"X[{rows[0]}]", problem), ProbspecWarning, stacklevel=3)
        return found

    def _method(self, positions: ArrayLike | None) -> Method:
        """Bound method of pybaselines, whose settings exist."""
        methods = _methods()
        if self.method not in methods:
            expected = f"one of {len(methods)}, such as {_nearest(self.method, methods)}"
            raise DataError(explain("method", f"pybaselines has no method {self.method!r} here", expected=expected))
        names, given = _settings(methods[self.method]), self.settings or {}
        if not isinstance(given, Mapping):
            raise DataError(explain("settings", f"got {given!r}", expected="a dict by name", fix='{"lam": 1e5}'))
        for name in given:
            if name not in names:
                raise DataError(explain(f"settings[{name!r}]", f"{self.method} has none such; {known(name, names)}"))
        return getattr(_pybaselines().Baseline(positions), self.method)


def _pybaselines() -> Any:
    try:
        import pybaselines
    except ImportError:
        problem = "pybaselines is not installed, which finds the baselines"
        raise ImportError(explain("BaselineCorrection", problem, fix="pip install 'probspec[preprocessing]'")) from None
    return pybaselines


def _methods() -> dict[str, Method]:
    public = inspect.getmembers(_pybaselines().Baseline, inspect.isfunction)
    return {name: method for name, method in public if not name.startswith("_") and name not in TOGETHER}


def _settings(method: Method) -> list[str]:
    """Names in the signature besides the spectrum."""
    named = inspect.signature(method).parameters.values()
    return [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("self", "data")]


def _nearest(word: object, names: Iterable[str], count: int = 4) -> str:
    return ", ".join(get_close_matches(str(word), names, count, cutoff=0.0))


def _baseline(method: Method, spectrum: Array, settings: Mapping[str, Any], where: str) -> Array:
    """Baseline of one spectrum; whatever pybaselines raises is told in its words."""
    fix = "change the settings or the method"
    try:
        found = method(spectrum, **settings)[0]
    except Exception as error:  # wrong values end in a dozen types, from TypeError to LinAlgError
        raise DataError(explain(where, f"no baseline ({error})", fix=fix)) from error
    if not np.isfinite(found).all():
        raise DataError(explain(where, "the baseline is not finite", fix=f"{fix}, or leave the spectrum out"))
    return found


def _check_positions(positions: ArrayLike | None, channels: int) -> None:
    if positions is None:
        return
    given = intake.numbers(positions, "positions", ("channel",))
    intake.same_length(len(given), channels, "positions", "positions")
    steps = np.diff(given)
    wrong = np.flatnonzero(~np.isfinite(steps) | ~(steps > 0 if given[-1] > given[0] else steps < 0))
    if len(wrong):
        here = wrong[0] + 1
        problem = f"{given[here]:g} after {given[here - 1]:g}"
        raise DataError(explain(f"positions[{here}]", problem, expected="positions that rise or fall throughout"))
