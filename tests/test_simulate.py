"""Simulated sets: reproducible, of the published size, honest about what they cannot do, and worth fusing."""

import time

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from probspec.errors import ProbspecError
from probspec.metrics import mean_kl
from probspec.simulate import RamanLibs, simulate
from probspec.simulators.stoichiometry import FORMULAS, elements_of, stoichiometry
from probspec.spec import DataSpec

FEW = ("quartz", "calcite", "hematite")
RAMAN = {"axis": {"name": "Raman shift", "unit": "cm^-1"}, "unit": "counts"}
LIBS = {"axis": {"name": "wavelength", "unit": "nm"}, "unit": "counts"}
SMALL = {"raman_channels": 200, "libs_channels": 300}


def spec_of(components=FEW, modalities=None, priors=None, targets=None, **options) -> DataSpec:
    abundance = {"components": components, "unit": "mass fraction", "support": "simplex"}
    options = {"name": "raman_libs", "minerals": list(components), **options}
    return DataSpec.from_config(
        {
            "name": "test",
            "modalities": modalities or {"raman": RAMAN, "libs": LIBS},
            "targets": targets or {"abundance": abundance},
            "priors": {"abundance": {"law": "Dirichlet", "concentration": 1.0}} if priors is None else priors,
            "simulator": options,
        }
    )


def test_same_seed_same_spectra_and_global_generators_untouched():
    spec = spec_of(**SMALL)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = (simulate(spec, 5, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    for modality in ("raman", "libs"):
        assert np.array_equal(first.spectra(modality), again.spectra(modality))
        assert not np.array_equal(first.spectra(modality), other.spectra(modality))


def test_shapes_axes_and_compositions():
    data = simulate(spec_of(**SMALL), 7)
    assert data.spectra("raman").shape == (7, 200) and data.spectra("libs").shape == (7, 300)
    assert data.axes["raman"][[0, -1]].tolist() == [100, 1700]
    assert data.axes["libs"][[0, -1]].tolist() == [240, 860]
    np.testing.assert_allclose(data.targets["abundance"].sum(1), 1, atol=1e-5)


def test_published_size_within_seconds():
    began = time.perf_counter()
    data = simulate(spec_of(tuple(FORMULAS), design="binary"), 567)
    assert time.perf_counter() - began < 10
    assert data.spectra("raman").shape == (567, 1715) and data.spectra("libs").shape == (567, 5485)
    present = data.targets["abundance"] > 0
    assert (present.sum(1) == 2).all() and present.any(0).all()


def test_dirichlet_design_follows_the_prior():
    prior = {"abundance": {"law": "Dirichlet", "concentration": [60.0, 30.0, 10.0]}}
    truth = simulate(spec_of(priors=prior, **SMALL), 400).targets["abundance"]
    np.testing.assert_allclose(truth.mean(0), [0.6, 0.3, 0.1], atol=0.02)


def test_elements_follow_from_the_minerals_in_the_order_of_the_spec():
    elements = tuple(reversed(elements_of(FEW)))
    abundance = {"components": FEW, "support": "simplex"}
    targets = {"abundance": abundance, "elements": {"components": elements, "support": "simplex"}}
    data = simulate(spec_of(targets=targets, **SMALL), 6)
    expected = data.targets["abundance"] @ stoichiometry(FEW, elements).numpy()
    np.testing.assert_allclose(data.targets["elements"], expected, atol=1e-6)


def test_poisson_modality_holds_whole_counts():
    data = simulate(spec_of(modalities={"libs": {**LIBS, "noise": "poisson"}}, **SMALL), 4)
    counts = data.spectra("libs")
    assert (counts >= 0).all() and np.array_equal(counts, counts.round())


def test_shot_noise_has_the_variance_of_the_mean():
    """Far from any Raman band only the smooth background is left: neighbours differ by noise alone."""
    data = simulate(spec_of(raman_range_cm1=[1500, 1700]), 60)
    counts = data.spectra("raman").astype(float)
    step = np.diff(counts, axis=1)
    ratio = (step**2).sum(1) / (2 * (counts[:, 1:] + 10.0**2)).sum(1)  # 10 counts of read noise
    assert ratio.mean() == pytest.approx(1, abs=0.03)


BAD_OPTIONS = [
    ({"name": "raman_lib"}, "did you mean 'raman_libs'"),
    ({"minerals": ["quartz", "calcit", "hematite"]}, "did you mean 'calcite'"),
    ({"minerals": ["calcite", "quartz", "hematite"]}, "in their order"),
    ({"minerals": ["quartz"]}, "minerals"),
    ({"design": "ternary"}, "design"),
    ({"channels": 3}, "channels"),
    ({"libs_channels": 1}, "libs_channels"),
    ({"raman_range_cm1": [1700, 100]}, "ascending"),
    ({"priors": {}}, 'design = "binary"'),
    ({"priors": {"abundance": {"law": "LogNormal", "loc": 0.0, "scale": 1.0}}}, "sum to one"),
    ({"modalities": {"nir": LIBS}}, "Known: libs, raman"),
    ({"modalities": {"libs": {"axis": {"name": "energy", "unit": "eV"}}}}, "expected nm"),
    ({"targets": {"oxides": {"components": ["SiO2", "CaO"], "support": "positive"}}}, "Known: abundance, elements"),
    ({"targets": {"elements": {"components": ["Si", "Au"], "support": "positive"}}}, "'Au' is not simulated"),
]


@pytest.mark.parametrize(("change", "message"), BAD_OPTIONS)
def test_what_cannot_be_simulated_is_named(change: dict, message: str):
    with pytest.raises(ProbspecError, match=message):
        simulate(spec_of(**{**SMALL, **change}), 2)


def test_no_simulator_and_no_samples():
    bare = spec_of().model_copy(update={"simulator": None})
    with pytest.raises(ProbspecError, match="Known: .*minerals, raman_libs"):
        simulate(bare, 2)
    with pytest.raises(ProbspecError, match="one or more"):
        simulate(spec_of(**SMALL), 0)


def test_default_channels_are_those_of_the_paper():
    options = RamanLibs(minerals=FEW)
    assert (options.raman_channels, options.libs_channels) == (1715, 5485)


def ridge_kl(views: list[NDArray], truth: NDArray, train: int) -> float:
    """Kernel ridge regression on some standardised views, its penalty the best in hindsight."""
    kernel = sum(view @ view.T / (view[:train] ** 2).sum() * train for view in (v - v[:train].mean(0) for v in views))
    mean = truth[:train].mean(0)
    found = []
    for penalty in (1e-4, 1e-3, 1e-2, 1e-1):
        weights = np.linalg.solve(kernel[:train, :train] + penalty * np.eye(train), truth[:train] - mean)
        predicted = np.clip(kernel[train:, :train] @ weights + mean, 0, None)
        found.append(mean_kl(truth[train:], predicted))
    return min(found)


def snv(spectra: NDArray) -> NDArray:
    return (spectra - spectra.mean(1, keepdims=True)) / spectra.std(1, keepdims=True)


def test_both_modalities_beat_either():
    data = simulate(spec_of(tuple(FORMULAS), design="binary", raman_channels=800, libs_channels=1600), 567)
    raman = snv(data.spectra("raman").astype(float))
    libs = snv(np.sqrt(data.spectra("libs").clip(0).astype(float)))
    truth = data.targets["abundance"].astype(float)
    alone = {name: ridge_kl([view], truth, 189) for name, view in (("raman", raman), ("libs", libs))}
    both = ridge_kl([raman, libs * 0.5], truth, 189)
    assert both < 0.95 * alone["raman"] and alone["raman"] < alone["libs"]
