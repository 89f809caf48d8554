"""The loop: it finds the minimum, resumes exactly, stops well, and leaves everything else alone."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from toy import Toy, spec, toy_spectra

from probspec.batch import Batch
from probspec.data.batches import Batches
from probspec.errors import FileError, FitError, ProbspecWarning
from probspec.seeding import seeded
from probspec.training import checkpoint
from probspec.training.history import History
from probspec.training.options import TrainOptions
from probspec.training.train import train

OPTIONS = TrainOptions(epochs=6, batch_size=8, learning_rate=1e-2, checkpoint_every=1)


class Killed(Exception):
    """The process ends here."""


class Line(nn.Module):
    """A least-squares line, whose answer is known."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def loss(self, batch: Batch, kl_weight: float) -> dict[str, Tensor]:
        x = batch.x["x"]
        return {"square": (3 * x - self.slope * x).square().mean(), "penalty": 0.0 * kl_weight * self.slope}


@dataclass
class Points:
    """Batches of numbers; the rows named in `bad` are infinite."""

    rows: int = 40
    size: int = 8
    bad: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.rows // self.size

    def epoch(self, number: int):
        for index in torch.arange(self.rows).split(self.size):
            x = torch.linspace(0.5, 1.5, self.rows)[index, None]
            x[torch.isin(index, torch.tensor(self.bad))] = math.inf
            yield Batch({"x": x}, {}, {}, {}, index, self.rows)


def toy() -> Toy:
    with seeded(3):
        return Toy(spec())


def epochs(count: int = 40, size: int = 8) -> Batches:
    return Batches(toy_spectra(count), size, seed=5)


def run(options: TrainOptions, **more) -> tuple[Toy, History]:
    model = toy()
    return model, train(model, model.objective, epochs(), options, seed=1, **more)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def killed_after(rounds: int, path: Path, **more) -> None:
    """Run and die just after the checkpoint of a round, having taken part of the next one."""
    model, left = toy(), rounds * 20 + 7

    def loss(batch, kl_weight):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return model.objective(batch, kl_weight)

    with pytest.raises(Killed):
        train(model, loss, epochs(), replace(OPTIONS, epochs=12, checkpoint=path, **more), seed=1)


def after_20_steps(points: Points) -> Tensor:
    """Slope that the first block of the loop should give."""
    line = Line()
    adam = torch.optim.Adam(line.parameters(), lr=1e-3, fused=True)
    for batch, _ in zip(points.epoch(0), range(20), strict=False):
        adam.zero_grad()
        sum(line.loss(batch, 1.0).values()).backward()
        nn.utils.clip_grad_norm_(line.parameters(), 10.0)
        adam.step()
    return line.slope


# What it finds.


def test_the_minimum_is_found():
    line = Line()
    history = train(line, line.loss, Points(), TrainOptions(epochs=200, learning_rate=0.05))
    assert line.slope.item() == pytest.approx(3.0, abs=1e-3)
    assert history.stopped == "completed" and history.loss[-1] < 1e-4


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_each_optimiser_lowers_the_loss(optimiser):
    line = Line()
    history = train(line, line.loss, Points(), TrainOptions(epochs=20, learning_rate=0.1, optimiser=optimiser))
    assert history.loss[-1] < 0.2 * history.loss[0]


def test_history_has_each_term_at_each_entry():
    _, history = run(replace(OPTIONS, epochs=9))
    assert history.epoch == [4, 8, 9]  # 5 steps an epoch: four epochs to a round of 20 steps
    assert set(history.terms) == {"elbo", "label"} and all(len(v) == 3 for v in history.terms.values())
    assert History.from_dict(history.to_dict()) == history


def test_the_mean_of_a_long_epoch_is_over_all_its_steps():
    line, seen = Line(), []

    def loss(batch, kl_weight):
        terms = line.loss(batch, kl_weight)
        seen.append(sum(terms.values()).item())
        return terms

    history = train(line, loss, Points(rows=53, size=1), TrainOptions(epochs=2))
    assert history.epoch == [1, 2]
    assert history.loss == pytest.approx([sum(seen[:53]) / 53, sum(seen[53:]) / 53])


def test_bf16_trains_and_leaves_the_layers_as_they_were():
    model, history = run(replace(OPTIONS, epochs=20, precision="bf16"))
    assert history.loss[-1] < history.loss[0]
    assert not same(model, run(replace(OPTIONS, epochs=20))[0])
    assert all("forward" not in vars(layer) for layer in model.modules())


def test_clipping_bounds_the_step():
    line = Line()
    train(line, line.loss, Points(40, 40), TrainOptions(epochs=1, optimiser="sgd", learning_rate=1.0, clip_norm=0.25))
    assert line.slope.item() == pytest.approx(0.25)


# Seeds and resumption.


def test_same_seed_same_weights_another_seed_others(untouched_generators):
    assert same(run(OPTIONS)[0], run(OPTIONS)[0])
    model = toy()
    train(model, model.objective, epochs(), OPTIONS, seed=2)
    assert not same(model, run(OPTIONS)[0])


