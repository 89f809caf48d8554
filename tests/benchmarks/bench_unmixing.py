"""Poisson unmixing of the shared problems: every method, its errors and its cost.

    python -m tests.benchmarks.bench_unmixing [--problems lead steel baldr xray] [--methods NAME ...] [--crop 32]

Behind lead: rmse(A)/N of the nuclides, mean absolute error of the thickness. Behind steel: median relative error of the
counts of nuclides that are present, counts of absent ones over all counts, thickness. Measured sums: mean absolute
error of the shares, of the nuclides alone and with the background. X-ray cubes, pixels above 20 counts: relative error
of the amplitudes, NMSE of the components' spectra, absolute errors of kT and z, bias of the index. "oracle" is told the
true spectra, and finds the amplitudes by maximum likelihood. Where a method has intervals, their coverage at 90 % is
shown. The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the
checkout.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from probspec.baselines.unmixing import NonNegativeLeastSquares, PixelLikelihood, RichardsonLucy, Sushi, Unmixing
from probspec.estimators import PoissonUnmixer
from probspec.metrics import coverage
from probspec.metrics.unmixing import (
    amplitude_rmse,
    bright,
    component_nmse,
    false_counts,
    median_count_error,
    parameter_error,
    proportion_error,
    relative_amplitude_error,
)
from tests.benchmarks.unmixing_problems import Problem, baldr, lead, names_of, remnant, steel


class Answer(NamedTuple):
    """What a method says; `interval` is the lower and upper end of the amplitudes at 90 %."""

    amplitudes: np.ndarray
    parameters: dict[str, np.ndarray]
    components: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None = None


Method = Callable[[Problem], Answer]


def plain(kind: type[Unmixing]) -> Method:
    """A method without intervals."""

    def answer(problem: Problem) -> Answer:
        fitted = kind(problem.components, problem.background, problem.shared).fit(problem.counts)
        return Answer(fitted.amplitudes_, fitted.parameters_, fitted.components_)

    return answer


def posterior(problem: Problem) -> Answer:
    """Posterior means, with intervals."""
    fitted = PoissonUnmixer(problem.components, problem.background, problem.shared).fit(problem.counts)
    lower, upper = fitted.posterior_.interval("amplitude", 0.9)
    return Answer(fitted.amplitudes_, fitted.parameters_, fitted.components_, (lower.values, upper.values))


def oracle(problem: Problem) -> Answer:
    """Maximum likelihood of the amplitudes with the true spectra."""
    found = []
    for counts, spectra in zip(problem.counts, problem.spectra, strict=True):
        components = dict(zip(names_of(problem), spectra, strict=True))
        found.append(PixelLikelihood(components).fit(counts[None]).amplitudes_[0])
    amplitudes = np.array(found)
    parameters = {name: values[:, None] for (name, _), values in problem.parameters.items()}
    return Answer(amplitudes, parameters, amplitudes[..., None] * problem.spectra)


METHODS: dict[str, Method] = {
    "**PoissonUnmixer**": posterior,
    "oracle": oracle,
    "PixelLikelihood": plain(PixelLikelihood),
    "NonNegativeLeastSquares": plain(NonNegativeLeastSquares),
    "RichardsonLucy": plain(RichardsonLucy),
    "Sushi": plain(Sushi),
}
PROBLEMS = ("lead", "steel", "baldr", "xray")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    tables = {"lead": lead_table, "steel": steel_table, "baldr": baldr_table, "xray": xray_table}
    for name in arguments.problems:
        for line in tables[name](arguments):
            print(line, flush=True)
        print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--crop", type=int, help="side of the middle of the cubes that is unmixed; the whole by default"
    )
    parser.add_argument("--counts", nargs="+", type=int, help="some of the numbers of counts of a problem")
    parser.add_argument("--rows", type=int, default=200, help="mixtures behind steel")
    parser.add_argument(
        "--triples", type=int, default=80, help="measured sums of three, drawn before equals are left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def lead_table(arguments: argparse.Namespace) -> Iterator[str]:
    yield head("lead, N", "method", "rmse(A)/N", "thickness, cm", "90 % cover", "s a spectrum")
    for total in chosen(arguments, 200, 2000, 20000):
        problem = lead(total)
        for name in methods(arguments, cube=False):
            answer, seconds = timed(METHODS[name], problem)
            error = amplitude_rmse(problem.amplitude[:, :-1], answer.amplitudes[:, :-1], float(total))
            yield row(total, name, f"{error:.4f}", thickness(problem, answer, 4), cover(problem, answer), seconds)


def steel_table(arguments: argparse.Namespace) -> Iterator[str]:
    columns = ("count error", "false counts", "thickness, mm", "90 % cover", "s a spectrum")
    yield head("steel, N", "method", *columns)
    for total in chosen(arguments, 100_000, 2500):
        problem = steel(total, arguments.rows, arguments.seed)
        true = problem.amplitude[:, :-1]
        for name in methods(arguments, cube=False):
            answer, seconds = timed(METHODS[name], problem)
            found = answer.amplitudes[:, :-1]
            errors = f"{median_count_error(true, found):.4f}", f"{false_counts(true, found, float(total)):.4f}"
            yield row(total, name, *errors, thickness(problem, answer, 3), cover(problem, answer), seconds)


def baldr_table(arguments: argparse.Namespace) -> Iterator[str]:
    yield head("measured sums", "method", "share of nuclides", "with background", "90 % cover", "s a spectrum")
    problems = list(baldr(arguments.triples, arguments.seed))
    true = np.concatenate([problem.amplitude for problem in problems])
    for name in methods(arguments, cube=False):
        if name == "oracle":
            continue
        answers, seconds = zip(*(timed(METHODS[name], problem) for problem in problems), strict=True)
        found = np.concatenate([answer.amplitudes for answer in answers])
        errors = proportion_error(true[:, :-1], found[:, :-1]), proportion_error(true, found)
        covered = [cover(problem, answer) for problem, answer in zip(problems, answers, strict=True)]
        share = "" if not covered[0] else f"{np.mean([float(one) for one in covered]):.2f}"
        yield row(len(problems), name, *(f"{error:.4f}" for error in errors), share, float(np.mean(seconds)))


def xray_table(arguments: argparse.Namespace) -> Iterator[str]:
    columns = ("A thermal / synchrotron", "NMSE, dB", "kT, keV", "z", "index bias", "90 % cover", "s")
    yield head("X-ray, counts a pixel", "method", *columns)
    for mean in chosen(arguments, 1000, 100):
        problem = remnant(mean, arguments.crop)
        for name in methods(arguments, cube=True):
            answer, seconds = timed(METHODS[name], problem)
            yield row(mean, name, *maps(problem, answer), cover(problem, answer), seconds * len(problem.counts))


def maps(problem: Problem, answer: Answer) -> Iterator[str]:
    """Errors of amplitudes, components and parameters on bright pixels."""
    scored = bright(problem.amplitude)
    true = problem.amplitude[scored][..., None] * problem.spectra[scored]
    yield " / ".join(f"{e:.3f}" for e in relative_amplitude_error(problem.amplitude, answer.amplitudes))
    yield " / ".join(f"{e:.1f}" for e in component_nmse(true, answer.components[scored]))
    found = {("thermal", name): answer.parameters["thermal"][..., n] for n, name in enumerate(("kT", "z"))}
    for key, digits in ((("thermal", "kT"), 3), (("thermal", "z"), 4)):
        yield f"{parameter_error(problem.parameters[key][scored], found[key][scored]):.{digits}f}"
    index = answer.parameters["synchrotron"][..., 0]
    yield f"{np.mean((index - problem.parameters['synchrotron', 'index'])[scored]):+.3f}"


def timed(method: Method, problem: Problem) -> tuple[Answer, float]:
    """The answer, and seconds for each row of the counts."""
    began = time.perf_counter()
    answer = method(problem)
    return answer, (time.perf_counter() - began) / len(problem.counts)


def methods(arguments: argparse.Namespace, cube: bool) -> list[str]:
    """Methods that suit maps, or single spectra."""
    return [name for name in arguments.methods if name != ("oracle" if cube else "Sushi")]


def chosen(arguments: argparse.Namespace, *totals: int) -> list[int]:
    return [total for total in totals if not arguments.counts or total in arguments.counts]


def thickness(problem: Problem, answer: Answer, digits: int) -> str:
    true = problem.parameters["Co60", "thickness"]
    return f"{parameter_error(true, answer.parameters['Co60'][:, 0]):.{digits}f}"


def cover(problem: Problem, answer: Answer) -> str:
    return "" if answer.interval is None else f"{coverage(problem.amplitude, *answer.interval):.2f}"


def head(*cells: str) -> str:
    return row(*cells) + "\n" + "|---" * len(cells) + "|"


def row(*cells: object) -> str:
    return "| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
