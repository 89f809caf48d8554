"""How far variational inference of maps goes."""

from __future__ import annotations

from dataclasses import dataclass

from probspec.errors import FitError, explain


@dataclass(frozen=True)
class FieldOptions:
    """Steps, samples and tolerances.

    Parameters
    ----------
    first_steps : int
        Newton steps to the most probable maps, at most.
    first_gain : float, nats
        These maps are near enough when two steps in a row gain less.
    pairs : tuple of int
        Mirrored pairs of samples in each round; after a round the laws learn.
    steps : int
        Newton steps in each round.
    bends : int
        Steps by which a sample follows the likelihood where this is no Gaussian; 0 for metric Gaussian samples.
    draws : int
        Samples in the end; an even number, because they come in pairs.
    newton_cg, sample_cg : int
        Conjugate-gradient steps for a Newton step, and for a sample, at most.
    newton_tolerance, sample_tolerance : float
        Relative residual at which conjugate gradients stop.

    Raises
    ------
    FitError
        If an option is out of its range; it names the option.

    Examples
    --------
    >>> FieldOptions(draws=100).draws
    100
    """

    first_steps: int = 24
    first_gain: float = 50.0
    pairs: tuple[int, ...] = (1, 1, 1, 2, 2, 2, 4, 4)
    steps: int = 1
    bends: int = 1
    draws: int = 50
    newton_cg: int = 80
    sample_cg: int = 200
    newton_tolerance: float = 0.05
    sample_tolerance: float = 0.02

    def __post_init__(self):
        for name in ("first_steps", "steps", "newton_cg", "sample_cg"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        for name in ("newton_tolerance", "sample_tolerance"):
            self._check(name, 0 < getattr(self, name) < 1, "a number between 0 and 1")
        self._check("bends", self.bends >= 0, "0 or more")
        self._check("pairs", all(count >= 1 for count in self.pairs), "numbers of 1 or more")
        self._check("draws", self.draws >= 2 and self.draws % 2 == 0, "an even number, 2 or more")
        self._check("first_gain", self.first_gain >= 0, "0 or more")

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise FitError(explain(f"FieldOptions({name}={getattr(self, name)})", "out of range", expected=expected))
