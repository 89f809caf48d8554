import numpy as np
import pytest

from probspec.data.partition import folds, hold_out, related
from probspec.errors import DataError


@pytest.mark.parametrize("seed", range(5))
def test_held_out_groups_are_whole_and_about_the_share_that_is_asked(seed):
    groups = np.random.default_rng(seed).integers(0, 30, size=400)
    held = hold_out(groups, 0.25, seed)
    assert not set(groups[held]) & set(groups[~held])
    assert 0.2 < held.mean() < 0.3


def test_the_seed_decides():
    groups = np.arange(50)
    assert (hold_out(groups, 0.3, 1) == hold_out(groups, 0.3, 1)).all()
    assert (hold_out(groups, 0.3, 1) != hold_out(groups, 0.3, 2)).any()
    assert hold_out(groups, 0.3, 1).sum() == 15


@pytest.mark.parametrize("test", [0.01, 0.99])
def test_both_parts_have_a_group(test):
    held = hold_out(np.array(["a", "a", "b"]), test, 0)
    assert held.any() and not held.all()


@pytest.mark.parametrize("k", [2, 5])
def test_folds_cover_every_row_once_and_part_no_group(k):
    groups = np.random.default_rng(0).integers(0, 20, size=200)
    parts = folds(groups, k, seed=3)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(200))
    for train, test in parts:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 200
        assert abs(len(test) - 200 / k) < 20


def test_rows_alone_make_equal_folds():
    assert [len(test) for _, test in folds(np.arange(10), 5, 0)] == [2] * 5


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(DataError, match="seed"):
        hold_out(np.arange(4), 0.5, seed)


class TestRelated:
    def test_additions_are_one_family(self):
        start = np.array([0.5, 0.3, 0.2])
        series = [start, *((start + [0, 0, more]) / (1 + more) for more in (0.1, 0.7))]
        others = np.random.default_rng(0).dirichlet(np.ones(3), 9)
        families = related(np.vstack([others[:4], series, others[4:]]))
        assert len(set(families[4:7])) == 1
        assert len(np.unique(families)) == 10

    def test_equal_compositions_are_one_family(self):
        rows = np.random.default_rng(1).dirichlet(np.ones(4), 8)
        assert related(rows[[0, 1, 2, 0, 3, 4, 1, 5, 6, 7]]).tolist() == [0, 1, 2, 0, 3, 4, 1, 5, 6, 7]

    def test_a_grid_is_no_family(self):
        grid = np.array([(i, j, 6 - i - j) for i in range(1, 5) for j in range(1, 6 - i)]) / 6
        assert len(np.unique(related(grid))) == len(grid)

    def test_the_order_of_components_is_free(self):
        rows = np.random.default_rng(2).dirichlet(np.ones(3), 12)[np.repeat(np.arange(6), 2)]
        assert np.array_equal(related(rows), related(rows[:, [2, 0, 1]]))