ANNEALED = {"schedule": "cosine", "kl_warmup": 7}


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd", "clip_norm": 1.0}, ANNEALED])
def test_a_killed_and_resumed_run_gives_the_very_weights(tmp_path, changes):
    options = replace(OPTIONS, epochs=12, **changes)
    straight, unbroken = run(options)
    killed_after(2, tmp_path / "run.pt", **changes)
    resumed, history = run(options, resume=tmp_path / "run.pt")
    assert same(straight, resumed)
    assert history.to_dict() | {"seconds": 0} == unbroken.to_dict() | {"seconds": 0}


def test_resuming_with_held_out_rows_keeps_the_best(tmp_path, monkeypatch):
    options = replace(OPTIONS, epochs=24, learning_rate=0.3, patience=100)
    held_out = [toy_spectra(16, seed=9).to_batch()]
    straight, unbroken = run(options, validate=held_out)
    assert unbroken.best_epoch < 24
    save = checkpoint.save_checkpoint

    def killed_at_20(path, module, optimiser, best, history, *rest):
        save(path, module, optimiser, best, history, *rest)
        if history.epochs == 20:
            raise Killed

    monkeypatch.setattr("probspec.training.train.save_checkpoint", killed_at_20)
    with pytest.raises(Killed):
        run(replace(options, checkpoint=tmp_path / "run.pt"), validate=held_out)
    resumed, history = run(options, validate=held_out, resume=tmp_path / "run.pt")
    assert history.best_epoch == unbroken.best_epoch and same(straight, resumed)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    options = replace(OPTIONS, checkpoint=tmp_path / "run.pt")
    first, _ = run(options)
    again, history = run(options, resume=tmp_path / "run.pt")
    assert same(first, again) and history.epochs == options.epochs


def test_resuming_a_run_that_stopped_early_changes_nothing(tmp_path):
    options = replace(OPTIONS, epochs=400, learning_rate=0.3, patience=12, checkpoint=tmp_path / "run.pt")
    held_out = [toy_spectra(16, seed=9).to_batch()]
    first, before = run(options, validate=held_out)
    again, after = run(options, validate=held_out, resume=tmp_path / "run.pt")
    assert before.stopped == after.stopped == "early" and before.epochs == after.epochs < 400
    assert same(first, again)


@pytest.mark.parametrize("change", [{"learning_rate": 1.0}, {"epochs": 8}, {"batch_size": 9}])
def test_another_run_cannot_be_resumed(tmp_path, change):
    run(replace(OPTIONS, checkpoint=tmp_path / "run.pt"))
    with pytest.raises(FitError, match=f"{next(iter(change))}=.*same seed and options"):
        run(replace(OPTIONS, **change), resume=tmp_path / "run.pt")


def test_another_model_cannot_be_resumed(tmp_path):
    run(replace(OPTIONS, checkpoint=tmp_path / "run.pt"))
    line = Line()
    with pytest.raises(FitError, match="another model"):
        train(line, line.loss, Points(), OPTIONS, seed=1, resume=tmp_path / "run.pt")


