"""Oxide tables: every spelling that means the same gives the same array; everything doubtful is refused by name."""

import numpy as np
import pandas as pd
import pytest
import torch

from probspec.errors import DataError
from probspec.oxides import FEO_PER_FE2O3, OXIDES, oxide_name, oxide_table, strange_totals

NAN = np.nan
IRON = OXIDES.index("FeOt")


@pytest.fixture
def ten() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 10, size=(4, 10))


def iron(**columns: list[float]) -> list[float]:
    return oxide_table({"SiO2": [1.0] * len(next(iter(columns.values()))), **columns})[:, IRON].tolist()


def test_the_order_is_fixed():
    assert OXIDES == tuple("SiO2 TiO2 Al2O3 FeOt MnO MgO CaO Na2O K2O Cr2O3".split())


def test_any_order_case_and_unit_of_the_columns_gives_the_same_table(ten):
    order = np.random.default_rng(1).permutation(10)
    spelt = [(str.upper, str.lower, str)[i % 3](OXIDES[i]) + ("", " wt%", " (wt%)", "(wt.%)")[i % 4] for i in order]
    frame = pd.DataFrame(ten[:, order], columns=spelt)
    tables = [ten, frame, {name: ten[:, i] for i, name in enumerate(OXIDES)}, ten.tolist(), torch.from_numpy(ten)]
    for table in tables:
        np.testing.assert_array_equal(oxide_table(table), ten)
    assert oxide_table(ten.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("SIO2", "SiO2"),
        (" Na2O ", "Na2O"),
        ("K2O wt%", "K2O"),
        ("Cr2O3 [wt%]", "Cr2O3"),
        ("FeOT", "FeOt"),
        ("FeO*", "FeOt"),
        ("FeO", "FeO"),
        ("Fe2O3T", "Fe2O3t"),
        ("Fe2O3", "Fe2O3"),
        ("Cr2O3 ppm", None),
        ("SiO", None),
        (3, None),
        (("SiO2", "wt%"), None),
    ],
)
def test_one_spelling_for_each_oxide(column, name):
    assert oxide_name(column) == name


def test_what_is_not_reported_is_nan_and_never_zero():
    table = oxide_table(pd.DataFrame({"SiO2": [40.0, NAN], "MgO": [0.0, 3.0]}))
    assert table[0, [0, 5]].tolist() == [40.0, 0.0] and np.isnan(table[1, 0])
    assert np.isnan(table[:, [1, 2, 3, 4, 6, 7, 8, 9]]).all()


def test_nullable_and_integer_columns_are_numbers():
    frame = pd.DataFrame({"SiO2": pd.array([40, None], dtype="Int64"), "MgO": [3, 4]})
    np.testing.assert_array_equal(oxide_table(frame)[:, [0, 5]], [[40, 3], [NAN, 4]])
    masked = np.ma.masked_invalid(np.full((1, 10), NAN))
    assert np.isnan(oxide_table(masked)).all()


def test_total_iron_is_what_was_reported_first():
    assert iron(FeOt=[8.0], FeO=[5.0], Fe2O3=[1.0], Fe2O3t=[2.0]) == [8.0]
    assert iron(FeO=[5.0], Fe2O3=[2.0], Fe2O3t=[9.0]) == pytest.approx([5 + 0.8998 * 2])
    assert iron(Fe2O3t=[10.0]) == pytest.approx([8.998])


def test_total_iron_is_decided_row_by_row():
    found = iron(FeOt=[NAN, NAN, NAN, NAN], FeO=[5, NAN, NAN, NAN], Fe2O3=[NAN, 2, NAN, NAN], Fe2O3t=[9, 9, 10, NAN])
    np.testing.assert_allclose(found, [5, 0.8998 * 2, 8.998, NAN])


def test_the_factor_of_iron_follows_from_atomic_masses():
    assert pytest.approx(2 * 71.844 / 159.687, abs=5e-5) == FEO_PER_FE2O3


def test_columns_are_left_out_only_when_told():
    frame = pd.DataFrame({"Sample": ["a"], "SiO2": [40.0], "P2O5": [1.0]})
    assert oxide_table(frame, ignore=("Sample", "P2O5"))[0, 0] == 40.0
    assert oxide_table(frame[["SiO2", "P2O5"]], ignore="P2O5")[0, 0] == 40.0
    with pytest.raises(DataError, match=r"no oxides: Sample, P2O5; .*Known: Al2O3.*ignore=\('Sample', 'P2O5'\)"):
        oxide_table(frame)


