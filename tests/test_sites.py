"""What a model's latent sites are, and which guides do not belong to it."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from mixing import ONES, PRIORS, Mixing, make_batch

from probspec.batch import Batch
from probspec.errors import GuideError
from probspec.sites import check_pair, latent_sites


class TestCheckPair:
    def setup_method(self):
        torch.manual_seed(0)
        self.model, self.batch = Mixing(PRIORS), make_batch()

    def refuses(self, guide, message: str) -> None:
        with pytest.raises(GuideError, match=message):
            check_pair(self.model, guide, self.batch)

    def test_missing_site(self):
        def guide(batch):
            with pyro.plate("sample", batch.total, subsample=batch.index, dim=-1):
                self.model.local(batch.x["raman"])

        self.refuses(guide, "site 'noise': the model draws it, the guide does not")

    def test_superfluous_site(self):
        def guide(batch):
            self.model.guide(batch)
            pyro.sample("gain", dist.Normal(0.0, 1.0))

        self.refuses(guide, "site 'gain': the guide draws it, the model does not")

    def test_shape(self):
        def guide(batch):
            self.model.whole()
            with pyro.plate("sample", len(batch), dim=-1):
                pyro.sample("abundance", dist.Dirichlet(torch.ones(4)))

        self.refuses(guide, r"site 'abundance': the guide's values have shape \(4,\), the prior's \(3,\)")

    def test_plate(self):
        def guide(batch):
            self.model.whole()
            pyro.sample("abundance", dist.Dirichlet(ONES))

        self.refuses(guide, "site 'abundance': the guide's plates are none, the model's sample")

    def test_auxiliary_sites_are_allowed(self):
        def guide(batch):
            pyro.sample("helper", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
            self.model.guide(batch)

        check_pair(self.model, guide, self.batch)

    def test_leaves_the_random_state_alone(self):
        before = torch.get_rng_state()
        check_pair(self.model, self.model.guide, self.batch)
        assert torch.equal(torch.get_rng_state(), before)


class TestLatentSites:
    def test_reads_the_model(self):
        noise, abundance = latent_sites(Mixing(PRIORS), make_batch())
        assert (noise.name, noise.event_shape, noise.size, noise.per_sample) == ("noise", (), 1, False)
        assert (abundance.name, abundance.event_shape, abundance.size) == ("abundance", (3,), 2)
        assert abundance.per_sample and abundance.support is not None
        assert noise.location[0] == pytest.approx(-2, abs=0.15) and noise.scale[0] == pytest.approx(1, abs=0.15)

    def test_does_not_depend_on_the_number_of_samples(self):
        model = Mixing(PRIORS.replace(abundance=dist.Uniform(0 * ONES, torch.arange(1.0, 4.0)).to_event(1)))
        check_pair(model, model.guide, make_batch(7))

    def test_bounds_that_differ_between_samples(self):
        model = Story(lambda: pyro.sample("z", dist.Uniform(torch.zeros(32), torch.arange(1.0, 33.0))))
        with pytest.raises(GuideError, match="site 'z'.*sample to sample"):
            latent_sites(model, make_batch())

    def test_discrete(self):
        model = Story(lambda: pyro.sample("mineral", dist.Categorical(torch.ones(4))))
        with pytest.raises(GuideError, match="site 'mineral': Categorical is discrete.*enumerate.*marginalise.*relax"):
            latent_sites(model, make_batch())

    def test_other_plates(self):
        def story():
            with pyro.plate("pixel", 4, dim=-2):
                pyro.sample("z", dist.Normal(0.0, 1.0))

        with pytest.raises(GuideError, match="plates pixel, sample.*to_event"):
            latent_sites(Story(story), make_batch())


class Story:
    """A model of one statement inside the plate over samples."""

    def __init__(self, statement):
        self.statement = statement

    def model(self, batch: Batch) -> None:
        with pyro.plate("sample", len(batch), dim=-1):
            self.statement()
