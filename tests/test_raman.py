"""Band tables against well-known lines, and the background's shape."""

import pytest
import torch

from probspec.errors import SpecError
from probspec.simulators.raman import (
    BANDS,
    SCATTERING,
    fluorescence,
    raman_end_members,
    raman_spectrum,
    scattering_strength,
)
from probspec.simulators.stoichiometry import FORMULAS

AXIS = torch.linspace(50, 1700, 3301, dtype=torch.float64)
STRONGEST = {
    "quartz": 464,
    "calcite": 1086,
    "olivine": 856,
    "gypsum": 1008,
    "barite": 988,
    "apatite": 964,
    "albite": 507,
    "hematite": 292,
    "zircon": 1008,
    "magnetite": 667,
    "talc": 676,
    "pyrite": 379,
}


def test_every_mineral_has_bands_a_strength_and_a_formula():
    assert BANDS.keys() == SCATTERING.keys() == FORMULAS.keys()
    assert len(BANDS) == 23


@pytest.mark.parametrize("mineral", STRONGEST)
def test_strongest_band(mineral: str):
    spectrum = raman_end_members([mineral], AXIS, resolution_cm1=1.0)[0]
    assert AXIS[spectrum.argmax()].item() == pytest.approx(STRONGEST[mineral], abs=3)


def test_calcite_has_its_four_bands_below_1200():
    spectrum = raman_end_members(["calcite"], AXIS)[0]
    peak = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:]) & (AXIS[1:-1] < 1200)
    assert AXIS[1:-1][peak].tolist() == pytest.approx([154, 281, 712, 1086], abs=1)


def test_pure_minerals_have_unit_area_whatever_the_channels():
    for channels in (200, 3301):
        axis = torch.linspace(-20000, 20000, channels, dtype=torch.float64)
        area = raman_end_members(list(BANDS), axis).sum(-1)
        torch.testing.assert_close(area, torch.ones(len(BANDS), dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_worse_instrument_makes_bands_lower_and_wider():
    sharp, dull = (raman_end_members(["quartz"], AXIS, resolution)[0] for resolution in (1.0, 20.0))
    assert dull.max() < 0.6 * sharp.max()
    assert (dull > dull.max() / 2).sum() > (sharp > sharp.max() / 2).sum()


def test_mixtures_add_up_by_mass_and_strength():
    minerals = ["calcite", "magnetite"]
    members = raman_end_members(minerals, AXIS)
    mixed = raman_spectrum(members, torch.tensor([0.25, 0.75]).double(), scattering_strength(minerals).double())
    torch.testing.assert_close(mixed, 0.25 * members[0] + 0.75 * 0.03 * members[1])


def test_fluorescence_is_positive_smooth_and_of_mean_one():
    slope, curvature = torch.tensor([0.0, -3.0]).double(), torch.tensor([0.0, -1.0]).double()
    flat, sloped = fluorescence(AXIS, slope, curvature)
    torch.testing.assert_close(flat, torch.ones_like(AXIS))
    assert sloped.mean().item() == pytest.approx(1) and (sloped > 0).all()
    assert (sloped[0] / sloped[-1]).log().item() == pytest.approx(6)


def test_differentiable_in_everything():
    axis = torch.linspace(400, 500, 15, dtype=torch.float64)
    members = raman_end_members(["quartz", "barite"], axis)
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.4, 0.6], [0.4, 0.9], -0.5, 0.3)]

    def spectrum(abundance, scattering, slope, curvature):
        return raman_spectrum(members, abundance, scattering) + fluorescence(axis, slope, curvature)

    assert torch.autograd.gradcheck(spectrum, values)


def test_unknown_mineral_names_the_known_ones():
    with pytest.raises(SpecError, match="did you mean 'calcite'"):
        raman_end_members(["calcit"], AXIS)
