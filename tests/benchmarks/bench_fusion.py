"""The published fusion experiment on simulated spectra of the published size, by both presets of the UVAE.

    python -m tests.benchmarks.bench_fusion [--seeds 0 1 2 3 4] [--presets default paper] [--samples 567] [--train 189]

567 binary mixtures of 23 minerals, Raman 1715 and LIBS 5485 channels, 189 for training (Gemp et al. 2016). Printed are
the mean KL(true || predicted) of the other 378 and the seconds of a fit, mean and standard deviation over the seeds.
The published order is: fusion below Raman alone below PLS on Raman alone.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

import probspec as ps
from probspec.metrics import mean_kl
from probspec.simulators.stoichiometry import FORMULAS

PRESETS = ("default", "paper")
CHANNELS = {"raman": 1715, "libs": 5485}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--samples", type=int, default=567)
    parser.add_argument("--train", type=int, default=189)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = published()
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in arguments.seeds:
        data = ps.simulate(spec, arguments.samples, seed=seed)
        for method, seen, kl, seconds in run(data, arguments.train, arguments.presets, seed):
            found.setdefault((method, seen), []).append((kl, seconds))
            print(f"seed {seed}: {method}, {seen}: KL {kl:.4f}, {seconds:.0f} s", flush=True)
    print("| method | seen | mean KL | fit, s |\n|---|---|---|---|")
    for (method, seen), values in found.items():
        (kl, seconds), (spread, _) = np.mean(values, 0), np.std(values, 0)
        print(f"| {method} | {seen} | {kl:.3f} ± {spread:.3f} | {seconds:.0f} |")


def published() -> ps.DataSpec:
    """Spec of the published size, made from the default one."""
    config = ps.load_spec("simulated_fusion").to_config()
    for name, count in CHANNELS.items():
        config["modalities"][name]["channels"] = count
        config["simulator"][f"{name}_channels"] = count
    config["targets"]["abundance"]["components"] = config["simulator"]["minerals"] = list(FORMULAS)
    return ps.DataSpec.from_config(config | {"simulator": config["simulator"] | {"design": "binary"}})


def run(data: ps.Spectra, count: int, presets: Sequence[str], seed: int) -> Iterator[tuple[str, str, float, float]]:
    order = np.random.default_rng(seed).permutation(len(data))
    train, test = data.select(order[:count]), data.select(order[count:])
    x, y, truth = blocks(train), train.targets["abundance"], test.targets["abundance"]
    for preset in presets:
        began = time.perf_counter()
        regressor = ps.CompositionRegressor(preset=preset, draws=300, random_state=seed).fit(x, y)
        seconds = time.perf_counter() - began
        for seen in (("raman",), ("libs",), ("raman", "libs")):
            answer = regressor.predict({name: test.spectra(name) for name in seen})
            yield f"UVAE, {preset}", " + ".join(seen), mean_kl(truth, answer), seconds
    began = time.perf_counter()
    rival = ps.baselines.PLS().fit(x["raman"], y).predict(test.spectra("raman").astype(float))
    yield "PLS", "raman", mean_kl(truth, rival), time.perf_counter() - began


def blocks(data: ps.Spectra) -> dict[str, np.ndarray]:
    return {name: data.spectra(name).astype(float) for name in CHANNELS}


if __name__ == "__main__":
    main()