def test_the_table_is_a_copy(ten):
    oxide_table(ten)[:] = 0
    frame = pd.DataFrame(ten, columns=list(OXIDES))
    oxide_table(frame)[:] = 0
    assert (ten > 0).any() and (frame.to_numpy() > 0).any()


def named(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=["M1", "M2"])


BAD = {
    "misspelt": (named(SiO=[1.0, 2.0]), "no oxides: SiO; did you mean 'SiO2'"),
    "iron twice": ({"FeOt": [1.0], "FeO*": [1.0]}, "'FeOt' and 'FeO*' both say FeOt"),
    "silica twice": (pd.DataFrame([[1.0, 2.0]], columns=["SiO2", "SiO2"]), "'SiO2' and 'SiO2' both say SiO2"),
    "silica in two spellings": ({"SiO2": [1.0], "sio2 (wt%)": [1.0]}, "'SiO2' and 'sio2 (wt%)' both say SiO2"),
    "ppm": (named(Cr2O3=[0.1, 400.0]), "X[M2, Cr2O3]: 400; are these ppm or mol %?"),
    "iron that is too much together": ({"FeO": [90.0], "Fe2O3": [90.0]}, "X[0, FeOt]: 170.982"),
    "far below zero": (named(K2O=[0.1, -2.1]), "X[M2, K2O]: -2.1; expected -2 to 130 wt%"),
    "infinite": (named(K2O=[np.inf, 1.0]), "X[M1, K2O]: inf; expected"),
    "minus infinity": (named(K2O=[-np.inf, 1.0]), "X[M1, K2O]: -inf"),
    "text": (named(K2O=["n.d.", "1"]), "X['K2O']: dtype"),
    "text among numbers": (named(K2O=[1.0, "<0.01"]), "'<0.01' in row M2; expected float numbers in wt%"),
    "object": (named(K2O=pd.Series([1.0, 2.0], index=["M1", "M2"], dtype=object)), "X['K2O']: dtype object"),
    "booleans": (named(K2O=[True, False]), "X['K2O']: dtype bool"),
    "complex": (named(K2O=[1j, 2j]), "X['K2O']: dtype complex128"),
    "dates": (named(K2O=pd.to_datetime(["2020-01-01", "2020-01-02"])), "X['K2O']: dtype datetime64"),
    "object array": (np.full((2, 10), "x", object), "X: no array"),
    "boolean array": (np.ones((2, 10), bool), "X['SiO2']: dtype bool"),
    "one analysis without its dim": (np.ones(10), "X: shape (10,); expected (sample, 10)"),
    "other columns": (np.ones((2, 9)), "X: shape (2, 9)"),
    "a cube": (np.ones((2, 10, 1)), "X: shape (2, 10, 1)"),
    "ragged": ([[1.0], [1.0, 2.0]], "X: no array"),
    "nothing": (None, "X: shape ()"),
    "no rows": (np.ones((0, 10)), "X: no rows"),
    "no rows in a frame": (pd.DataFrame({"SiO2": []}), "X: no rows"),
    "no columns": (pd.DataFrame(index=[0, 1]), "X: no column is an oxide"),
    "no names": ({}, "X: no rows"),
    "columns of other lengths": ({"SiO2": [1.0, 2.0], "MgO": [1.0]}, "X['MgO']: shape (1,); expected one number"),
    "column of two dims": ({"SiO2": [[1.0, 2.0]]}, "X['SiO2']: shape (1, 2)"),
    "numbered columns": (pd.DataFrame(np.ones((1, 2))), "no oxides: 0, 1"),
    "a tensor with a gradient": (torch.ones(2, 10, requires_grad=True), "X: no array"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_tables_are_refused_by_name(case):
    table, message = BAD[case]
    with pytest.raises(DataError) as caught:
        oxide_table(table)
    assert message in str(caught.value)


def test_the_name_of_the_table_is_told():
    with pytest.raises(DataError, match=r"^lab\.csv\[0, SiO2\]: 400"):
        oxide_table({"SiO2": [400.0]}, where="lab.csv")


def test_values_a_little_below_zero_are_kept():
    assert oxide_table({"SiO2": [-0.14, -1.7]})[:, 0].tolist() == [-0.14, -1.7]


def test_strange_totals_are_allowed_and_told():
    rows = {"SiO2": [32.0, 5.0, NAN, 100.0, 0.0, 99.0], "MgO": [NAN, NAN, NAN, 100.0, 0.0, 1.0]}
    assert strange_totals(oxide_table(rows)).tolist() == [False, False, True, True, True, False]
    assert strange_totals(np.array([[1.0] * 10, [10.0] * 10])).tolist() == [True, False]
