"""Tables of analyses become spectra with gaps, classes and groups."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shared_data import shared_table

from probspec.data.analyses import read_analyses
from probspec.data.spectra import open_spectra
from probspec.errors import DataError, SpecError
from probspec.oxides import OXIDES
from probspec.spec import load_spec

TABLE = pd.DataFrame(
    {
        "analysis_id": ["M1", "M2", "M3"],
        "mineral": ["Olivine", None, "Quartz"],
        "source_group": ["a2001", "a2001", "b2002"],
        "SiO2": [40.8, 39.0, 99.9],
        "MgO": [49.4, np.nan, np.nan],
        "FeO*": [9.8, 20.0, 0.0],
        "P2O5": [0.1, 0.0, 0.0],
    },
    index=[7, 8, 9],
)
CLASSES = load_spec("epma_minerals").targets["mineral"].components


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_file_gives_what_its_frame_gives(name, tmp_path):
    TABLE.to_csv(tmp_path / name, index=False)
    for data in (read_analyses(TABLE), read_analyses(tmp_path / name), read_analyses(str(tmp_path / name))):
        np.testing.assert_allclose(data.spectra("oxides")[:, [0, 3, 5]], TABLE[["SiO2", "FeO*", "MgO"]], rtol=1e-6)
        assert np.isnan(data.spectra("oxides")).sum() == 3 * 7 + 2
        assert data.labelled("mineral").tolist() == [True, False, True]
        assert [CLASSES[int(code)] for code in data.targets["mineral"][[0, 2], 0]] == ["Olivine", "Quartz"]
        assert data.groups.tolist() == ["a2001", "a2001", "b2002"]


def test_labels_and_groups_may_be_absent_or_named_otherwise():
    data = read_analyses(TABLE.drop(columns=["mineral", "source_group"]), label=None, group=None)
    assert not data.labelled("mineral").any() and data.groups is None
    data = read_analyses(TABLE.rename(columns={"mineral": "phase"}), label="phase", group="analysis_id")
    assert data.groups.tolist() == ["M1", "M2", "M3"] and data.labelled("mineral").sum() == 2


def test_a_misspelt_oxide_is_noticed_where_the_other_columns_are_listed():
    others = ("analysis_id", "P2O5")
    assert len(read_analyses(TABLE, ignore=others)) == 3
    with pytest.raises(DataError, match="no oxides: Si02; did you mean 'SiO2'"):
        read_analyses(TABLE.rename(columns={"SiO2": "Si02"}), ignore=others)


def put(column: str, row: int, value: object) -> pd.DataFrame:
    table = TABLE.astype({column: object}) if isinstance(value, str) else TABLE.copy()
    table.loc[row, column] = value
    return table


BAD = {
    "unknown class": (put("mineral", 8, "Olvine"), "table['mineral'][8]: class 'Olvine' is unknown (1 rows"),
    "ppm": (put("MgO", 9, 4000.0), "table[9, MgO]: 4000; are these ppm"),
    "text": (put("MgO", 8, "bdl"), "table['MgO']: dtype object, 'bdl' in row 8"),
    "no label": (TABLE.drop(columns="mineral"), "table['mineral']: 0 columns of this name"),
    "no group": (TABLE.rename(columns={"source_group": "source"}), "did you mean 'source'?"),
    "empty group": (put("source_group", 8, np.nan), "table['source_group'][8]: empty"),
    "label twice": (pd.concat([TABLE, TABLE[["mineral"]]], axis=1), "table['mineral']: 2 columns of this name"),
    "no oxides": (TABLE[["mineral", "source_group"]], "table: no column is an oxide"),
    "no rows": (TABLE.iloc[:0], "table: no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_tables_are_refused_by_row_and_column(case):
    table, message = BAD[case]
    with pytest.raises(DataError) as caught:
        read_analyses(table)
    assert message in str(caught.value)


def test_a_file_that_is_no_table_is_named(tmp_path):
    def refused(name: str, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            read_analyses(tmp_path / name)

    refused("absent.csv", None)
    refused("empty.csv", b"")
    refused("latin.csv", b"mineral,SiO2\n\xe9\xff,3\n")
    refused("ragged.csv", b"a,b\n1,2\n1,2,3\n")
    refused("plain.csv.gz", b"mineral,SiO2\nQuartz,99\n")
    refused("cut.csv.gz", gzip.compress(b"mineral,SiO2\n" + bytes(range(256)) * 40)[:60])
    broken = bytearray(gzip.compress(b"mineral,SiO2\n" + np.random.default_rng(0).bytes(4000)))
    broken[100:200] = bytes(100)
    refused("broken.csv.gz", bytes(broken))
    with pytest.raises(DataError, match="cannot be read"):
        read_analyses(tmp_path)


def test_a_spec_without_oxides_or_classes_is_refused():
    with pytest.raises(SpecError, match="no modality of oxides; expected one with gaps = true"):
        read_analyses(TABLE, spec="simulated_fusion")
    bare = load_spec("epma_minerals").model_copy(update={"targets": {}})
    with pytest.raises(SpecError, match="no category"):
        read_analyses(TABLE, spec=bare)
    assert len(read_analyses(TABLE, spec=bare, label=None)) == 3


@pytest.fixture(scope="module")
def file() -> Path:
    return shared_table("epma", "epma_minerals")


def test_the_real_analyses_are_read_as_documented(file):
    data = read_analyses(file)
    assert len(data) == 65466 and len(np.unique(data.groups)) == 96
    assert data.labelled("mineral").all() and data.present("oxides").all()
    kinds, counts = np.unique(data.targets["mineral"], return_counts=True)
    rows = dict(zip((CLASSES[int(kind)] for kind in kinds), counts, strict=True))
    assert (len(rows), rows["Olivine"], rows["Quartz"]) == (17, 18686, 28)
    olivine = data.targets["mineral"][:, 0] == CLASSES.index("Olivine")
    assert np.isnan(data.spectra("oxides")[olivine, OXIDES.index("Na2O")]).mean() == pytest.approx(0.92, abs=0.01)
    train, test = data.split()
    assert not set(train.groups) & set(test.groups)


def test_the_real_analyses_survive_our_own_format(file, tmp_path):
    data = read_analyses(file).select(slice(0, None, 20))
    data.write(tmp_path / "x.h5")
    opened = open_spectra(tmp_path / "x.h5", "epma_minerals")
    np.testing.assert_array_equal(opened.spectra("oxides"), data.spectra("oxides"))
    np.testing.assert_array_equal(opened.targets["mineral"], data.targets["mineral"])
    np.testing.assert_array_equal(opened.groups, data.groups)


def test_other_tables_of_the_set_are_read_too():
    cascades = read_analyses(shared_table("epma", "epma_cascades_cpx_amp"))
    petdb = read_analyses(shared_table("epma", "epma_petdb_amphibole"))
    glass = read_analyses(shared_table("epma", "epma_glass"), label=None)
    assert (len(cascades), len(petdb), len(glass)) == (2437, 2454, 3731)
