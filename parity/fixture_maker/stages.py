"""Training curves with the arithmetic of Keras and of fastai, by loops written by hand."""

import math

import torch

from . import expected, models, texts, training

KERAS = {"lr": 0.004, "steps": 30, "batch_size": 2, "clipnorm": 1.0}
IGNORED = 0
# freeze_to as in fastai's `Learner.freeze_to`, lowest and highest rate of the stage, steps.
FASTAI = {
    "batch_size": 2,
    "phases": [[-1, None, 0.008, 8], [-2, 0.004 / 2.6**4, 0.004, 8], [0, 0.002 / 2.6**4, 0.002, 8]],
    "pct_start": 0.25, "div": 25.0, "div_final": 1e5, "moms": [0.95, 0.85, 0.95],
    "sqr_mom": 0.99, "eps": 1e-5, "wd": 0.01,
}
GROUPS = {
    "transformer.h.0.": 0, "transformer.h.1.": 1, "transformer.wte.": 2, "transformer.wpe.": 2, "transformer.ln_f.": 2,
}
ROW = 16


def ids_of(tokenizer, rows, length):
    """The ids of [rows, length]; a zero here and there, since one curve ignores it."""
    ids = torch.tensor(models.encode(tokenizer, texts.curve_text()))
    assert len(ids) >= rows * length, (len(ids), rows * length)
    ids = ids[: rows * length].view(rows, length).clone()
    for row in range(0, rows, 3):
        ids[row, 2 + row % (length - 4)] = IGNORED
    return ids


def loss_of(model, inputs, targets):
    """Mean over the targets that are not -100."""
    logits = model(inputs).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def keras(model, ids, is_tfdlg):
    """tf.keras' Adam with `clipnorm`, on a line to 0; `is_tfdlg`: first step at rate 0, target 0 does not count."""
    result = {"loss": [], "lr": [], "clipped_tensors": []}
    size, steps = KERAS["batch_size"], KERAS["steps"]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in model.parameters()]
    for step in range(steps):
        rows = ids[step * size : (step + 1) * size]
        targets = rows[:, 1:].masked_fill(rows[:, 1:] == IGNORED, -100) if is_tfdlg else rows[:, 1:]
        model.zero_grad()
        loss = loss_of(model, rows[:, :-1], targets)
        loss.backward()
        rate = 0.0 if is_tfdlg and step == 0 else KERAS["lr"] * (steps - step) / steps
        corrected = rate * math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        clipped = 0
        with torch.no_grad():
            for parameter, (mean, square) in zip(model.parameters(), moments):
                norm = parameter.grad.norm()
                clipped += int(norm > KERAS["clipnorm"])
                gradient = parameter.grad * (KERAS["clipnorm"] / torch.clamp(norm, min=KERAS["clipnorm"]))
                mean.mul_(0.9).add_(gradient, alpha=0.1)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                parameter.sub_(corrected * mean / (square.sqrt() + 1e-8))
        for key, value in (("loss", loss.item()), ("lr", rate), ("clipped_tensors", clipped)):
            result[key].append(value)
    return result


def cosine(start, end, position):
    """fastai's `SchedCos`."""
    return start + (1 + math.cos(math.pi * (1 - position))) * (end - start) / 2


def cycle(first, middle, last, position):
    """fastai's `combined_cos`."""
    share = FASTAI["pct_start"]
    if position < share:
        return cosine(first, middle, position / share)
    return cosine(middle, last, (position - share) / (1 - share))


def spread(low, high, count):
    """fastai's `even_mults`; one rate for all where `low` is None."""
    if low is None:
        return [high] * count
    return [low * ((high / low) ** (1 / (count - 1))) ** group for group in range(count)]


def fastai_step(model, moments, rates, momentum, frozen):
    """`weight_decay`, `average_grad` (dampened), `average_sqr_grad`, `step_stat`, `adam_step`."""
    square_momentum = FASTAI["sqr_mom"]
    for name, parameter in model.named_parameters():
        group = next(group for prefix, group in GROUPS.items() if name.startswith(prefix))
        if group < frozen and ".ln_" not in name:
            continue
        mean, square, steps = moments.get(name, (torch.zeros_like(parameter), torch.zeros_like(parameter), 0))
        gradient, rate = parameter.grad, rates[group]
        if name in set(training.decayed(model)):
            parameter.mul_(1 - rate * FASTAI["wd"])
        mean.mul_(momentum).add_(gradient, alpha=1 - momentum)
        square.mul_(square_momentum).addcmul_(gradient, gradient, value=1 - square_momentum)
        steps += 1
        root = (square / (1 - square_momentum**steps)).sqrt() + FASTAI["eps"]
        parameter.addcdiv_(mean, root, value=-rate / (1 - momentum**steps))
        moments[name] = (mean, square, steps)


def fastai(model, windows):
    """Gradual unfreezing with one-cycle phases; the optimizer's state is cleared at each."""
    result = {"loss": [], "lr": [], "mom": [], "phase": []}
    count, size = max(GROUPS.values()) + 1, FASTAI["batch_size"]
    done = 0
    for phase, (freeze_to, low, high, steps) in enumerate(FASTAI["phases"]):
        frozen = freeze_to if freeze_to >= 0 else count + freeze_to
        moments, highest = {}, spread(low, high, count)
        for step in range(steps):
            rows = windows[done * size : (done + 1) * size]
            done += 1
            model.zero_grad()
            loss = loss_of(model, rows[:, :-1], rows[:, 1:])
            loss.backward()
            at = step / steps
            rates = [cycle(top / FASTAI["div"], top, top / FASTAI["div_final"], at) for top in highest]
            momentum = cycle(*FASTAI["moms"], at)
            with torch.no_grad():
                fastai_step(model, moments, rates, momentum, frozen)
            for key, value in (("loss", loss.item()), ("lr", rates), ("mom", momentum), ("phase", phase)):
                result[key].append(value)
    return result


def curves(base, tokenizer):
    """(parts of training.json, arrays, noise) of the three curves."""
    steps = sum(phase[3] for phase in FASTAI["phases"])
    ids = ids_of(tokenizer, KERAS["steps"] * KERAS["batch_size"], ROW)
    windows = ids_of(tokenizer, steps * FASTAI["batch_size"], ROW + 1)
    runs = {
        "keras": lambda model: keras(model, ids, False),
        "keras_tfdlg": lambda model: keras(model, ids, True),
        "fastai": lambda model: fastai(model, windows),
    }
    arrays = {"keras.input_ids": ids, "fastai.windows": windows}
    found, noise = {}, {}
    for name, run in runs.items():
        model, twin = training.copied(base), expected.doubled(base)
        found[name] = run(model)
        found[name]["loss_f64"] = run(twin)["loss"]
        apart = max(abs(a - b) for a, b in zip(found[name]["loss"], found[name]["loss_f64"]))
        noise[name] = {"max_abs_loss": apart, **training.weight_noise(model, twin)}
        if name == "fastai":
            arrays.update({f"final.fastai.{key}": value for key, value in model.named_parameters()})
    parts = {"keras_hyper": KERAS, "fastai_hyper": FASTAI, "fastai_groups": GROUPS}
    return parts, found, arrays, noise
