"""Encoders: closed forms against brute force, the right view, and out-of-fold summaries that never saw their row."""

import pytest
import torch

from probspec.nets.encoder import Summary
from probspec.nets.encoders import KINDS, fit_encoder, new_encoder
from probspec.nets.kernels import Kernel, KernelEncoder, KernelExpert, Scores, by_size, kernels
from probspec.nets.networks import NetworkEncoder
from probspec.nets.views import applicable

CHANNELS = 40
GAIN_FREE = {"snv", "snv_derivative", "centred_log", "root_of_shape", "compressed"}
GROUPS = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 6, 6, 7])
KERNELS = [Kernel("raw"), Kernel("raw", 0, 0.1, 3.0), Kernel("raw", 3, 1.0, 3.0)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def compositions(rows: int, seed: int = 0) -> torch.Tensor:
    shares = -torch.rand(rows, 3, generator=generator(seed), dtype=torch.float64).log()
    return shares / shares.sum(-1, keepdim=True)


def end_members() -> torch.Tensor:
    channel = torch.linspace(0, 1, CHANNELS, dtype=torch.float64)
    return torch.stack([torch.exp(-0.5 * ((channel - centre) / 0.08) ** 2) for centre in (0.2, 0.5, 0.8)])


def linear(rows: int = 40, noise: float = 0.01, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    y = compositions(rows, seed)
    return 1 + y @ end_members() + noise * normal(rows, CHANNELS, seed=seed + 1), y


def apart(rows: int) -> torch.Tensor:
    return torch.arange(rows)


class TestLeavingOut:
    """The closed form of leaving compositions out, against refits."""

    def scores(self) -> torch.Tensor:
        return normal(len(GROUPS), 5, seed=1) / 5**0.5

    def refit(self, kernel: Kernel, y: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and unit variance of each row from the rows of other groups, by the textbook."""
        scores, mean, unit = self.scores(), torch.empty_like(y), torch.empty(len(y), dtype=torch.float64)
        for group in GROUPS.unique():
            test = group == GROUPS
            inverse = torch.linalg.inv(kernel(scores[~test], scores[~test]) + strength * torch.eye(int((~test).sum())))
            across = kernel(scores[test], scores[~test])
            mean[test] = across @ inverse @ y[~test]
            unit[test] = (kernel(scores[test], scores[test]) + strength - across @ inverse @ across.T).diagonal()
        return mean, unit

    @pytest.mark.parametrize("kernel", KERNELS, ids=str)
    @pytest.mark.parametrize("strength", [1e-2, 0.3, 10.0])
    def test_residuals_equal_refits(self, kernel, strength, monkeypatch):
        monkeypatch.setattr(KernelExpert, "STRENGTHS", torch.tensor([strength], dtype=torch.float64))
        y = normal(len(GROUPS), 2, seed=2)
        said = KernelExpert(kernel, len(y), 2).fit(self.scores(), y, by_size(GROUPS))
        mean, unit = self.refit(kernel, y, strength)
        noise = ((y - mean).square() / unit[:, None]).mean(0)
        assert torch.allclose(said.mean, mean, atol=1e-6)
        assert torch.allclose(said.variance, unit[:, None] * noise, atol=1e-6)

    def test_the_strength_is_the_one_that_predicts_best(self):
        y = self.scores()[:, :2] + 0.1 * normal(len(GROUPS), 2, seed=2)
        expert = KernelExpert(KERNELS[0], len(y), 2)
        expert.fit(self.scores(), y, by_size(GROUPS))
        density = {}
        for strength in KernelExpert.STRENGTHS[6:]:  # below, the brute force loses its digits
            mean, unit = self.refit(KERNELS[0], y, strength.item())
            variance = unit[:, None] * ((y - mean).square() / unit[:, None]).mean(0)
            density[strength.item()] = torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).sum().item()
        assert expert.strength.item() == max(density, key=density.get)

    @pytest.mark.parametrize("kernel", KERNELS, ids=str)
    def test_a_row_never_sees_its_own_composition(self, kernel, monkeypatch):
        """Other labels of one composition leave its own left-out mean as it was, and change that of others."""
        monkeypatch.setattr(KernelExpert, "STRENGTHS", torch.tensor([0.1], dtype=torch.float64))
        y, own = normal(len(GROUPS), 2, seed=2), GROUPS == 6
        before = KernelExpert(kernel, len(y), 2).fit(self.scores(), y, by_size(GROUPS)).mean
        y = torch.where(own[:, None], y + 10, y)
        after = KernelExpert(kernel, len(y), 2).fit(self.scores(), y, by_size(GROUPS)).mean
        assert torch.allclose(before[own], after[own], atol=1e-9)
        assert not torch.allclose(before[~own], after[~own], atol=1e-3)

    @pytest.mark.parametrize("kernel", KERNELS, ids=str)
    def test_prediction_is_that_of_a_gaussian_process(self, kernel):
        y, new = normal(len(GROUPS), 2, seed=2), normal(4, 5, seed=5) / 5**0.5
        expert, scores = KernelExpert(kernel, len(y), 2), self.scores()
        expert.fit(scores, y, by_size(GROUPS))
        inverse = torch.linalg.inv(kernel(scores, scores) + expert.strength * torch.eye(len(y)))
        across = kernel(new, scores)
        unit = (kernel(new, new) + expert.strength - across @ inverse @ across.T).diagonal()
        said = expert(new, scores)
        assert torch.allclose(said.mean, across @ inverse @ y, atol=1e-6)
        assert torch.allclose(said.variance, unit[:, None] * expert.noise, atol=1e-6)

    def test_groups_of_every_size_are_gathered(self):
        folds = by_size(GROUPS)
        assert sorted(index for fold in folds for index in fold.flatten().tolist()) == list(range(len(GROUPS)))
        assert all(len(set(GROUPS[row].tolist())) == 1 for fold in folds for row in fold)

    def test_two_compositions_are_left_out_row_by_row(self):
        assert [fold.shape for fold in by_size(torch.tensor([0, 0, 0, 1, 1]))] == [(5, 1)]


class TestScores:
    def test_exact_on_the_span_and_a_distance_beyond(self):
        x, _ = linear(12)
        scores = Scores("raw", *x.shape)
        training = scores.fit(x)
        centred = x - x.mean(0)
        assert torch.allclose(training[:, :-1] @ training[:, :-1].T, centred @ centred.T, atol=1e-9)
        assert training[:, -1].abs().max() < 1e-6
        strange = x[:1] + 5 * torch.linalg.svd(centred).Vh[-1]
        assert scores(strange)[0, -1].item() == pytest.approx(5, rel=1e-6)

    @pytest.mark.parametrize("rank", [0, 3])
    def test_rows_have_unit_mean_square(self, rank):
        x, _ = linear(12)
        scores = Scores("raw", *x.shape)
        scaled = scores.scaled(scores.fit(x), rank)
        assert scaled.square().sum(-1).mean().item() == pytest.approx(1, rel=1e-6)

    def test_a_strange_spectrum_gets_a_wider_answer(self):
        x, y = linear(40)
        encoder = KernelEncoder()
        encoder.fit(x, y, apart(40), 0)
        strange = x[:5] + torch.sin(torch.linspace(0, 40, CHANNELS, dtype=torch.float64))
        assert (encoder(strange).variance > 5 * encoder(x[:5]).variance).all()


class TestChoice:
    """The encoder finds the view and the kernel that the data ask for; nobody has to say."""

    def chosen(self, x: torch.Tensor, y: torch.Tensor) -> list[Kernel]:
        encoder = KernelEncoder()
        encoder.fit(x, y, apart(len(x)), 0)
        return [expert.kernel for expert in encoder.experts]

    def test_gain(self):
        x, y = linear(40, 0.002)
        chosen = self.chosen(x * torch.exp(0.5 * normal(40, 1, seed=7)), y)
        assert chosen[0].view in GAIN_FREE
        assert sum(kernel.view in GAIN_FREE for kernel in chosen) > 0.8 * len(chosen)

    def test_curvature(self):
        """A response that saturates: a bent kernel; where it does not, a linear one is among the best."""
        x, y = linear(60, 0.002)
        bent = 1 - torch.exp(-4 * y) @ end_members()
        assert self.chosen(bent + 0.002 * normal(60, CHANNELS, seed=3), y)[0].amplitude > 0
        assert any(kernel.amplitude == 0 for kernel in self.chosen(x, y)[:5])

    def test_the_choice_pays(self):
        """With a gain, the summaries of new spectra beat those of a linear process on raw spectra many times over."""
        x, y = linear(80, 0.002)
        x = x * torch.exp(0.5 * normal(80, 1, seed=7))
        encoder = KernelEncoder()
        encoder.fit(x[:40], y[:40], apart(40), 0)
        scores = Scores("raw", 40, CHANNELS)
        training = scores.scaled(scores.fit(x[:40]), 0)
        expert = KernelExpert(Kernel("raw"), 40, 3)
        expert.fit(training, y[:40] - y[:40].mean(0), by_size(apart(40)))
        plain = expert(scores.scaled(scores(x[40:]), 0), training).mean + y[:40].mean(0)
        ours, theirs = ((said - y[40:]).abs().mean() for said in (encoder(x[40:]).mean, plain))
        assert ours < theirs / 3


@pytest.fixture
def quick_networks(monkeypatch):
    monkeypatch.setattr(NetworkEncoder, "STEPS", 60)


ROWS = {"kernel": 48, "network": 160}


@pytest.mark.usefixtures("quick_networks")
@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_it_predicts_new_spectra_as_well_as_it_says(self, kind, monkeypatch):
        monkeypatch.setattr(NetworkEncoder, "STEPS", 400)
        x, y = linear(ROWS[kind] + 200, 0.02)
        train, new = slice(None, ROWS[kind]), slice(ROWS[kind], None)
        encoder = KINDS[kind]()
        out_of_fold = encoder.fit(x[train].float(), y[train].float(), apart(ROWS[kind]), 0)
        said = encoder(x[new].float())
        for summary, truth in ((out_of_fold, y[train]), (said, y[new])):
            assert (summary.mean - truth).abs().mean() < 0.3 * (truth - truth.mean(0)).abs().mean()
            nine_tenths = ((summary.mean - truth).abs() / summary.variance.sqrt()).quantile(0.9)
            assert 0.6 < nine_tenths / 1.645 < 1.4

    def test_random_labels_of_groups_cannot_be_told(self, kind):
        """Each group has its own spectrum and a random label: who sees another row of the group knows it at once."""
        groups = apart(ROWS[kind] // 4).repeat_interleave(4)
        x = normal(len(groups) // 4, CHANNELS, seed=1)[groups] + 0.01 * normal(len(groups), CHANNELS, seed=2)
        y = normal(len(groups) // 4, 2, seed=3)[groups]
        said = KINDS[kind]().fit(x.float(), y.float(), groups, 0)
        explained = 1 - (said.mean - y).square().mean() / y.var(0, correction=0).mean()
        assert explained < 0.15, explained
        assert (said.mean - y).square().mean() < 2 * said.variance.mean()

    def test_a_built_encoder_with_the_same_weights_says_the_same(self, kind):
        x, y = linear(ROWS[kind])
        encoder = KINDS[kind]()
        encoder.fit(x.float(), y.float(), apart(len(x)), 0)
        other = new_encoder(encoder.name, **encoder.architecture())
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(other(x.float()).mean, encoder(x.float()).mean)
        assert torch.equal(other(x.float()).variance, encoder(x.float()).variance)

    def test_the_seed_alone_decides(self, kind, untouched_generators):
        x, y = linear(ROWS[kind])
        one, other = (KINDS[kind]().fit(x.float(), y.float(), apart(len(x)), 3) for _ in range(2))
        assert torch.equal(one.mean, other.mean) and torch.equal(one.variance, other.variance)

    def test_it_is_frozen(self, kind):
        x, y = linear(ROWS[kind])
        encoder = KINDS[kind]()
        encoder.fit(x.float(), y.float(), apart(len(x)), 0)
        assert not any(p.requires_grad for p in encoder.parameters())

    @pytest.mark.parametrize("fault", ["dark", "noiseless", "few channels", "one group", "equal labels"])
    def test_poor_data(self, kind, fault):
        """Data that carry little or nothing give finite summaries, on the training rows and on new ones."""
        rows, groups = ROWS[kind], apart(ROWS[kind])
        x, y = linear(rows, 0.0 if fault == "noiseless" else 0.01)
        if fault == "dark":
            x = torch.zeros_like(x)
        if fault == "few channels":
            x = x[:, 18:22]
        if fault == "one group":
            groups = torch.zeros(rows, dtype=torch.int64)
        if fault == "equal labels":
            y = y[:1].expand(rows, -1).clone()
        encoder = KINDS[kind]()
        for said in (encoder.fit(x.float(), y.float(), groups, 0), encoder((x + 0.01 * normal(*x.shape)).float())):
            assert said.mean.isfinite().all() and (said.variance > 0).all() and said.variance.isfinite().all()
            assert (said.mean - y).abs().max() < 30


def test_few_rows_get_a_kernel():
    x, y = linear(20)
    encoder, said = fit_encoder(x.float(), y.float(), apart(20), 0)
    assert isinstance(encoder, KernelEncoder) and said.mean.shape == (20, 3)


@pytest.mark.usefixtures("quick_networks")
def test_the_better_of_two_is_kept(monkeypatch):
    """Where both kinds suit the number of rows; linear spectra are a kernel's business."""
    monkeypatch.setattr(NetworkEncoder, "ROWS", range(100, 1000))
    x, y = linear(160, 0.01)
    encoder, said = fit_encoder(x.float(), y.float(), apart(160), 0)
    assert isinstance(encoder, KernelEncoder)
    assert said.log_density(y) >= NetworkEncoder().fit(x.float(), y.float(), apart(160), 0).log_density(y)


def test_log_density_is_that_of_independent_normals():
    mean, variance, y = normal(6, 3), normal(6, 3, seed=1).square() + 0.1, normal(6, 3, seed=2)
    nats = -0.5 * ((y - mean).square() / variance + variance.log() + torch.log(torch.tensor(2 * torch.pi)))
    assert Summary(mean, variance).log_density(y) == pytest.approx(nats.sum(1).mean().item())


def test_candidates_fit_the_number_of_rows():
    assert {kernel.rank for kernel in kernels(("raw",), 12)} == {0, 6, 8}
    assert {kernel.rank for kernel in kernels(applicable(linear()[0]), 100)} == {0, 6, 8, 12, 16, 24}
