"""The same weights in every published file format, written byte for byte alike in every run."""

import io
import json
import os
import pickle
import struct
from collections import OrderedDict

import h5py
import numpy
import torch
from safetensors.torch import save_file

from . import models

# The fields that config.json had when transformers 4.3 wrote it.
OLD_FIELDS = {
    "gradient_checkpointing": False,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "transformers_version": "4.3.3",
}


def save_new(model, folder, **options):
    """config.json, generation_config.json and safetensors as transformers writes them today."""
    model.save_pretrained(folder, **options)


# Fields that it wrote even where they have their default value.
DEFAULTED = {
    "activation_function", "add_cross_attention", "layer_norm_epsilon", "n_inner", "reorder_and_upcast_attn",
    "scale_attn_by_inverse_layer_idx", "scale_attn_weights", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels", "summary_type", "summary_use_proj", "tie_word_embeddings", "use_cache", "model_type",
}


def save_config_old(model, folder):
    """config.json as transformers 4.3 wrote it, and no generation_config.json."""
    fields = json.loads(model.config.to_json_string(use_diff=False))
    written = set(json.loads(model.config.to_json_string())) | DEFAULTED
    old = {key: value for key, value in fields.items() if key in written and key != "dtype"}
    whole = {**old, **OLD_FIELDS, "n_ctx": model.config.n_positions}
    models.write_json(os.path.join(folder, "config.json"), whole, 2)


def state_with_buffers(model, mask_dtype, head=True, prefix="transformer."):
    """The state dict of an old transformers: causal masks among the weights, the tied head once more."""
    size = model.config.n_positions
    state = OrderedDict()
    for name, value in model.transformer.state_dict().items():
        state[prefix + name] = value
        if name.endswith("ln_1.bias"):
            block = prefix + name[: -len("ln_1.bias")]
            mask = torch.tril(torch.ones(size, size)).to(mask_dtype)
            state[block + "attn.bias"] = mask.view(1, 1, size, size)
            state[block + "attn.masked_bias"] = torch.tensor(-1e4)
    if head:
        state["lm_head.weight"] = state[prefix + "wte.weight"]
    return state


