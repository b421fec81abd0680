"""generation.json: `model.generate` without sampling, each case checked to be no accident of rounding."""

import copy

import torch

from . import expected, models, texts


def perturbed(model):
    """All weights multiplied by 1 + 1e-5 n."""
    twin = models.new_model(copy.deepcopy(model.config))
    twin.load_state_dict(model.state_dict())
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1 + 1e-5 * torch.randn(parameter.shape, generator=draw))
    return twin


def smallest_gap(scores, sequences, prompt, pad):
    """The least difference between the two best scores on the path; rows that have ended do not count."""
    gap, ended = float("inf"), torch.zeros(len(sequences), dtype=torch.bool)
    for step, score in enumerate(scores):
        best = score.topk(2, dim=-1).values
        for row in range(len(sequences)):
            if not ended[row]:
                gap = min(gap, (best[row, 0] - best[row, 1]).item())
        ended |= sequences[:, prompt + step] == pad
    return gap


def run(model, ids, mask, kwargs):
    """One call of generate."""
    given = copy.deepcopy(kwargs)
    if "sequence_bias" in given:
        given["sequence_bias"] = {tuple(tokens): bias for tokens, bias in given["sequence_bias"]}
    with torch.no_grad():
        return model.generate(
            torch.tensor(ids), attention_mask=mask, return_dict_in_generate=True, output_scores=True, **given
        )


def case(trio, tokenizer, name, ids, extra, mask=None, note=None):
    """One entry of generation.json. `trio`: (model name, model, its float64 twin, its perturbed twin)."""
    model_name, model, double, noisy = trio
    kwargs = {"do_sample": False, "pad_token_id": 0, "max_new_tokens": 12, **extra}
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    given = torch.ones(len(ids), len(ids[0]), dtype=torch.long) if mask is None else torch.tensor(mask)
    out = run(model, ids, given, kwargs)
    out64, out_noisy = run(double, ids, given, kwargs), run(noisy, ids, given, kwargs)
    stable = {
        "float64": out64.sequences.tolist() == out.sequences.tolist(),
        "weights_times_1_plus_1e-5_noise": out_noisy.sequences.tolist() == out.sequences.tolist(),
    }
    assert all(stable.values()), (model_name, name, stable)
    entry = {
        "model": model_name, "name": name, "input_ids": ids, "kwargs": kwargs, "stable": stable,
        "sequences": out.sequences.tolist(),
        "text": [tokenizer.decode(row, skip_special_tokens=True) for row in out.sequences.tolist()],
    }
    if mask is not None:
        entry["attention_mask"] = mask
    if note:
        entry["note"] = note
    if "num_beams" in kwargs:
        entry["sequences_scores"] = out.sequences_scores.tolist()
        entry["sequences_scores_f64"] = out64.sequences_scores.tolist()
    else:
        entry["smallest_gap_to_second"] = smallest_gap(out.scores, out.sequences, len(ids[0]), 0)
        assert entry["smallest_gap_to_second"] > 1e-4, (model_name, name, entry["smallest_gap_to_second"])
    return entry


def plain_cases(make, prompts, first):
    """Lengths, caches and prompts."""
    greedy = [make(f"greedy-{i}", [ids], {}) for i, ids in enumerate(prompts)]
    room = len(first) + 7
    return greedy + [
        make("greedy-no-cache", [first], {"use_cache": False}, note="must equal greedy-0"),
        make("greedy-max-length", [first], {"max_new_tokens": None, "max_length": room}),
        make("greedy-max-new-wins", [first], {"max_length": len(first) + 3, "max_new_tokens": 6},
             note="both given: max_new_tokens wins"),
        make("greedy-one-token-prompt", [first[:1]], {}),
        make("greedy-no-repeat-2", [first], {"no_repeat_ngram_size": 2}),
        make("greedy-no-repeat-3", [first], {"no_repeat_ngram_size": 3}),
        make("greedy-repetition", [first], {"repetition_penalty": 1.3}),
        make("greedy-repetition-below-1", [first], {"repetition_penalty": 0.8, "max_new_tokens": 8}),
    ]


