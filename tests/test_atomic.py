import pytest

from probspec.atomic import left_over, sync, write_file, write_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_leaves_no_temporary(tmp_path):
    for content in (b"old", b"new"):
        write_file(tmp_path / "weights", lambda file, content=content: file.write(content))
        assert (tmp_path / "weights").read_bytes() == content
    assert names(tmp_path) == ["weights"]


def test_a_failed_write_keeps_what_was_there_and_the_next_clears_up(tmp_path):
    def fail(file):
        file.write(b"half")
        raise KeyboardInterrupt

    write_file(tmp_path / "weights", lambda file: file.write(b"old"))
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "weights", fail)
    assert (tmp_path / "weights").read_bytes() == b"old"
    write_file(tmp_path / "weights", lambda file: file.write(b"new"))
    assert names(tmp_path) == ["weights"]


def test_a_folder_is_replaced_whole(tmp_path):
    write_folder(tmp_path / "fit", {"a": b"1", "b": b"2"})
    write_folder(tmp_path / "fit", {"a": b"3"})
    assert names(tmp_path) == ["fit"]
    assert names(tmp_path / "fit") == ["a"]


def test_an_interrupted_replacement_is_found(tmp_path):
    write_folder(tmp_path / "fit", {"a": b"1"})
    assert left_over(tmp_path / "fit") is None
    (tmp_path / "fit").rename(tmp_path / ".fit.old")
    assert left_over(tmp_path / "fit") == tmp_path / ".fit.old"


def test_a_missing_file_cannot_be_flushed(tmp_path):
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "missing")
