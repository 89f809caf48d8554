"""What probspec says when it cannot go on.

Every error names the argument or the path inside a file, the index where it helps, what was expected, and what to do
about it. All of them are `ProbspecError`; each is also the built-in exception that its cause deserves, so that
``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral


class ProbspecError(Exception):
    """Base of every error that probspec raises on purpose."""


class SpecError(ProbspecError, ValueError):
    """A data spec is wrong or cannot be found."""


class DataError(ProbspecError, ValueError):
    """Spectra, axes, targets or a data file are not what the spec says."""


class PriorError(ProbspecError, ValueError):
    """A prior is misnamed, of the wrong shape, or contradicts the labels."""


class GuideError(ProbspecError, ValueError):
    """A guide does not belong to its model."""


class FitError(ProbspecError, RuntimeError):
    """Training could not start, or had to stop."""


class QueryError(ProbspecError, ValueError):
    """A question to a posterior cannot be answered."""


class FileError(ProbspecError, OSError):
    """A saved fit cannot be written or read."""


class ProbspecWarning(UserWarning):
    """Base of every warning of probspec."""


def explain(where: str, problem: str, *, expected: str = "", fix: str = "") -> str:
    """Build the one kind of message: where, what is wrong, what was expected, what to type.

    >>> print(explain("spectra/raman[3, 17]", "NaN", expected="finite intensities", fix="drop row 3"))
    spectra/raman[3, 17]: NaN; expected finite intensities. To mend it: drop row 3.
    """
    text = f"{where}: {problem}"
    if expected:
        text += f"; expected {expected}"
    text += "."
    return f"{text} To mend it: {fix}." if fix else text


def known(word: str, names: Iterable[str]) -> str:
    """Say which names exist, the likeliest first.

    >>> known("abundence", ["abundance", "nuisance"])
    "did you mean 'abundance'? Known: abundance, nuisance"
    """
    names = sorted(names)
    close = get_close_matches(str(word), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"


def check_whole(
    name: str, value: object, least: int = 0, error: type[ProbspecError] = DataError, fix: str = ""
) -> None:
    """Refuse what is no whole number, or too small.

    Parameters
    ----------
    name : str
        Of the argument.
    value : object
        NumPy's integers are whole numbers, truth values are none.
    least : int
    error : type
        Of the exception.
    fix : str
        What to type instead.

    Examples
    --------
    >>> check_whole("draws", 2.5, least=1)
    Traceback (most recent call last):
    probspec.errors.DataError: draws: got 2.5; expected a whole number, at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise error(explain(name, f"got {value!r}", expected=f"a whole number, at least {least}", fix=fix))
