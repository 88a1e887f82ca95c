"""A file is there whole or not at all; lines survive what cuts them off; what cannot be written is said in one line."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_disks import FullDisk, grow, small_disk

from afm_hf.models.common.writing_afm import (
    AGAIN,
    JsonLines,
    WriteError,
    check_file,
    check_folder,
    explained,
    read_json_lines,
    replaced,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- before the work --------------------------------------------------------------------------------------------------


def test_a_target_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("mine")
    for check, target, reason in (
        (check_file, tmp_path, "is a folder"),
        (check_file, tmp_path / "none" / "x.txt", "does not exist"),
        (check_file, tmp_path / "file" / "x.txt", "does not exist"),
        (check_file, "/dev/null", "no ordinary file"),
        (check_folder, tmp_path / "file", "is a file"),
        (check_folder, tmp_path / "file" / "deeper", "is a file"),
    ):
        with pytest.raises(WriteError, match=rf"(?s)The thing.*{reason}") as caught:
            check(target, "the thing")
        assert str(target) in str(caught.value) and not caught.value.is_full
    assert names(tmp_path) == ["file"]


def test_what_can_be_written_passes_and_is_not_made_yet(tmp_path):
    assert check_file(tmp_path / "x.txt", "the thing", 100) == tmp_path / "x.txt"
    assert check_file(tmp_path / "a" / "b" / "x.txt", "the thing", make_folder=True)
    assert check_folder(tmp_path / "a" / "b", "the thing")
    assert names(tmp_path) == []


def test_too_little_space_is_said_with_both_numbers(tmp_path):
    for check, target in ((check_file, tmp_path / "x"), (check_folder, tmp_path / "x")):
        with pytest.raises(WriteError, match=r"needs about 1000000000\.0 GB, and .* are free") as caught:
            check(target, "the thing", 10**18)
        assert caught.value.is_full


def test_a_full_disk_is_refused_before_the_work(tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        (disk / "filler").write_bytes(bytes(8192))
        for check in (check_file, check_folder):
            with pytest.raises(WriteError, match=r"no space is left there \(0 bytes free"):
                check(disk / "x", "the thing")
        assert names(disk) == ["filler"]


def test_a_disk_that_is_only_read_is_named(tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(WriteError, match=r"The thing cannot be written to .*Read-only file system"):
            check_folder(disk / "x", "the thing")


# -- whole files ------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    write_text(tmp_path / "x.json", "old", "the thing")
    full = FullDisk(monkeypatch)
    with pytest.raises(
        WriteError, match=r"(?s)The thing cannot be written to .*x\.json: no space is left.*free"
    ) as caught:
        write_text(tmp_path / "x.json", "new", "the thing", AGAIN)
    assert caught.value.is_full and AGAIN in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(KeyError), replaced(tmp_path / "x.json", "the thing") as unfinished:
        unfinished.write_text("half")
        raise KeyError
    assert (tmp_path / "x.json").read_text() == "old" and names(tmp_path) == ["x.json"]
    full.room()
    write_text(tmp_path / "x.json", "new", "the thing")
    assert (tmp_path / "x.json").read_text() == "new" and names(tmp_path) == ["x.json"]


def test_a_killed_write_leaves_the_old_file_and_its_litter_is_cleared_away_later(tmp_path):
    code = f"""
        import os, signal
        from afm_hf.models.common.writing_afm import replaced
        with replaced({str(tmp_path / "x[1].txt")!r}, "the thing") as unfinished:
            unfinished.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    (tmp_path / "x[1].txt").write_text("old")
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)]).returncode == -signal.SIGKILL
    assert (tmp_path / "x[1].txt").read_text() == "old"
    (litter,) = (path for path in tmp_path.iterdir() if path.name != "x[1].txt")
    write_text(tmp_path / "x[1].txt", "new", "the thing")
    assert litter.exists()  # it may be of a process that still writes
    os.utime(litter, (time.time() - 7200,) * 2)
    write_text(tmp_path / "x[1].txt", "newer", "the thing")
    assert names(tmp_path) == ["x[1].txt"]


def test_links_are_followed_modes_kept_and_devices_left_alone(tmp_path):
    (tmp_path / "real").mkdir()
    write_text(tmp_path / "real" / "x", "old", "the thing")
    (tmp_path / "real" / "x").chmod(0o640)
    (tmp_path / "x").symlink_to(tmp_path / "real" / "x")
    write_text(tmp_path / "x", "new", "the thing")
    assert (tmp_path / "x").is_symlink() and (tmp_path / "real" / "x").read_text() == "new"
    assert (tmp_path / "real" / "x").stat().st_mode & 0o777 == 0o640
    with pytest.raises(WriteError, match="no ordinary file"):
        write_text("/dev/null", "x", "the thing")
    assert not os.path.isfile("/dev/null")


