"""Imports point down: every import of the package, also inside a function, is read and held against the plan below."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "probspec"

# A file may import from its own floor and from those before it in this list; a folder counts as one file.
FLOORS = (
    {"errors"},
    {"batch", "units", "tables", "spec", "seeding", "atomic", "folders", "oxides"},
    {"counts", "starlet", "transforms", "supports", "simulators", "metrics", "plots", "arviz_bridge"},
    {"distributions", "laws", "priors", "flows", "training"},
    {"sites", "guides", "nets", "data", "simulate", "donors", "cubes"},
    {"surrogates", "transfer"},
    {"absorption_guides", "mixtures"},
    {"unmixing", "fields"},
    {"models"},
    {"draws"},
    {"report"},
    {"fit"},
    {"posterior", "persist"},
    {"augmentation"},
    {
        "calibration",
        "checks",
        "blocks",
        "folds",
        "cross_validation",
        "baselines",
        "estimators",
        "element_maps",
        "search",
    },
    {"terminal", "demo", "cli"},
    {"__init__"},
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}

# A dependency that only one file may import ...
ONLY = {
    "arviz": "arviz_bridge",
    "arviz_base": "arviz_bridge",
    "arviz_plots": "arviz_bridge",
    "arviz_stats": "arviz_bridge",
    "astropy": "cubes",
    "h5py": "data",
    "matplotlib": "plots",
    "optuna": "search",
    "pybaselines": "estimators",
    "sklearn.base": "estimators",
    "zuko": "flows",
}
# ... and those that a file (every file: "*") must do without.
NEVER = {
    "*": {"pickle", "cloudpickle", "dill", "joblib", "shelve"},
    "spec": {"torch", "h5py", "pyro"},
    "simulators": {"pyro", "h5py", "probspec.nets.layers"},
    "likelihoods": {"probspec.nets.layers", "probspec.priors"},
}


class Import(NamedTuple):
    """One imported name, where it stands, and whether it is imported when the package runs or only for its type."""

    file: str
    line: int
    importer: str
    target: str
    runs: bool

    def names(self, module: str) -> bool:
        return self.target == module or self.target.startswith(f"{module}.")

    def says(self, problem: str) -> str:
        return f"{self.file}:{self.line}: {self.importer} imports {self.target}: {problem}"


def read_imports(package: Path) -> Iterator[Import]:
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(package)
        importer = ".".join(path.with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        typing = {node for block in ast.walk(tree) if for_types(block) for node in ast.walk(block)}
        for node in ast.walk(tree):
            for target in targets(node):
                yield Import(f"{package.name}/{path}", node.lineno, importer, target, node not in typing)


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def inside(target: str) -> str:
    """Name of the file (or folder) of probspec that a dotted target lies in; of the package itself, `__init__`."""
    first, *rest = target.removeprefix("probspec.").split(".")
    return first if rest or first in FLOOR else "__init__"


def complaints(package: Path) -> list[str]:
    return [text for found in read_imports(package) for text in judge(found)]


def judge(found: Import) -> Iterator[str]:
    noun = found.importer.partition(".")[0]
    if noun not in FLOOR:
        yield found.says(f"{noun} has no floor; give it one in FLOORS")
        return
    for module, owner in ONLY.items():
        if found.names(module) and noun != owner:
            yield found.says(f"only {owner}.py may import {module}")
    for module in NEVER["*"] | NEVER.get(noun, set()):
        if found.names(module):
            yield found.says(f"{noun} must do without {module}")
    if found.names("probspec"):
        other = inside(found.target)
        if FLOOR.get(other, 0) > FLOOR[noun]:
            yield found.says(f"{other} stands on floor {FLOOR[other]}, above {noun} on floor {FLOOR[noun]}")
        if noun == other == "models" and peeks(found):
            yield found.says("methods are blind to each other; share through models/base.py")


def peeks(found: Import) -> bool:
    return found.importer not in ("models.__init__", "models.base") and not found.names("probspec.models.base")


def test_imports_point_down():
    assert complaints(PACKAGE) == []


def test_no_two_files_import_each_other():
    graph: dict[str, set[str]] = {}
    for found in read_imports(PACKAGE):
        if found.runs and found.names("probspec"):
            graph.setdefault(inside(found.importer), set()).add(inside(found.target))
    for noun, below in graph.items():
        below.discard(noun)
    assert list(TopologicalSorter(graph).static_order())


def test_every_floor_is_inhabited():
    files = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(FLOOR) - files == set()


def test_each_kind_of_breach_is_reported_with_its_line(tmp_path: Path):
    package = tmp_path / "probspec"
    for folder in ("models", "training"):
        (package / folder).mkdir(parents=True)
    breaches = {
        "training/train.py": ("def f():\n    import probspec.models\n", "training/train.py:2", "above training"),
        "fit.py": ("import zuko.flows\n", "fit.py:1", "only flows.py"),
        "plots.py": ("from sklearn import base\n", "plots.py:1", "only estimators.py"),
        "spec.py": ("import tomllib, torch\n", "spec.py:1", "without torch"),
        "persist.py": ("import pickle\n", "persist.py:1", "without pickle"),
        "posterior.py": ("from probspec import save\n", "posterior.py:1", "__init__ stands on"),
        "helpers.py": ("import math\n", "helpers.py:1", "no floor"),
        "models/uvae.py": ("from probspec.models.cvae import CVAE\n", "models/uvae.py:1", "blind"),
    }
    for name, (text, _, _) in breaches.items():
        (package / name).write_text(text)
    found = complaints(package)
    assert len(found) == len(breaches)
    for _, place, problem in breaches.values():
        assert any(f"probspec/{place}:" in text and problem in text for text in found), (place, found)
