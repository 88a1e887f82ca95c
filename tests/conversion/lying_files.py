"""Files of `torch.save` and safetensors whose headers say what we like, whatever the file holds."""

import io
import json
import pickle
import zipfile
from collections import OrderedDict

import torch
from torch._utils import _rebuild_tensor_v2

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of files from before torch 1.6


class Storage:
    def __init__(self, elements, key="0", kind=torch.FloatStorage):
        self.elements, self.key, self.kind = elements, key, kind


class Claim:
    """Pickles as a tensor of this shape on a storage that claims so many elements."""

    def __init__(self, shape, elements=None, stride=None, key="0"):
        self.shape, self.stride = tuple(shape), stride
        self.storage = Storage(elements, key)

    def __reduce__(self):
        stride = self.stride if self.stride is not None else (1,) * len(self.shape)
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, stride, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", obj.kind, obj.key, "cpu", obj.elements)
        return None


def pickled(content):
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


def zip_file(path, content, data=bytes(16), more=None, compression=zipfile.ZIP_STORED):
    """A zip archive as torch.save writes it, with these instructions and one storage of these bytes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", data)
        archive.writestr("archive/version", "3\n")
        for name, text in (more or {}).items():
            archive.writestr(name, text)
    return path


def legacy_file(path, content, data=bytes(16)):
    """A file as torch.save wrote it before 1.6, with these instructions and one storage of these bytes."""

    class _Old(_Pickler):
        def persistent_id(self, obj):
            made = super().persistent_id(obj)
            return (*made, None) if made else None

    with path.open("wb") as file:
        for part in (MAGIC, PROTOCOL, {"little_endian": True}):
            file.write(pickled(part))
        _Old(file, protocol=2).dump(content)
        file.write(pickled(["0"]))
        file.write((len(data) // 4).to_bytes(8, "little") + data)
    return path


def safetensors_file(path, header, data=bytes(16)):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path
