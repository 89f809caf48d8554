"""Real sets that are not part of the project: found beside the checkout, or where PROBSPEC_SHARED_DATA says."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("PROBSPEC_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def shared_file(name: str) -> Path:
    """A set, or its training part where another part is kept apart; the test is skipped where the set is absent."""
    whole = FOLDER / name / f"{name}.h5"
    return whole if whole.is_file() else _there(FOLDER / name / f"{name}_train.h5", name)


def shared_table(folder: str, name: str) -> Path:
    """A table of a set; the test is skipped where it is absent."""
    return _there(FOLDER / folder / f"{name}.csv.gz", name)


def _there(file: Path, name: str) -> Path:
    if not file.is_file():
        pytest.skip(f"{name} is not in {FOLDER}; set PROBSPEC_SHARED_DATA to the folder of the real sets")
    return file
