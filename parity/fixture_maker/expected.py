"""Forward passes, gradients, evaluation and tokenization, as transformers and tokenizers compute them."""

import copy
import math
import os

import torch
from safetensors.torch import save_file

from . import models, texts

SHAPES = {"plain": (2, 7), "padded": (3, 9)}


def doubled(model):
    """The same model in float64, where upcasting to float32 is neither possible nor of use."""
    cfg = copy.deepcopy(model.config)
    cfg.reorder_and_upcast_attn = False
    twin = models.new_model(cfg)
    twin.load_state_dict(model.state_dict())
    return twin.double()


def batches(cfg, seed):
    """The four input batches: plain, left-padded, as long as the context, and one token."""
    draw = torch.Generator().manual_seed(seed)
    ids = lambda *shape: torch.randint(1, cfg.vocab_size, shape, generator=draw)
    plain = ids(*SHAPES["plain"])
    plain_labels = plain.clone()
    plain_labels[0, :4] = -100
    plain_labels[1, -2:] = -100
    padded = ids(*SHAPES["padded"])
    mask = torch.ones_like(padded)
    for row, pads in ((1, 3), (2, 6)):
        padded[row, :pads] = 0
        mask[row, :pads] = 0
    positions = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)
    labels = padded.masked_fill(mask == 0, -100)
    return {
        "plain": {"input_ids": plain, "labels": plain_labels},
        "padded": {"input_ids": padded, "attention_mask": mask, "position_ids": positions, "labels": labels},
        "full": {"input_ids": ids(1, cfg.n_positions)},
        "one": {"input_ids": ids(1, 1)},
    }


def forward(model, inputs, insides, doubles):
    """Arrays of one forward file and the distance between float32 and float64 of its logits."""
    arrays, worst, scale = {}, 0.0, 0.0
    twin = doubled(model)
    for name, batch in inputs.items():
        arrays.update({f"{name}.{key}": value for key, value in batch.items()})
        with torch.no_grad():
            out = model(**batch, output_hidden_states=True, output_attentions=True)
            out64 = twin(**batch)
        step = 8 if name == "full" else 1
        arrays[f"{name}.logits"] = out.logits[:, ::step]
        if doubles:
            arrays[f"{name}.logits_f64"] = out64.logits[:, ::step]
        keep = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        worst = max(worst, (out.logits - out64.logits)[keep].abs().max().item())
        scale = max(scale, out.logits[keep].abs().max().item())
        if "labels" in batch:
            arrays[f"{name}.loss"], arrays[f"{name}.loss_f64"] = out.loss, out64.loss
        if insides and name in SHAPES:
            for kind in ("hidden_states", "attentions"):
                for i, value in enumerate(getattr(out, kind)):
                    arrays[f"{name}.{kind}.{i}"] = value
    return arrays, {"max_abs": worst, "scale": scale}


def save_arrays(arrays, path):
    """safetensors of contiguous copies."""
    save_file({key: value.detach().clone().contiguous() for key, value in arrays.items()}, path, {"format": "pt"})


def write_forward(named, folder):
    """forward/<model>.safetensors of every model in `named`; returns the noise per model."""
    os.makedirs(folder)
    noise = {}
    for seed, (name, model) in enumerate(named.items(), start=100):
        whole = name not in ("bbpe-f16", "bbpe-bf16", "bbpe-trained")
        arrays, noise[name] = forward(model, batches(model.config, seed), whole, name == "bbpe")
        save_arrays(arrays, os.path.join(folder, name.replace("/", "-") + ".safetensors"))
    return noise


def write_features(model, tokenizer, path):
    """features.json and features.safetensors: the last hidden state of texts of different lengths, and its pools."""
    rows, arrays = [], {}
    for number, text in enumerate(texts.PROMPTS + ["x", "台所で茶を飲む"]):
        ids = models.encode(tokenizer, text)
        with torch.no_grad():
            state = model.transformer(torch.tensor([ids])).last_hidden_state[0]
        rows.append({"text": text, "input_ids": ids})
        arrays[f"{number}.last_hidden_state"] = state
        arrays[f"{number}.mean"], arrays[f"{number}.last"] = state.mean(0), state[-1]
    models.write_json(path + ".json", {"model": "bbpe", "texts": rows})
    save_arrays(arrays, path + ".safetensors")


