"""Clusters without labels: minerals are found again, gaps make none, new analyses are seen in the scales of the old."""

import numpy as np
import pandas as pd
import pytest
from shared_data import shared_table
from sklearn.metrics import adjusted_rand_score

from probspec.donors import Donors
from probspec.errors import DataError, QueryError
from probspec.estimators.clusters import MineralClusters
from probspec.nets.neighbours import EmbeddingOptions, neighbour_graph
from probspec.oxides import OXIDES
from probspec.simulate import simulate
from probspec.spec import DataSpec, load_spec

MINERALS = ["Olivine", "Plagioclase", "Garnet", "Ilmenite", "Quartz"]
BRIEF = EmbeddingOptions(steps=150)


def analyses(n: int, seed: int, missing: float = 0.0, minerals: list[str] = MINERALS) -> tuple[np.ndarray, np.ndarray]:
    config = load_spec("epma_minerals").to_config()
    spec = DataSpec.from_config(config | {"simulator": {"name": "minerals", "minerals": minerals, "missing": missing}})
    made = simulate(spec, n, seed)
    names = np.array(spec.targets["mineral"].components)
    return made.spectra("oxides").astype(float), names[made.targets["mineral"][:, 0].astype(int)]


@pytest.fixture(scope="module")
def fitted() -> MineralClusters:
    return MineralClusters(options=BRIEF).fit(analyses(800, 0)[0])


def test_minerals_are_found_again_in_new_analyses(fitted):
    X, names = analyses(500, 1)
    assert adjusted_rand_score(analyses(800, 0)[1], fitted.labels_) > 0.9
    assert adjusted_rand_score(names, fitted.predict(X)) > 0.9


def test_fitted_analyses_are_given_back_as_new_ones(fitted):
    X, _ = analyses(800, 0)
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    np.testing.assert_array_equal(fitted.transform(X), fitted.latent_)
    assert fitted.latent_.shape == (800, 2) and set(fitted.labels_) <= set(range(-1, fitted.n_clusters_))


def test_an_analysis_is_projected_by_the_training_statistics_alone(fitted):
    X, _ = analyses(60, 2)
    np.testing.assert_allclose(fitted.transform(X)[:1], fitted.transform(X[:1]), atol=1e-5)
    np.testing.assert_array_equal(fitted.predict(X)[::-1], fitted.predict(X[::-1]))


def test_a_mineral_that_was_never_met_is_noise(fitted):
    stranger, _ = analyses(40, 3, minerals=["Apatite"])
    assert (fitted.predict(stranger) == -1).mean() > 0.9


def test_gaps_make_no_clusters():
    # One mineral, two laboratories: one reports all, the other leaves out what tells nothing.
    X, _ = analyses(600, 4, minerals=["Olivine", "Quartz"])
    habit = np.random.default_rng(0).random(len(X)) < 0.5
    X[np.ix_(habit, [OXIDES.index(oxide) for oxide in ("Na2O", "K2O", "Cr2O3", "TiO2")])] = np.nan
    labels = MineralClusters(options=BRIEF, min_cluster_size=15, min_samples=15, most=40).fit(X).labels_
    silica = X[:, 0] > 70
    for mineral in (silica, ~silica):
        assert adjusted_rand_score(habit[mineral], labels[mineral]) < 0.05
    assert adjusted_rand_score(silica, labels) > 0.9


def test_it_does_not_matter_which_minerals_have_the_gaps():
    X, names = analyses(800, 5)
    lean = np.isin(names, ["Olivine", "Quartz"])  # laboratories do not look for alkalis here ...
    habits = {"by mineral": lean, "anywhere": np.random.default_rng(0).permutation(lean)}  # ... or no matter where
    for rows in habits.values():
        told = X.copy()
        told[np.ix_(rows, [OXIDES.index(oxide) for oxide in ("Na2O", "K2O", "Cr2O3", "TiO2")])] = np.nan
        clusters = MineralClusters(options=BRIEF, most=30).fit(told)  # quartz fills few cells
        assert adjusted_rand_score(names, clusters.labels_) > 0.9
        assert clusters.n_clusters_ == len(MINERALS)


def test_a_paper_of_thousands_does_not_dominate():
    X, names = analyses(800, 7)
    rng = np.random.default_rng(0)
    one = X[np.flatnonzero(names == "Olivine")[0]]
    copies = one + 0.01 * rng.standard_normal((4000, 10))
    labels = MineralClusters(options=BRIEF).fit(np.concatenate([X, copies])).labels_
    assert adjusted_rand_score(names, labels[:800]) > 0.9 and len(set(labels[800:])) == 1


