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
