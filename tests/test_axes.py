import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probspec.data.axes import HC_EV_NM, check_axis, convert_axis
from probspec.errors import DataError, SpecError
from probspec.spec import Axis

WAVELENGTH = Axis(name="wavelength", unit="nm")


@pytest.mark.parametrize(
    ("unit", "value"),
    [("nm", 532.0), ("um", 0.532), ("cm^-1", 1e7 / 532), ("eV", 2.330529), ("keV", 0.002330529)],
)
def test_the_green_laser_line_in_each_unit(unit, value):
    axis, described, turned = convert_axis([532.0], WAVELENGTH, unit)
    assert axis[0] == pytest.approx(value, rel=1e-6)
    assert described.unit == unit
    assert turned is (unit in ("cm^-1", "eV", "keV"))


def test_one_electronvolt_is_8065_wavenumbers():
    axis, _, turned = convert_axis([1.0], Axis(name="energy", unit="eV"), "1/cm")
    assert axis[0] == pytest.approx(8065.543937, rel=1e-9)
    assert not turned


def test_hc_follows_from_the_defining_constants():
    planck, light, charge = 6.62607015e-34, 299792458.0, 1.602176634e-19
    assert HC_EV_NM == pytest.approx(planck * light / charge * 1e9, rel=1e-15)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1e-2, 1e5), min_size=1, max_size=20, unique=True).map(sorted),
    st.sampled_from(["nm", "um", "cm^-1", "eV", "keV"]),
    st.sampled_from(["nm", "um", "cm^-1", "eV", "keV"]),
)
def test_there_and_back_is_the_same_axis(values, unit, other):
    values = np.array(values)
    if (np.diff(values) < 1e-9 * values[1:]).any():
        return
    axis = Axis(name="position", unit=unit)
    there, described, turned = convert_axis(values, axis, other)
    assert (np.diff(there) > 0).all()
    back, _, turned_back = convert_axis(there, described, unit)
    np.testing.assert_allclose(back, values, rtol=1e-12)
    assert turned is turned_back


def test_names_follow_the_unit():
    assert convert_axis([500.0], WAVELENGTH, "eV")[1].name == "energy"
    assert convert_axis([500.0], WAVELENGTH, "cm^-1")[1].name == "wavenumber"


def test_a_raman_shift_is_not_converted_but_may_stay():
    shift = Axis(name="Raman shift", unit="cm^-1")
    assert convert_axis([-100.0, 100.0], shift, "1/cm")[0].tolist() == [-100.0, 100.0]
    with pytest.raises(DataError, match="without the laser line.*laser_nm"):
        convert_axis([100.0], shift, "nm")


def test_what_cannot_be_converted_says_why():
    with pytest.raises(DataError, match="unit channel"):
        convert_axis([0.0, 1.0], Axis(name="channel", unit="channel"), "nm")
    with pytest.raises(DataError, match=r"axis\[0\]: -12.*above 0"):
        convert_axis([-12.0, 1.0], Axis(name="energy", unit="keV"), "nm")
    with pytest.raises(SpecError, match="'mile'"):
        convert_axis([1.0], WAVELENGTH, "mile")


def test_an_energy_axis_may_begin_below_zero_but_no_wavelength_may():
    assert len(check_axis([-12.0, 3.0], Axis(name="energy", unit="keV"))) == 2
    with pytest.raises(DataError, match=r"axis\[0\]"):
        check_axis([-12.0, 3.0], WAVELENGTH)


def test_the_axis_returned_is_a_copy():
    given_axis = np.array([1.0, 2.0])
    check_axis(given_axis, WAVELENGTH)[0] = 9.0
    assert given_axis[0] == 1.0
