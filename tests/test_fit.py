"""A fit is a value: seeded, honest about its coverage, and without a trace outside itself."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from toy import Toy, spec, toy_spectra

from probspec.errors import DataError, FitError, GuideError, ProbspecWarning
from probspec.fit import Fit, fit
from probspec.report import Coverage, Report
from probspec.seeding import seeded
from probspec.spec import anonymous_spec
from probspec.training.options import TrainOptions

QUICK = TrainOptions(epochs=2, batch_size=16, learning_rate=1e-2)


def same(one: Fit, other: Fit) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_seed_alone_decides(untouched_generators):
    with seeded(1):
        first = fit(Toy(spec()), toy_spectra(40), seed=7, options=QUICK)
    with seeded(2):  # other first weights, other global state
        again = fit(Toy(spec()), toy_spectra(40), seed=7, options=QUICK)
        other = fit(Toy(spec()), toy_spectra(40), seed=8, options=QUICK)
    assert same(first, again) and not same(first, other)


def test_the_model_given_is_not_changed():
    model = Toy(spec())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fitted = fit(model, toy_spectra(40), options=QUICK)
    assert model.training and not fitted.model.training
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_fit_is_a_value_with_a_short_repr():
    fitted = fit(Toy(spec()), toy_spectra(40), options=QUICK)
    with pytest.raises(FrozenInstanceError):
        fitted.seed = 3
    assert repr(fitted) == "Fit(Toy of 'anonymous', 2 epochs, seed 0)"
    assert fitted.spec == spec()


def test_priors_and_config_of_the_model_are_those_of_the_fit():
    model = Toy(spec(), hidden=5).with_priors(abundance=dist.Dirichlet(torch.full((3,), 0.3)))
    fitted = fit(model, toy_spectra(40), options=QUICK)
    assert fitted.model.hidden == 5 and fitted.model.priors["abundance"].concentration[0] == pytest.approx(0.3)


# Held-out rows and coverage.


def seen_rows(spectra, **more) -> tuple[Fit, np.ndarray]:
    """Fit, and return which abundances the model was prepared with."""
    seen = []

    class Watched(Toy):
        def prepare(self, spectra, seed):
            seen.append(spectra)
            return super().prepare(spectra, seed)

    return fit(Watched(spec(), **more), spectra, options=QUICK), seen[0]


@pytest.mark.parametrize("labelled, held_out", [(199, 0), (200, 20)])
def test_rows_are_held_out_from_200_labelled_ones(labelled, held_out):
    spectra = toy_spectra(labelled, labelled=1.0)
    fitted, seen = seen_rows(spectra)
    assert len(spectra) - len(seen) == held_out
    assert bool(fitted.report.coverage) == bool(held_out)
    assert bool(fitted.history.held_out) == bool(held_out)


def test_groups_are_held_out_whole():
    spectra = toy_spectra(400, labelled=1.0, grouped=True)
    fitted, seen = seen_rows(spectra)
    assert (np.unique(seen.groups, return_counts=True)[1] == 4).all()
    assert fitted.report.coverage[0].count == len(spectra) - len(seen) == 40
    assert fitted.report.coverage[0].kind == "held-out"


def test_a_model_that_cross_fits_is_checked_on_its_training_rows():
    fitted, seen = seen_rows(toy_spectra(240, labelled=0.5), cross_fits=True)
    (found,) = fitted.report.coverage
    assert len(seen) == 240 and found.kind == "out-of-fold" and found.count == 120


def test_nothing_is_held_out_where_that_is_asked():
    fitted = fit(Toy(spec()), toy_spectra(240, labelled=1.0), options=QUICK, held_out=0)
    assert not fitted.history.held_out and "takes 200 labelled" in str(fitted.report)


def test_coverage_tells_honest_intervals_from_narrow_ones():
    spectra = toy_spectra(1500, labelled=1.0)
    trained = fit(Toy(spec()), spectra, options=replace(QUICK, epochs=25, batch_size=64), held_out=0.25)

    class Sure(Toy):
        def abundance(self, batch):
            return dist.Dirichlet(100 * super().abundance(batch).concentration)

    narrow = fit(Sure(spec()), spectra, options=replace(QUICK, epochs=0), held_out=0.25)
    assert narrow.report.coverage[0].verdict == "too narrow"
    (found,) = trained.report.coverage
    assert found.probs == (0.5, 0.8, 0.9, 0.95)
    assert found.verdict != "too narrow", str(found)


def test_the_report_reads_well():
    covered = Coverage("abundance", "held-out", 60, (0.5, 0.9), (0.31, 0.72), (-2.9, -4.6))
    report = Report(1.25, 3.2, "all 9 epochs were run", (covered,))
    assert str(report) == (
        "loss 1.25 after 3.2 s; all 9 epochs were run\n"
        "abundance, 60 held-out rows: intervals too narrow (50%: 31.0%, 90%: 72.0%)"
    )
    assert "<td>72.0%</td><td>too narrow</td>" in report._repr_html_()
    assert Report.from_dict(report.to_dict()) == report


# Going wrong.


def test_a_row_that_goes_wrong_is_called_by_its_number_in_the_set():
    spectra, row = toy_spectra(300, labelled=1.0), 123
    worst = torch.tensor(spectra.targets["abundance"][row, 0], dtype=torch.float32)

    class Broken(Toy):
        def objective(self, batch, kl_weight=1.0):
            wrong = (batch.y["abundance"][:, 0] == worst) & torch.tensor(kl_weight >= 0.5)  # not in the first epoch
            return super().objective(batch, kl_weight) | {"wrong": torch.where(wrong, torch.nan, 0.0).sum()}

    options = TrainOptions(epochs=2, batch_size=1, kl_warmup=2)
    with pytest.warns(ProbspecWarning, match=rf"\(epoch 2\): loss term wrong .* rows {row}\."):
        fitted = fit(Broken(spec()), spectra, options=options, held_out=0.5, seed=4)
    assert fitted.history.stopped == "non-finite" and str(row) in str(fitted.report)
    assert all(torch.isfinite(p).all() for p in fitted.model.parameters())


def test_an_interrupted_fit_is_still_a_fit():
    calls = 0

    class Interrupted(Toy):
        def objective(self, batch, kl_weight=1.0):
            nonlocal calls
            calls += 1
            if calls > 30:
                raise KeyboardInterrupt
            return super().objective(batch, kl_weight)

    fitted = fit(Interrupted(spec()), toy_spectra(300, labelled=1.0), options=QUICK)
    assert fitted.history.stopped == "interrupted" and "interrupted" in fitted.report.note


def test_a_guide_of_another_support_is_refused_before_the_first_step():
    class Stale(Toy):
        def model(self, batch):
            self.priors = self.priors.replace(abundance=dist.LogNormal(torch.zeros(3), 1.0).to_event(1))
            super().model(batch)

    with pytest.raises(GuideError, match="'abundance'"):
        fit(Stale(spec()), toy_spectra(40), options=QUICK)


@pytest.mark.parametrize(
    "wrong, word", [({"seed": -1}, "seed"), ({"seed": 1.5}, "seed"), ({"held_out": 1.0}, "held_out")]
)
def test_arguments_out_of_range_are_named(wrong, word):
    with pytest.raises(FitError, match=f"{word}: got"):
        fit(Toy(spec()), toy_spectra(8), **wrong)


def test_a_model_class_in_place_of_a_model_is_named():
    with pytest.raises(FitError, match="model: got"):
        fit(Toy, toy_spectra(8))


def test_spectra_of_another_kind_are_refused():
    with pytest.raises(DataError, match="'libs'.*raman"):
        fit(Toy(anonymous_spec({"libs": 12}, ("quartz", "calcite", "gypsum"))), toy_spectra(8))
    with pytest.raises(DataError, match="12 channels.*13"):
        fit(Toy(anonymous_spec({"raman": 13}, ("quartz", "calcite", "gypsum"))), toy_spectra(8))
    with pytest.raises(DataError, match="targets/abundance"):
        fit(Toy(anonymous_spec({"raman": 12}, ("a", "b", "c"))), toy_spectra(8))


def test_a_fit_resumes_exactly(tmp_path):
    spectra, path = toy_spectra(240, labelled=1.0), tmp_path / "run.pt"
    options = replace(QUICK, epochs=4, checkpoint=path, checkpoint_every=2)
    calls = 0

    class Killed(Toy):
        def objective(self, batch, kl_weight=1.0):
            nonlocal calls
            calls += 1
            if calls == 40:
                raise ZeroDivisionError
            return super().objective(batch, kl_weight)

    with pytest.raises(ZeroDivisionError):
        fit(Killed(spec()), spectra, options=options)
    straight = fit(Toy(spec()), spectra, options=replace(options, checkpoint=None))
    resumed = fit(Toy(spec()), spectra, options=options, resume=str(path))
    assert same(straight, resumed) and straight.report.coverage == resumed.report.coverage
