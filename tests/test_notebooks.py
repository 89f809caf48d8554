"""Notebooks run from top to bottom on small values, and keep the outputs of a run on the full ones."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import probspec

ROOT = Path(probspec.__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 60  # on two cores of its own
MOST_BYTES = 1_000_000
PUBLIC_MODULES = {
    "probspec",
    "probspec.augmentation",
    "probspec.estimators",
    "probspec.metrics",
    "probspec.simulate.section",
    "probspec.simulate.xray",
    "probspec.simulators.gamma",
    "probspec.simulators.stoichiometry",
    "probspec.simulators.xray",
}

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def source(notebook):
    lines = "\n".join(cell.source for cell in code(notebook)).splitlines()
    return ast.parse("\n".join(line for line in lines if not line.startswith("%")))


def parameters(notebook):
    (cell,) = (cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", []))
    return cell


def names(statement):
    """Names that an assignment gives values to."""
    return [name.id for name in ast.walk(statement) if isinstance(name, ast.Name)]


def test_there_are_notebooks():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07", "08", "09"]


@notebooks
@pytest.mark.timeout(6 * SECONDS)
def test_notebook_runs_on_small_values_and_its_claim_holds(path, tmp_path):
    notebook = read(path)
    small = notebook.metadata["probspec"]["small"]
    cell = parameters(notebook)
    assert sorted(small) == sorted(name for line in ast.parse(cell.source).body for name in names(line))
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in small.items())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=5 * SECONDS, kernel_name="python3", resources=folder).execute(env=environment)
    errors = [text for cell in code(notebook) for text in warned(cell)]
    assert not errors


def warned(cell):
    """What went to the error stream, besides tqdm's remark that ipywidgets are not installed."""
    texts = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"]
    return [text for text in texts if "TqdmWarning" not in text and "notebook_tqdm" not in text]


@notebooks
def test_notebook_ends_with_the_assertion_of_its_claim(path):
    assert any(isinstance(line, ast.Assert) for line in ast.parse(code(read(path))[-1].source).body)


@notebooks
def test_notebook_imports_public_names_only(path):
    tree = source(read(path))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.startswith("probspec")} <= PUBLIC_MODULES
    private = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    assert not private


@notebooks
def test_notebook_keeps_its_figures_and_was_run_in_order(path):
    notebook = read(path)
    assert path.stat().st_size < MOST_BYTES
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
