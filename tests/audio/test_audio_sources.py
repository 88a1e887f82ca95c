"""A path, bytes and a file object of the same content give the same, wherever the file object stands."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sounds import RATE, chirp, mp3, whole, written

from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio

FILES = {
    "wav": written(chirp(1)),
    "flac": written(chirp(1), format="FLAC"),
    "vorbis": written(chirp(1), format="OGG"),
    "mp3": mp3(chirp(1)),
    "aiff": written(chirp(1), format="AIFF"),
}


class OneWay(io.RawIOBase):
    """Cannot go back, and gives less than is asked for, as sockets and pipes do."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece, self.rest = self.rest[: min(999, len(buffer))], self.rest[min(999, len(buffer)) :]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("kind", FILES)
def test_every_wrapper_gives_the_same(tmp_path: Path, kind: str) -> None:
    data = FILES[kind]
    path = tmp_path / "it.bin"
    path.write_bytes(data)
    expected = whole(path)
    with path.open("rb") as file, tempfile.SpooledTemporaryFile() as spooled, zipfile.ZipFile(tmp_path / "z", "w") as z:
        spooled.write(data)
        z.writestr("inner", data)
        sources = [data, bytearray(data), memoryview(data), file, io.BytesIO(data), OneWay(data), spooled]
        sources += [io.BufferedReader(OneWay(data)), {"bytes": data}, {"path": str(path)}, z.open("inner")]
        for source in sources:
            np.testing.assert_array_equal(whole(source), expected)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_a_file_object_that_was_read_from_or_written_to_gives_all_of_it(kind: str, share: float) -> None:
    file = io.BytesIO()
    file.write(FILES[kind])
    file.seek(int(share * file.tell()))
    np.testing.assert_array_equal(whole(file), whole(FILES[kind]))


@pytest.mark.parametrize("kind", FILES)
def test_audio_that_begins_where_a_file_object_stands_is_read_from_there(kind: str) -> None:
    before = b"a record of another kind\n" * 40
    file = io.BytesIO(before + FILES[kind])
    file.seek(len(before))
    np.testing.assert_array_equal(whole(file), whole(FILES[kind]))


def test_a_file_object_with_nothing_in_it_or_nothing_to_give_says_so() -> None:
    with pytest.raises(AudioDecodeError, match="0 bytes"):
        decode_audio(io.BytesIO())

    class Idle(OneWay):
        def readinto(self, buffer) -> None:
            return None

    with pytest.raises(AudioDecodeError, match="nothing to give now"):
        decode_audio(Idle(b""))


def test_a_file_object_of_joined_files_is_one_file() -> None:
    """Both the whole and the rest are audio then; the whole is what a path would give."""
    file = io.BytesIO(FILES["wav"] + FILES["wav"])
    file.seek(len(FILES["wav"]))
    assert whole(file).shape == (1, 2 * RATE)
