"""Time a training step of probspec's loop against Pyro's SVI.step, on the same pair and batches.

Run ``python tests/benchmarks/bench_step.py`` from the root of the repository, on a quiet machine. Both do the same
work: a draw from the guide, the model's densities, a gradient, an Adam step. Ours also looks after every 20 steps
whether all is finite and keeps the state; Pyro's validates every distribution unless told not to.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pyro
import torch
from pyro.infer import SVI, Trace_ELBO

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from toy import Toy, spec, toy_spectra  # noqa: E402

from probspec.data.batches import Batches  # noqa: E402
from probspec.training.options import TrainOptions  # noqa: E402
from probspec.training.train import train  # noqa: E402


class Unlabelled(Toy):
    """Toy with the negative bound as its only loss, as SVI has it."""

    def objective(self, batch, kl_weight=1.0):
        return {"elbo": super().objective(batch, kl_weight)["elbo"]}


def ours(batches: Batches, epochs: int) -> float:
    model = Unlabelled(spec())
    options = TrainOptions(epochs=epochs, batch_size=batches.size, clip_norm=None, patience=None, device="cpu")
    began = time.perf_counter()
    train(model, model.objective, batches, options)
    return time.perf_counter() - began


def theirs(batches: Batches, epochs: int, validate: bool) -> float:
    model = Unlabelled(spec())
    pyro.clear_param_store()

    def guide(batch):
        pyro.module("toy", model)
        model.guide(batch)

    def story(batch):
        pyro.module("toy", model)
        model.model(batch)

    with pyro.validation_enabled(validate):
        svi = SVI(story, guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
        began = time.perf_counter()
        for epoch in range(epochs):
            for batch in batches.epoch(epoch):
                svi.step(batch)
        return time.perf_counter() - began


def milliseconds(run: Callable[[Batches, int], float], size: int, epochs: int, repeats: int) -> float:
    batches = Batches(toy_spectra(20 * size), size, seed=0)
    run(batches, 1)
    return median(run(batches, epochs) / (epochs * len(batches)) * 1e3 for _ in range(repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10, help="of 20 steps")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128, 1024], help="spectra in a batch")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'batch':>6} {'probspec':>10} {'SVI.step':>10} {'ratio':>6} {'unvalidated':>12} {'ratio':>6}   ms per step")
    for size in chosen.sizes:
        mine, plain, quick = (
            milliseconds(run, size, chosen.epochs, chosen.repeats)
            for run in (ours, lambda b, e: theirs(b, e, True), lambda b, e: theirs(b, e, False))
        )
        print(f"{size:6} {mine:10.2f} {plain:10.2f} {plain / mine:6.2f} {quick:12.2f} {quick / mine:6.2f}")


if __name__ == "__main__":
    main()
