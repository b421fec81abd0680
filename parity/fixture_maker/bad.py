"""Malformed and hostile inputs: one folder per fault, with `why.txt`."""

import io
import json
import os
import pickle
import struct
import zipfile

from . import bad_text, formats, models

REFUSE = "Must be refused with an error: "
SURVIVE = "Must not crash; refuse or load with a warning: "
RUNS = "the pickle would run code and create a file PWNED in the working directory; that file must never appear."
TARGET = "transformer.h.0.attn.c_attn.weight"


class Folder:
    """Writes the files of one case."""

    def __init__(self, root, name, why, config):
        self.path = os.path.join(root, name)
        os.makedirs(self.path)
        self.write("why.txt", why)
        if config is not None:
            self.write("config.json", json.dumps(config, separators=(",", ":"), sort_keys=True))

    def write(self, name, content):
        """One file, from text or bytes."""
        content = content.encode() if isinstance(content, str) else content
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(content)


def tiny_model():
    """The model whose files are spoilt: one block of width 8."""
    return models.random_model(models.config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2), seed=4)


def tiny_config(model):
    """Its config.json, without the fields that do not matter here."""
    whole = json.loads(model.config.to_json_string(use_diff=False))
    kept = ("activation_function", "attn_pdrop", "bos_token_id", "embd_pdrop", "eos_token_id", "layer_norm_epsilon",
            "model_type", "n_embd", "n_head", "n_inner", "n_layer", "n_positions", "resid_pdrop",
            "scale_attn_weights", "tie_word_embeddings", "vocab_size")
    return {key: whole[key] for key in kept}


def tensors_of(model):
    """(name, bytes, shape) of the safetensors file, in the order of names."""
    state = model.transformer.state_dict()
    return {"transformer." + name: (list(state[name].shape), state[name].numpy().tobytes()) for name in sorted(state)}


def header_of(tensors):
    """The header as a dict, and the data behind it."""
    header, data = {}, b""
    for name, (shape, raw) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return header, data


def pack(header, data):
    """A safetensors file from a header (dict or bytes) and data."""
    raw = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def edited(tensors, **fields):
    """The file with fields of one header entry replaced."""
    header, data = header_of(tensors)
    header[TARGET] = {**header[TARGET], **fields}
    return pack(header, data)


def without(tensors, name):
    """All tensors but one."""
    return {key: value for key, value in tensors.items() if key != name}


def duplicate_key(tensors):
    """A header that names its first tensor twice."""
    header, data = header_of(tensors)
    first = next(iter(header))
    twice = json.dumps({first: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})[:-1] + ","
    return pack((twice + json.dumps(header)[1:]).encode(), data)


