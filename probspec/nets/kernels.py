"""Kernel encoders: Gaussian processes on several views of a spectrum, for sets of up to some 1500 labelled rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from probspec.nets.encoder import Encoder, Summary
from probspec.nets.views import VIEWS, applicable


@dataclass(frozen=True)
class Kernel:
    """Covariance between spectra under one view: constant + linear + squared exponential.

    Parameters
    ----------
    view : str
    rank : int
        Leading principal scores used, each scaled to unit variance; 0 for the whole view, scaled as one block.
    amplitude, length : float
        Of the squared exponential, relative to the unit mean variance of the linear part.
    """

    view: str
    rank: int = 0
    amplitude: float = 0.0
    length: float = 1.0

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of scores `a` : (sample, score) and `b` : (other, score), unit mean square per row."""
        linear = a @ b.mT
        if not self.amplitude:
            return 1 + linear
        return 1 + linear + self.amplitude * torch.exp(-0.5 * torch.cdist(a, b).square() / self.length**2)

    def diagonal(self, a: Tensor) -> Tensor:
        """Variance of each row of `a`."""
        return 1 + a.square().sum(-1) + self.amplitude


def kernels(views: tuple[str, ...], most: int) -> tuple[Kernel, ...]:
    """Candidates where rows or channels are at `most` so many: every view linear, bent, and bent on leading scores."""
    bent = [(0, 0.1, 3.0), (0, 0.1, 8.0), (0, 1.0, 8.0)]
    leading = [(rank, amplitude, 3.0) for rank in (6, 8, 12, 16, 24) if rank < most - 2 for amplitude in (0.1, 1.0)]
    return tuple(Kernel(view, *shape) for view in views for shape in [(0, 0.0, 1.0), *bent, *leading])


