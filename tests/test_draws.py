"""Draws have the shapes, densities and randomness that they claim."""

from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from toy import Toy, spec, toy_spectra

from probspec.draws.draw import draw
from probspec.errors import GuideError, QueryError


@pytest.fixture
def toy() -> Toy:
    return Toy(spec())


@pytest.fixture
def batch():
    return toy_spectra(6, seed=1).to_batch()


def test_shapes_are_draw_sample_event(toy, batch):
    drawn = draw(toy, batch, 5)
    assert {name: tuple(v.shape) for name, v in drawn.values.items()} == {
        "noise": (5, 1),
        "abundance": (5, 6, 3),
        "brightness": (5, 6),
    }
    assert drawn.log_q.shape == drawn.log_p.shape == drawn.log_likelihood["raman"].shape == (5, 6)
    assert drawn.log_q_global.shape == drawn.log_p_global.shape == (5, 1)


def test_densities_are_those_of_the_laws_without_the_scale_of_a_minibatch(toy, batch):
    drawn = draw(toy, replace(batch, total=1000), 4)
    abundance, noise = drawn.values["abundance"], drawn.values["noise"]
    law = dist.Normal(abundance @ toy.endmembers, noise[..., None]).to_event(1)
    likelihood = law.log_prob(batch.x["raman"])
    torch.testing.assert_close(drawn.log_likelihood["raman"], likelihood)
    torch.testing.assert_close(drawn.log_p, likelihood + dist.Dirichlet(torch.ones(3)).log_prob(abundance))
    torch.testing.assert_close(drawn.log_q, toy.abundance(batch).log_prob(abundance))
    torch.testing.assert_close(drawn.log_p_global, dist.Gamma(2.0, 20.0).log_prob(noise))
    torch.testing.assert_close(drawn.log_q_global, dist.LogNormal(-2.0, torch.tensor(-2.0).exp()).log_prob(noise))


def test_what_is_masked_has_no_density(toy, batch):
    present = {"raman": torch.tensor([True, False, True, True, True, True])}
    likelihood = draw(toy, replace(batch, present=present), 4).log_likelihood["raman"]
    assert (likelihood[:, 1] == 0).all() and (likelihood[:, 0] != 0).all()


def test_labels_are_not_looked_at(toy, batch):
    class Peeking(Toy):
        def guide(self, batch):
            assert not batch.labelled["abundance"].any()
            super().guide(batch)

    assert batch.labelled["abundance"].any()
    draw(Peeking(spec()), batch, 2)


def test_same_seed_same_draws_another_seed_others(toy, batch):
    first, again, other = (draw(toy, batch, 3, seed).values["abundance"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_global_draws_are_shared_by_blocks_of_rows(toy, batch):
    first = draw(toy, batch, 3, seed=0)
    second = draw(toy, batch, 3, seed=1, given={"noise": first.values["noise"]})
    assert torch.equal(first.values["noise"], second.values["noise"])
    torch.testing.assert_close(first.log_q_global, second.log_q_global)
    assert not torch.equal(first.values["abundance"], second.values["abundance"])


def test_one_row_is_not_taken_for_a_global_site(toy, batch):
    drawn = draw(toy, batch.rows(torch.tensor([0])), 3)
    assert drawn.log_q.shape == drawn.log_q_global.shape == (3, 1)
    assert not torch.equal(drawn.log_q, drawn.log_q_global)


def test_nothing_needs_a_gradient_and_the_mode_stays(toy, batch):
    toy.train()
    drawn = draw(toy, batch, 2)
    assert toy.training and not any(v.requires_grad for v in (drawn.log_p, drawn.log_q, *drawn.values.values()))


def test_no_draws_is_an_error(toy, batch):
    with pytest.raises(QueryError, match="draws=1000"):
        draw(toy, batch, 0)


@pytest.mark.parametrize("dim", [-1, -3])
def test_a_plate_of_its_own_is_an_error_that_names_the_site(batch, dim):
    class Plated(Toy):
        def model(self, batch):
            super().model(batch)
            with pyro.plate("modality", 2, dim=dim):
                pyro.sample("gain", dist.Normal(0.0, 1.0), obs=torch.zeros(()))

    with pytest.raises(GuideError, match=r"'gain'.*'modality'.*to_event"):
        draw(Plated(spec()), batch, 2)


def test_global_generators_are_left_alone(toy, batch, untouched_generators):
    draw(toy, batch, 2)


def test_a_row_that_gives_no_finite_draws_is_named(toy, batch):
    class Broken(Toy):
        def abundance(self, batch):
            law = super().abundance(batch)
            return dist.Dirichlet(torch.where(batch.index[:, None] == 4, torch.nan, law.concentration))

    with pytest.raises(QueryError, match="'abundance'.*rows 4"):
        draw(Broken(spec()), batch, 2)