def save_zip(state, path):
    """The zip container (torch >= 1.6). Through a buffer: else the archive bears the file's name."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


class LegacyPickler(pickle.Pickler):
    """Numbers storages in order of appearance; torch names them by address, different in every run."""

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = OrderedDict()

    def persistent_id(self, value):
        if not isinstance(value, torch.storage.TypedStorage):
            return None
        address = value._untyped_storage.data_ptr()
        key = self.storages.setdefault(address, (str(len(self.storages)), value))[0]
        return ("storage", getattr(torch, value._pickle_storage_type()), key, "cpu", value._size(), None)


def save_legacy(state, path):
    """The stream that torch wrote before 1.6: five pickles, then the storages."""
    with open(path, "wb") as file:
        sizes = {"short": 2, "int": 4, "long": 4}
        info = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
        for part in (0x1950A86A20F9469CFC6C, 1001, info):
            pickle.dump(part, file, protocol=2)
        pickler = LegacyPickler(file)
        pickler.dump(state)
        keys = [key for key, _ in pickler.storages.values()]
        pickle.dump(keys, file, protocol=2)
        for _, storage in pickler.storages.values():
            file.write(struct.pack("<q", storage._size()))
            file.write(torch.tensor([], dtype=storage.dtype).set_(storage).numpy().tobytes())


def save_bin_shards(model, folder):
    """pytorch_model-0000i-of-00002.bin with an index; the masks are bool, as in transformers 4.28."""
    state = state_with_buffers(model, torch.bool, head=False)
    names = list(state)
    cut = next(i for i, name in enumerate(names) if name.startswith("transformer.h.1."))
    weight_map = {}
    for number, part in enumerate((names[:cut], names[cut:]), start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        save_zip(OrderedDict((name, state[name]) for name in part), os.path.join(folder, file))
        weight_map.update({name: file for name in part})
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    models.write_json(os.path.join(folder, "pytorch_model.bin.index.json"), index, 2)


def keras_names(model, root, wte):
    """(name in the h5 file, array) in the order in which TensorFlow lists them."""
    state = {name: value.numpy() for name, value in model.transformer.state_dict().items()}
    yield f"{root}/transformer/wte/{wte}:0", state["wte.weight"]
    yield f"{root}/transformer/wpe/embeddings:0", state["wpe.weight"]
    for layer in range(model.config.n_layer):
        for part in ("ln_1", "attn/c_attn", "attn/c_proj", "ln_2", "mlp/c_fc", "mlp/c_proj"):
            key, is_norm = f"h.{layer}.{part.replace('/', '.')}", part.startswith("ln_")
            kinds = ("gamma", "beta") if is_norm else ("weight", "bias")
            bias = state[key + ".bias"]
            yield f"{root}/transformer/h_._{layer}/{part}/{kinds[0]}:0", state[key + ".weight"]
            yield f"{root}/transformer/h_._{layer}/{part}/{kinds[1]}:0", bias if is_norm else bias[None, :]
    yield f"{root}/transformer/ln_f/gamma:0", state["ln_f.weight"]
    yield f"{root}/transformer/ln_f/beta:0", state["ln_f.bias"]


def save_h5(model, path, late):
    """tf_model.h5 with the names of transformers 4.3 (`late` false) or 4.30 (`late` true)."""
    root, wte = ("tfgpt2lm_head_model", "embeddings") if late else ("tfgp_t2lm_head_model", "weight")
    pairs = list(keras_names(model, root, wte))
    with h5py.File(path, "w") as file:
        ascii_string = h5py.string_dtype("ascii")
        kind = h5py.string_dtype("utf-8") if late else ascii_string
        file.attrs.create("backend", "tensorflow", dtype=kind)
        file.attrs.create("keras_version", "2.15.0" if late else "2.4.0", dtype=kind)
        names = [name for name, _ in pairs]
        group = file.create_group("transformer")
        if late:
            file.attrs.create("layer_names", ["transformer"], dtype=kind)
            group.attrs.create("weight_names", names, dtype=kind)
            file.create_group("top_level_model_weights").attrs["weight_names"] = numpy.zeros(0)
        else:
            file.attrs["layer_names"] = numpy.array([b"transformer"])
            group.attrs["weight_names"] = numpy.array([name.encode() for name in names])
        for name, value in pairs:
            group.create_dataset(name, data=numpy.ascontiguousarray(value))


def save_all_formats(model, root, tokenizer):
    """Every `bbpe*` folder that holds the base model's weights."""
    folder = lambda name: os.path.join(root, name)
    for name in ("bbpe", "bbpe-bin", "bbpe-bin-legacy", "bbpe-noprefix", "bbpe-sharded", "bbpe-bin-sharded",
                 "bbpe-f16", "bbpe-bf16", "bbpe-h5", "bbpe-h5-late"):
        os.makedirs(folder(name))
        new = name in ("bbpe", "bbpe-f16", "bbpe-bf16")
        files = "strings" if new else "pairs" if name == "bbpe-sharded" else "old"
        models.save_tokenizer(tokenizer, folder(name), files)
    save_new(model, folder("bbpe"))
    old_defaults = {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0, "transformers_version": "4.30.2"}
    models.write_json(os.path.join(folder("bbpe"), "generation_config.json"), old_defaults, 2)
    save_new(model, folder("bbpe-sharded"), max_shard_size="26KB")
    for name, dtype in (("bbpe-f16", torch.float16), ("bbpe-bf16", torch.bfloat16)):
        half = models.new_model(models.base_config())
        half.load_state_dict(model.state_dict())
        save_new(half.to(dtype), folder(name))
    for name in ("bbpe-bin", "bbpe-bin-legacy", "bbpe-noprefix", "bbpe-bin-sharded"):
        save_config_old(model, folder(name))
    state = state_with_buffers(model, torch.uint8)
    save_zip(state, os.path.join(folder("bbpe-bin"), "pytorch_model.bin"))
    save_legacy(state, os.path.join(folder("bbpe-bin-legacy"), "pytorch_model.bin"))
    save_bin_shards(model, folder("bbpe-bin-sharded"))
    bare = state_with_buffers(model, torch.float32, head=False, prefix="")
    bare = {name: value for name, value in bare.items() if not name.endswith("masked_bias")}
    save_file(bare, os.path.join(folder("bbpe-noprefix"), "model.safetensors"), {"format": "pt"})
    for name, late in (("bbpe-h5", False), ("bbpe-h5-late", True)):
        model.config.save_pretrained(folder(name))
        save_h5(model, os.path.join(folder(name), "tf_model.h5"), late)
