"""processors.*: scores after each processor of `generate`, alone and in lists."""

import torch
from transformers import GenerationConfig, LogitsProcessorList, generation

from . import expected, models, texts

VOCAB, ROWS, LENGTH = 100, 3, 9
ENDS = [7, 11]
# In the histories below: words and sequences that are begun in one row each.
BAD_WORDS = [[27], [57, 42], [73, 58, 5], [7], [57, 7]]
BIASES = [[[27], -4.0], [[57, 13], 9.5], [[73, 58, 21], 3.0], [[21], 0.7], [[27], -3.5]]
ALLOWED = [[3, 4, 99], [5, 7], [1, 2, 3, 60, 61, 62]]
CHAINS = [
    ("topk40", {"top_k": 40}),
    ("topk50-topp95", {"top_k": 50, "top_p": 0.95}),
    ("ngram2-topp95-topk50-t065", {"no_repeat_ngram_size": 2, "top_p": 0.95, "top_k": 50, "temperature": 0.65}),
    ("t07-rep12-topk50-topp95", {"temperature": 0.7, "repetition_penalty": 1.2, "top_k": 50, "top_p": 0.95}),
    ("minp-typical-t13", {"temperature": 1.3, "top_k": 0, "min_p": 0.03, "typical_p": 0.9}),
    ("cutoffs-renormalized", {"top_k": 0, "epsilon_cutoff": 0.004, "eta_cutoff": 0.01, "renormalize_logits": True}),
    ("beams", {"num_beams": 3, "top_k": 1, "top_p": 0.01, "min_p": 0.9, "typical_p": 0.01, "epsilon_cutoff": 0.9}),
    ("greedy", {
        "do_sample": False, "sequence_bias": BIASES, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2,
        "bad_words_ids": BAD_WORDS, "min_new_tokens": 5, "remove_invalid_values": True, "suppress_tokens": [1, 2],
        "begin_suppress_tokens": [8], "temperature": 0.5, "top_p": 0.5, "renormalize_logits": True,
    }),
    ("everything", {
        "sequence_bias": BIASES, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "bad_words_ids": BAD_WORDS,
        "min_new_tokens": 2, "forced_bos_token_id": 3, "forced_eos_token_id": 5,
        "exponential_decay_length_penalty": [1, 1.2], "suppress_tokens": [1, 2], "begin_suppress_tokens": [8],
        "temperature": 0.8, "top_k": 60, "top_p": 0.97, "min_p": 0.002, "typical_p": 0.97,
        "epsilon_cutoff": 0.0001, "eta_cutoff": 0.0001, "renormalize_logits": True,
    }),
]


def histories():
    """Tokens so far; the rows end so that words and sequences are begun, and repeat themselves."""
    draw = torch.Generator().manual_seed(50)
    ids = torch.randint(1, VOCAB, (ROWS, LENGTH), generator=draw)
    ids[0, -1] = 57
    ids[1, -2:] = torch.tensor([73, 58])
    ids[1, 1:3] = torch.tensor([73, 58])
    ids[2, -2:] = ids[2, 2:4]
    return ids


def allowed(_, ids):
    """By the last token."""
    return ALLOWED[ids[-1].item() % len(ALLOWED)]


def singles():
    """name -> processor."""
    kinds = generation.logits_process
    keep = {"min_tokens_to_keep": 5}
    penalty = lambda start: kinds.ExponentialDecayLengthPenalty((start, 1.15), ENDS, LENGTH - 5)
    return {
        "temperature-0.65": kinds.TemperatureLogitsWarper(0.65),
        "top_k-1": kinds.TopKLogitsWarper(1),
        "top_k-40": kinds.TopKLogitsWarper(40),
        "top_k-1-keep-5": kinds.TopKLogitsWarper(1, **keep),
        "top_p-0.95": kinds.TopPLogitsWarper(0.95),
        "top_p-0.1-keep-5": kinds.TopPLogitsWarper(0.1, **keep),
        "min_p-0.0": kinds.MinPLogitsWarper(0.0),
        "min_p-0.05": kinds.MinPLogitsWarper(0.05),
        "min_p-0.9-keep-5": kinds.MinPLogitsWarper(0.9, **keep),
        "typical_p-0.9": kinds.TypicalLogitsWarper(0.9),
        "typical_p-0.2": kinds.TypicalLogitsWarper(0.2),
        "typical_p-0.01-keep-5": kinds.TypicalLogitsWarper(0.01, **keep),
        "epsilon_cutoff-0.004": kinds.EpsilonLogitsWarper(0.004),
        "epsilon_cutoff-0.9-keep-5": kinds.EpsilonLogitsWarper(0.9, **keep),
        "eta_cutoff-0.02": kinds.EtaLogitsWarper(0.02),
        "eta_cutoff-0.9-keep-5": kinds.EtaLogitsWarper(0.9, **keep),
        "repetition_penalty-1.2": kinds.RepetitionPenaltyLogitsProcessor(1.2),
        "no_repeat_ngram_size-2": kinds.NoRepeatNGramLogitsProcessor(2),
        "no_repeat_ngram_size-3": kinds.NoRepeatNGramLogitsProcessor(3),
        "min_length": kinds.MinLengthLogitsProcessor(LENGTH + 1, ENDS),
        "min_new_tokens": kinds.MinNewTokensLengthLogitsProcessor(LENGTH - 2, 3, ENDS),
        "bad_words_ids": kinds.NoBadWordsLogitsProcessor(BAD_WORDS, ENDS),
        "suppress_tokens": kinds.SuppressTokensLogitsProcessor([1, 2, 46]),
        "begin_suppress_tokens": kinds.SuppressTokensAtBeginLogitsProcessor([1, 2], LENGTH),
        "forced_bos_token_id-*": kinds.ForcedBOSTokenLogitsProcessor(9),
        "forced_eos_token_id": kinds.ForcedEOSTokenLogitsProcessor(LENGTH + 1, ENDS),
        "exponential_decay-active": penalty(2),
        "exponential_decay-not-yet": penalty(5),
        "sequence_bias": kinds.SequenceBiasLogitsProcessor(BIASES),
        "prefix_allowed_tokens": kinds.PrefixConstrainedLogitsProcessor(allowed, 1),
        "renormalize": kinds.LogitNormalization(),
        "remove_invalid": kinds.InfNanRemoveLogitsProcessor(),
    }


