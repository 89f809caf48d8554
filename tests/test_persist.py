"""A saved fit is the same fit, and a damaged one is never taken for it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyro.distributions as dist
import pytest
import torch
from toy import Toy, spec, toy_spectra

from probspec import atomic
from probspec.atomic import write_file, write_folder
from probspec.draws.draw import draw
from probspec.errors import FileError, PriorError
from probspec.fit import Fit, fit
from probspec.persist import load, save
from probspec.seeding import seeded
from probspec.training.options import TrainOptions

FILES = ("meta.json", "spec.json", "priors.json", "history.json", "weights.safetensors", "checksums.json")


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("probspec.models.ALL", (Toy,))


@pytest.fixture(scope="module")
def fitted() -> Fit:
    with seeded(0):
        model = Toy(spec(), hidden=7).with_priors(abundance=dist.Dirichlet(torch.tensor([0.3, 0.7, 1.1])))
    return fit(model, toy_spectra(240, labelled=1.0), seed=3, options=TrainOptions(epochs=2))


@pytest.fixture
def folder(fitted: Fit, tmp_path: Path) -> Path:
    save(fitted, tmp_path / "fit")
    return tmp_path / "fit"


def test_draws_after_reload_are_the_same_to_the_last_bit(fitted, folder, untouched_generators):
    batch = toy_spectra(5, seed=9).to_batch()
    ours, theirs = draw(fitted.model, batch, 50, seed=1), draw(load(folder).model, batch, 50, seed=1)
    assert all(torch.equal(ours.values[name], theirs.values[name]) for name in ours.values)
    assert torch.equal(ours.log_p, theirs.log_p) and torch.equal(ours.log_q, theirs.log_q)


def test_everything_else_comes_back_too(fitted, folder):
    loaded = load(folder)
    assert (loaded.seed, loaded.options, loaded.report) == (fitted.seed, fitted.options, fitted.report)
    assert loaded.history == fitted.history and loaded.spec == fitted.spec
    assert loaded.model.config == fitted.model.config and loaded.model.architecture() == {"scales": ["raman"]}
    assert not loaded.model.training and repr(loaded) == repr(fitted)
    assert loaded.model.scales["raman"].requires_grad is False


def test_saving_changes_nothing(fitted, folder, untouched_generators):
    before = {name: value.clone() for name, value in fitted.model.state_dict().items()}
    save(fitted, folder)
    assert all(torch.equal(before[name], value) for name, value in fitted.model.state_dict().items())


def test_a_second_round_writes_the_same_bytes(folder, tmp_path):
    save(load(folder), tmp_path / "again")
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_there_is_no_pickle_and_nothing_else(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["fit"]
    for name in FILES[:-2]:
        json.loads((folder / name).read_text())


def test_an_older_fit_of_the_name_is_replaced_another_folder_is_not(fitted, folder, tmp_path):
    save(fitted, folder)
    assert load(folder).seed == 3
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(FileError, match="photos: exists and is not a saved fit"):
        save(fitted, tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_callable_prior_cannot_be_saved(fitted, tmp_path):
    law = fitted.model.with_priors(noise=lambda earlier: dist.Gamma(2.0, 20.0))
    with pytest.raises(PriorError, match="'noise'"):
        save(Fit(law, fitted.history, fitted.report, 0, fitted.options), tmp_path / "fit")
    assert list(tmp_path.iterdir()) == []


# What is damaged.


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileError, match=rf"{name}: cannot be read .*To mend it"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_a_flipped_bit_is_named(folder, name, place):
    data = bytearray((folder / name).read_bytes())
    data[int(place * len(data))] ^= 4
    (folder / name).write_bytes(data)
    with pytest.raises(FileError, match=r"(json|safetensors): .*To mend it"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_named(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(FileError, match=rf"{name}: .*To mend it"):
        load(folder)


def rewrite(folder: Path, name: str, change: Callable[[dict], object]) -> None:
    """Change a table on purpose, checksums and all."""
    import hashlib

    table = json.loads((folder / name).read_text())
    change(table)
    (folder / name).write_text(json.dumps(table))
    sums = json.loads((folder / "checksums.json").read_text())
    sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))


def test_a_newer_format_asks_for_an_upgrade(folder):
    rewrite(folder, "meta.json", lambda meta: meta.update(format_version=2))
    with pytest.raises(FileError, match=r"meta\.json: has format version 2.*upgrade probspec"):
        load(folder)


def test_an_unknown_model_lists_the_known_ones(folder):
    rewrite(folder, "meta.json", lambda meta: meta.update(model="Toi"))
    with pytest.raises(FileError, match="did you mean 'Toy'"):
        load(folder)


@pytest.mark.parametrize(
    "name, change",
    [
        ("meta.json", lambda meta: meta["config"].update(hidden=8)),
        ("meta.json", lambda meta: meta["config"].update(colour="red")),
        ("meta.json", lambda meta: meta["architecture"].update(scales=[])),
        ("meta.json", lambda meta: meta.pop("seed")),
        ("meta.json", lambda meta: meta["options"].update(epochs="many")),
        ("meta.json", lambda meta: meta.update(report=3)),
        ("priors.json", lambda priors: priors.pop("noise")),
        ("priors.json", lambda priors: priors.update(noise={"law": "Nothing"})),
        ("priors.json", lambda priors: priors.update(abundance={"law": "HalfNormal", "scale": [1.0, 1.0, 1.0]})),
        ("spec.json", lambda config: config.pop("modalities")),
        ("history.json", lambda history: history.pop("held_out")),
    ],
)
def test_a_table_that_makes_no_fit_is_an_error_of_the_file(folder, name, change):
    rewrite(folder, name, change)
    with pytest.raises(FileError, match="To mend it"):
        load(folder)


def test_no_folder_and_no_fit_are_told_apart(tmp_path):
    with pytest.raises(FileError, match="nowhere: no such folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(FileError, match="is not that of a saved fit"):
        load(tmp_path)


# Whole or not at all.


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_file(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"new")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_file(path, fail)
    assert path.read_bytes() == b"old"
    write_file(path, lambda file: file.write(b"newer"))
    assert path.read_bytes() == b"newer" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_without_a_trace(tmp_path):
    write_folder(tmp_path / "a", {"one": b"1", "two": b"2"})
    write_folder(tmp_path / "a", {"one": b"3"})
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["one"] and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_left_between_two_names_is_pointed_out(fitted, folder, monkeypatch):
    rename, calls = os.rename, []

    def killed(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("probspec.atomic.os.rename", killed)
    with pytest.raises(KeyboardInterrupt):
        save(fitted, folder)
    with pytest.raises(FileError, match=r"rename .*\.fit\.old"):
        load(folder)
    assert load(folder.with_name(".fit.old")).seed == 3


KILLED = """
import runpy, sys
from pathlib import Path
atomic, path, number = runpy.run_path(sys.argv[1]), Path(sys.argv[2]), 0
while True:
    number += 1
    atomic["write_file"](path, lambda file: file.write(bytes([number % 256]) * 200_000))
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_process_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.bin"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, atomic.__file__, str(path)], stdout=subprocess.PIPE)
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        data = path.read_bytes()
        assert len(data) == 200_000 and len(set(data)) == 1
    write_file(path, lambda file: file.write(b"done"))
    assert list(tmp_path.iterdir()) == [path]
