"""Absorption of salts in water: the law of Beer and Lambert, what bends it, and the published size."""

import numpy as np
import pytest
import torch

from probspec.errors import SpecError
from probspec.simulate import simulate
from probspec.simulators.absorption import (
    IONS,
    PAIRS,
    absorbance,
    absorptivity,
    free_sulfate,
    measured,
    speciation,
    water,
)
from probspec.spec import DataSpec, load_spec

AXIS = torch.linspace(300.0, 1210.0, 92, dtype=torch.float64)
ALL = torch.tensor([0.2, 0.1, 0.5, 0.0005, 0.2, 0.5, 0.4, 0.1], dtype=torch.float64)


def test_without_sulfate_the_dissolved_ions_add_up():
    one, two = (torch.tensor([c, 0.0], dtype=torch.float64) for c in (0.05, 0.1))
    ions = ["Cu2+", "NO3-"]
    alone = [absorbance(ions, c, AXIS) - water(ions, c, AXIS) for c in (one, two)]
    assert torch.allclose(alone[1], 2 * alone[0]) and torch.allclose(alone[0], 0.05 * absorptivity(["Cu2+"], AXIS)[0])


def test_sulfate_is_balanced():
    free, paired = speciation(IONS, ALL)
    assert torch.allclose(free[6] + paired.sum(), ALL[6]) and bool((free > 0).all())
    for k, ion in enumerate(IONS):
        if ion in PAIRS:
            assert paired[k] / (free[k] * free[6]) == pytest.approx(PAIRS[ion][0], rel=1e-9)


def test_all_or_no_sulfate_is_no_trouble():
    metals, stability = torch.tensor([[0.1, 0.2]]).double(), torch.tensor([1e4, 10.0]).double()
    assert free_sulfate(metals, torch.zeros(1).double(), stability).item() == 0
    assert free_sulfate(0 * metals, torch.ones(1).double(), stability).item() == pytest.approx(1)


def test_pairs_bend_the_law():
    ions = ["Cu2+", "SO4 2-"]
    small, large = (absorbance(ions, c * torch.tensor([0.1, 0.5]).double(), AXIS) for c in (0.5, 1.0))
    middle = 0.5 * (absorbance(ions, torch.zeros(2).double(), AXIS) + large)
    assert (small - middle).abs().max() > 1e-2


def test_stray_light_hides_the_dark_and_spares_the_bright():
    true = torch.tensor([0.01, 1.0, 6.0])
    seen = measured(true, stray=1e-3)
    assert seen[0] == pytest.approx(0.01, abs=1e-3) and seen[2] == pytest.approx(3.0, abs=1e-2)
    assert bool((seen.diff() > 0).all())


def test_the_physics_is_differentiable():
    c = ALL.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: absorbance(IONS, c, AXIS[::10]), (c,))


def test_every_ion_shows():
    for k in range(len(IONS)):
        less = ALL.clone()
        less[k] = 0
        assert (absorbance(IONS, ALL, AXIS) - absorbance(IONS, less, AXIS)).abs().max() > 1e-3, IONS[k]


def test_an_unknown_ion_is_named():
    with pytest.raises(SpecError, match="'Cu\\+'.*did you mean"):
        absorptivity(["Cu+"], AXIS)


def test_the_set_has_the_published_size():
    data = simulate("simulated_ions", 40, seed=3)
    assert data.spectra("absorbance").shape == (40, 911) and data.targets["concentration"].shape == (40, 8)
    again = simulate("simulated_ions", 40, seed=3)
    assert np.array_equal(data.spectra("absorbance"), again.spectra("absorbance"))
    assert data.targets["concentration"].min() >= 0


def test_noise_is_largest_in_the_dark():
    spec = load_spec("simulated_ions").to_config()
    spec["simulator"] |= {"baseline": 0.0}
    spec["priors"]["concentration"] = {"law": "Uniform", "low": 0.2999, "high": 0.3}
    seen = simulate(DataSpec.from_config(spec), 200).spectra("absorbance")
    mean, spread = seen.mean(0), seen.std(0)
    assert spread[mean > 2.5].mean() > 20 * spread[mean < 0.3].mean()


def test_a_prior_below_zero_is_refused():
    spec = load_spec("simulated_ions").to_config()
    spec["priors"]["concentration"] = {"law": "Normal", "loc": 0.0, "scale": 1.0}
    with pytest.raises(SpecError, match="below zero"):
        simulate(DataSpec.from_config(spec), 10)
    del spec["priors"]["concentration"]
    with pytest.raises(SpecError, match="missing"):
        simulate(DataSpec.from_config(spec), 10)
