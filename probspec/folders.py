"""Folders of JSON tables and tensors, with checksums, that appear whole or not at all; nothing in them can run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from probspec.atomic import left_over, write_folder
from probspec.errors import FileError, explain

META, CHECKSUMS = "meta.json", "checksums.json"


class Content(NamedTuple):
    """What a folder holds: its own table, the other tables by file name, and tensors."""

    meta: dict[str, Any]
    tables: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Folder:
    """A kind of folder.

    Parameters
    ----------
    kind : str
        What is saved, such as "fit".
    version : int
        Highest format version that can be read, and the one that is written.
    packages : tuple of str
        Whose versions are noted.
    tensors : str
        Name of the file of tensors.
    tables : tuple of str
        Names of the files of tables, besides meta.json.
    saving : str
        How people save one.
    """

    kind: str
    version: int
    packages: tuple[str, ...]
    tensors: str
    tables: tuple[str, ...]
    saving: str

    def write(
        self,
        folder: Path,
        meta: Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]],
        tensors: Mapping[str, Tensor],
    ) -> None:
        """Write a folder; one that has the name already is replaced if it is of this kind.

        Raises
        ------
        FileError
            If the name belongs to something else, or the disk refuses.
        """
        if folder.exists() and not (folder / META).is_file():
            raise FileError(explain(str(folder), f"exists and is not a saved {self.kind}", fix="choose another name"))
        versions = {package: version(package) for package in self.packages}
        head = {"format": self._format, "format_version": self.version, "versions": versions}
        files = {META: _json(head | dict(meta)), **{name: _json(table) for name, table in tables.items()}}
        # each tensor gets memory of its own, as safetensors wants it
        own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        files[self.tensors] = tensor_bytes(own)
        try:
            write_folder(folder, files | {CHECKSUMS: _json({name: _digest(data) for name, data in files.items()})})
        except OSError as error:
            raise FileError(explain(str(folder), f"cannot be written ({error.strerror or error})")) from error

    def read(self, folder: Path) -> Content:
        """Read a folder back.

        Raises
        ------
        FileError
            If the folder or a file in it is missing, damaged, or written by a newer probspec.
        """
        if not folder.is_dir():
            old = left_over(folder)
            fix = f"rename {old}, which a killed save() left" if old else self.saving
            raise FileError(explain(str(folder), "no such folder", expected=f"a saved {self.kind}", fix=fix))
        meta = self._table(folder / META, self._bytes(folder / META))
        self._check_format(folder / META, meta)
        files = self._checked(folder)
        tables = {name: self._table(folder / name, files[name]) for name in self.tables}
        try:
            return Content(meta, tables, read_tensors(files[self.tensors]))
        except SafetensorError as error:
            problem = f"cannot be read ({error})"
            raise FileError(explain(str(folder / self.tensors), problem, fix=self._again)) from error

    @property
    def _format(self) -> str:
        return f"probspec {self.kind}"

    @property
    def _again(self) -> str:
        return "copy the folder again, or fit and save again"

    def _check_format(self, path: Path, meta: Mapping[str, Any]) -> None:
        if meta.get("format") != self._format:
            fix = "give the folder that save() wrote"
            raise FileError(explain(str(path), f"is not that of a saved {self.kind}", fix=fix))
        found = meta.get("format_version")
        if not isinstance(found, int) or found > self.version:
            problem = f"has format version {found!r}, this probspec reads up to {self.version}"
            raise FileError(explain(str(path), problem, fix="upgrade probspec"))

    def _checked(self, folder: Path) -> dict[str, bytes]:
        """Bytes of each file, as they were written."""
        sums = self._table(folder / CHECKSUMS, self._bytes(folder / CHECKSUMS))
        files = {name: self._bytes(folder / name) for name in (META, *self.tables, self.tensors)}
        for name, data in files.items():
            if sums.get(name) != _digest(data):
                problem = "was changed or damaged since it was saved"
                raise FileError(explain(str(folder / name), problem, fix=self._again))
        return files

    def _bytes(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise FileError(explain(str(path), f"cannot be read ({error.strerror})", fix=self._again)) from error

    def _table(self, path: Path, data: bytes) -> dict[str, Any]:
        try:
            table = json.loads(data)
        except ValueError as error:
            raise FileError(explain(str(path), f"is not JSON ({error})", fix=self._again)) from error
        if not isinstance(table, dict):
            raise FileError(explain(str(path), "is not a table", fix=self._again))
        return table


def _json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, indent=1, ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
