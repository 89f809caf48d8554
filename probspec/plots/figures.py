"""Figures that belong to nobody: made and written without pyplot."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from numpy.typing import NDArray


def new_figure(rows: int = 1, columns: int = 1, width: float = 5.0, height: float = 3.6) -> tuple[Figure, NDArray]:
    """Make a figure outside pyplot, so that nothing stays open behind the caller's back.

    Parameters
    ----------
    rows, columns : int
    width, height : float, inch
        Of one panel.

    Returns
    -------
    Figure, (row, column) array of Axes

    Examples
    --------
    >>> figure, axes = new_figure(1, 2)
    >>> axes.shape
    (1, 2)
    """
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, path: str | Path, dpi: int = 300) -> Path:
    """Write a figure; the ending of `path` chooses the format (pdf and svg stay sharp at any size)."""
    figure.savefig(path, dpi=dpi)
    return Path(path)
