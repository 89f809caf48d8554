from itertools import islice

import numpy as np
import pytest
import torch

from probspec.data import batches as module
from probspec.data.batches import Batches
from probspec.data.spectra import Spectra, open_spectra
from probspec.errors import DataError
from probspec.spec import anonymous_spec

N = 700


@pytest.fixture
def spectra() -> Spectra:
    """Spectra whose first channel is the row's own number."""
    x = np.column_stack([np.arange(N), np.zeros(N), np.ones(N)])
    return Spectra.from_arrays(x, anonymous_spec({"x": 3}, ["a", "b"]), targets=np.full((N, 2), 0.5))


@pytest.fixture
def streamed(spectra, tmp_path, monkeypatch) -> Spectra:
    """The same in a file that is too large for the buffer."""
    monkeypatch.setattr(module, "BUFFER_ROWS", 256)
    spectra.write(tmp_path / "x.h5")
    return open_spectra(tmp_path / "x.h5", spectra.spec)


@pytest.mark.parametrize("kind", ["spectra", "streamed"])
def test_an_epoch_has_batches_of_one_shape_that_cover_every_row(kind, request):
    spectra = request.getfixturevalue(kind)
    batches = Batches(spectra, 64, seed=0, extras={"row": torch.arange(N)})
    epoch = list(batches)
    assert len(epoch) == len(batches) == 11
    assert {tuple(b.x["x"].shape) for b in epoch} == {(64, 3)}
    assert {b.total for b in epoch} == {N}
    for batch in epoch:
        assert torch.equal(batch.x["x"][:, 0].long(), batch.index)
        assert torch.equal(batch.extras["row"], batch.index)
    seen = torch.cat([b.index for b in epoch])
    assert len(seen) == 704 and set(seen.tolist()) == set(range(N))


@pytest.mark.parametrize("kind", ["spectra", "streamed"])
def test_epochs_differ_and_the_seed_decides(kind, request):
    spectra = request.getfixturevalue(kind)
    orders = {
        (seed, number): torch.cat([b.index for b in Batches(spectra, 64, seed).epoch(number)])
        for seed in (0, 1)
        for number in (0, 1)
    }
    assert not torch.equal(orders[0, 0], orders[0, 1]) and not torch.equal(orders[0, 0], orders[1, 0])
    batches = Batches(spectra, 64, 0)
    for number in (0, 1):
        assert torch.equal(torch.cat([b.index for b in batches]), orders[0, number])


def test_streamed_rows_are_mixed_beyond_their_stored_block(streamed):
    first = next(iter(Batches(streamed, 64, seed=0)))
    assert len(set((first.index // 128).tolist())) > 1


def test_batches_of_a_file_are_slices_of_what_was_read(streamed):
    one, other = islice(Batches(streamed, 64, seed=0), 2)
    assert one.x["x"].untyped_storage().data_ptr() == other.x["x"].untyped_storage().data_ptr()


def test_part_of_a_file_is_shuffled_by_its_stored_blocks(streamed):
    part = streamed.select(np.flatnonzero(np.arange(N) % 10))
    blocks = part.stored_blocks()
    assert [len(set(part.spectra("x", rows)[:, 0] // 128)) for rows in blocks] == [1] * 6
    assert np.array_equal(np.sort(np.concatenate(blocks)), np.arange(len(part)))
    seen = torch.cat([b.x["x"][:, 0] for b in Batches(part, 64, seed=0)])
    assert set(seen.tolist()) == {float(row) for row in range(N) if row % 10}


def test_what_two_buffers_hold_is_read_once(spectra, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUFFER_ROWS", N // 2)
    spectra.write(tmp_path / "x.h5")
    batches = Batches(open_spectra(tmp_path / "x.h5", spectra.spec), 64, seed=0)
    (tmp_path / "x.h5").unlink()
    assert len(list(batches)) == 11


def test_a_set_smaller_than_a_batch_is_one_batch(spectra):
    batches = Batches(spectra.select(slice(0, 5)), 64, seed=0)
    assert [len(b) for b in batches] == [5]


def test_nothing_draws_from_the_global_generators(spectra, untouched_generators):
    list(Batches(spectra, 64, seed=0))


def test_wrong_arguments_are_named(spectra):
    with pytest.raises(DataError, match="size"):
        Batches(spectra, 0, seed=0)
    with pytest.raises(DataError, match=r"extras\['h'\]"):
        Batches(spectra, 8, seed=0, extras={"h": torch.zeros(3)})
    with pytest.raises(DataError, match="seed"):
        list(Batches(spectra, 8, seed=-1))
