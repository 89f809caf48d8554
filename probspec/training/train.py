"""The one optimisation loop. It knows a loss, not what it is made of.

A run goes on in rounds, of one epoch or of a few short ones, and each round in blocks of some steps. After each block
whose numbers are all finite the state is kept, and is what remains when the run has to stop. Each block is seeded by
its place in the run, so that a run that goes on from a checkpoint gives the very weights of one that never stopped.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from probspec.batch import Batch
from probspec.errors import FitError, ProbspecWarning
from probspec.seeding import child_seed
from probspec.training.checkpoint import load_checkpoint, save_checkpoint
from probspec.training.history import History
from probspec.training.options import TrainOptions
from probspec.training.precision import precision
from probspec.training.snapshot import Snapshot
from probspec.training.steps import Loss, NotFinite, Steps
from probspec.training.validation import validation

__all__ = ["Epochs", "History", "Loss", "TrainOptions", "train"]

BLOCK = 20  # steps between two looks at the numbers


class Epochs(Protocol):
    """Batches of one shape; the same epoch always yields the same batches."""

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of one epoch."""
        ...


def train(
    module: nn.Module,
    loss: Loss,
    batches: Epochs,
    options: TrainOptions | None = None,
    validate: Sequence[Batch] = (),
    seed: int = 0,
    resume: Path | None = None,
    row_numbers: Tensor | None = None,
) -> History:
    """Minimise a loss over the parameters of a module, in place.

    At the end the module holds the weights of the lowest held-out loss where there is one, else the last good ones,
    also when the loss ceased to be finite or the run was interrupted from the keyboard.

    Parameters
    ----------
    module : nn.Module
        Is moved to the device of the options.
    loss : callable of (Batch, KL weight) -> dict of name -> scalar Tensor
        Named terms, whose sum is minimised.
    batches : Epochs
    options : TrainOptions, optional
    validate : sequence of Batch
        Held-out rows, for early stopping.
    seed : int
        The global generators are left as they are.
    resume : Path, optional
        Checkpoint to go on from.
    row_numbers : (row,) int64 Tensor, optional
        What messages call the rows of the batches, where these are a part of the caller's set.

    Returns
    -------
    History

    Raises
    ------
    FitError
        If the loss is not finite from the start, a term of it is not a number, or the checkpoint is of another run.
    FileError
        If the checkpoint cannot be read.

    Warns
    -----
    ProbspecWarning
        If the loss ceases to be finite; the last good weights are kept.
    """
    options = options or TrainOptions()
    module.to(options.torch_device()).train()
    if not options.epochs or not any(p.requires_grad for p in module.parameters()):
        return History(stopped="completed", message="nothing to train")
    with validation(False), precision(options.precision, module, options.torch_device()):
        steps = Steps(module, loss, options, len(batches), row_numbers)
        run = _Run(steps, batches, validate if options.patience else (), seed)
        return run.go(resume)


class _Run:
    """State of one run, and its course."""

    def __init__(self, steps: Steps, batches: Epochs, validate: Sequence[Batch], seed: int):
        self.steps, self.batches, self.seed = steps, batches, seed
        self.module, self.options = steps.module, steps.options
        self.validate = [batch.to(steps.device) for batch in validate]
        self.good = Snapshot(self.module, steps.optimiser)
        self.has_good = False
        self.best: dict[str, Tensor] = {}
        self.history = History()

    def go(self, resume: Path | None) -> History:
        began = time.monotonic()
        if resume is not None:
            self._resume(resume)
        before = self.history.seconds
        try:
            for first, last in self._rounds():
                self._round(first, last)
                self.history.seconds = before + time.monotonic() - began
                self._checkpoint(first, last)
        except KeyboardInterrupt:
            self._fall_back("interrupted", f"interrupted after epoch {self.history.epochs}")
        except NotFinite as stop:
            self._fall_back("non-finite", str(stop))
            if not self.has_good:
                raise FitError(str(stop)) from None
            warnings.warn(str(stop), ProbspecWarning, stacklevel=4)
        self.module.load_state_dict(self.best or self.module.state_dict())
        return self.history

    def _rounds(self) -> Iterator[tuple[int, int]]:
        """First epoch of each round, and the one after its last, until there is a reason to stop."""
        each = max(1, BLOCK // len(self.batches))
        with tqdm(total=self.options.epochs, unit="epoch", disable=not self.options.progress) as bar:
            for first in range(self.history.epochs, self.options.epochs, each):
                if self._is_flat():
                    message = f"the held-out loss has not fallen since epoch {self.history.best_epoch}"
                    self.history.stopped, self.history.message = "early", message
                    return
                last = min(first + each, self.options.epochs)
                yield first, last
                bar.set_postfix(loss=f"{self.history.loss[-1]:.5g}", refresh=False)
                bar.update(last - bar.n)
        self.history.stopped, self.history.message = "completed", f"all {self.options.epochs} epochs were run"

    def _round(self, first: int, last: int) -> None:
        per_epoch, stream = len(self.batches), self._stream(first, last)
        blocks = [self._block(stream, first, last, n) for n in range(0, (last - first) * per_epoch, BLOCK)]
        means = dict(zip(self.steps.names, torch.cat(blocks).mean(0).tolist(), strict=True))
        held_out = self.steps.evaluate(self.validate, child_seed(self.seed, 1)) if self.validate else None
        step = last * per_epoch - 1
        self.history.record(last, means, held_out, self.steps.learning_rate(step), self.steps.kl_weight(step))
        if held_out is not None and last >= self.options.kl_warmup and held_out < self.history.best:
            self.history.best_epoch = last
            self.best = {name: value.clone() for name, value in self.module.state_dict().items()}

    def _block(self, stream: Iterator[Batch], first: int, last: int, number: int) -> Tensor:
        """Take the block that begins with step `number` of a round."""
        start, seed = first * len(self.batches) + number, child_seed(self.seed, 0, first, number)
        try:
            terms = self.steps.run(islice(stream, BLOCK), start, seed)
        except NotFinite as cause:
            self.good.restore()
            again = islice(self._stream(first, last), number, number + BLOCK)
            raise NotFinite(self.steps.blame(again, start, seed)) from cause
        self.good.take()
        self.has_good = True
        return terms

    def _stream(self, first: int, last: int) -> Iterator[Batch]:
        for epoch in range(first, last):
            yield from self.batches.epoch(epoch)

    def _is_flat(self) -> bool:
        best, patience = self.history.best_epoch, self.options.patience
        return best is not None and patience is not None and self.history.epochs - best >= patience

    def _fall_back(self, stopped: str, message: str) -> None:
        self.good.restore()
        self.history.stopped, self.history.message = stopped, message

    def _checkpoint(self, first: int, last: int) -> None:
        path, every = self.options.checkpoint, self.options.checkpoint_every
        if path is not None and (last // every > first // every or last == self.options.epochs):
            parts = (self.module, self.steps.optimiser, self.best, self.history)
            save_checkpoint(path, *parts, self.options, self.seed)

    def _resume(self, path: Path) -> None:
        parts = (self.module, self.steps.optimiser)
        self.history, best = load_checkpoint(path, *parts, self.options, self.seed)
        self.best = {name: value.to(self.steps.device) for name, value in best.items()}
        self.good.take()
        self.has_good = True
