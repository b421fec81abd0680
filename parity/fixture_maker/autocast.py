"""The Trainer's curve again under torch.autocast."""

import torch

from . import models, training


def summed(dtype):
    """training.summed with the model under autocast; the loss is of float32, as in transformers."""

    def loss(model, ids, labels):
        with torch.autocast("cpu", dtype=dtype):
            logits = model(ids).logits[:, :-1]
        flat = logits.float().reshape(-1, logits.shape[-1])
        return torch.nn.functional.cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")

    return loss


def write_autocast(base, inputs, path):
    """autocast.json: losses and gradient norms of the curve `trainer`, by type."""
    labels, how = inputs, training.CURVES["trainer"][1]
    curves = {}
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        found = training.curve(training.copied(base), inputs, labels, how, summed(dtype))
        curves[name] = {key: found[key] for key in ("loss", "grad_norm")}
    models.write_json(path, curves)
