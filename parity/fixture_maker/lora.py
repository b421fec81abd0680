"""LoRA by PEFT: adapters of bbpe, what they compute, their gradients, a training curve and merged weights."""

import copy
import json
import os
import shutil
import tempfile

import peft
import torch
from safetensors.torch import load_file

from . import expected, formats, models, training

SEED = 61
# name -> fields of LoraConfig; `some` names modules by their block and by a part of their name.
ADAPTERS = {
    "c_attn": {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn"]},
    "all": {"r": 3, "lora_alpha": 5, "target_modules": ["c_attn", "c_proj", "c_fc"], "use_rslora": True},
    "some": {"r": 2, "lora_alpha": 4, "target_modules": ["attn.c_proj", "h.1.mlp.c_fc"]},
}
CURVE = "all"


def published(name):
    """The name of a parameter in the file of an adapter."""
    return name.replace(".default.", ".")


def adapted(base, name):
    """The base with fresh low-rank weights; B is 0."""
    torch.manual_seed(SEED + sorted(ADAPTERS).index(name))
    config = peft.LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=True, lora_dropout=0.0, **ADAPTERS[name])
    model = peft.get_peft_model(training.copied(base), config).eval()
    config.base_model_name_or_path = "bbpe"
    return model


def trained(model):
    """(name, parameter) of the low-rank weights."""
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


def doubled(model):
    """The same in float64."""
    return copy.deepcopy(model).double()


def fill(model, seed):
    """Low-rank weights that count: what an initialization leaves at 0 is random too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(trained(model)):
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))


def save(model, folder):
    """The folder as PEFT writes it, without its card; module names in order, which are a set to PEFT."""
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        with open(os.path.join(place, "adapter_config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["target_modules"].sort()
        os.makedirs(folder)
        models.write_json(os.path.join(folder, "adapter_config.json"), config)
        with open(os.path.join(place, "adapter_model.safetensors"), "rb") as source:
            with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as target:
                target.write(source.read())


def pickle(folder, copy):
    """The same adapter as PEFT saved it before safetensors."""
    os.makedirs(copy)
    shutil.copyfile(os.path.join(folder, "adapter_config.json"), os.path.join(copy, "adapter_config.json"))
    state = load_file(os.path.join(folder, "adapter_model.safetensors"))
    formats.save_zip(state, os.path.join(copy, "adapter_model.bin"))


def gradients(model, ids):
    """Logits, mean loss, and the gradients of the low-rank weights."""
    model.zero_grad()
    output = model(ids, labels=ids)
    output.loss.backward()
    return output.logits, output.loss, {published(name): value.grad for name, value in trained(model)}


def merged_weights(model):
    """Every weight after merge_and_unload, by the base model's names."""
    return dict(copy.deepcopy(model).merge_and_unload().named_parameters())


def apart(found, others):
    """Largest distance of two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(found, others))


def write_adapter(base, name, ids, folder):
    """A folder and its numbers; returns (arrays, noise)."""
    model = adapted(base, name)
    fill(model, SEED + len(name))
    save(model, os.path.join(folder, name))
    logits, loss, grads = gradients(model, ids)
    logits_f64, loss_f64, grads_f64 = gradients(doubled(model), ids)
    arrays = {f"{name}.logits": logits, f"{name}.loss": loss}
    arrays.update({f"{name}.grad.{key}": value for key, value in grads.items()})
    changed = merged_weights(model)
    before = dict(base.named_parameters())
    arrays.update({f"{name}.merged.{k}": v for k, v in changed.items() if not torch.equal(v, before[k])})
    noise = {
        "logits": apart([logits], [logits_f64]),
        "loss": abs(loss.item() - loss_f64.item()),
        "gradients": apart(grads.values(), grads_f64.values()),
    }
    return arrays, noise


def curve(base, inputs):
    """The loop of training.py over the low-rank weights of `CURVE`; (curve, arrays, noise)."""
    model = adapted(base, CURVE)
    twin = doubled(model)
    arrays = {f"curve.initial.{published(name)}": value.clone() for name, value in trained(model)}
    found = training.curve(model, inputs, inputs, "micro_means")
    found["loss_f64"] = training.curve(twin, inputs, inputs, "micro_means")["loss"]
    arrays.update({f"curve.final.{published(name)}": value for name, value in trained(model)})
    changed, changed_f64 = merged_weights(model), merged_weights(twin)
    arrays.update({f"curve.merged.{k}": v for k, v in changed.items() if k.endswith("weight") and ".c_" in k})
    noise = {
        "max_abs_loss": max(abs(a - b) for a, b in zip(found["loss"], found["loss_f64"])),
        "max_abs_weight": apart([v for _, v in trained(model)], [v for _, v in trained(twin)]),
        "max_abs_merged": apart(changed.values(), changed_f64.values()),
    }
    return found, arrays, noise


def write_lora(base, tokenizer, folder):
    """expected/lora; returns the noise."""
    os.makedirs(folder)
    inputs, _ = training.rows(tokenizer)
    ids = inputs[:2, :8].contiguous()
    arrays, noise = {"input_ids": ids, "curve.input_ids": inputs}, {}
    for name in ADAPTERS:
        found, noise[name] = write_adapter(base, name, ids, folder)
        arrays.update(found)
    pickle(os.path.join(folder, "some"), os.path.join(folder, "some-bin"))
    curves, found, noise["curve"] = curve(base, inputs)
    arrays.update(found)
    whole = {"model": "bbpe", "adapters": ADAPTERS, "curve_of": CURVE, "hyper": training.HYPER, "curve": curves}
    models.write_json(os.path.join(folder, "lora.json"), whole)
    expected.save_arrays(arrays, os.path.join(folder, "lora.safetensors"))
    return noise