def end_cases(make, first, start, eos, other):
    """Where a sequence ends, and what is forbidden or favoured on the way."""
    room = len(first) + 9
    return [
        make("eos", [first], {"eos_token_id": eos}),
        make("eos-list", [first], {"eos_token_id": [other, eos]}),
        make("eos-min-new-tokens", [first], {"eos_token_id": eos, "min_new_tokens": 8}),
        make("eos-min-length", [first], {"eos_token_id": eos, "min_length": room}),
        make("bad-words", [first], {"bad_words_ids": [[eos], [other, eos]]}),
        make("suppress", [first], {"suppress_tokens": [eos, other]}),
        make("begin-suppress", [first], {"begin_suppress_tokens": [start]}),
        make("forced-eos", [first], {"max_new_tokens": 6, "forced_eos_token_id": other, "eos_token_id": other}),
        make("sequence-bias", [first], {"sequence_bias": [[[eos], -9.0], [[start, other], -2.0], [[200], 2.0]]}),
        make("exponential-decay", [first], {"eos_token_id": eos, "exponential_decay_length_penalty": [2, 1.5]}),
        make("renormalize", [first], {"max_new_tokens": 4, "renormalize_logits": True, "repetition_penalty": 1.3}),
    ]


def batch_cases(make, prompts, eos, other):
    """A left-padded batch, greedy and by beams."""
    longest = max(map(len, prompts))
    ids = [[0] * (longest - len(row)) + row for row in prompts]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in prompts]
    return [
        make("batch-left-padded", ids, {}, mask, "row i continues as greedy-i does"),
        make("batch-left-padded-repetition", ids, {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}, mask,
             "padding is not part of the penalised history in this version; it is part of the n-gram history"),
        make("batch-left-padded-eos", ids, {"eos_token_id": eos}, mask, "finished rows are filled with pad_token_id"),
        make("beam-batch-left-padded", ids,
             {"num_beams": 3, "num_return_sequences": 2, "eos_token_id": [eos, other]}, mask),
    ]


def beam_cases(make, first, eos):
    """Beam search with the three ways to stop."""
    cases = []
    for beams, penalty, early, count in ((3, 1.0, False, 1), (3, 0.6, True, 3), (4, 2.0, "never", 2)):
        name = f"beam-{beams}-lp{penalty}-es{early}-n{count}"
        cases.append(make(name, [first], {
            "num_beams": beams, "length_penalty": penalty, "early_stopping": early, "num_return_sequences": count,
            "eos_token_id": eos,
        }))
    return cases + [
        make("beam-no-cache", [first], {"num_beams": 3, "use_cache": False}),
        make("beam-no-repeat", [first], {"num_beams": 3, "no_repeat_ngram_size": 2, "num_return_sequences": 2}),
        make("beam-min-new-tokens", [first], {"num_beams": 3, "eos_token_id": eos, "min_new_tokens": 10}),
    ]


def write_generation(named, tokenizer, path):
    """generation.json for every (name, model)."""
    prompts = [models.encode(tokenizer, prompt) for prompt in texts.PROMPTS]
    cases, scores = [], {}
    for name, model in named:
        trio = (name, model, expected.doubled(model), perturbed(model))
        make = lambda *given, **more: case(trio, tokenizer, *given, **more)
        first = prompts[0]
        greedy = plain_cases(make, prompts, first)
        path_ids = greedy[0]["sequences"][0][len(first):]
        # An end token that comes in the middle of the path for the first time, and one that comes later or never.
        at = next(i for i in range(2, 8) if path_ids[i] not in path_ids[:i])
        eos, other = path_ids[at], next(i for i in path_ids[at + 1 :] + [201] if i not in path_ids[: at + 1])
        own = greedy + end_cases(make, first, path_ids[0], eos, other) + batch_cases(make, prompts, eos, other)
        own += beam_cases(make, first, eos)
        for entry in own:
            if "sequences_scores" in entry:
                pairs = zip(entry["sequences_scores"], entry["sequences_scores_f64"])
                scores[f"{name}:{entry['name']}"] = max(abs(a - b) for a, b in pairs)
        cases += own
    models.write_json(path, {"cases": cases}, None)
    return scores
