"""The `probspec` command: check a file, simulate one, fit a model, and ask the fit, without writing Python.

What exists is not overwritten without ``--force``. What a user can mend is one red line and exit code 2.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup

from probspec import demo as demonstration
from probspec.data.spectra import Spectra, open_spectra
from probspec.errors import FileError, ProbspecError, explain
from probspec.fit import fit as fit_model
from probspec.models import ALL, by_name, for_spec
from probspec.persist import load, save
from probspec.posterior import Posterior
from probspec.posterior import posterior as draw_posterior
from probspec.simulate import simulate as simulate_spectra
from probspec.terminal import (
    answer_table,
    calibration_line,
    class_line,
    class_table,
    modality_table,
    show,
    show_note,
    stages,
    target_table,
)


class Commands(TyperGroup):
    """Commands that end in one line and exit code 2 where the user has something to mend."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_: show_note(message, "yellow")
                return super().invoke(ctx)
        except (ProbspecError, OSError) as error:
            show_note(error, "red")
            raise typer.Exit(2) from None


class Part(StrEnum):
    """Rows of a file, by the split that it stores or that its data spec lays down."""

    ALL = "all"
    TRAIN = "train"
    TEST = "test"

    def of(self, spectra: Spectra) -> Spectra:
        """Take these rows."""
        if self is Part.ALL:
            return spectra
        train, test = spectra.split()
        return train if self is Part.TRAIN else test


app = typer.Typer(
    help="Measured spectra in, posterior distributions out; `probspec demo` shows how.",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

BLOCK = 4096
"""Spectra that `check` holds in memory at a time."""

METHODS = ", ".join(sorted(model.name for model in ALL))
SPEC_HELP = "Name of a data spec, or path of a TOML file."
File = Annotated[Path, typer.Argument(help="HDF5 file of spectra.", show_default=False)]
Spec = Annotated[str, typer.Argument(help=SPEC_HELP, show_default=False)]
SpecOption = Annotated[str, typer.Option("--spec", "-s", help=SPEC_HELP, show_default=False)]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]
Count = Annotated[int, typer.Option("-n", min=1, help="Number of spectra.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
Draws = Annotated[int, typer.Option(min=1, help="Posterior draws per spectrum.")]
Prob = Annotated[float, typer.Option(min=0.01, max=0.99, help="Probability of the intervals.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the spectra, if not the method's own choice.")]
Rows = Annotated[int, typer.Option(min=1, help="Spectra that the table shows.")]


@app.command()
def check(file: File, spec: SpecOption) -> None:
    """Check a file against a data spec, value by value, and say what it holds."""
    spectra = open_spectra(file, spec)
    blocks = np.array_split(np.arange(len(spectra)), math.ceil(len(spectra) / BLOCK))
    with stages(len(blocks) * len(spectra.modalities)) as begin:
        for name, rows in product(spectra.modalities, blocks):
            begin(f"reading {name}")
            spectra.spectra(name, rows)
    _describe(spectra, f"{file} agrees with the data spec {spectra.spec.name}.")


@app.command()
def simulate(spec: Spec, out: Out, n: Count = 100, seed: Seed = 0, force: Force = False) -> None:
    """Simulate spectra with known answers, and write them to an HDF5 file."""
    _keep(out, force)
    with stages(2) as begin:
        begin(f"simulating {n:,} spectra")
        spectra = simulate_spectra(spec, n, seed=seed)
        begin(f"writing {out}")
        spectra.write(out)
    _describe(spectra, f"Wrote {out}.")


@app.command()
def fit(
    spec: Spec,
    file: File,
    out: Out,
    model: Annotated[str | None, typer.Option(help=f"Method, if not that of the spec: {METHODS}.")] = None,
    part: Annotated[Part, typer.Option(help="Rows to learn from.")] = Part.TRAIN,
    epochs: Epochs = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Fit a model to spectra, and save it in a folder."""
    _keep(out, force)
    with stages(3) as begin:
        begin(f"opening {file}")
        spectra = part.of(open_spectra(file, spec))
        unfitted = (by_name(model) if model else for_spec(spectra.spec))(spectra.spec)
        begin(f"learning from {len(spectra):,} spectra")
        options = unfitted.options(len(spectra))
        options = replace(options, epochs=epochs or options.epochs, progress=True)
        fitted = fit_model(unfitted, spectra, seed=seed, options=options)
        begin(f"writing {out}")
        save(fitted, out)
    show(f"Learnt from {len(spectra):,} spectra; saved in {out}.")


@app.command()
def ask(
    folder: Annotated[Path, typer.Argument(help="Saved fit.", show_default=False)],
    file: File,
    out: Out,
    draws: Draws = 1000,
    part: Annotated[Part, typer.Option(help="Rows to ask about.")] = Part.ALL,
    prob: Prob = 0.9,
    rows: Rows = 5,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Ask a saved fit about spectra: a table to the terminal, all draws to a netCDF file."""
    _keep(out, force)
    with stages(4) as begin:
        begin(f"loading {folder}")
        fitted = load(folder)
        begin(f"opening {file}")
        spectra = part.of(open_spectra(file, fitted.model.spec))
        begin(f"drawing for {len(spectra):,} spectra")
        posterior = draw_posterior(fitted, spectra, draws=draws, seed=seed)
        begin(f"writing {out}")
        posterior.to_netcdf(out)
    for site, target in fitted.model.spec.targets.items():
        if target.support == "category":
            _show_classes(posterior, spectra, site, rows)
        elif site in posterior.draws:
            show(answer_table(posterior, site, prob, rows))
            if spectra.labelled(site).any():
                show(calibration_line(posterior.coverage({site: spectra.targets[site]}, (prob,)), site, prob))
    show(f"All {len(spectra):,} spectra: {out}.")


@app.command()
def demo(
    out: Out = Path("probspec-demo"),
    n: Count = 200,
    prob: Prob = 0.9,
    epochs: Epochs = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Simulate spectra, fit, ask, check the answers, and draw figures, in a few minutes."""
    _keep(out, force)
    demonstration.run(out, n=n, prob=prob, epochs=epochs, seed=seed)


def _show_classes(posterior: Posterior, spectra: Spectra, site: str, rows: int) -> None:
    """Show the most probable classes, and how many of those that are known were found."""
    probability = posterior.mean("probability").values
    known = spectra.labelled(site)
    truth = np.where(known, np.nan_to_num(spectra.targets[site][:, 0]), -1).astype(int)
    show(class_table(probability[:rows], spectra.spec.targets[site].components, truth[:rows], site))
    if known.any():
        show(class_line(probability, truth, site))


def _describe(spectra: Spectra, verdict: str) -> None:
    """Show what spectra hold, and a last line."""
    labelled = [target_table(spectra, name) for name in spectra.targets]
    show(modality_table(spectra), *labelled, verdict)


def _keep(out: Path, force: bool) -> None:
    """Refuse to write over what exists, before any work is done."""
    if out.exists() and not force:
        raise FileError(explain(str(out), "exists already", fix="choose another --out, or add --force"))
