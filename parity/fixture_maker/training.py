"""Training curves of the Hugging Face Trainer, by loops written by hand, and a check against the real one."""

import torch

from . import expected, models, texts

HYPER = {
    "lr": 0.005, "steps": 30, "warmup": 3, "batch_size": 2, "accumulation": 2, "weight_decay": 0.01,
    "max_grad_norm": 1.0,
}
ROW = 16
# name -> (labels, how the losses of a step are averaged)
CURVES = {
    "trainer": ("input_ids", "micro_means"),
    "trainer_since_446": ("input_ids", "counted_before_shift"),
    "trainer_ignored": ("labels_ignored", "micro_means"),
    "trainer_ignored_since_446": ("labels_ignored", "counted_before_shift"),
    "trainer_ignored_scored": ("labels_ignored", "scored"),
}


def rows(tokenizer):
    """input_ids and labels_ignored of the curves, [steps * accumulation * batch_size, ROW] each."""
    ids = torch.tensor(models.encode(tokenizer, texts.curve_text()))
    count = HYPER["steps"] * HYPER["accumulation"] * HYPER["batch_size"]
    assert len(ids) >= count * ROW, (len(ids), count * ROW)
    inputs = ids[: count * ROW].view(count, ROW).contiguous()
    labels = inputs.clone()
    draw = torch.Generator().manual_seed(9)
    for row in range(count):
        hidden = 0 if row % 4 == 0 else int(torch.randint(2, ROW - 3, (1,), generator=draw))
        labels[row, :hidden] = -100
        if row % 5 == 2:
            labels[row, -2:] = -100
    return inputs, labels


def decayed(model):
    """Names of the parameters with weight decay: all but biases and LayerNorm."""
    return [name for name, _ in model.named_parameters() if not name.endswith("bias") and ".ln_" not in name]


def rate(step):
    """Linear warm-up from 0, then linear to 0."""
    steps, warmup = HYPER["steps"], HYPER["warmup"]
    return HYPER["lr"] * (step / warmup if step < warmup else (steps - step) / (steps - warmup))


def summed(model, ids, labels):
    """Sum of the losses of a micro-batch, in the model's own precision."""
    logits = model(ids).logits[:, :-1]
    flat = logits.reshape(-1, logits.shape[-1])
    return torch.nn.functional.cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")


def step_loss(model, micro, how, sum_of):
    """The loss of a step as a float; leaves the gradients in the model."""
    scored = [int((labels[:, 1:] != -100).sum()) for _, labels in micro]
    counted = sum(int((labels != -100).sum()) for _, labels in micro)
    total = 0.0
    for (ids, labels), own in zip(micro, scored):
        divisor = {"micro_means": own * len(micro), "counted_before_shift": counted, "scored": sum(scored)}[how]
        loss = sum_of(model, ids, labels) / divisor
        loss.backward()
        total += loss.item()
    return total


def curve(model, inputs, labels, how, sum_of=summed):
    """Runs the loop; `model` holds the final weights afterwards."""
    names = set(decayed(model))
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in names], "weight_decay": HYPER["weight_decay"]},
        {"params": [p for n, p in model.named_parameters() if n not in names], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    result = {"loss": [], "lr": [], "grad_norm": []}
    size, per_step = HYPER["batch_size"], HYPER["accumulation"]
    for step in range(HYPER["steps"]):
        micro = [slice((step * per_step + k) * size, (step * per_step + k + 1) * size) for k in range(per_step)]
        optimizer.zero_grad()
        result["loss"].append(step_loss(model, [(inputs[part], labels[part]) for part in micro], how, sum_of))
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), HYPER["max_grad_norm"], foreach=False)
        result["grad_norm"].append(norm.item())
        result["lr"].append(rate(step))
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
    return result


def weight_noise(single, double):
    """Largest distances of final weights, with the key third of c_attn.bias apart."""
    worst = key_bias = 0.0
    for (name, value), other in zip(single.named_parameters(), double.parameters()):
        difference = (value - other).abs()
        if name.endswith("c_attn.bias"):
            third = len(value) // 3
            key_bias = max(key_bias, difference[third : 2 * third].max().item())
            difference = torch.cat([difference[:third], difference[2 * third :]])
        worst = max(worst, difference.max().item())
    return {"max_abs_weight": worst, "max_abs_key_bias": key_bias}


def copied(model):
    """A float32 copy without dropout in effect."""
    twin = models.new_model(models.base_config())
    twin.load_state_dict(model.state_dict())
    return twin


def write_training(base, tokenizer, others, path_json, path_arrays):
    """training.json and training.safetensors, with `others` (see stages.curves); returns the noise."""
    inputs, ignored = rows(tokenizer)
    labels_by_name = {"input_ids": inputs, "labels_ignored": ignored}
    arrays = {"trainer.input_ids": inputs, "trainer.labels_ignored": ignored}
    curves, noise = {}, {}
    for name, (labels, how) in CURVES.items():
        model, twin = copied(base), expected.doubled(base)
        curves[name] = curve(model, inputs, labels_by_name[labels], how)
        curves[name]["loss_f64"] = curve(twin, inputs, labels_by_name[labels], how)["loss"]
        apart = max(abs(a - b) for a, b in zip(curves[name]["loss"], curves[name]["loss_f64"]))
        noise[name] = {"max_abs_loss": apart, **weight_noise(model, twin)}
        if name == "trainer":
            arrays.update({f"final.trainer.{key}": value for key, value in model.named_parameters()})
    parts, more_curves, more_arrays, more_noise = others
    curves.update(more_curves)
    arrays.update(more_arrays)
    noise.update(more_noise)
    whole = {"model": "bbpe", "trainer_hyper": HYPER, "weight_decay_on": decayed(base), "curves": curves, **parts}
    models.write_json(path_json, whole)
    expected.save_arrays(arrays, path_arrays)
    return noise


def check_against_trainer(base, tokenizer, curves, folder):
    """Runs transformers' own Trainer over the same rows; prints and bounds the distance of the losses."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return None

    class Losses(TrainerCallback):
        def __init__(self):
            self.values = []

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" in logs:
                self.values.append(logs["loss"])

    inputs, ignored = rows(tokenizer)
    sources = {"input_ids": inputs, "labels_ignored": ignored}
    for name in ("trainer", "trainer_since_446", "trainer_ignored", "trainer_ignored_since_446"):
        data = [{"input_ids": i, "labels": l} for i, l in zip(inputs, sources[CURVES[name][0]])]
        arguments = TrainingArguments(
            output_dir=folder, max_steps=HYPER["steps"], warmup_steps=HYPER["warmup"], learning_rate=HYPER["lr"],
            per_device_train_batch_size=HYPER["batch_size"], gradient_accumulation_steps=HYPER["accumulation"],
            weight_decay=HYPER["weight_decay"], max_grad_norm=HYPER["max_grad_norm"], lr_scheduler_type="linear",
            logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, optim="adamw_torch",
        )
        model = copied(base)
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        losses = Losses()
        trainer = InOrder(model=model, args=arguments, train_dataset=data, callbacks=[losses])
        if name in ("trainer", "trainer_ignored"):
            trainer.model_accepts_loss_kwargs = False
        trainer.train()
        apart = max(abs(a - b) for a, b in zip(losses.values, curves[name]["loss"]))
        print(f"Trainer check, {name}: {len(losses.values)} losses, largest distance {apart:.2e}")
        assert len(losses.values) == HYPER["steps"] and apart < 1e-4, apart
