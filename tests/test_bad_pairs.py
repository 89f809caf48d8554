"""Pairs as a new user may bring them, to augmentation and transfer: told clearly what is wrong, or answered sensibly.

Whatever is wrong ends in a ProbspecError that names the argument and the index; whatever is only unusual, such as
float32, DataFrames, or arrays that are read-only or not contiguous, gives the answer that plain arrays give.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import probspec as ps
from probspec.augmentation import NetworkOptions
from probspec.errors import DataError, ProbspecError, QueryError, SpecError
from probspec.estimators import compare_augmentation
from probspec.estimators.pairs import pair
from probspec.estimators.solutions import complete_pairs
from probspec.models.vae_transfer import VAETransfer
from probspec.spec import anonymous_spec

QUICK = ps.TrainOptions(epochs=2, batch_size=16)
Arrays = tuple[np.ndarray, np.ndarray]
Spoil = Callable[[np.ndarray, np.ndarray], tuple]


def solutions(rows: int = 24) -> Arrays:
    """Absorption spectra of three ions, and their concentrations."""
    rng = np.random.default_rng(0)
    axis = np.linspace(0, 1, 40)
    pure = np.exp(-(((axis - np.array([[0.2], [0.5], [0.8]])) / 0.15) ** 2))
    C = 0.1 * rng.random((rows, 3))
    return 10 * C @ pure + 0.002 * rng.standard_normal((rows, 40)), C


def instruments(rows: int = 40) -> Arrays:
    """Spectra of the same samples on two instruments of other channels."""
    rng = np.random.default_rng(1)
    z, maps = rng.standard_normal((rows, 4)), [rng.standard_normal((4, size)) for size in (20, 30)]
    X, Y = (z @ m + 0.05 * rng.standard_normal((rows, m.shape[1])) for m in maps)
    return X, Y


def put(values: np.ndarray, index: object, value: object) -> np.ndarray:
    changed = values.copy()
    changed[index] = value
    return changed


def frozen(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed.setflags(write=False)
    return changed


ROUNDING = 1e-15 * np.random.default_rng(2).standard_normal(24)
EVERY = slice(None)

UNUSUAL: dict[str, Spoil] = {
    "DataFrames": lambda A, B: (pd.DataFrame(A, columns=np.arange(A.shape[1]) + 0.5), pd.DataFrame(B)),
    "nested lists": lambda A, B: (A.tolist(), B.tolist()),
    "tensors": lambda A, B: (torch.from_numpy(A), torch.from_numpy(B)),
    "objects": lambda A, B: (A.astype(object), B.astype(object)),
    "read-only": lambda A, B: (frozen(A), frozen(B)),
    "by columns": lambda A, B: (np.asfortranarray(A), np.asfortranarray(B)),
    "strided": lambda A, B: (np.repeat(A, 2, axis=1)[:, ::2], np.repeat(B, 2, axis=0)[::2]),
    "backwards": lambda A, B: (A[:, ::-1].copy()[:, ::-1], B[::-1].copy()[::-1]),
}

NO_NUMBERS: dict[str, tuple[Spoil, str]] = {
    "text": (lambda A, B: (A.astype(str), B), r"{0}: no array of numbers but of text; .* mend it: {0}.astype\(float\)"),
    "words": (lambda A, B: (A, np.full(B.shape, "a")), "{1}: no array of numbers but of text"),
    "a word among objects": (lambda A, B: (put(A.astype(object), (2, 3), "x"), B), "{0}: no array of numbers"),
    "dates": (lambda A, B: (A.astype("datetime64[s]"), B), "{0}: no array of numbers but of dates"),
    "complex": (lambda A, B: (A.astype(complex), B), "{0}: Complex data not supported"),
    "sparse": (lambda A, B: (sparse.csr_array(A), B), r"{0}: sparse data; .* mend it: {0}.toarray\(\)"),
    "a dict": (lambda A, B: ({"nir": A}, B), "{0}: no array of numbers"),
    "None": (lambda A, B: (None, B), r"{0}: shape \(\)"),
    "no second": (lambda A, B: (A, None), "{1}: requires"),
    "ragged": (lambda A, B: ([[1.0, 2.0], [1.0]], B[:2]), "{0}: no array of numbers"),
    "a tensor with a gradient": (lambda A, B: (torch.tensor(A, requires_grad=True), B), "{0}: no array of numbers"),
    "one spectrum without its dim": (lambda A, B: (A[0], B[0]), r"{0}: shape .* such as {0}\[None, :\]"),
    "a cube": (lambda A, B: (A[None], B), r"{0}: shape \(1, "),
    "no rows": (lambda A, B: (A[:0], B[:0]), r"{0}: 0 sample"),
    "no channels": (lambda A, B: (A[:, :0], B), r"{0}: 0 feature"),
    "NaN": (lambda A, B: (put(A, (2, 3), np.nan), B), r"{0}\[2, 3\]: NaN; .* mend it: drop row 2"),
    "masked": (lambda A, B: (np.ma.masked_array(A, A == A[2, 3]), B), r"{0}\[2, 3\]: NaN"),
    "infinite": (lambda A, B: (A, put(B, (4, 1), -np.inf)), r"{1}\[4, 1\]: infinite"),
    "beyond float32": (lambda A, B: (put(A, (1, 1), 1e300), B), r"{0}\[1, 1\]: 1e\+300; expected finite values up to"),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_what_is_no_table_of_numbers_is_named(case):
    spoil, message = NO_NUMBERS[case]
    with pytest.raises(DataError, match=message.format("X", "C")):
        complete_pairs(*spoil(*solutions()))
    with pytest.raises(DataError, match=message.format("X_secondary", "X_primary")):
        pair(*spoil(*instruments()))


class TestSolutions:
    BAD: dict[str, tuple[Spoil, str]] = {
        "other rows": (lambda X, C: (X, C[:-1]), "C: 23 rows beside 24 spectra; expected a row for each spectrum"),
        "one sample": (
            lambda X, C: (X[:1], C[:1]),
            "X: 1 sample, from which 3 pure spectra cannot be told; expected 6",
        ),
        "fewer than ions": (lambda X, C: (X[:2], C[:2]), "X: 2 samples, from which 3 pure"),
        "copies": (
            lambda X, C: (np.tile(X[:4], (6, 1)), np.tile(C[:4], (6, 1))),
            "X: 4 samples, .* copies not counted",
        ),
        "repeats alone": (lambda X, C: (X, np.tile(C[:3], (8, 1))), "C: 3 compositions, from which 3 pure"),
        "equal spectra": (lambda X, C: (0 * X + X[0], C), r"X\[:, 0\]: channel 0 is the same .* \(40 such\)"),
        "constant channel": (lambda X, C: (put(X, (EVERY, 7), 3.0), C), r"X\[:, 7\]: channel 7 is the same"),
        "rounding": (
            lambda X, C: (put(X, (EVERY, 7), ROUNDING), C),
            r"X\[:, 7\].* mend it: X = X\[:, np.ptp\(X, axis=0",
        ),
        "rounding of a level": (lambda X, C: (put(X, (EVERY, 7), 3 + ROUNDING), C), r"X\[:, 7\]: channel 7"),
        "saturated in every row": (lambda X, C: (put(X, (EVERY, slice(9, 14)), 2.5), C), r"X\[:, 9\].* \(5 such\)"),
        "constant ion": (lambda X, C: (X, put(C, (EVERY, 1), 0.05)), r"C\[:, 1\]: ion 1 is the same in every row"),
        "absent ion": (lambda X, C: (X, put(C, (EVERY, 2), 0.0)), r"C\[:, 2\]: ion 2 is the same in every row"),
        "tiny spectra": (lambda X, C: (1e-30 * X, C), r"X\[:, 0\]: the largest value is .*e-30; expected 1e-10 to"),
        "huge concentrations": (lambda X, C: (X, 1e20 * C), r"C\[:, 0\]: the largest value is .*; .* another unit"),
    }

    @pytest.mark.parametrize("case", BAD)
    def test_what_leaves_the_pure_spectra_open_is_named(self, case):
        spoil, message = self.BAD[case]
        with pytest.raises(DataError, match=message):
            complete_pairs(*spoil(*solutions()))

    @pytest.mark.parametrize("case", UNUSUAL)
    def test_unusual_arrays_are_the_same_pairs(self, case):
        X, C = solutions()
        x, c = complete_pairs(*UNUSUAL[case](X, C))
        assert np.array_equal(x, X) and np.array_equal(c, C) and x.flags["C_CONTIGUOUS"] and c.flags["C_CONTIGUOUS"]

    @pytest.mark.parametrize("case", UNUSUAL)
    def test_unusual_arrays_give_the_same_generated_pairs(self, case):
        pairs = solutions()
        made, again = (ps.SpectralAugmenter(n_generated=10).fit_resample(*p) for p in (pairs, UNUSUAL[case](*pairs)))
        assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))

    def test_the_arrays_given_stay_as_they_are(self):
        X, C = solutions()
        x, c = complete_pairs(X, C)
        x[:], c[:] = 0, 0
        assert all(np.array_equal(a, b) for a, b in zip((X, C), solutions(), strict=True))

    @pytest.mark.parametrize(
        ("spoil", "shape"),
        [
            (lambda X, C: (X.astype(np.float32), C.astype(np.float32)), (34, 3)),
            (lambda X, C: (np.minimum(X, 0.5 * X.max()), C), (34, 3)),  # a ceiling that only some spectra reach
            (lambda X, C: (X, put(C, (2, 1), -0.01)), (34, 3)),  # a blank was taken off
            (lambda X, C: (np.tile(X[:12], (2, 1)), np.tile(C[:12], (2, 1))), (34, 3)),
            (lambda X, C: (X, np.repeat(C[:8], 3, axis=0)), (34, 3)),
            (lambda X, C: (X, C[:, 0]), (34,)),
            (lambda X, C: (X, pd.Series(C[:, 0])), (34,)),
            (lambda X, C: (np.round(1e4 * X).astype(int), C), (34, 3)),
            (lambda X, C: (X[:, 10:11], C[:, 0]), (34,)),
        ],
    )
    def test_what_is_only_unusual_is_augmented(self, spoil, shape):
        made, c = ps.SpectralAugmenter(n_generated=10).fit_resample(*spoil(*solutions()))
        assert len(made) == 34 and c.shape == shape and np.isfinite(made).all() and np.isfinite(c).all()

    @pytest.mark.parametrize("how", [{"method": "vae"}, {"preset": "paper"}], ids=str)
    def test_the_published_networks_ask_the_same(self, how):
        augmenter = ps.SpectralAugmenter(**how, n_generated=5, options=QUICK, tolerance=np.inf)
        with pytest.raises(DataError, match=r"X\[2, 3\]: NaN"):
            augmenter.fit(*NO_NUMBERS["NaN"][0](*solutions()))
        made, c = augmenter.fit_resample(*UNUSUAL["backwards"](*solutions()))
        assert np.isfinite(made).all() and c.shape == (len(made), 3)

    def test_so_does_the_published_experiment(self):
        with pytest.raises(DataError, match="C: no array of numbers but of text"):
            compare_augmentation(*NO_NUMBERS["words"][0](*solutions()))
        one = {"augmenters": {"cVAE": ps.SpectralAugmenter(n_generated=5)}, "options": NetworkOptions(epochs=2)}
        found = compare_augmentation(*UNUSUAL["DataFrames"](*solutions()), folds=3, only=1, **one)
        assert np.isfinite(found.table).all(axis=None)


class TestInstruments:
    BAD: dict[str, tuple[Spoil, str]] = {
        "other rows": (lambda X, Y: (X, Y[:-1]), "X_secondary: 40 spectra, X_primary has 39; expected row by row"),
        "one shared sample": (
            lambda X, Y: (X[:1], Y[:1]),
            "X_primary: 1 sample on both instruments; expected at least 6",
        ),
        "copies": (lambda X, Y: (np.tile(X[:3], (9, 1)), np.tile(Y[:3], (9, 1))), "3 samples .* copies not counted"),
        "equal spectra": (lambda X, Y: (0 * X + X[0], Y), "X_secondary: all spectra are equal"),
        "equal but for rounding": (lambda X, Y: (X, Y[0] + 1e-15 * Y), "X_primary: all spectra are equal"),
        "saturated throughout": (lambda X, Y: (np.minimum(X, X.min()), Y), "X_secondary: all spectra are equal"),
        "tiny": (lambda X, Y: (X, 1e-30 * Y), "X_primary: no value above .*; expected values of 1e-20"),
        "one channel for a spectrum": (lambda X, Y: (X, pd.Series(Y[:, 0])), r"X_primary: shape \(40,\)"),
    }

    @pytest.mark.parametrize("case", BAD)
    def test_what_cannot_be_learnt_from_is_named(self, case):
        spoil, message = self.BAD[case]
        with pytest.raises(DataError, match=message):
            ps.SpectralTransfer().fit(*spoil(*instruments()))

    @pytest.mark.parametrize("case", UNUSUAL)
    def test_unusual_arrays_are_the_same_pairs(self, case):
        X, Y = instruments()
        found = pair(*UNUSUAL[case](X, Y))
        assert np.array_equal(found.secondary, X) and np.array_equal(found.primary, Y)
        assert found.groups.tolist() == list(range(40))

    def test_copies_of_a_pair_are_one_sample(self):
        X, Y = instruments()
        assert pair(np.tile(X[:20], (2, 1)), np.tile(Y[:20], (2, 1))).groups.tolist() == [*range(20), *range(20)]

    @pytest.mark.parametrize("preset", ["default", "paper"])
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda X, Y: (X.astype(np.float32), Y.astype(np.float32)),
            lambda X, Y: (put(X, (EVERY, 3), 2.0), put(Y, (EVERY, 5), 1.0)),
            lambda X, Y: (np.minimum(X, 0.3), np.minimum(Y, 0.5)),
            lambda X, Y: (np.tile(X[:20], (2, 1)), np.tile(Y[:20], (2, 1))),
            lambda X, Y: (X + 1e4, Y - 1e4),
            lambda X, Y: (X[:, :1], Y[:, :1]),
        ],
    )
    def test_what_is_only_unusual_is_transferred(self, spoil, preset):
        X, Y = spoil(*instruments())
        small = {"latents": 2, "layers": (8,), "epochs": 2, "options": QUICK} if preset == "paper" else {}
        transfer = ps.SpectralTransfer(preset, draws=20, **small).fit(X, Y)
        lower, upper = transfer.predict_interval(X[:5])
        assert transfer.transform(X[:5]).shape == (5, Y.shape[1]) and (lower <= upper).all()
        assert np.isfinite(lower).all() and np.isfinite(upper).all()

    @pytest.mark.parametrize("axes", [(400, 600), (500, 900), (1000, 1200)])
    def test_the_axes_need_not_agree(self, axes):
        X, Y = instruments()
        positions = np.linspace(500, 700, 30)
        found = ps.SpectralTransfer(draws=20).fit(X, Y, axis_secondary=np.linspace(*axes, 20), axis_primary=positions)
        made = found.posterior(X[:2]).predictive("primary", draws=5)
        assert np.allclose(made["primary_channel"], positions) and np.isfinite(made).all()

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            ([1, 2], r"groups: shape \(2,\); expected \(40,\)"),
            ([None, "a"] * 20, r"groups: names of kinds NoneType, str; .* mend it: groups = \[str\(name\)"),
            (np.full(40, np.nan), r"groups\[0\]: nan"),
            (np.zeros(40), "X_primary: 1 sample on both"),
        ],
    )
    def test_wrong_groups_are_named(self, groups, message):
        with pytest.raises(DataError, match=message):
            pair(*instruments(), groups=groups)


class TestFiles:
    @pytest.fixture
    def spec(self):
        return anonymous_spec({"primary": 30, "secondary": 20}, [])

    @pytest.mark.parametrize("case", [case for case in UNUSUAL if case != "objects"])
    def test_unusual_arrays_are_the_same_spectra(self, spec, case, tmp_path):
        X, Y = instruments()
        secondary, primary = UNUSUAL[case](X, Y)
        ps.Spectra.from_arrays({"primary": primary, "secondary": secondary}, spec).write(tmp_path / "pairs.h5")
        data = ps.open_spectra(tmp_path / "pairs.h5", spec)
        assert np.array_equal(data.spectra("primary"), Y.astype(np.float32))
        assert np.array_equal(data.spectra("secondary"), X.astype(np.float32))

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda X, Y: (put(X, slice(39), np.nan), Y), "spectra/secondary: 1 sample that the primary has too; .* 6"),
            (lambda X, Y: (np.full_like(X, np.nan), Y), "spectra/secondary: 0 samples that the primary has too"),
            (lambda X, Y: (X, 0 * Y + 3), "spectra/primary: all spectra are equal"),
            (lambda X, Y: (0 * X, Y), "spectra/secondary: all spectra are equal"),
        ],
    )
    def test_what_the_published_networks_cannot_learn_from_is_named(self, spec, spoil, message):
        X, Y = spoil(*instruments())
        data = ps.Spectra.from_arrays({"primary": Y, "secondary": X}, spec)
        with pytest.raises(DataError, match=message):
            ps.fit(VAETransfer(spec, latents=2, layers=(8,), reading_layers=(8,), epochs=1), data, options=QUICK)

    @pytest.mark.parametrize("sizes", [8, "8", None, {8}])
    def test_layers_are_a_sequence(self, spec, sizes):
        with pytest.raises(
            SpecError, match=r"layers: got .*; expected the sizes of the layers. .* layers=\(512, 128\)"
        ):
            VAETransfer(spec, layers=sizes)

    @pytest.mark.parametrize("draws", [0, -1, 2.5, "10"])
    def test_a_band_takes_draws(self, spec, draws):
        with pytest.raises(QueryError, match="draws: got"):
            VAETransfer(spec, latents=2, layers=(8,), reading_layers=(8,)).band(
                np.ones((2, 20)), "secondary", 0.9, draws
            )


def test_every_message_is_one_of_ours():
    for spoil, _ in NO_NUMBERS.values():
        with pytest.raises(ProbspecError):
            ps.SpectralTransfer().fit(*spoil(*instruments()))
