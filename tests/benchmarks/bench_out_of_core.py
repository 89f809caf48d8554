"""Training from a file larger than what may be held: memory, and what the feed costs beside the step.

    python -m tests.benchmarks.bench_out_of_core [--gigabytes 2] [--steps 200] [--folder DIR] [--fit]

A file of paired spectra (4062 and 3872 channels of float32, the published sizes) is made in chunks in a temporary
folder. Preset "paper" of the published sizes is then trained for some steps of each of its two stages, as
`probspec.fit` trains it; printed are, for each stage, the seconds that a step waits for its batch (the first one of an
epoch apart: nothing can be read ahead of it), those of the step without it, and the peak of resident memory above
what the process held with the model and the optimiser in it. The spread of each channel, which takes one pass over
the file, is timed apart. The reading thread wants a core of its own.
"""

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import torch

import probspec as ps
from probspec.batch import Batch
from probspec.data.batches import Batches
from probspec.data.hdf5 import ROWS
from probspec.data.moments import moments
from probspec.models.vae_transfer import VAETransfer
from probspec.spec import anonymous_spec
from probspec.training.steps import Steps

CHANNELS = {"primary": 4062, "secondary": 3872}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    rows = int(arguments.gigabytes * 1e9 / (4 * sum(CHANNELS.values())))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        file = Path(folder) / "pairs.h5"
        write(file, rows)
        print(f"{rows} pairs, {file.stat().st_size / 1e9:.2f} GB")
        data = ps.open_spectra(file, anonymous_spec(CHANNELS, []))
        model = VAETransfer(data.spec)
        began = time.perf_counter()
        for name, encoder in {"primary": model.autoencoder.encoder, **model.readers}.items():
            encoder.scaling.set(*moments(data, name))
        print(f"one pass for the spreads of the channels: {time.perf_counter() - began:.1f} s")
        columns = ("stage", "rows held", "first wait, s", "feed, s a step", "step without it, s", "feed / step")
        print(f"| {' | '.join(columns)} | peak memory, GB |\n|{7 * '---|'}")
        run("primary", model, data.only("primary"), arguments.steps)
        model.autoencoder.requires_grad_(False)
        run("secondary", model, data, arguments.steps)
        if arguments.fit:
            whole(data)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--fit", action="store_true", help="also one epoch of each stage by probspec.fit")
    return parser.parse_args()


def write(file: Path, rows: int) -> None:
    """Lines of a dozen elements, seen by two spectrometers; checksummed and in chunks, as `Spectra.write` stores."""
    rng = np.random.default_rng(0)
    lines = {name: lines_of(rng, channels) for name, channels in CHANNELS.items()}
    with h5py.File(file, "w") as out:
        out.attrs.update(format="probspec", format_version=1)
        for name, channels in CHANNELS.items():
            out[f"axis/{name}"] = np.arange(channels, dtype=float)
            out[f"mask/{name}"] = np.ones(rows, dtype=np.int8)
            out.create_dataset(
                f"spectra/{name}", (rows, channels), np.float32, chunks=(ROWS, channels), fletcher32=True
            )
        for start in range(0, rows, ROWS):
            amounts = rng.lognormal(0, 0.5, (min(ROWS, rows - start), 12)).astype(np.float32)
            for name, shape in lines.items():
                noise = rng.standard_normal((len(amounts), CHANNELS[name]), dtype=np.float32)
                out[f"spectra/{name}"][start : start + len(amounts)] = amounts @ shape + 0.05 * noise


def lines_of(rng: np.random.Generator, channels: int) -> np.ndarray:
    shape = 0.02 * rng.random((12, channels), dtype=np.float32)
    for element in shape:
        element[rng.integers(0, channels, 40)] += rng.lognormal(0, 1, 40).astype(np.float32)
    return shape


class Timed:
    """Batches, and the seconds that were waited for them."""

    def __init__(self, batches: Iterator[Batch]):
        self.batches, self.waits = batches, []

    def __iter__(self) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            batch = next(self.batches, None)
            self.waits.append(time.perf_counter() - began)
            if batch is None:
                return
            yield batch


class Peak:
    """Largest resident memory inside a block, looked at every few milliseconds."""

    def __enter__(self) -> "Peak":
        self.bytes, self.stop = resident(), threading.Event()
        self.watch = threading.Thread(target=self._look, daemon=True)
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.watch.join()

    def _look(self) -> None:
        while not self.stop.wait(0.005):
            self.bytes = max(self.bytes, resident())


def resident() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run(stage: str, model: VAETransfer, data: ps.Spectra, count: int) -> None:
    loss = model._primary_loss if stage == "primary" else model.objective
    options = model.options(len(data))
    warm = Batches(data.select(slice(0, 256)), options.batch_size, 0)
    steps = Steps(model, loss, options, len(warm))
    steps.run(islice(warm.epoch(0), 2), 0, 0)  # optimiser state and buffers of the step are made
    before = resident()
    with Peak() as peak:
        batches = Batches(data, options.batch_size, 0)
        endless = (batch for epoch in range(10**6) for batch in batches.epoch(epoch))
        timed = Timed(islice(endless, count))
        began = time.perf_counter()
        for start in range(0, count, 20):
            steps.run(islice(iter(timed), 20), start, start)
        whole = time.perf_counter() - began
    first, feed = timed.waits[0], sum(timed.waits[1:]) / (count - 1)
    rest = (whole - sum(timed.waits)) / count
    held = "in blocks" if batches._whole is None else "all"
    share, memory = feed / rest, (peak.bytes - before) / 1e9
    print(f"| {stage} | {held} | {first:.2f} | {feed:.4f} | {rest:.4f} | {share:.1%} | {memory:.2f} |")


def whole(data: ps.Spectra) -> None:
    """One epoch of each stage, with all that is done before and after it."""
    model = VAETransfer(data.spec, epochs=1)
    before, began = resident(), time.perf_counter()
    with Peak() as peak:
        ps.fit(model, data, options=replace(model.options(len(data)), epochs=1))
    size = 4 * sum(p.numel() for p in model.parameters())
    above = (peak.bytes - before - 4 * size) / 1e9
    print(
        f"fit, an epoch each: {time.perf_counter() - began:.0f} s; peak {(peak.bytes - before) / 1e9:.2f} GB, of which"
    )
    print(f"{4 * size / 1e9:.2f} GB are weights, gradients and Adam's moments: {above:.2f} GB above the model")


if __name__ == "__main__":
    main()