def safetensors_cases(tensors):
    """name -> (why, content of model.safetensors)."""
    good = pack(*header_of(tensors))
    length = struct.unpack("<Q", good[:8])[0]
    start = header_of(tensors)[0][TARGET]["data_offsets"][0]
    size = header_of(tensors)[0][TARGET]["data_offsets"][1] - start
    surprise = {"transformer.h.0.attn.surprise": ([2], bytes(8))}
    second = {key.replace(".h.0.", ".h.1."): value for key, value in tensors.items() if ".h.0." in key}
    shape, raw = tensors[TARGET]
    nan = {**tensors, TARGET: (shape, struct.pack("<f", float("nan")) + raw[4:])}
    return {
        "st-backwards": (REFUSE + "an end offset is smaller than its start.",
                         edited(tensors, data_offsets=[start + size, start])),
        "st-duplicate-key": (SURVIVE + "the header names one tensor twice.", duplicate_key(tensors)),
        "st-empty": (REFUSE + "the weight file is empty.", b""),
        "st-extra-layer": (SURVIVE + "there is a second block that config.json (n_layer 1) does not have.",
                           pack(*header_of({**tensors, **second}))),
        "st-extra-tensor": (SURVIVE + "there is an extra tensor transformer.h.0.attn.surprise.",
                            pack(*header_of({**tensors, **surprise}))),
        "st-header-2-63": (REFUSE + "the header length is 2^63 (must not allocate).",
                           struct.pack("<Q", 1 << 63) + good[8:]),
        "st-header-not-json": (REFUSE + "the header is not JSON.", pack(b"\xff" * length, good[8 + length:])),
        "st-header-too-long": (REFUSE + "the header length is greater than the file.",
                               struct.pack("<Q", 4 * len(good)) + good[8:]),
        "st-int-weights": (REFUSE + f"{TARGET} is I32.", edited(tensors, dtype="I32")),
        "st-missing-tensor": (REFUSE + f"{TARGET} is missing.", pack(*header_of(without(tensors, TARGET)))),
        "st-nan": (SURVIVE + "one weight is NaN; generation must end with an error or defined output, not hang.",
                   pack(*header_of(nan))),
        "st-out-of-range": (REFUSE + "an offset lies beyond the end.",
                            edited(tensors, data_offsets=[10**9, 10**9 + size])),
        "st-overlap": (REFUSE + f"{TARGET} overlaps another tensor.", edited(tensors, data_offsets=[0, size])),
        "st-shape-overflow": (REFUSE + "a shape product overflows 64 bits.", edited(tensors, shape=[1 << 33, 1 << 33])),
        "st-trailing": (REFUSE + "100 bytes follow the last tensor.", good + bytes(100)),
        "st-truncated-data": (REFUSE + "the file ends inside the data.", good[:-1000]),
        "st-truncated-header": (REFUSE + "the file ends inside the header.", good[: 8 + length // 2]),
        "st-unknown-dtype": (REFUSE + "a dtype is unknown.", edited(tensors, dtype="F7")),
        "st-wrong-shape": (REFUSE + f"{TARGET} has shape [24, 8] in place of [8, 24].",
                           edited(tensors, shape=[24, 8])),
    }


def archive(pickled, storages=(), deflate=False):
    """A torch zip container around a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        parts = [("data.pkl", pickled), *storages, ("version", b"3\n")]
        for name, content in parts:
            info = zipfile.ZipInfo("archive/" + name, (1980, 1, 1, 0, 0, 0))
            squeeze = deflate and name.startswith("data/")
            file.writestr(info, content, zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED, 9)
    return buffer.getvalue()


def text(value):
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    """BININT, or LONG1 beyond 31 bits."""
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    raw = pickle.encode_long(value)
    return b"\x8a" + bytes([len(raw)]) + raw


def rebuild(rows, columns, stored):
    """A state dict of one tensor [rows, columns] in a storage of `stored` numbers."""
    persistent = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(stored) + b"tQ"
    shape = number(rows) + number(columns) + b"\x86"
    stride = number(columns) + number(1) + b"\x86"
    hooks = b"ccollections\nOrderedDict\n)R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + number(0) + shape + stride + b"\x89" + hooks + b"tR"
    return b"\x80\x02" + hooks + text("transformer.wte.weight") + tensor + b"s."


def pickle_cases(model):
    """name -> (why, content of pytorch_model.bin)."""
    call = lambda module, name, argument: f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"
    touch = b"\x80\x02}" + text("transformer.wte.weight") + call("posix", "system", "touch PWNED") + b"s."
    evaluate = b"\x80\x02" + call("__builtin__", "eval", "open('PWNED','w').close()") + b"."
    buffer = io.BytesIO()
    formats.torch.save(formats.state_with_buffers(model, formats.torch.uint8), buffer)
    whole = buffer.getvalue()
    storage = [("data/0", bytes(128))]
    lfs = "version https://git-lfs.github.com/spec/v1\n"
    return {
        "bin-eval": (REFUSE + RUNS, archive(evaluate)),
        "bin-os-system": (REFUSE + RUNS, archive(touch)),
        "bin-legacy-os-system": (REFUSE + RUNS, touch),
        "bin-not-pickle": (REFUSE + "the file is text.", lfs.encode()),
        "bin-stack-underflow": (REFUSE + "the pickle pops an empty stack.", archive(b"\x80\x02RRR.")),
        "bin-storage-too-small": (REFUSE + "a tensor of 255 x 255 points into a storage of 32 numbers.",
                                  archive(rebuild(255, 255, 32), storage)),
        "bin-shape-overflow": (REFUSE + "a shape product overflows 64 bits.",
                               archive(rebuild(1 << 40, 1 << 40, 32), storage)),
        "bin-truncated-zip": (REFUSE + "the zip is cut.", whole[: len(whole) // 2]),
        "bin-zip-bomb": (REFUSE + "an 8 MB deflated member in a small zip (torch never deflates).",
                         archive(b"\x80\x02}.", [("data/0", bytes(8 << 20))], deflate=True)),
    }


def write_h5(root, model, config):
    """h5-*: noise behind the signature, a cut file, a tensor left out."""
    noise = bytes((17 * i * i + i // 7) % 256 for i in range(2048))
    Folder(root, "h5-garbage", REFUSE + "tf_model.h5 has the signature and then noise.", config).write(
        "tf_model.h5", b"\x89HDF\r\n\x1a\n" + noise
    )
    cut = Folder(root, "h5-truncated", REFUSE + "tf_model.h5 is cut.", config)
    path = os.path.join(cut.path, "tf_model.h5")
    formats.save_h5(model, path, late=True)
    os.truncate(path, os.path.getsize(path) // 3)
    missing = Folder(root, "h5-missing-tensor", REFUSE + "tf_model.h5 holds wte alone.", config)
    with formats.h5py.File(os.path.join(missing.path, "tf_model.h5"), "w") as file:
        file["transformer/tfgpt2lm_head_model/transformer/wte/embeddings:0"] = model.transformer.wte.weight.detach().numpy()


def write_indexes(root, tensors, config):
    """index-*: shards outside the folder, absent, or without the tensor."""
    name = "model-00001-of-00001.safetensors"
    escape = "../" * 6 + "etc/passwd"
    outside = "outside the folder; that file must not be opened."
    whys = {
        "index-escape": (escape, f"the index points to {escape}, {outside}"),
        "index-absolute": ("/etc/passwd", f"the index points to /etc/passwd, {outside}"),
        "index-missing-shard": (name, "the index names a shard that is not there."),
        "index-wrong-shard": (name, "the index places wte in a shard that does not hold it."),
        "bin-index-escape": (escape, f"the index points to {escape}, {outside}"),
    }
    for case, (target, why) in whys.items():
        folder = Folder(root, case, REFUSE + why, config)
        index = {"metadata": {"total_size": 1}, "weight_map": {key: target for key in tensors}}
        file = "pytorch_model.bin.index.json" if case.startswith("bin") else "model.safetensors.index.json"
        folder.write(file, json.dumps(index, separators=(",", ":")))
        if case == "index-wrong-shard":
            folder.write(name, pack(*header_of(without(tensors, "transformer.wte.weight"))))


def write_bad(root, tokenizer):
    """Every folder of bad/."""
    model = tiny_model()
    config, tensors = tiny_config(model), tensors_of(model)
    good = pack(*header_of(tensors))
    for name, (why, content) in safetensors_cases(tensors).items():
        Folder(root, name, why, config).write("model.safetensors", content)
    Folder(root, "st-missing", REFUSE + "there is no weight file.", config)
    for name, (why, content) in pickle_cases(model).items():
        Folder(root, name, why, config).write("pytorch_model.bin", content)
    write_h5(root, model, config)
    write_indexes(root, tensors, config)
    for name, (why, content) in bad_text.config_cases(config).items():
        folder = Folder(root, name, REFUSE + why, None)
        folder.write("model.safetensors", good)
        if content is not None:
            folder.write("config.json", content)
    for name, (why, content) in bad_text.generation_cases().items():
        folder = Folder(root, name, REFUSE + why, config)
        folder.write("model.safetensors", good)
        folder.write("generation_config.json", content)
    for name, (why, files) in bad_text.tokenizer_cases(models.tokenizer_parts(tokenizer)).items():
        exceeds = name == "tok-vocab-exceeds-model"
        own = config if exceeds else {**config, "vocab_size": 287}
        folder = Folder(root, name, why, own)
        if exceeds:
            folder.write("model.safetensors", good)
        for file, content in files.items():
            folder.write(file, content)