def fields(processor):
    """Its fields, as JSON."""
    plain = lambda value: value.tolist() if isinstance(value, torch.Tensor) else value
    kept = (bool, int, float, list, torch.Tensor)
    own = {key: plain(value) for key, value in vars(processor).items() if isinstance(value, kept)}
    own.pop("filter_value", None)
    if isinstance(processor, generation.logits_process.PrefixConstrainedLogitsProcessor):
        own["allowed_by_last_token"] = ALLOWED
    # Of these the lists are written once for all, and what is prepared from them is not written.
    prepared = ("sequence_bias", "length_1_bias", "multi_token_biases", "prepared_bias_variables")
    return {key: value for key, value in own.items() if key not in prepared}


def chain(model, kwargs, prompt_length):
    """The list that `generate` builds."""
    options = {"do_sample": True, "eos_token_id": 0, "max_length": 1000, **kwargs}
    config = GenerationConfig(**options)
    model._prepare_special_tokens(config, device="cpu")
    return model._get_logits_processor(config, input_ids_seq_length=prompt_length, device="cpu")


def write_singles(ids, scores, arrays):
    """Adds `single.*` and what else went in; returns their entries."""
    invalid = scores.clone()
    invalid[0, 1], invalid[0, 2], invalid[1, 3] = float("nan"), float("inf"), -float("inf")
    arrays["remove_invalid.scores"] = invalid
    entries = []
    for name, processor in singles().items():
        entries.append({"name": name, "class": type(processor).__name__, "attributes": fields(processor)})
        given = invalid if name == "remove_invalid" else scores
        if name.endswith("*"):
            stem = "single." + name[:-1]
            arrays[stem + "at-length-1"] = processor(ids[:, :1], given.clone())
            arrays[stem + "later"] = processor(ids, given.clone())
        else:
            arrays["single." + name] = processor(ids, given.clone())
    ties = torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]])
    arrays["ties.scores"] = ties
    arrays["ties.top_k-2"] = generation.logits_process.TopKLogitsWarper(2)(None, ties)
    return entries


def write_processors(model, tokenizer, folder):
    """processors.json and processors.safetensors, after random scores and after the model `bbpe`."""
    ids = histories()
    scores = 3 * torch.randn(ROWS, VOCAB, generator=torch.Generator().manual_seed(51))
    prompt = torch.tensor([models.encode(tokenizer, texts.PROMPTS[0])])
    with torch.no_grad():
        logits = model(prompt).logits[:, -1]
    arrays = {"input_ids": ids, "scores": scores, "model.input_ids": prompt}
    whole = {
        "model": "bbpe", "vocab_size": VOCAB, "eos_in_processors": ENDS, "bad_words_ids": BAD_WORDS,
        "sequence_bias": BIASES, "single": write_singles(ids, scores, arrays), "chains": [],
    }
    for name, kwargs in CHAINS:
        own = chain(model, kwargs, LENGTH - 3)
        assert isinstance(own, LogitsProcessorList)
        arrays[f"chain.{name}.scores"] = own(ids, scores.clone())
        arrays[f"chain.{name}.probs"] = arrays[f"chain.{name}.scores"].softmax(-1)
        after = chain(model, kwargs, prompt.shape[1])(prompt, logits.clone())
        arrays[f"model.{name}.probs"] = after.softmax(-1)
        order = [type(processor).__name__ for processor in own]
        whole["chains"].append({"name": name, "kwargs": kwargs, "order": order})
    expected.save_arrays(arrays, f"{folder}/processors.safetensors")
    models.write_json(f"{folder}/processors.json", whole, None)
