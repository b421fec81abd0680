"""Vocabulary transfer: a second tokenizer, and the embedding of bbpe moved to it."""

import os

import numpy
import torch
from tokenizers import ByteLevelBPETokenizer

from . import expected, models, texts

VOCAB_SIZE = 340


def new_tokenizer():
    """A smaller vocabulary of other languages, which shares the bytes and some words with the first one."""
    tokenizer = ByteLevelBPETokenizer(add_prefix_space=False)
    tokenizer.train_from_iterator(
        [texts.PORTUGUESE, texts.CZECH, texts.INDONESIAN[:400]], vocab_size=VOCAB_SIZE, min_frequency=2,
        special_tokens=[models.EOT], show_progress=False,
    )
    assert tokenizer.get_vocab_size() == VOCAB_SIZE, tokenizer.get_vocab_size()
    return tokenizer._tokenizer


def write_transfer(base, tokenizer, folder):
    """expected/vocab_transfer: the new tokenizer, which ids are kept, and the new embedding."""
    new = new_tokenizer()
    os.makedirs(os.path.join(folder, "new"))
    models.save_tokenizer(new, os.path.join(folder, "new"), "strings")
    old_ids = tokenizer.get_vocab()
    old = base.transformer.wte.weight.detach().numpy()
    mean = old.astype(numpy.float64).mean(0).astype(numpy.float32)
    rows = numpy.tile(mean, (VOCAB_SIZE, 1))
    kept = []
    for token, new_id in sorted(new.get_vocab().items(), key=lambda item: item[1]):
        if token in old_ids:
            rows[new_id] = old[old_ids[token]]
            kept.append(new_id)
    assert 256 < len(kept) < VOCAB_SIZE and any(old_ids[new.id_to_token(i)] != i for i in kept), len(kept)
    sizes = {"old_size": len(old), "new_size": VOCAB_SIZE, "kept": len(kept)}
    whole = {**sizes, "filled_with_mean": VOCAB_SIZE - len(kept), "kept_new_ids": kept}
    models.write_json(os.path.join(folder, "expected.json"), whole, None)
    expected.save_arrays({"new_wte": torch.from_numpy(rows)}, os.path.join(folder, "wte.safetensors"))
