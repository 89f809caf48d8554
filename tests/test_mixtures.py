"""Mixtures of surrogates and fixed spectra, and the counts they are held against."""

import numpy as np
import pytest
import torch

from probspec.counts import check_counts
from probspec.errors import DataError, QueryError
from probspec.mixtures import Mixture
from probspec.surrogates import Surrogate

CHANNELS = 40
PLACE = np.linspace(0, 1, CHANNELS)


def peak(centre: float, width: np.ndarray) -> np.ndarray:
    spectra = np.exp(-0.5 * ((PLACE - centre) / np.asarray(width)[:, None]) ** 2) + 0.01
    return spectra / spectra.sum(-1, keepdims=True)


def line(centre: float, widest: float = 0.3, unit: str = "keV") -> Surrogate:
    width = np.linspace(0.1, widest, 9)
    return Surrogate.fit(peak(centre, width), width, names=["width"], units=[unit])


def two_parameters() -> Surrogate:
    centre, width = (of.ravel() for of in np.meshgrid(np.linspace(0.4, 0.6, 6), np.linspace(0.1, 0.3, 6)))
    spectra = np.concatenate([peak(c, np.array([w])) for c, w in zip(centre, width, strict=True)])
    return Surrogate.fit(spectra, np.stack([centre, width], 1), names=["centre", "width"], units=["keV", "keV"])


RED, BLUE, FLAT, WANDERING = line(0.3), line(0.7, widest=0.25), np.full(CHANNELS, 3.0), two_parameters()


def mixed(shared: list[str] | None = None) -> Mixture:
    return Mixture({"red": RED, "flat": FLAT, "wandering": WANDERING}, background=1 - PLACE / 2, shared=shared)


# components and parameters


def test_names_parameters_and_ranges_stand_in_order():
    mixture = mixed()
    assert mixture.names == ("red", "flat", "wandering", "background")
    assert mixture.parameter_names == ("red.width", "wandering.centre", "wandering.width")
    assert mixture.places == ((0,), (), (1, 2), ())
    torch.testing.assert_close(mixture.lower, torch.tensor([0.1, 0.4, 0.1]).double())
    torch.testing.assert_close(mixture.middle, torch.tensor([0.2, 0.5, 0.2]).double())


def test_a_shared_parameter_stands_once_and_ranges_over_what_all_were_taught():
    mixture = Mixture({"red": RED, "blue": BLUE, "wandering": WANDERING}, shared=["width"])
    assert mixture.parameter_names == ("width", "wandering.centre")
    assert mixture.places == ((0,), (0,), (1, 0))
    assert float(mixture.upper[0]) == pytest.approx(0.25)


def test_expected_counts_are_amplitudes_times_spectra_of_unit_sum():
    mixture, theta = mixed(), torch.tensor([[0.15, 0.45, 0.2], [0.3, 0.6, 0.1]]).double()
    amplitude = torch.tensor([[100.0, 20.0, 0.0, 5.0], [1.0, 2.0, 3.0, 4.0]]).double()
    spectra = mixture.spectra(theta)
    torch.testing.assert_close(spectra.sum(-1), torch.ones(2, 4).double())
    torch.testing.assert_close(spectra[0, 0], torch.from_numpy(RED.predict([0.15])[0]))
    torch.testing.assert_close(spectra[1, 2], torch.from_numpy(WANDERING.predict([[0.6, 0.1]])[0]))
    torch.testing.assert_close(spectra[0, 1], torch.full((CHANNELS,), 1 / CHANNELS).double())
    torch.testing.assert_close(mixture.contributions(amplitude, theta).sum(-2), mixture.expected(amplitude, theta))
    torch.testing.assert_close(mixture.expected(amplitude, theta).sum(-1), amplitude.sum(-1))


@pytest.mark.parametrize("shared", [None, ["width"]])
def test_jacobian_is_that_of_finite_differences(shared):
    mixture = mixed(shared)
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(5, len(mixture.parameter_names), generator=generator, dtype=torch.float64)
    theta = mixture.lower + (0.1 + 0.8 * share) * (mixture.upper - mixture.lower)
    amplitude = 100 * torch.rand(5, 4, generator=generator, dtype=torch.float64)
    expected, jacobian = mixture.expected_with_jacobian(amplitude, theta)
    torch.testing.assert_close(expected, mixture.expected(amplitude, theta))
    both, step = torch.cat([amplitude, theta], -1), 1e-5
    for n in range(both.shape[-1]):
        moved = torch.zeros_like(both)
        moved[:, n] = step
        up, down = (mixture.expected(*(both + sign * moved).tensor_split([4], -1)) for sign in (1, -1))
        torch.testing.assert_close(jacobian[:, n], (up - down) / (2 * step), atol=1e-4, rtol=1e-4)


def test_parameters_go_to_components_and_back():
    mixture = mixed(["width"])
    theta = torch.tensor([[0.2, 0.5], [0.1, 0.4]])
    parts = mixture.by_component(theta)
    assert {name: tuple(of.shape) for name, of in parts.items()} == {"red": (2, 1), "wandering": (2, 2)}
    assert mixture.own_names("wandering") == ("centre", "width")
    assert torch.equal(mixture.joined(parts), theta)


