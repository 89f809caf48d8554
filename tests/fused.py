"""Mixtures seen by two instruments, small enough to be fitted in seconds: `raman` with a gain, `libs` noisier."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from pytest import MonkeyPatch

from probspec.data.spectra import Spectra
from probspec.fit import Fit, fit
from probspec.models.uvae import UVAE
from probspec.nets import kernels
from probspec.nets.kernels import KernelEncoder, KernelExpert
from probspec.posterior import Posterior
from probspec.priors import Law
from probspec.spec import DataSpec, anonymous_spec
from probspec.training.options import TrainOptions

COMPONENTS = ("quartz", "calcite", "gypsum")
CHANNELS = {"raman": 60, "libs": 50}
NOISE = {"raman": 0.03, "libs": 0.06}


def spec(components: tuple[str, ...] = COMPONENTS) -> DataSpec:
    return anonymous_spec(CHANNELS, components)


def end_members(modality: str) -> np.ndarray:
    channel = np.linspace(0, 1, CHANNELS[modality])
    centres = (0.2, 0.5, 0.8) if modality == "raman" else (0.7, 0.35, 0.1)
    return np.stack([np.exp(-0.5 * ((channel - centre) / 0.12) ** 2) for centre in centres])


def fused(
    rows: int, seed: int = 0, concentration: float = 1.0, labelled: float = 1.0, order: tuple[int, ...] = (0, 1, 2)
) -> Spectra:
    """Spectra of compositions from a symmetric Dirichlet law, its components in the given order."""
    rng = np.random.default_rng(seed)
    y = rng.dirichlet(np.full(3, concentration), rows)
    gain = {"raman": np.exp(0.2 * rng.normal(size=(rows, 1))), "libs": 1.0}
    x = {m: gain[m] * (0.3 + y @ end_members(m)) + NOISE[m] * rng.normal(size=(rows, CHANNELS[m])) for m in CHANNELS}
    y = y[:, order]
    y[round(labelled * rows) :] = np.nan
    return Spectra.from_arrays(x, spec(tuple(COMPONENTS[k] for k in order)), targets=y)


def trained(data: Spectra, epochs: int, preset: str = "default", seed: int = 0, **laws: Law) -> Fit:
    """Fit a UVAE; `laws` are priors other than its own."""
    model = UVAE(data.spec, preset=preset).with_priors(**laws)
    options = TrainOptions(epochs=epochs, batch_size=min(60, len(data)), learning_rate=5e-3, schedule="cosine")
    return fit(model, data, seed=seed, options=options)


def parted(spectra: Spectra, missing: int = 5) -> Spectra:
    """Hide a modality in every `missing`-th row, raman and libs in turn."""
    x = {m: spectra.spectra(m) for m in CHANNELS}
    for k, modality in enumerate(CHANNELS):
        x[modality][k :: 2 * missing] = np.nan
    return Spectra.from_arrays(x, spectra.spec, targets=spectra.targets["abundance"])


def mean_abundance(posterior: Posterior) -> np.ndarray:
    return posterior.mean("abundance").values


@contextmanager
def few_candidates() -> Iterator[None]:
    """Choose encoders among few kernels and strengths, for tests that are about something else."""
    with MonkeyPatch.context() as patch:
        patch.setattr(KernelExpert, "STRENGTHS", torch.logspace(-6, 0, 7, dtype=torch.float64))
        patch.setattr(kernels, "kernels", lambda views, most: tuple(kernels.Kernel(view) for view in views))
        patch.setattr(KernelEncoder, "EXPERTS", 3)
        yield
