"""Faults in the JSON and text files of a model folder: configuration, generation defaults, tokenizer."""

import copy
import json

REFUSE = "Must be refused with an error: "
SURVIVE = "Must not crash; refuse or load with a warning: "
MERGES = 30


def compact(value):
    """One line of JSON."""
    return json.dumps(value, separators=(",", ":"))


def config_cases(config):
    """name -> (why, content of config.json or None)."""
    but = lambda **fields: compact({**config, **fields})
    return {
        "config-array": ("config.json is an array.", "[1,2,3]"),
        "config-bad-activation": ("activation_function is unknown.", but(activation_function="gelu_nwe")),
        "config-bad-dropout": ("resid_pdrop is 1.5.", but(resid_pdrop=1.5)),
        "config-bad-eps": ("layer_norm_epsilon is negative.", but(layer_norm_epsilon=-1e-5)),
        "config-deep": ("config.json nests arrays 10000 deep (must not overflow the stack).",
                        '{"deep":' + "[" * 10000 + "]" * 10000 + "}"),
        "config-fraction-layer": ("n_layer is 1.5.", but(n_layer=1.5)),
        "config-huge-embd": ("n_embd is 10^9 (must not try to allocate it).", but(n_embd=10**9)),
        "config-huge-layers": ("n_layer is 10^9.", but(n_layer=10**9)),
        "config-huge-positions": ("n_positions is 2^62 (must not overflow or allocate).", but(n_positions=1 << 62)),
        "config-missing": ("there is no config.json.", None),
        "config-negative-layer": ("n_layer is -2.", but(n_layer=-2)),
        "config-not-divisible": ("n_embd 8 is not divisible by n_head 3.", but(n_head=3)),
        "config-not-json": ("config.json is cut in the middle.", but()[:90]),
        "config-nulls": ("n_embd, n_head and n_layer are null.", but(n_embd=None, n_head=None, n_layer=None)),
        "config-other-model": ("model_type is llama.", but(model_type="llama")),
        "config-string-embd": ('n_embd is the string "eight".', but(n_embd="eight")),
        "config-zero-head": ("n_head is 0 (division by zero).", but(n_head=0)),
        "config-zero-vocab": ("vocab_size is 0.", but(vocab_size=0)),
    }


def generation_cases():
    """name -> (why, content of generation_config.json)."""
    faults = [
        ("temperature", 0.0), ("temperature", -1.0), ("top_p", 2.0), ("top_p", -0.1), ("top_k", "fifty"),
        ("top_k", -5), ("repetition_penalty", 0.0), ("num_beams", 0), ("eos_token_id", 1000000), ("max_length", -3),
    ]
    cases = {}
    for field, value in faults:
        name = f"gen-{field}-{value}".replace("_", "-").replace(".", "_")
        why = f"generation_config.json sets {field} to {value!r} "
        why += "(an error naming the field, at load or at generate, with do_sample true)."
        defaults = {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0, "do_sample": True}
        cases[name] = (why, compact({**defaults, field: value}))
    return cases


def piece(text):
    """One SentencePiece entry: field 1 of the model, with the piece as its field 1."""
    raw = text.encode()
    inner = b"\x0a" + bytes([len(raw)]) + raw + b"\x15\x00\x00\x80\xbf"
    return b"\x0a" + bytes([len(inner)]) + inner


def short_tokenizer(parts):
    """tokenizer.json, vocabulary and merges with the first MERGES merges alone."""
    whole, vocab, merges = copy.deepcopy(parts)
    lines = merges.splitlines()[: MERGES + 1]
    known = {token: i for token, i in vocab.items() if i < 257 + MERGES}
    whole["model"]["vocab"] = dict(sorted(known.items(), key=lambda item: item[1]))
    whole["model"]["merges"] = whole["model"]["merges"][:MERGES]
    return whole, whole["model"]["vocab"], "\n".join(lines) + "\n"


def vocab_cases(vocab, merges):
    """Faults of vocab.json: name -> (why, vocab)."""
    tokens = list(vocab)
    last = tokens[-1]
    return {
        "tok-duplicate-ids": (REFUSE + "vocab.json gives one id to two tokens.", {**vocab, last: vocab[last] - 1}),
        "tok-huge-id": (REFUSE + "vocab.json holds the id 2^40 (must not allocate a table of that size).",
                        {**vocab, "zzz": 1 << 40}),
        "tok-negative-id": (REFUSE + "vocab.json holds a negative id.", {**vocab, last: -1}),
        "tok-missing-byte": (SURVIVE + "vocab.json lacks the byte token for 'z'; text with z must give an error or the "
                             "unknown token.", {token: i for token, i in vocab.items() if token != "z"}),
        "tok-missing-ids": (SURVIVE + "vocab.json leaves ids out (260-264), so some merges name unknown tokens.",
                            {token: i for token, i in vocab.items() if not 260 <= i < 265}),
        "tok-vocab-array": (REFUSE + "vocab.json is an array.", tokens),
        "tok-vocab-exceeds-model": ("Must be refused at load, or give an error (no panic) when text has such ids: the "
                                    "tokenizer has more ids than the model's vocab_size 16.", vocab),
    }


def tokenizer_cases(parts):
    """name -> (why, {file: content})."""
    whole, vocab, merges = short_tokenizer(parts)
    good = json.dumps(vocab, ensure_ascii=False, separators=(",", ":"))
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    old = lambda text: {"vocab.json": good, "merges.txt": text}
    cases = {
        name: (why, {"vocab.json": dump(value), "merges.txt": merges})
        for name, (why, value) in vocab_cases(vocab, merges).items()
    }
    other = {**whole, "model": {
        "type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 10,
    }}
    half = dump(whole)
    pieces = b"".join(piece(text) for text in ("<unk>", "▁nasi", "goreng", "台所"))
    cases.update({
        "tok-json-cut": (REFUSE + "tokenizer.json is cut.", {"tokenizer.json": half[: len(half) // 2]}),
        "tok-json-other-type": (REFUSE + "tokenizer.json holds a WordPiece model.", {"tokenizer.json": dump(other)}),
        "tok-merge-arity": (REFUSE + "merges.txt has lines with one and with three parts.", old(merges + "abc\na b c\n")),
        "tok-merges-not-utf8": (REFUSE + "merges.txt is not UTF-8.", old(merges.encode() + b"\xff\xfe \xc3(\n")),
        "tok-unknown-merge": (REFUSE + "merges.txt names tokens that vocab.json lacks.", old(merges + "qzqz xkxk\n")),
        "sp-empty": (REFUSE + "spiece.model is empty.", {"spiece.model": b""}),
        "sp-garbage": (REFUSE + "spiece.model is noise.",
                       {"spiece.model": bytes((31 * i * i + 7 * i + 255) % 251 for i in range(1, 1500))}),
        "sp-truncated": (REFUSE + "spiece.model is cut inside a piece.", {"spiece.model": pieces[:-7]}),
    })
    return cases
