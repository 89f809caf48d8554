import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from probspec.data.hdf5 import Reader, Writer
from probspec.errors import DataError

ROWS = np.arange(1000, dtype=np.float32).reshape(500, 2)


def made(folder: Path) -> Path:
    file = folder / "x.h5"
    with Writer(file) as writer:
        writer.attributes("/", {"format": "probspec", "format_version": 1})
        writer.rows("spectra/x", ROWS.shape, np.split(ROWS, 5))
        writer.array("names", np.array(["a", "βγ", ""]))
        writer.array("flags", np.array([True, False]))
        writer.array("numbers", np.array([[1.5, np.nan]]))
        writer.attributes("numbers", {"names": ("a", "b"), "unit": "nm"})
    return file


def test_what_is_written_is_read(tmp_path):
    with Reader(made(tmp_path)) as reader:
        assert reader.shape("spectra/x") == (500, 2)
        np.testing.assert_array_equal(reader.numbers("/spectra/x"), ROWS)
        np.testing.assert_array_equal(reader.numbers("numbers"), [[1.5, np.nan]])
        np.testing.assert_array_equal(reader.numbers("flags"), [True, False])
        assert reader.names("names").tolist() == ["a", "βγ", ""]
        assert reader.attribute("/", "format") == "probspec"
        assert reader.attribute("/", "format_version") == 1
        assert reader.attribute("numbers", "names") == ("a", "b")
        assert reader.attribute("numbers", "absent") is None
        assert reader.has("spectra") and not reader.has("spectra/y") and not reader.has("numbers/y")


@pytest.mark.parametrize("chunks", [None, True, (7, 1), (300, 2)])
def test_rows_come_in_any_order_from_any_layout(tmp_path, chunks):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=ROWS, chunks=chunks)
    rows = np.random.default_rng(0).integers(0, 500, size=300)
    with Reader(tmp_path / "x.h5") as reader:
        np.testing.assert_array_equal(reader.rows("x", rows), ROWS[rows])


def test_every_dataset_is_checksummed(tmp_path):
    with h5py.File(made(tmp_path), "r") as file:
        datasets = [file[path] for path in ("spectra/x", "names", "flags", "numbers")]
        assert all(isinstance(d, h5py.Dataset) and d.fletcher32 for d in datasets)


def test_no_flipped_bit_of_the_data_is_read_silently(tmp_path):
    file = made(tmp_path)
    with h5py.File(file, "r") as opened:
        info = opened["spectra/x"].id.get_chunk_info(0)
    whole = file.read_bytes()
    for bit in np.random.default_rng(0).integers(0, info.size * 8, size=40):
        broken = bytearray(whole)
        broken[info.byte_offset + bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(broken)
        with Reader(file) as reader, pytest.raises(DataError, match="x.h5:/spectra/x.*cannot be read"):
            reader.rows("spectra/x", np.arange(128))


def secret(folder: Path) -> Path:
    """Another file, whose bytes must not get out."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = ROWS
    return folder / "secret.h5"


def external_link(file: h5py.File, folder: Path) -> None:
    file["x"] = h5py.ExternalLink(str(secret(folder)), "/x")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["y"] = ROWS
    file["x"] = h5py.SoftLink("/y")


def soft_link_over_external_link(file: h5py.File, folder: Path) -> None:
    file["y"] = h5py.ExternalLink(str(secret(folder)), "/")
    file["x"] = h5py.SoftLink("/y/x")


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "secret.bin").write_bytes(ROWS.tobytes())
    file.create_dataset("x", ROWS.shape, np.float32, external=[(str(folder / "secret.bin"), 0, ROWS.nbytes)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout(ROWS.shape, np.float32)
    layout[:] = h5py.VirtualSource(str(secret(folder)), "x", ROWS.shape)
    file.create_virtual_dataset("x", layout)


def bomb(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", (2**40, 2), np.float32, chunks=(2**20, 2))


def references(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", data=np.array([file.ref], dtype=h5py.ref_dtype))


def ragged(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", (2,), h5py.vlen_dtype(np.float32))


def compound(file: h5py.File, folder: Path) -> None:
    file["x"] = np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])


def complex_numbers(file: h5py.File, folder: Path) -> None:
    file["x"] = np.zeros(2, dtype=complex)


def text(file: h5py.File, folder: Path) -> None:
    file["x"] = ["a", "b"]


def nothing(file: h5py.File, folder: Path) -> None:
    file["x"] = h5py.Empty("f4")


def group(file: h5py.File, folder: Path) -> None:
    file.create_group("x")


def named_type(file: h5py.File, folder: Path) -> None:
    file["x"] = np.dtype("f4")


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (external_link, "an external link"),
        (soft_link, "a soft link"),
        (soft_link_over_external_link, "a soft link"),
        (external_storage, "external storage"),
        (virtual, "virtual"),
        (bomb, "claims 8796093022208 bytes but stores 0"),
        (references, "dtype object"),
        (ragged, "dtype object"),
        (compound, "dtype"),
        (complex_numbers, "dtype complex"),
        (text, "dtype string"),
        (nothing, "null dataspace"),
        (group, "is not a dataset"),
        (named_type, "is not a dataset"),
    ],
)
def test_what_is_unsafe_is_refused_by_every_way_of_reading(tmp_path, build, problem):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        build(file, tmp_path)
    with Reader(tmp_path / "x.h5") as reader:
        for read in (reader.shape, reader.numbers, lambda path: reader.rows(path, np.arange(2))):
            with pytest.raises(DataError, match=f"x.h5:/x: .*{problem}"):
                read("x")


def test_a_link_in_the_middle_of_a_path_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["spectra"] = h5py.ExternalLink(str(secret(tmp_path)), "/")
    with Reader(tmp_path / "x.h5") as reader:
        for read in (reader.has, reader.numbers, lambda path: reader.attribute(path, "unit")):
            with pytest.raises(DataError, match="x.h5:/spectra/x: 'spectra' is an external link"):
                read("spectra/x")


def test_what_is_no_hdf5_file_is_named(tmp_path):
    with pytest.raises(DataError, match="absent.h5: no such file"), Reader(tmp_path / "absent.h5"):
        pass
    with pytest.raises(DataError, match="no such file"), Reader(tmp_path):
        pass
    (tmp_path / "text.h5").write_text("wavelength;intensity")
    with pytest.raises(DataError, match="text.h5.*cannot be read"), Reader(tmp_path / "text.h5"):
        pass
    whole = made(tmp_path).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut.h5.*cannot be read"), Reader(tmp_path / "cut.h5"):
        pass


def test_a_writing_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = made(tmp_path)
    before = file.read_bytes()
    with pytest.raises(KeyboardInterrupt), Writer(file) as writer:
        writer.array("x", ROWS)
        raise KeyboardInterrupt
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.h5"]


def test_an_error_of_the_writing_names_the_file(tmp_path):
    with pytest.raises(DataError, match="absent/x.h5: cannot be written"), Writer(tmp_path / "absent" / "x.h5"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: cannot be written"), Writer(tmp_path / "folder") as writer:
        writer.array("x", ROWS)
    assert os.listdir(tmp_path) == ["folder"]


def test_a_killed_writer_leaves_the_old_file_whole(tmp_path):
    file = made(tmp_path)
    before = file.read_bytes()
    script = f"""
        import os, signal
        import numpy as np
        from probspec.data.hdf5 import Writer
        with Writer({str(file)!r}) as writer:
            writer.array("x", np.zeros(10))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_bytes() == before
    made(tmp_path)
    assert os.listdir(tmp_path) == ["x.h5"]