def test_same_seed_same_clusters(untouched_generators):
    X, _ = analyses(400, 8)
    options = EmbeddingOptions(steps=20)
    one, same, other = (MineralClusters(options=options, random_state=seed).fit(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.latent_, same.latent_)
    np.testing.assert_array_equal(one.labels_, same.labels_)
    assert not np.array_equal(one.latent_, other.latent_)


def test_columns_come_in_any_order(fitted):
    X, _ = analyses(20, 9)
    frame = pd.DataFrame(X, columns=list(OXIDES))[list(OXIDES[::-1])].assign(P2O5=0.1)
    np.testing.assert_array_equal(fitted.predict(frame), fitted.predict(X))


def test_an_analysis_of_nothing_is_noise_without_a_place(fitted):
    X, _ = analyses(5, 10)
    X[2] = np.nan
    assert fitted.predict(X)[2] == -1 and np.isnan(fitted.transform(X)[2]).all()
    assert np.isfinite(fitted.transform(X)[[0, 1, 3, 4]]).all()
    assert np.isnan(fitted.transform(X[2:3])).all()


def test_points_between_clusters_stay_noise_when_wanted():
    X, _ = analyses(800, 11)
    half = np.random.default_rng(0).uniform(0.3, 0.7, (60, 1))  # the beam met two grains
    X = np.concatenate([X, half * X[:60] + (1 - half) * X[60:120]])
    strict, loose = (MineralClusters(options=BRIEF, assign_noise=keep).fit(X) for keep in (False, True))
    assert (strict.labels_ == -1).sum() > (loose.labels_ == -1).sum()


@pytest.mark.parametrize(
    ("settings", "table", "message"),
    [
        ({}, np.ones((3, 9)), r"X: shape \(3, 9\)"),
        ({}, np.full((30, 10), 400.0), r"X\[0, SiO2\]: 400"),
        ({}, np.full((300, 10), 10.0), "X: 5 analyses that differ enough"),
        ({}, np.full((300, 10), np.nan), "X: no analysis has an oxide"),
        ({"min_cluster_size": 1}, np.ones((3, 10)), "min_cluster_size: 1; expected 2 or more"),
        ({"min_samples": 0}, np.ones((3, 10)), "min_samples: 0"),
        ({"cell": 0.0}, np.ones((3, 10)), "cell: 0.0"),
    ],
)
def test_what_is_wrong_is_named(settings, table, message):
    with pytest.raises(DataError, match=message):
        MineralClusters(**settings).fit(table)


@pytest.mark.parametrize("setting", ["neighbours", "steps", "batch", "strangers", "width"])
def test_options_are_checked_when_made(setting):
    with pytest.raises(DataError, match=f"{setting}: 0; expected 1 or more"):
        EmbeddingOptions(**{setting: 0})


def test_nothing_is_answered_before_fit():
    with pytest.raises(QueryError, match="not fitted yet.*fit"):
        MineralClusters().predict(np.ones((1, 10)))


def test_donors_agree_where_the_row_reports_and_leave_room_in_the_total():
    olivine, biotite = [40.0, 10, 50, 0.0], [40.0, 10, 20, 10.0]
    donors = Donors(np.sqrt([olivine, biotite] * 30))
    lacking = np.sqrt(np.array([[40.0, 10, 50, np.nan], [40, 10, 20, np.nan], [40, 10, np.nan, 10]]))
    np.testing.assert_allclose(donors.complete(lacking) ** 2, [olivine, biotite, biotite], atol=1e-9)


def test_what_no_donor_reports_is_nothing():
    donors = Donors(np.array([[1.0, np.nan]] * 60))
    np.testing.assert_array_equal(donors.complete(np.array([[2.0, np.nan]])), [[2.0, 0.0]])


def test_the_graph_is_symmetric_and_each_row_has_log2_of_its_neighbours():
    x = np.random.default_rng(0).standard_normal((200, 3))
    graph = neighbour_graph(x, 16)
    strength = np.zeros((200, 200))
    strength[graph.first, graph.second] = graph.strength
    np.testing.assert_allclose(strength, strength.T)
    np.testing.assert_allclose(strength.max(1), 1)  # the nearest one counts in full
    assert (strength <= 1 + 1e-12).all() and (strength.sum(1) >= 4 - 1e-6).all()  # log2(16), and what others add


def test_real_minerals_come_apart():
    rows = pd.read_csv(shared_table("epma", "epma_minerals"), low_memory=False)
    some = rows.groupby("mineral").sample(150, replace=True, random_state=0).drop_duplicates("analysis_id")
    some = some[some["mineral"].isin(["Olivine", "Plagioclase", "Apatite", "Ilmenite", "Biotite", "Clinopyroxene"])]
    labels = MineralClusters(options=EmbeddingOptions(steps=300)).fit(some[list(OXIDES)]).labels_
    assert adjusted_rand_score(some["mineral"].to_numpy(str), labels) > 0.8
