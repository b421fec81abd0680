"""Tokenizer, configurations and weights of the fixture models."""

import json
import os

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from . import texts

EOT = "<|endoftext|>"
VOCAB_SIZE = 384
DROPOUT = {"attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1}

# One switch of GPT2Config each; everything else as in SMALL.
SMALL = {"vocab_size": 32, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
VARIANTS = {
    "gelu": {"activation_function": "gelu"},
    "gelu_new": {},
    "gelu_fast": {"activation_function": "gelu_fast"},
    "gelu_pytorch_tanh": {"activation_function": "gelu_pytorch_tanh"},
    "quick_gelu": {"activation_function": "quick_gelu"},
    "relu": {"activation_function": "relu"},
    "silu": {"activation_function": "silu"},
    "tanh": {"activation_function": "tanh"},
    "inverse_layer_idx": {"n_layer": 3, "scale_attn_by_inverse_layer_idx": True},
    "ln_eps": {"layer_norm_epsilon": 0.01},
    "n_inner": {"n_inner": 20},
    "no_scale": {"scale_attn_weights": False},
    "no_scale_inverse": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
    "one_head": {"n_head": 1},
    "one_layer": {"n_layer": 1},
    "reorder_upcast": {"reorder_and_upcast_attn": True},
    "untied": {"tie_word_embeddings": False},
    "vocab_odd": {"vocab_size": 31},
}


def write_json(path, value, indent=1, ascii_only=False):
    """JSON with sorted keys, so that two runs give the same bytes."""
    separators = (",", ":") if indent is None else None
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent, sort_keys=True, ensure_ascii=ascii_only, separators=separators)


def train_tokenizer():
    """A byte-level BPE as GPT-2's, with `<|endoftext|>` as id 0."""
    tokenizer = ByteLevelBPETokenizer(add_prefix_space=False)
    tokenizer.train_from_iterator(
        texts.tokenizer_corpus(), vocab_size=VOCAB_SIZE, min_frequency=2, special_tokens=[EOT], show_progress=False
    )
    assert tokenizer.get_vocab_size() == VOCAB_SIZE, tokenizer.get_vocab_size()
    assert tokenizer.token_to_id(EOT) == 0
    return tokenizer._tokenizer


def tokenizer_parts(tokenizer):
    """(tokenizer.json as a dict with merges as pairs, vocab, merges.txt)."""
    whole = json.loads(tokenizer.to_str())
    pairs = whole["model"]["merges"]
    merges = "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in pairs)
    return whole, whole["model"]["vocab"], merges


def save_tokenizer(tokenizer, folder, files):
    """`files`: "old" = vocab.json and merges.txt; "strings" / "pairs" add tokenizer.json in either form of merges."""
    whole, vocab, merges = tokenizer_parts(tokenizer)
    by_id = dict(sorted(vocab.items(), key=lambda item: item[1]))
    dump = {"ensure_ascii": False, "separators": (",", ":")}
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump(by_id, file, **dump)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write(merges)
    if files == "old":
        return
    if files == "strings":
        whole["model"]["merges"] = [" ".join(pair) for pair in whole["model"]["merges"]]
    whole["model"]["vocab"] = by_id
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(whole, file, **dump)
    special = {"bos_token": EOT, "eos_token": EOT, "unk_token": EOT}
    write_json(os.path.join(folder, "special_tokens_map.json"), special, None)
    settings = {"add_prefix_space": False, "tokenizer_class": "GPT2Tokenizer", **special}
    write_json(os.path.join(folder, "tokenizer_config.json"), settings, None)


def config(**switches):
    """A GPT2Config with the fixtures' common fields."""
    fields = {"bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.2, **DROPOUT, **switches}
    return GPT2Config(**fields)


def base_config(**switches):
    """The shape that every `bbpe*` model has."""
    shape = {"vocab_size": VOCAB_SIZE, "n_positions": 48, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return config(**{**shape, **switches})


def variant_config(name):
    """The configuration of `variants/<name>`."""
    return config(**{**SMALL, **VARIANTS[name]})


def new_model(cfg):
    """The model class every expected number is computed with."""
    cfg._attn_implementation = "eager"
    return GPT2LMHeadModel(cfg).eval()


def random_model(cfg, seed):
    """Normal weights, std 0.2 (half of it for wpe and c_proj); nothing is left at the 0 or 1 of an initialization."""
    model = new_model(cfg)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if ".ln_" in name:
                value = 1 + 0.3 * noise if name.endswith("weight") else 0.2 * noise
            elif name.endswith("bias"):
                value = 0.1 * noise
            else:
                value = noise * (0.1 if "wpe" in name or "c_proj" in name else 0.2)
            parameter.copy_(value)
    return model


def encode(tokenizer, text):
    """Ids of a text, nothing added."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def trained_model(tokenizer, steps=400):
    """The base shape, trained on our own sentences until text and accuracy mean something."""
    torch.manual_seed(5)
    model = new_model(base_config(initializer_range=0.08, **{key: 0.0 for key in DROPOUT})).train()
    ids = torch.tensor(encode(tokenizer, texts.training_text()))
    generator = torch.Generator().manual_seed(6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(steps):
        starts = torch.randint(0, len(ids) - 32, (16,), generator=generator)
        batch = torch.stack([ids[start : start + 32] for start in starts])
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    print(f"bbpe-trained: {len(ids)} ids, last training loss {loss.item():.3f}")
    final = new_model(base_config(initializer_range=0.08))
    final.load_state_dict(model.state_dict())
    return final
