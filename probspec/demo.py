"""The whole way on one page: simulate spectra, fit, ask, check the answers against the truth, draw, and save.

The spectra are simulated, so the true abundances are known and the intervals can be counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from probspec import plots
from probspec.data.spectra import Spectra
from probspec.fit import Fit, fit
from probspec.models.uvae import UVAE
from probspec.persist import save
from probspec.posterior import Posterior, posterior
from probspec.simulate import simulate
from probspec.terminal import answer_table, calibration_line, modality_table, show, stages

SPEC = "simulated_fusion"
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def run(folder: Path, n: int = 200, prob: float = 0.9, epochs: int | None = None, seed: int = 0) -> None:
    """Run the demo, and show what came out.

    Parameters
    ----------
    folder : Path
        Receives the spectra, the fit, the draws and the figures.
    n : int
        Number of simulated samples; a quarter of them is kept for the test.
    prob : float
        Probability of the intervals.
    epochs : int, optional
        Passes over the training spectra; the method's own choice if left out.
    seed : int
    """
    folder.mkdir(parents=True, exist_ok=True)
    with stages(5) as begin:
        begin(f"simulating {n} samples")
        spectra = simulate(SPEC, n, seed=seed)
        spectra.write(folder / "spectra.h5")
        train, test = spectra.split()
        begin(f"learning from {len(train)} of them")
        model = UVAE(spectra.spec)
        options = model.options(len(train))
        fitted = fit(model, train, seed=seed, options=replace(options, epochs=epochs or options.epochs, progress=True))
        save(fitted, folder / "fit")
        begin(f"asking about the other {len(test)}")
        answer = posterior(fitted, test, seed=seed)
        begin("writing the draws")
        answer.to_netcdf(folder / "posterior.nc")
        begin("drawing the figures")
        figures = draw_figures(folder, fitted, answer, test, prob)
    show(modality_table(spectra), answer_table(answer, "abundance", prob, spectra=5))
    show(calibration_line(answer.coverage(probs=(prob,)), "abundance", prob))
    written = folder / "spectra.h5", folder / "fit", folder / "posterior.nc", *figures
    show("Written:", *(f"  {path}" for path in written))


def draw_figures(folder: Path, fitted: Fit, answer: Posterior, spectra: Spectra, prob: float) -> list[Path]:
    """Write the figures of the demo, and say where."""
    return [
        draw_abundances(folder / "abundances.png", answer, spectra, prob),
        draw_calibration(folder / "calibration.png", answer),
        draw_spectra(folder / "spectra.png", answer, spectra, prob),
        draw_training(folder / "training.png", fitted),
    ]


def draw_abundances(path: Path, answer: Posterior, spectra: Spectra, prob: float) -> Path:
    """Draw abundances with their intervals against the true ones."""
    figure, axes = plots.new_figure()
    mean, ends = answer.mean("abundance"), answer.interval("abundance", prob)
    plots.intervals(axes[0, 0], mean, *ends, spectra.targets["abundance"], prob=prob)
    return plots.save(figure, path)


def draw_calibration(path: Path, answer: Posterior) -> Path:
    """Draw the share of true values inside intervals against the share promised."""
    figure, axes = plots.new_figure()
    shares = answer.coverage(probs=LEVELS).loc["abundance"].loc["all"]
    plots.calibration(axes[0, 0], LEVELS, shares["covered"], n=len(answer))
    return plots.save(figure, path)


def draw_spectra(path: Path, answer: Posterior, spectra: Spectra, prob: float) -> Path:
    """Draw the first spectrum of each modality, and what the model would measure in its place."""
    figure, axes = plots.new_figure(rows=len(spectra.modalities), width=7.0)
    for ax, name in zip(axes[:, 0], spectra.modalities, strict=True):
        along, measured = spectra.spec.modalities[name].axis, spectra.spectra(name, [0])[0]
        drawn = answer.select([0]).predictive(name).isel(sample=0)
        plots.spectra_band(
            ax, spectra.axes[name], drawn, measured, axis_name=along.name, axis_unit=along.unit, prob=prob
        )
    return plots.save(figure, path)


def draw_training(path: Path, fitted: Fit) -> Path:
    """Draw the loss terms over training."""
    figure, axes = plots.new_figure()
    plots.loss_history(axes[0, 0], fitted.history.terms, at=fitted.history.epoch)
    return plots.save(figure, path)
