"""pipeline.json: texts in, texts out, as transformers' pipelines and the model cards have it."""

import torch
import transformers

from . import expected, models, texts

OPTIONS = {"do_sample": False, "max_new_tokens": 10}
PROMPTS = texts.PROMPTS + ["Kucing ", "Kucing\n\n belang", "<|endoftext|>Kucing", "台所", ""]
CONTINUATIONS = [" tidur", " tidur di atas karung beras.", " terbang", "!", "台所", " tidur di"]


def opened(model, tokenizer):
    """The text-generation pipeline of a model."""
    return transformers.pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")


def generated(pipe, prompt, **more):
    """The one text of a call."""
    [result] = pipe(prompt, **OPTIONS, **more)
    return result["generated_text"]


def case(model, pipes, tokenizer, prompt):
    """What is done with one prompt."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids.long()
    entry = {
        "prompt": prompt,
        "full_text": generated(pipes[0], prompt),
        "new_text": generated(pipes[0], prompt, return_full_text=False),
        "new_text_with_special_tokens": generated(
            pipes[0], prompt, return_full_text=False, skip_special_tokens=False
        ),
    }
    assert entry["full_text"] == generated(pipes[1], prompt), prompt
    if ids.shape[1] > 0:
        with torch.no_grad():
            best = model(ids).logits[0, -1].argmax().item()
        entry["next_word"] = {"id": best, "text": tokenizer.decode([best])}
    if ids.shape[1] > 1:
        with torch.no_grad():
            entry["loss"] = model(ids, labels=ids).loss.item()
    return entry


def scores(twin, tokenizer, prompt):
    """Log-probability of each token of each continuation, in float64."""
    start, rows = tokenizer(prompt).input_ids, []
    for text in CONTINUATIONS:
        ids = tokenizer(text).input_ids
        with torch.no_grad():
            logits = twin(torch.tensor([start + ids])).logits[0, len(start) - 1 : -1]
        found = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]
        rows.append({"text": text, "log_probabilities": found.tolist()})
    return {"prompt": prompt, "continuations": rows}


def write_pipeline(name, model, folder, path):
    """pipeline.json of one model and the tokenizer in its folder."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    twin = expected.doubled(model)
    pipes = [opened(model, tokenizer), opened(twin, tokenizer)]
    cases = [case(model, pipes, tokenizer, prompt) for prompt in PROMPTS]
    whole = {"model": name, "options": OPTIONS, "cases": cases, "scores": scores(twin, tokenizer, "Kucing itu")}
    models.write_json(path, whole)