def test_precision_is_that_of_the_parameters_and_fixed_components_need_none():
    known = Mixture({"flat": FLAT}, background=1 - PLACE / 2)
    assert known.parameter_names == () and known.lower.shape == (0,)
    spectra = known.spectra(torch.zeros(3, 2, 0))
    assert spectra.shape == (3, 2, 2, CHANNELS) and spectra.dtype == torch.float32
    assert mixed().expected(torch.ones(4), mixed().middle.float()).dtype == torch.float32


def test_repr_is_short_and_state_travels():
    assert repr(mixed(["width"])).startswith("Mixture(red, flat, wandering, background; width 0.1 to 0.3 keV; ")
    mixture = mixed()
    copy = mixed()
    copy.load_state_dict(mixture.state_dict())
    assert torch.equal(copy.spectra(copy.middle), mixture.spectra(mixture.middle))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"components": {}}, DataError, "mapping of name"),
        ({"components": [FLAT]}, DataError, "mapping of name"),
        ({"components": {"red": RED, "short": np.ones(7)}}, DataError, "red 40, short 7"),
        ({"components": {"red": RED}, "background": np.ones((2, 40))}, DataError, "background: shape"),
        ({"components": {"red": RED}, "background": np.zeros(40)}, DataError, "zero in all channels"),
        ({"components": {"red": np.r_[FLAT[1:], np.nan]}}, DataError, r"components\['red'\]\[39\]: nan"),
        ({"components": {"red": ["a"] * 40}}, DataError, "not numbers"),
        ({"components": {"background": RED}, "background": FLAT}, DataError, "rename"),
        ({"components": {"red": RED}, "shared": ["with"]}, QueryError, "did you mean 'width'"),
        ({"components": {"red": RED}, "shared": "width"}, QueryError, r"shared=\['width'\]"),
        ({"components": {"red": RED, "mm": line(0.5, unit="mm")}, "shared": ["width"]}, DataError, "one unit"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        Mixture(**arguments)


def test_unknown_and_missing_components_are_named():
    mixture = mixed()
    with pytest.raises(QueryError, match="did you mean 'red'"):
        mixture.own_names("rad")
    with pytest.raises(QueryError, match="did you mean 'red'"):
        mixture.joined({"rad": torch.zeros(1)})
    with pytest.raises(QueryError, match=r"wandering.*missing.*centre, width"):
        mixture.joined({"red": torch.zeros(1)})


# counts


def test_counts_become_rows_and_go_back():
    cube = np.arange(24).reshape(2, 3, 4)
    counts = check_counts(cube, 4)
    assert len(counts) == 6 and counts.shape == (2, 3) and counts.exposure.shape == (6, 1)
    assert counts.values.dtype == torch.float64
    np.testing.assert_array_equal(counts.mapped(counts.values), cube)


def test_rows_of_a_map_are_told_its_shape():
    assert check_counts(np.ones((6, 4)), 4, shape=(2, 3)).shape == (2, 3)
    with pytest.raises(DataError, match="6 pixels"):
        check_counts(np.ones((5, 4)), 4, shape=(2, 3))


def test_what_is_masked_has_neither_counts_nor_exposure():
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    counts = check_counts(values, 3, exposure=[2.0, 0.5], mask=np.isfinite(values))
    assert counts.values.tolist() == [[1, 0, 3], [4, 5, 6]]
    assert counts.exposure.tolist() == [[2, 0, 2], [0.5, 0.5, 0.5]]
    assert check_counts(values, 3, mask=np.array([False, True])).exposure.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"counts": np.ones((2, 5))}, "the components have 3 channels"),
        ({"counts": np.ones(3)}, r"shape \(3,\)"),
        ({"counts": np.ones((0, 3))}, r"shape \(0, 3\)"),
        ({"counts": [["a", "b", "c"]]}, "not numbers"),
        ({"counts": [[1, 2, np.nan]]}, r"counts\[0, 2\]: nan, 1 such values"),
        ({"counts": [[1, -2, -3]]}, r"counts\[0, 1\]: -2, 2 such values"),
        ({"counts": np.ones((2, 3)), "exposure": [1.0]}, r"exposure: shape \(1,\)"),
        ({"counts": np.ones((2, 3)), "exposure": [1.0, np.inf]}, r"exposure\[1, 0\]: inf"),
        ({"counts": np.ones((2, 3)), "exposure": [1.0, 0.0]}, r"counts\[1, 0\]: counted without exposure"),
        ({"counts": np.ones((2, 3)), "mask": [1, 0]}, "True where"),
        ({"counts": np.ones((2, 3)), "mask": np.zeros(2, bool)}, "nothing is heeded"),
    ],
)
def test_what_is_no_count_is_refused(arguments, says):
    with pytest.raises(DataError, match=says):
        check_counts(channels=3, **arguments)
