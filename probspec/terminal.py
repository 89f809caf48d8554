"""What the `probspec` command shows: tables of spectra and of answers, progress, and errors as one line.

Tables go to standard output; progress and errors go to standard error, so that a table can be sent into a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from probspec.data.spectra import Spectra
from probspec.posterior import Posterior

screen = Console()
notes = Console(stderr=True)


@contextmanager
def stages(total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of `total` named stages; call what is yielded with the name of each stage as it begins."""
    layout = "{desc} |{bar:30}| {n_fmt} of {total_fmt}, {elapsed}"
    with tqdm(total=total, leave=False, disable=None, bar_format=layout) as bar:

        def begin(name: str) -> None:
            bar.update()
            bar.set_description_str(name)

        yield begin


def show(*things: Table | str) -> None:
    """Print tables and lines of text on standard output."""
    for thing in things:
        screen.print(thing, markup=False, highlight=False, soft_wrap=isinstance(thing, str))


def show_note(message: Warning | Exception | str, style: str) -> None:
    """Print a warning or an error as a coloured line on standard error."""
    notes.print(str(message), style=style, markup=False, highlight=False, soft_wrap=True)


def modality_table(spectra: Spectra) -> Table:
    """One row per modality: its channels, the range of its axis, how many spectra were measured."""
    table = _table("modality", "spectra", "channels", "axis", "from", "to")
    for name in spectra.modalities:
        along, axis = spectra.spec.modalities[name].axis, spectra.axes[name]
        measured = _of(spectra.present(name))
        reach = f"{axis.min():.6g}", f"{axis.max():.6g}"
        table.add_row(name, measured, f"{len(axis):,}", with_unit(along.name, along.unit), *reach)
    return table


def target_table(spectra: Spectra, name: str) -> Table:
    """One row per component of a target: how many spectra are labelled, the labels' mean and range."""
    target, known = spectra.spec.targets[name], spectra.labelled(name)
    if target.support == "category":
        return _class_counts(name, target.components, spectra.targets[name][known, 0].astype(int))
    table = _table("component", "labelled", "mean", "smallest", "largest", title=with_unit(name, target.unit))
    for component, labels in zip(target.components, spectra.targets[name][known].T, strict=True):
        figures = [f"{f(labels):.4g}" for f in (np.mean, np.min, np.max)] if known.any() else ["-"] * 3
        table.add_row(component, _of(known), *figures)
    return table


def _class_counts(name: str, classes: Sequence[str], codes: NDArray[np.int64]) -> Table:
    table = _table("class", "labelled", title=name)
    for label, count in zip(classes, np.bincount(codes, minlength=len(classes)), strict=True):
        table.add_row(label, f"{count:,}")
    return table


def answer_table(posterior: Posterior, site: str, prob: float, spectra: int) -> Table:
    """Mean, sd and interval of each component of the first spectra, beside the truth where it is known."""
    first = posterior.select(slice(spectra))
    answers = first.summary(prob).loc[site]
    truth = first.spectra.targets.get(site) if first.spectra is not None else None
    known = np.full(len(answers), np.nan) if truth is None else truth.ravel()
    unit = first.draws[site].attrs["unit"]
    table = _table("spectrum", "component", *answers.columns, "true", title=with_unit(site, unit))
    for ((sample, component), figures), true in zip(answers.iterrows(), known, strict=True):
        cells = (f"{figure:.4f}" for figure in figures)
        last = component == answers.index[-1][1]
        table.add_row(str(sample), component, *cells, "-" if np.isnan(true) else f"{true:.4f}", end_section=last)
    return table


def class_table(probability: NDArray[np.float64], classes: Sequence[str], truth: NDArray[np.int64], name: str) -> Table:
    """Most probable class of each spectrum and the next, with their probabilities, beside the known truth.

    `probability` is (sample, class), `truth` (sample,) codes, -1 where unknown.
    """
    table = _table(name, "probability", "next", "probability", "true")
    table.columns[1].justify, table.columns[2].justify = "right", "left"
    for row, true in zip(probability, truth, strict=True):
        first, second = np.argsort(row)[:-3:-1]
        cells = (f"{row[first]:.3f}", classes[second], f"{row[second]:.3f}")
        table.add_row(classes[first], *cells, "-" if true < 0 else classes[true])
    return table


def class_line(probability: NDArray[np.float64], truth: NDArray[np.int64], name: str) -> str:
    """Say how many of the known classes are the most probable ones, and how many should be."""
    known = truth >= 0
    hit = probability[known].argmax(1) == truth[known]
    stated = probability[known].max(1)
    return (
        f"Calibration: {_percent(hit.mean())} of the known classes of {name} are the most probable ones "
        f"({known.sum():,} spectra; the probabilities promise {_percent(stated.mean())})."
    )


def calibration_line(coverage: pd.DataFrame, site: str, prob: float) -> str:
    """Say how many of the known values lie inside their intervals, and how many should."""
    row = coverage.xs(("all", prob), level=("component", "prob")).loc[site]
    low, high = np.clip([prob - 2 * row["error"], prob + 2 * row["error"]], 0, 1)
    return (
        f"Calibration: {_percent(row['covered'])} of the true values of {site} lie inside their {_percent(prob)} "
        f"intervals ({row['n']:,.0f} spectra; honest intervals give {_percent(low)} to {_percent(high)})."
    )


def with_unit(name: str, unit: str) -> str:
    """Write a name with its unit in square brackets, where it has one."""
    return f"{name} [{unit}]" if unit else name


def _table(*headers: str, title: str | None = None) -> Table:
    """Make a table without rows; from the third column on there are numbers."""
    table = Table(title=Text(title) if title else None, title_justify="left")
    for number, header in enumerate(headers):
        table.add_column(header, justify="left" if number < 2 else "right")
    return table


def _of(flags: NDArray[np.bool_]) -> str:
    return f"{flags.sum():,} of {len(flags):,}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
