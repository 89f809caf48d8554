"""A folder of JSON and safetensors, with checksums, that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from probspec.atomic import left_over, write_folder
from probspec.errors import FileError, explain

FORMAT = "probspec surrogate"
FORMAT_VERSION = 1
PACKAGES = ("torch", "numpy", "scipy", "safetensors")
META, TENSORS, CHECKSUMS = "meta.json", "tensors.safetensors", "checksums.json"
AGAIN = "copy the folder again, or fit and save again"


def write(folder: Path, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a folder; one that has the name already is replaced if it is of this format.

    Raises
    ------
    FileError
        If the name belongs to something else, or the disk refuses.
    """
    if folder.exists() and not (folder / META).is_file():
        raise FileError(explain(str(folder), "exists and is not a saved surrogate", fix="choose another name"))
    versions = {package: version(package) for package in PACKAGES}
    files = {
        META: _json({"format": FORMAT, "format_version": FORMAT_VERSION, "versions": versions, **meta}),
        TENSORS: tensor_bytes({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}),
    }
    try:
        write_folder(folder, files | {CHECKSUMS: _json({name: _digest(data) for name, data in files.items()})})
    except OSError as error:
        raise FileError(explain(str(folder), f"cannot be written ({error.strerror or error})")) from error


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a folder back.

    Raises
    ------
    FileError
        If the folder or a file in it is missing, damaged, or written by a newer probspec.
    """
    if not folder.is_dir():
        old = left_over(folder)
        fix = f"rename {old}, which a killed save left" if old else "surrogate.save(folder)"
        raise FileError(explain(str(folder), "no such folder", expected="a saved surrogate", fix=fix))
    meta = _table(folder / META)
    _check_format(folder / META, meta)
    sums = _table(folder / CHECKSUMS)
    for name in (META, TENSORS):
        if sums.get(name) != _digest(_bytes(folder / name)):
            raise FileError(explain(str(folder / name), "was changed or damaged since it was saved", fix=AGAIN))
    try:
        return meta, read_tensors(_bytes(folder / TENSORS))
    except SafetensorError as error:
        raise FileError(explain(str(folder / TENSORS), f"cannot be read ({error})", fix=AGAIN)) from error


def _check_format(path: Path, meta: Mapping[str, Any]) -> None:
    if meta.get("format") != FORMAT:
        raise FileError(explain(str(path), "is not that of a saved surrogate", fix="give the folder that save() wrote"))
    found = meta.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        problem = f"has format version {found!r}, this probspec reads up to {FORMAT_VERSION}"
        raise FileError(explain(str(path), problem, fix="upgrade probspec"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(explain(str(path), f"cannot be read ({error.strerror})", fix=AGAIN)) from error


def _table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(_bytes(path))
    except ValueError as error:
        raise FileError(explain(str(path), f"is not JSON ({error})", fix=AGAIN)) from error
    if not isinstance(table, dict):
        raise FileError(explain(str(path), "is not a table", fix=AGAIN))
    return table


def _json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, indent=1, ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
