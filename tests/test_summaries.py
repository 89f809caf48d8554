"""Summaries of a batch: out of fold for the rows that taught, masked where nothing was measured, and honest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fused import CHANNELS, few_candidates, fused, parted
from torch.distributions import constraints

from probspec.batch import Batch
from probspec.errors import DataError
from probspec.nets import kernels
from probspec.nets.kernels import KernelExpert
from probspec.nets.summaries import KEPT, Summaries
from probspec.nets.tempering import Tempering


@pytest.fixture(autouse=True)
def quick():
    with few_candidates():
        yield


def fitted(batch: Batch, groups: torch.Tensor | None = None) -> tuple[Summaries, dict[str, torch.Tensor]]:
    made, groups = Summaries(tuple(CHANNELS), 3), torch.arange(len(batch)) if groups is None else groups
    return made, made.fit(batch, "abundance", constraints.simplex, groups, 0)


def test_side_by_side_and_masked():
    batch = parted(fused(40)).to_batch()
    made, extras = fitted(batch)
    assert set(extras) == {"summary", "deviation", "measured"}
    assert all(value.shape == (40, 6) for value in extras.values())
    assert torch.equal(extras["measured"][:, 0], batch.present["raman"])
    assert torch.equal(extras["measured"][:, 5], batch.present["libs"])
    assert all(value.isfinite().all() for value in extras.values()) and (extras["deviation"] > 0).all()
    seen = made.seen(replace(batch, extras=extras))
    assert torch.equal(seen[~extras["measured"]], torch.zeros(int((~extras["measured"]).sum())))


def test_training_rows_are_out_of_fold():
    """What the encoder says of its own rows afterwards is better than what it is believed to say of them."""
    batch = fused(40).to_batch()
    made, extras = fitted(batch)
    again, truth = made.encode(batch), batch.y["abundance"].tile(2)
    assert (again["summary"] - truth).abs().mean() < 0.9 * (extras["summary"] - truth).abs().mean()


def test_standardised_errors_of_new_rows_are_of_order_one():
    made, _ = fitted(fused(60).to_batch())
    new = fused(300, seed=1).to_batch()
    extras = made.encode(new)
    spread = made.evidence.errors(extras["deviation"], extras["measured"]).square().sum(-1).sqrt()
    square = ((extras["summary"] - new.y["abundance"].tile(2)) / spread).square().mean(0)
    assert ((square > 0.4) & (square < 1.8)).all(), square


def test_unlabelled_rows_are_summarised_and_teach_nothing():
    data = fused(50)
    half = fused(50, labelled=0.8).to_batch()
    made, extras = fitted(half)
    alone, _ = fitted(data.select(slice(0, 40)).to_batch())
    said = alone.encode(data.select(slice(40, 50)).to_batch())
    assert torch.allclose(extras["summary"][40:], said["summary"], atol=1e-5)
    assert torch.allclose(extras["deviation"][40:], said["deviation"], atol=1e-5)


def test_labels_of_a_composition_do_not_reach_its_own_rows(monkeypatch):
    """For a fixed kernel and strength; these and the tempering are chosen by all rows."""
    monkeypatch.setattr(KernelExpert, "STRENGTHS", torch.tensor([1e-3], dtype=torch.float64))
    monkeypatch.setattr(kernels, "kernels", lambda views, most: tuple(kernels.Kernel(view) for view in views))
    monkeypatch.setattr(kernels, "applicable", lambda x: ("raw",))
    monkeypatch.setattr(Tempering, "fit", lambda *arguments: None)
    batch, groups = fused(40).to_batch(), torch.arange(20).repeat_interleave(2)
    own = groups == 7
    _, before = fitted(batch, groups)
    batch.y["abundance"][own] = torch.tensor([1.0, 0.0, 0.0])
    _, after = fitted(batch, groups)
    moved = (before["summary"] - after["summary"]).abs().amax(1)
    # The encoder's centre, the mean of all labels, is all that moves.
    assert moved[own].max() < 1e-3 and moved[~own].max() > 5e-3


@pytest.mark.parametrize("labelled", [0, 4])
def test_too_few_labels_name_the_modality(labelled):
    batch = fused(20).to_batch()
    batch.labelled["abundance"][labelled:] = False
    with pytest.raises(DataError, match=rf"spectra/raman: {labelled} labelled spectra; expected at least 5\. To mend"):
        fitted(batch)


def test_a_modality_that_was_never_measured():
    spectra = fused(20).only("raman")
    with pytest.raises(DataError, match="spectra/libs: 0 labelled spectra"):
        fitted(spectra.to_batch())


@pytest.mark.parametrize("sizes", [(6,), (5, 1), (3, 1, 1), (2, 2, 2)])
def test_a_handful_of_rows(sizes):
    """However few compositions there are, something is held out."""
    rows = sum(sizes)
    _, extras = fitted(fused(rows).to_batch(), torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)))
    assert all(value.isfinite().all() for value in extras.values()) and (extras["deviation"] > 0).all()


def test_a_component_that_never_occurs():
    """Its labels are all zero: it is expected to be absent, and nothing else breaks."""
    batch = fused(40).to_batch()
    y = batch.y["abundance"].clone()
    batch.y["abundance"] = torch.cat([y[:, :2] / y[:, :2].sum(1, keepdim=True), torch.zeros(40, 1)], 1)
    made, extras = fitted(batch)
    start = made.start(replace(batch, extras=extras), constraints.simplex)
    assert start.location.isfinite().all() and start.scale_tril.isfinite().all()
    assert extras["summary"][:, [2, 5]].abs().max() < 1e-3


def test_saved_and_built_again():
    batch = fused(40).to_batch()
    made, _ = fitted(batch)
    other = Summaries(tuple(CHANNELS), 3)
    other.build(made.architecture())
    other.load_state_dict(made.state_dict())
    one, again = made.encode(batch), other.encode(batch)
    assert all(torch.equal(one[name], again[name]) for name in one)


class TestDream:
    def dreamt(self) -> tuple[Summaries, Batch, Batch, torch.Tensor]:
        batch = parted(fused(40)).to_batch()
        made, extras = fitted(batch)
        lent = replace(batch, extras=extras).rows(torch.arange(4000) % 40)
        y = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(3), 4000)).float()
        torch.manual_seed(0)
        return made, lent, made.dream(lent, y), y

    def test_modalities_are_left_out_but_never_all(self):
        _, lent, dream, _ = self.dreamt()
        measured = dream.extras["measured"].reshape(-1, 2, 3)
        assert measured.any(-1).any(-1).all() and not (dream.extras["measured"] & ~lent.extras["measured"]).any()
        both = lent.extras["measured"].all(-1)
        expected = (KEPT**2 + (1 - KEPT) ** 2) * both.float().mean()  # none kept: both are
        assert dream.extras["measured"].all(-1).float().mean().item() == pytest.approx(expected.item(), abs=0.03)

    def test_summaries_scatter_as_the_evidence_says(self):
        made, _, dream, y = self.dreamt()
        spread = made.evidence.errors(dream.extras["deviation"], dream.extras["measured"]).square().sum(-1).sqrt()
        standard = (dream.extras["summary"] - y.tile(2)) / spread
        for column in range(6):
            seen = standard[dream.extras["measured"][:, column], column]
            assert seen.mean().abs() < 0.08 and seen.std().item() == pytest.approx(1, abs=0.06)