class Scores(nn.Module):
    """Principal scores of one view, exact on the span of the training spectra.

    The last score is the distance from that span, zero for training rows: it leaves covariances with them alone and
    widens the prediction for a spectrum of an unknown shape.
    """

    def __init__(self, view: str, rows: int, channels: int, largest: int = 256):
        super().__init__()
        rank = min(rows - 1, channels, largest)
        self.view, self.rows, self.channels = view, rows, channels
        for name, shape in {"mean": (channels,), "basis": (rank, channels), "deviation": (rank,), "block": ()}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def fit(self, x: Tensor) -> Tensor:
        """Find the directions of `x` : (sample, channel) and return its scores."""
        viewed = VIEWS[self.view](x.double())
        self.mean = viewed.mean(0)
        _, singular, basis = torch.linalg.svd(viewed - self.mean, full_matrices=False)
        rank = len(self.basis)
        self.basis = basis[:rank].contiguous()  # as it is after saving and loading, which decides the last bit
        singular = singular if singular[0] > 0 else torch.ones_like(singular)
        # What is a millionth of the strongest is rounding, which unit variance would blow up.
        self.deviation = (singular[:rank] / len(x) ** 0.5).clamp_min(1e-6 * singular[0] / len(x) ** 0.5)
        self.block = singular.square().sum().div(len(x)).sqrt()
        return self(x)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of `x` : (sample, channel), the distance from the span last."""
        centred = VIEWS[self.view](x.double()) - self.mean
        scores = centred @ self.basis.T
        outside = (centred.square().sum(-1) - scores.square().sum(-1)).clamp_min(0).sqrt()
        return torch.cat([scores, outside[:, None]], -1)

    def scaled(self, scores: Tensor, rank: int) -> Tensor:
        """Scores as a kernel of `rank` wants them: unit mean square per row."""
        if rank:
            return scores[:, :rank] / self.deviation[:rank] / rank**0.5
        return scores / self.block


class KernelExpert(nn.Module):
    """Gaussian-process regression of composition on one kernel, its noise set by leaving compositions out."""

    STRENGTHS: ClassVar[Tensor] = torch.logspace(-10, 1, 23, dtype=torch.float64)

    def __init__(self, kernel: Kernel, rows: int, components: int):
        super().__init__()
        self.kernel = kernel
        shapes = {"weights": (rows, components), "root": (rows, rows), "strength": (), "noise": (components,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def fit(self, scores: Tensor, y: Tensor, folds: list[Tensor]) -> Summary:
        """Choose the noise by the density of left-out compositions; `y` is centred. Returns left-out summaries."""
        values, vectors = torch.linalg.eigh(self.kernel(scores, scores))
        values = values.clamp_min(0)
        trials = (_leave_out(values, vectors, y, folds, s) for s in self.STRENGTHS)
        best, strength = max(zip(trials, self.STRENGTHS, strict=True), key=lambda trial: trial[0].log_density(y))
        residual, unit = _left_out(values, vectors, y, folds, strength)
        self.strength, self.noise = strength, _noise(residual, unit)
        self.root = (vectors / (values + strength).sqrt()).contiguous()
        self.weights = self.root @ (self.root.T @ y)
        return best

    def forward(self, scores: Tensor, training: Tensor) -> Summary:
        """Predict from scaled `scores` : (sample, score), given those of the training rows."""
        covariance = self.kernel(scores, training)
        unit = self.kernel.diagonal(scores) + self.strength - (covariance @ self.root).square().sum(-1)
        return Summary(covariance @ self.weights, unit.clamp_min(self.strength)[:, None] * self.noise)


def _left_out(
    values: Tensor, vectors: Tensor, y: Tensor, folds: list[Tensor], strength: Tensor
) -> tuple[Tensor, Tensor]:
    """Residual (sample, component) and unit variance (sample,) of every row, its group left out, in closed form.

    With A = (K + strength)^-1 the left-out residual of group g is A_gg^-1 (A y)_g and its covariance A_gg^-1
    (Rasmussen & Williams 2006, section 5.4.2, by blocks).
    """
    inverse = 1 / (values + strength)
    weights = (vectors * inverse) @ (vectors.T @ y)
    residual, variance = torch.empty_like(y), torch.empty_like(y[:, 0])
    for index in folds:  # (group, member)
        rows = vectors[index]
        block = torch.linalg.inv((rows * inverse) @ rows.mT)
        residual[index], variance[index] = block @ weights[index], block.diagonal(dim1=-2, dim2=-1)
    return residual, variance


def _leave_out(values: Tensor, vectors: Tensor, y: Tensor, folds: list[Tensor], strength: Tensor) -> Summary:
    residual, unit = _left_out(values, vectors, y, folds, strength)
    return Summary(y - residual, unit[:, None] * _noise(residual, unit))


def _noise(residual: Tensor, unit: Tensor) -> Tensor:
    """Variance of each component that makes its left-out residuals likeliest; not zero where its labels are equal."""
    noise = (residual.square() / unit[:, None]).mean(0)
    return noise.clamp_min(max(1e-6 * noise.max().item(), 1e-30))


def by_size(groups: Tensor) -> list[Tensor]:
    """Row numbers of the groups, gathered into one (group, member) tensor per group size."""
    members = [torch.nonzero(groups == g)[:, 0] for g in groups.unique()]
    if len(members) < 3:  # nothing could be learnt from what remains
        members = list(torch.arange(len(groups))[:, None])
    sizes = sorted({len(m) for m in members})
    return [torch.stack([m for m in members if len(m) == size]) for size in sizes]


class KernelEncoder(Encoder):
    """Several Gaussian processes on several views, averaged.

    Each candidate kernel is scored by the log density of left-out compositions; the best `EXPERTS` are averaged, which
    on small sets beats the single winner and is steadier.
    """

    name: ClassVar[str] = "kernel"
    ROWS: ClassVar[range] = range(3, 1501)
    EXPERTS: ClassVar[int] = 30

    def __init__(self):
        super().__init__()
        self.scores, self.experts = nn.ModuleDict(), nn.ModuleList()

    def fit(self, x: Tensor, y: Tensor, groups: Tensor, seed: int) -> Summary:
        """Fit every candidate, keep the best; deterministic, so `seed` is not used."""
        self.register_buffer("centre", y.double().mean(0))
        target, folds, tried = y.double() - self.centre, by_size(groups), []
        for view in applicable(x):
            scores = Scores(view, *x.shape)
            principal = scores.fit(x)
            for kernel in kernels((view,), min(x.shape)):
                expert = KernelExpert(kernel, len(x), y.shape[1])
                left_out = expert.fit(scores.scaled(principal, kernel.rank), target, folds)
                tried.append((left_out.log_density(target), left_out, expert, scores, principal))
        tried.sort(key=lambda trial: -trial[0])
        return self._keep(tried[: self.EXPERTS])

    def _keep(self, best: list[tuple]) -> Summary:
        self.experts = nn.ModuleList(expert for _, _, expert, _, _ in best)
        self.scores = nn.ModuleDict({scores.view: scores for *_, scores, _ in best})
        for *_, scores, principal in best:
            self.register_buffer(f"training_{scores.view}", principal)
        return self._average([left_out for _, left_out, *_ in best])

    def _average(self, summaries: list[Summary]) -> Summary:
        mean = torch.stack([s.mean for s in summaries]).mean(0) + self.centre
        return Summary(mean, torch.stack([s.variance for s in summaries]).mean(0))

    def forward(self, x: Tensor) -> Summary:
        """Average of the experts' predictions and of their variances."""
        principal = {view: scores(x) for view, scores in self.scores.items()}
        return self._average([self._ask(expert, principal) for expert in self.experts])

    def _ask(self, expert: KernelExpert, principal: dict[str, Tensor]) -> Summary:
        kernel, scores = expert.kernel, self.scores[expert.kernel.view]
        training = self.get_buffer(f"training_{kernel.view}")
        return expert(scores.scaled(principal[kernel.view], kernel.rank), scores.scaled(training, kernel.rank))

    def architecture(self) -> dict[str, Any]:
        """Kernels kept, and the sizes of what they were fitted to."""
        rows, components = self.experts[0].weights.shape
        channels = next(iter(self.scores.values())).channels
        experts = [asdict(expert.kernel) for expert in self.experts]
        return {"rows": rows, "components": components, "channels": channels, "experts": experts}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make empty experts and scores."""
        rows, components, channels = (architecture[k] for k in ("rows", "components", "channels"))
        chosen = [Kernel(**kernel) for kernel in architecture["experts"]]
        self.experts = nn.ModuleList(KernelExpert(kernel, rows, components) for kernel in chosen)
        self.scores = nn.ModuleDict({k.view: Scores(k.view, rows, channels) for k in chosen})
        self.register_buffer("centre", torch.zeros(components, dtype=torch.float64))
        for view, scores in self.scores.items():
            principal = torch.zeros(rows, len(scores.basis) + 1, dtype=torch.float64)
            self.register_buffer(f"training_{view}", principal)
