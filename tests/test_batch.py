import torch

from probspec.batch import Batch


def made() -> Batch:
    rows = torch.arange(6)
    return Batch(
        x={"raman": torch.arange(12.0).reshape(6, 2)},
        present={"raman": rows != 1},
        y={"abundance": torch.eye(6)},
        labelled={"abundance": rows < 4},
        index=rows + 10,
        total=60,
        extras={"summary": torch.arange(6.0)},
    )


def test_rows_take_every_part_along_and_keep_the_total():
    taken = made().rows(torch.tensor([4, 1]))
    assert taken.index.tolist() == [14, 11]
    assert taken.x["raman"].tolist() == [[8.0, 9.0], [2.0, 3.0]]
    assert taken.present["raman"].tolist() == [True, False]
    assert taken.labelled["abundance"].tolist() == [False, True]
    assert taken.extras["summary"].tolist() == [4.0, 1.0]
    assert (len(taken), taken.total, taken.scale) == (2, 60, 30.0)


def test_a_dtype_is_for_floating_parts_only():
    moved = made().to("cpu", torch.float64)
    assert moved.x["raman"].dtype == moved.extras["summary"].dtype == torch.float64
    assert moved.index.dtype == torch.int64 and moved.present["raman"].dtype == torch.bool


def test_labels_are_hidden_in_a_copy():
    batch = made()
    assert not batch.without_labels().labelled["abundance"].any()
    assert batch.labelled["abundance"].any()