def gradients(model, batch):
    """`loss.backward()`, by parameter name."""
    model.zero_grad()
    model(**batch).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def write_grads(base, untied, path):
    """grads.safetensors; returns the noise per model."""
    arrays, noise = {}, {}
    for name, model, seed in (("bbpe", base, 300), ("untied", untied, 301)):
        batch = batches(model.config, seed)["plain"]
        arrays.update({f"{name}.{key}": value for key, value in batch.items()})
        single, double = gradients(model, batch), gradients(doubled(model), batch)
        worst = relative = 0.0
        for key, value in single.items():
            arrays[f"{name}.grad.{key}"] = value
            difference = (value - double[key]).abs().max().item()
            worst = max(worst, difference)
            relative = max(relative, difference / double[key].abs().max().item())
        noise[name] = {"max_abs": worst, "max_rel_to_tensor_max": relative}
    save_arrays(arrays, path)
    return noise


def block_losses(model, blocks):
    """Negative log-likelihood of every predicted token, one row per block, and the hits of argmax."""
    with torch.no_grad():
        logits = model(blocks).logits[:, :-1].double()
    targets = blocks[:, 1:]
    nll = -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    return nll, logits.argmax(-1) == targets


def write_evaluation(model, tokenizer, path, block_size=32):
    """evaluation.json: `blocks` alone; returns the noise."""
    text = texts.evaluation_text()
    ids = torch.tensor(models.encode(tokenizer, text))
    count = len(ids) // block_size
    blocks = ids[: count * block_size].view(count, block_size)
    twin = doubled(model)
    with torch.no_grad():
        loss, loss64 = model(blocks, labels=blocks).loss.item(), twin(blocks, labels=blocks).loss.item()
    nll, hits = block_losses(model, blocks)
    nll64, _ = block_losses(twin, blocks)
    result = {
        "block_size": block_size,
        "blocks": count,
        "dropped_tokens": len(ids) - count * block_size,
        "predicted_tokens": nll.numel(),
        "loss": loss,
        "loss_f64": loss64,
        "perplexity": math.exp(loss),
        "perplexity_f64": math.exp(loss64),
        "accuracy": hits.double().mean().item(),
        "loss_per_block": nll.mean(-1).tolist(),
    }
    print(f"bbpe-trained: {count} held-out blocks, loss {loss:.4f}, accuracy {result['accuracy']:.4f}")
    models.write_json(path, {"model": "bbpe-trained", "text": text, "input_ids": ids.tolist(), "blocks": result})
    return {"max_abs_nll_per_token": (nll - nll64).abs().max().item(), "abs_mean_loss": abs(loss - loss64)}


def decode_lists():
    """Lists of ids that no encoding would give: single bytes, cut characters, special tokens."""
    draw = torch.Generator().manual_seed(77)
    lists = [torch.randint(0, models.VOCAB_SIZE, (n,), generator=draw).tolist() for n in (1, 2, 3, 5, 8, 13, 21)]
    lists += [[i] for i in range(0, models.VOCAB_SIZE, 9)]
    return lists + [[0], [0, 0], [5, 0, 6], []]


def write_tokenization(tokenizer, folder):
    """tokenization/strings.json and bbpe.json."""
    os.makedirs(folder)
    strings, rows = texts.strings(), []
    decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip)
    for string in strings:
        coded = tokenizer.encode(string, add_special_tokens=False)
        rows.append({
            "ids": coded.ids,
            "offsets": [end for pair in coded.offsets for end in pair],
            "decoded": decode(coded.ids, False),
            "decoded_skip": decode(coded.ids, True),
        })
    lists = [{"ids": ids, "text": decode(ids, False), "text_skip": decode(ids, True)} for ids in decode_lists()]
    models.write_json(os.path.join(folder, "strings.json"), strings, None)
    whole = {"vocab_size": tokenizer.get_vocab_size(), "eot": 0, "strings": rows, "decode": lists}
    models.write_json(os.path.join(folder, "bbpe.json"), whole, None)
