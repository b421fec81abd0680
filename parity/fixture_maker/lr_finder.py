"""The learning-rate finder of fastai, run on the base model and on invented curves."""

import functools
import math
import random
import tempfile

import torch

from . import expected, models, stages, training

# Rates, batches and groups of the sweeps; the optimizer is that of `stages.FASTAI`.
HYPER = {"batch_size": 2, "rows": 60, "start_lr": 1e-5, "end_lr": 1.0, "num_it": 100}
SWEEPS = {"last_group": -1, "all_groups": 0}
METHODS = ("valley", "minimum", "steep", "slide")


def splitter(model):
    """The parameters of every group of `stages.GROUPS`."""
    count = max(stages.GROUPS.values()) + 1
    group = lambda name: next(group for prefix, group in stages.GROUPS.items() if name.startswith(prefix))
    return [[p for name, p in model.named_parameters() if group(name) == number] for number in range(count)]


def sweep(model, ids, freeze_to):
    """`Learner.lr_find`: rates and smoothed losses of all batches."""
    from fastai.basics import DataLoader, DataLoaders, Learner
    from fastai.callback import progress, schedule  # noqa: F401 - they add `no_bar` and `lr_find` to `Learner`
    from fastai.optimizer import Adam

    class Logits(torch.nn.Module):
        """A model whose output is a tensor."""

        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, inputs):
            return self.inner(inputs).logits

    def loss(logits, targets):
        # The recorder smooths in float32, also for the model in float64.
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()).float()

    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    hyper = stages.FASTAI
    adam = functools.partial(Adam, sqr_mom=hyper["sqr_mom"], eps=hyper["eps"], wd=hyper["wd"], decouple_wd=True)
    batches = DataLoader([(row, row) for row in ids], bs=HYPER["batch_size"], shuffle=False)
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(
            DataLoaders(batches, batches), Logits(), loss_func=loss, opt_func=adam, path=folder,
            splitter=lambda wrapped: splitter(wrapped.inner),
        )
        learner.create_opt()
        learner.freeze_to(freeze_to)
        given = {name: HYPER[name] for name in ("start_lr", "end_lr", "num_it")}
        before = [parameter.clone() for parameter in model.parameters()]
        with learner.no_bar():
            found = learner.lr_find(**given, suggest_funcs=methods(), show_plot=False)
        assert all(torch.equal(old, new) for old, new in zip(before, model.parameters()))
    losses = [value.item() for value in learner.recorder.losses]
    return {"lr": learner.recorder.lrs, "smoothed_loss": losses, "suggestions": found._asdict()}


def methods():
    """The four ways to suggest a rate."""
    from fastai.callback import schedule

    return tuple(getattr(schedule, name) for name in METHODS)


def invented(name, seed, shape, num_it=100):
    """Suggestions for a curve of the form `shape(position)` with a little noise."""
    draw = random.Random(seed)
    rates = [1e-7 * (10 / 1e-7) ** (step / num_it) for step in range(num_it)]
    losses = [shape(step / num_it) + 0.02 * draw.random() for step in range(num_it)]
    best = losses[0]
    for step, value in enumerate(losses):
        best = min(best, value)
        if value > 4 * best:
            rates, losses = rates[: step + 1], losses[: step + 1]
            break
    window = slice(num_it // 10, -5)
    found = {
        method.__name__: method(torch.tensor(rates[window]), torch.tensor(losses[window]), num_it)[0]
        for method in methods()
    }
    return {"name": name, "num_it": num_it, "lr": rates, "smoothed_loss": losses, "suggestions": found}


def curves():
    """Shapes that sweeps have: down and up, down only, up only, two valleys, nothing but noise."""
    bowl = lambda at: 7 - 4 * math.exp(-((at - 0.6) ** 2) / 0.02) + (0 if at < 0.75 else 200 * (at - 0.75) ** 2)
    return [
        invented("valley", 1, bowl),
        invented("falling", 2, lambda at: 8 - 5 * at),
        invented("rising", 3, lambda at: 3 + 20 * max(at - 0.5, 0)),
        invented("two_valleys", 4, lambda at: 6 - 2 * math.sin(9 * at) + 3 * at),
        invented("noise", 5, lambda at: 5.0),
        invented("short", 6, bowl, num_it=40),
    ]


def write_lr_find(base, tokenizer, path):
    """lr_find.json; returns the noise."""
    ids = stages.ids_of(tokenizer, HYPER["rows"], stages.ROW)
    sweeps, noise = {}, {}
    for name, freeze_to in SWEEPS.items():
        found = sweep(training.copied(base), ids, freeze_to)
        twin = sweep(expected.doubled(base), ids, freeze_to)
        pairs = list(zip(found["smoothed_loss"], twin["smoothed_loss"]))
        noise[name] = {"max_rel_smoothed_loss": max(abs(a - b) / b for a, b in pairs)}
        sweeps[name] = {"freeze_to": freeze_to, "smoothed_loss_f64": twin["smoothed_loss"], **found}
    whole = {
        "model": "bbpe", "hyper": HYPER, "fastai_hyper": stages.FASTAI, "fastai_groups": stages.GROUPS,
        "input_ids": ids.tolist(), "sweeps": sweeps, "curves": curves(),
    }
    models.write_json(path, whole, indent=None)
    return noise
