"""Files and folders that appear whole or not at all.

What is written goes to a temporary name beside its target, is flushed to the disk, and then takes its name. A process
that is killed at any moment leaves the old content or the new, never a part of it, and at worst a stray temporary,
which the next write of that name removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO


def write_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a file, then give it its name."""
    temporary = _temporary(path)
    _fill(temporary, write)
    os.replace(temporary, path)
    sync(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of these files; a folder that has the name already is replaced.

    That takes two steps. A process killed between them leaves the old folder under the name that `left_over` finds.
    """
    temporary, old = _temporary(path), _old(path)
    temporary.mkdir()
    for name, content in files.items():
        _fill(temporary / name, lambda file, content=content: file.write(content))
    sync(temporary)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
    os.rename(temporary, path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def left_over(path: Path) -> Path | None:
    """Find the old folder of a name, where a process was killed while it replaced it."""
    return _old(path) if not path.exists() and _old(path).exists() else None


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _fill(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