def test_a_damaged_or_missing_checkpoint_is_named(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(FileError, match=r"run\.pt: no such checkpoint"):
        run(OPTIONS, resume=path)
    path.write_bytes(b"\x80\x04 not a checkpoint")
    with pytest.raises(FileError, match=r"run\.pt: cannot be read"):
        run(OPTIONS, resume=path)


def test_checkpoints_leave_no_temporary_files(tmp_path):
    stale = tmp_path / ".run.pt.1.tmp"
    stale.write_bytes(b"left by a killed run")
    run(replace(OPTIONS, checkpoint=tmp_path / "run.pt"))
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


# Stopping.


def test_early_stopping_goes_back_to_the_best_weights():
    held_out = [toy_spectra(40, seed=9).to_batch()]
    model = toy()
    options = replace(OPTIONS, epochs=4000, learning_rate=0.2, patience=40)
    history = train(model, model.objective, epochs(16), options, validate=held_out)
    assert history.stopped == "early" and history.epochs < 4000
    assert history.best == min(history.held_out) < history.held_out[-1]
    assert history.epochs - history.best_epoch >= 40


def test_no_minimum_counts_before_the_warm_up_is_over():
    held_out = [toy_spectra(40, seed=9).to_batch()]
    _, history = run(replace(OPTIONS, epochs=20, kl_warmup=10, learning_rate=0.3), validate=held_out)
    assert history.best_epoch >= 10


def test_an_infinite_row_is_named_with_step_term_and_good_weights_kept():
    line = Line()
    bad = Points(rows=40 * 8, bad=(250, 251))
    with pytest.warns(ProbspecWarning, match=r"step 31 \(epoch 1\): loss term square .* rows 248, 249, 250"):
        history = train(line, line.loss, bad, TrainOptions(epochs=3))
    assert history.stopped == "non-finite" and "step 31" in history.message
    assert line.slope == after_20_steps(bad)  # the block of 20 steps before


def test_a_loss_that_is_never_finite_is_an_error():
    line = Line()
    with pytest.raises(FitError, match="step 0 .* rows 0, 1, 2, 3, 4, 5, 6, 7"):
        train(line, line.loss, Points(bad=(3,)), TrainOptions(epochs=3))


def test_the_site_and_its_rows_are_named():
    model = toy()

    def loss(batch, kl_weight):
        with pyro.plate("sample", len(batch), dim=-1):
            scale = torch.where(batch.index == 17, torch.nan, 1.0)
            noise = pyro.sample("offset", dist.Normal(0.0, scale))
        return {**model.objective(batch, kl_weight), "extra": noise.sum()}

    told = r"loss term extra .* site 'offset': its value and log density .*Normal; rows 17\."
    with pytest.raises(FitError, match=told):
        train(model, loss, epochs(), OPTIONS)


def test_rows_are_called_by_the_numbers_of_the_callers_set():
    line = Line()
    with pytest.raises(FitError, match="rows 100, 101, 102"):
        train(line, line.loss, Points(bad=(3,)), TrainOptions(epochs=3), row_numbers=torch.arange(100, 140))


def test_an_infinite_gradient_is_blamed_on_its_weight():
    line = Line()

    def loss(batch, kl_weight):  # sqrt at zero: finite, with an infinite slope
        return {"root": (0.0 * line.slope).sqrt() + line.slope}

    with pytest.raises(FitError, match="step 0 .* gradient by slope"):
        train(line, loss, Points(), TrainOptions(epochs=3))


def test_an_error_that_follows_from_infinite_weights_is_told_as_such():
    line, batches = Line(), Points(rows=40 * 8, bad=(250,))

    def loss(batch, kl_weight):
        torch.linalg.cholesky(torch.eye(2) * (1 + 0 * line.slope.detach()))
        return line.loss(batch, kl_weight)

    with pytest.warns(ProbspecWarning, match="step 31"):
        train(line, loss, batches, TrainOptions(epochs=3))


def test_other_errors_pass_through():
    line = Line()

    def loss(batch, kl_weight):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(line, loss, Points(), TrainOptions(epochs=3))


def test_an_interrupt_keeps_the_last_good_weights():
    line, steps = Line(), 0

    def loss(batch, kl_weight):
        nonlocal steps
        steps += 1
        if steps == 31:
            raise KeyboardInterrupt
        return line.loss(batch, kl_weight)

    history = train(line, loss, Points(rows=320), TrainOptions(epochs=3))
    assert history.stopped == "interrupted" and steps == 31
    assert line.slope == after_20_steps(Points(rows=320))


# What a user can get wrong.


def test_a_term_that_is_no_number_is_named():
    line = Line()
    with pytest.raises(FitError, match=r"'square'.*\(8, 1\).*sum over the rows"):
        train(line, lambda batch, w: {"square": line.slope * batch.x["x"]}, Points(), TrainOptions(epochs=1))


def test_a_loss_without_parameters_is_an_error():
    with pytest.raises(FitError, match="does not depend on any parameter"):
        train(Line(), lambda batch, w: {"one": torch.ones(())}, Points(), TrainOptions(epochs=1))


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"epochs": 1.5}, {"learning_rate": math.nan}, {"clip_norm": 0}])
def test_options_out_of_range_are_named(wrong):
    with pytest.raises(FitError, match=f"{next(iter(wrong))}: got"):
        TrainOptions(**wrong)


@pytest.mark.parametrize("name", ["optimiser", "schedule", "precision", "device"])
def test_unknown_choices_list_the_known_ones(name):
    with pytest.raises(FitError, match="Known:"):
        TrainOptions(**{name: "adamm"})


def test_options_go_through_json():
    options = TrainOptions(checkpoint=Path("a/b.pt"), patience=None)
    assert TrainOptions.from_dict(options.to_dict()) == options
    with pytest.raises(FitError, match="did you mean 'epochs'"):
        TrainOptions.from_dict({"epoch": 3})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_an_error():
    with pytest.raises(FitError, match="no CUDA device"):
        run(replace(OPTIONS, device="cuda"))


# Schedules.


def test_kl_weight_rises_in_ramps_and_stays():
    options = TrainOptions(kl_warmup=8, kl_cycles=2, kl_weight=0.5)
    assert [options.kl_weight_at(e) for e in (0, 2, 4, 6, 8, 20)] == [0, 0.25, 0, 0.25, 0.5, 0.5]


def test_cosine_falls_from_the_full_rate_to_zero():
    options = TrainOptions(schedule="cosine", learning_rate=0.2)
    assert [options.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.2, 0.1, 0.0])


def test_validation_is_off_inside_and_back_after():
    line, seen = Line(), set()

    def loss(batch, kl_weight):
        seen.add(torch.distributions.Distribution._validate_args)
        return line.loss(batch, kl_weight)

    train(line, loss, Points(), TrainOptions(epochs=1))
    assert seen == {False}
