import numpy as np
import pytest

from probspec.errors import DataError
from probspec.data.partition import folds, hold_out


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
