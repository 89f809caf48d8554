"""What probspec says when it cannot go on.

Every error names the argument or the path inside a file, the index where it helps, what was expected, and what to do
about it. All of them are `ProbspecError`; each is also the built-in exception that its cause deserves, so that
``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