def test_names_that_are_no_utf_8_come_back_from_json(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    write_text(tmp_path / "x.json", json.dumps({"file": name}, ensure_ascii=False), "the thing")
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"file": name}


def test_what_libraries_say_of_a_full_disk_becomes_one_sentence(tmp_path):
    numbers = {"x": np.zeros(100_000, np.float32)}
    with small_disk(tmp_path / "disk", 64) as disk:
        for write in (
            lambda: save_file(numbers, disk / "x.safetensors"),
            lambda: torch.save(numbers, disk / "x.pt"),
            lambda: (disk / "x").write_bytes(bytes(100_000)),
        ):
            with (
                pytest.raises(
                    WriteError, match=r"The thing cannot be written to .*: no space is left there \(.* free\)"
                ),
                explained(disk, "the thing"),
            ):
                write()
            for path in disk.iterdir():
                path.unlink()
    with pytest.raises(RuntimeError, match="something else"), explained(tmp_path, "the thing"):
        raise RuntimeError("something else")
    with pytest.raises(FileNotFoundError), explained(tmp_path, "the thing"):
        (tmp_path / "none").read_text()
    with pytest.raises(PermissionError), explained(tmp_path, "the thing", only_full=True):
        raise PermissionError(13, "Permission denied", "clip.wav")


# -- lines ------------------------------------------------------------------------------------------------------------

ROWS = [
    {"id": "a", "text": "plain"},
    {"id": "b", "text": "ein Käuzchen\u2028ruft\x85 \x1c\n"},
    {"id": os.fsdecode(b"\xe9")},
]


def test_lines_come_back_whatever_they_hold(tmp_path):
    with JsonLines(tmp_path / "x.jsonl", "the rows") as lines:
        for row in ROWS:
            lines.write(row)
    with JsonLines(tmp_path / "x.jsonl", "the rows") as lines:
        lines.write({"id": "d"})
    assert read_json_lines(tmp_path / "x.jsonl") == [*ROWS, {"id": "d"}]
    assert read_json_lines(tmp_path / "none.jsonl") == []


def test_a_line_cut_off_at_any_byte_is_taken_away(tmp_path):
    with JsonLines(tmp_path / "x.jsonl", "the rows") as lines:
        for row in ROWS[:2]:
            lines.write(row)
    whole = (tmp_path / "x.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        (tmp_path / "x.jsonl").write_bytes(whole[:cut])
        assert read_json_lines(tmp_path / "x.jsonl") == ROWS[: cut >= first]
        with JsonLines(tmp_path / "x.jsonl", "the rows") as lines:
            lines.write(ROWS[1])
        assert read_json_lines(tmp_path / "x.jsonl") == [*ROWS[: cut >= first], ROWS[1]]


def test_a_full_disk_leaves_whole_lines_and_the_rest_is_added_later(tmp_path, monkeypatch):
    full = FullDisk(monkeypatch, after=1)
    with pytest.raises(WriteError, match="The rows cannot be written"), JsonLines(tmp_path / "x", "the rows") as lines:
        for row in ROWS:
            lines.write(row)
    assert (tmp_path / "x").read_bytes().endswith(b"\n") and read_json_lines(tmp_path / "x") == ROWS[:1]
    full.room()
    with JsonLines(tmp_path / "x", "the rows") as lines:
        for row in ROWS[1:]:
            lines.write(row)
    assert read_json_lines(tmp_path / "x") == ROWS


def test_lines_on_a_disk_that_fills_up(tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        full = pytest.raises(WriteError, match=r"no space is left there \(0 bytes free\)")
        with full, JsonLines(disk / "x", "the rows") as lines:
            for number in range(1000):
                lines.write({"id": number, "text": "ä" * 100})
        done = read_json_lines(disk / "x")
        assert [row["id"] for row in done] == list(range(len(done))) and len(done) > 10
        assert (disk / "x").read_bytes().endswith(b"\n")
        grow(disk, 64)
        with JsonLines(disk / "x", "the rows") as lines:
            lines.write({"id": len(done)})
        assert [row["id"] for row in read_json_lines(disk / "x")] == list(range(len(done) + 1))
