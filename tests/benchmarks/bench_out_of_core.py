"""Training from a file larger than what may be held: memory, and what the feed costs beside the step.

    python -m tests.benchmarks.bench_out_of_core [--gigabytes 2] [--steps 64] [--repeats 5] [--folder DIR] [--fit]

A file of paired spectra (4062 and 3872 channels of float32, the published sizes) is made in chunks in a temporary
folder, and is in the page cache from then on where that is large enough: what is timed is the feed, not the disk.
Preset "paper" of the published sizes is then trained for some steps of each of its two stages, as `probspec.fit`
trains it, in turn from the file and from batches that lie in memory. Printed are, for each stage, medians and ranges
over the repeats of the time that a step waits for its batch (the first one of an epoch apart: nothing can be read
ahead of it), of the step without it, of their ratio, and of what a step takes longer than one from memory, which also
holds what the reading thread takes from the cores; and the peak of resident memory above what the process held with
the model, the optimiser and those batches in it. The spread of each channel, which takes one pass over the file, is
timed apart. The reading thread wants a core of its own.
"""

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, cycle, islice
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
from probspec.training.train import BLOCK

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
        columns = (
            "rows held",
            "first wait, ms",
            "feed, ms a step",
            "step without it, ms",
            "feed / step",
            "over memory",
        )
        print(f"| stage | {' | '.join(columns)} | peak memory, GB |\n|{8 * '---|'}")
        run("primary", model, data.only("primary"), arguments)
        model.autoencoder.requires_grad_(False)
        run("secondary", model, data, arguments)
        if arguments.fit:
            whole(data)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=64, help="of each repeat; 32 are read together")
    parser.add_argument("--repeats", type=int, default=5)
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


def run(stage: str, model: VAETransfer, data: ps.Spectra, arguments: argparse.Namespace) -> None:
    loss = model._primary_loss if stage == "primary" else model.objective
    options = model.options(len(data))
    held = [*Batches(data.select(slice(0, 4096)).load(), options.batch_size, 0).epoch(0)]
    steps = Steps(model, loss, options, len(held))
    steps.run(held[:2], 0, 0)  # optimiser state and buffers of the step are made
    before, began = resident(), time.perf_counter()
    with Peak() as peak:
        batches = Batches(data, options.batch_size, 0)
        stream, memory = (batch for epoch in count() for batch in batches.epoch(epoch)), cycle(held)
        next(stream)
        first = time.perf_counter() - began
        found = [
            (*timed(steps, stream, arguments.steps), sum(timed(steps, memory, arguments.steps)))
            for _ in range(arguments.repeats)
        ]
    feed, rest, alone = np.transpose(found)
    shown = " | ".join(
        spread(values, form)
        for values, form in (
            (1e3 * feed, ".2f"),
            (1e3 * rest, ".1f"),
            (feed / rest, ".1%"),
            ((feed + rest) / alone - 1, ".0%"),
        )
    )
    rows = "in blocks" if batches._whole is None else "all"
    print(f"| {stage} | {rows} | {1e3 * first:.0f} | {shown} | {(peak.bytes - before) / 1e9:.2f} |")


def timed(steps: Steps, batches: Iterator[Batch], number: int) -> tuple[float, float]:
    """Seconds of a step that were waited for its batch, and the others."""
    watched, began = Timed(islice(batches, number)), time.perf_counter()
    for start in range(0, number, BLOCK):
        steps.run(islice(iter(watched), min(BLOCK, number - start)), start, start)
    waited = sum(watched.waits)
    return waited / number, (time.perf_counter() - began - waited) / number


def spread(values: np.ndarray, form: str) -> str:
    """Median and range."""
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


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
