"""Whether a device computes what the CPU computes: logits, loss, gradients, greedy ids, and the losses of a run.

    python benches/gpu_check.py numbers --device cuda --output numbers.md
    python benches/gpu_check.py curve --device cuda --steps 300 --output curve.md

Models are small and random, so nothing has to be there but the binary, numpy and safetensors. `--reference` is the device
that is believed, `flex` by default, which the tests of the workspace hold against `transformers`.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file

# Name, configuration, batch and length. The second one has what kernels may stumble over: heads of width 40, a length that is
# no multiple of a tile, a vocabulary that is none of a vector.
MODELS = [
    ("2 layers of 64", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 512, "n_positions": 128}, 2, 64),
    ("2 layers of 120", {"n_embd": 120, "n_layer": 2, "n_head": 3, "vocab_size": 1001, "n_positions": 300}, 3, 257),
    ("4 layers of 256", {"n_embd": 256, "n_layer": 4, "n_head": 4, "vocab_size": 5000, "n_positions": 512}, 2, 512),
]
# Largest difference, as a share of the largest number of a tensor: sums in another order, and products that are rounded to
# f32 once more or less.
TOLERANCE = {"logits": 2e-4, "loss": 1e-5, "gradients": 1e-3}
# Largest difference of two losses in the first 20 steps of a run, and of the means of the last 20.
EARLY = {"f32": 2e-3, "bf16": 2e-2}
LATE = 0.05


def config(sizes):
    rates = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **sizes, **rates}


def make_model(folder, sizes):
    """A model folder with random weights, larger than a fresh model's so that attention is not flat."""
    draw = numpy.random.default_rng(7)
    embd, vocab, positions = sizes["n_embd"], sizes["vocab_size"], sizes["n_positions"]

    def normal(*shape, deviation=0.08):
        return draw.normal(0.0, deviation, shape).astype(numpy.float32)

    weights = {"wte.weight": normal(vocab, embd), "wpe.weight": normal(positions, embd, deviation=0.02)}
    for layer in range(sizes["n_layer"]):
        for norm in ("ln_1", "ln_2"):
            weights[f"h.{layer}.{norm}.weight"] = 1.0 + normal(embd)
            weights[f"h.{layer}.{norm}.bias"] = normal(embd)
        shapes = {
            "attn.c_attn": (embd, 3 * embd),
            "attn.c_proj": (embd, embd),
            "mlp.c_fc": (embd, 4 * embd),
            "mlp.c_proj": (4 * embd, embd),
        }
        for name, shape in shapes.items():
            weights[f"h.{layer}.{name}.weight"] = normal(*shape)
            weights[f"h.{layer}.{name}.bias"] = normal(shape[1])
    weights["ln_f.weight"], weights["ln_f.bias"] = 1.0 + normal(embd), normal(embd)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(sizes)))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def gpt2(args, *rest, device):
    command = [args.gpt2, *map(str, rest), "--device", device, "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}`: {ran.stderr.strip()[-2000:] or ran.returncode}")
    return ran.stdout


def difference(found, expected):
    """Largest difference as a share of the largest number; infinite where something is no number."""
    if found.shape != expected.shape or not numpy.isfinite(found).all():
        return float("inf")
    # In f64, and no share of nothing.
    found, expected = found.astype(numpy.float64), expected.astype(numpy.float64)
    return float(numpy.abs(found - expected).max() / max(numpy.abs(expected).max(), 1e-30))


def outputs(args, folder, device):
    """Logits, loss and gradients on a device, and the ids of a greedy text."""
    output = folder / f"{device.replace(':', '-')}.safetensors"
    gpt2(args, "forward", folder, "--input", folder / "input.safetensors", "--output", output, "--gradients", device=device)
    text = gpt2(
        args, "generate", folder, "--prompt-ids", "1,2,3,4,5,6,7", "--max-new-tokens", 32, "--json", device=device
    )
    return load_file(output), json.loads(text)["sequences"][0]["ids"]


def numbers(args, folder):
    lines = ["| model | logits | loss | gradients, worst | greedy ids | |", "|---|---:|---:|---:|---|---|"]
    is_right = True
    for number, (name, sizes, batch, seq) in enumerate(MODELS):
        model = folder / str(number)
        make_model(model, sizes)
        draw = numpy.random.default_rng(number)
        ids = draw.integers(0, sizes["vocab_size"], (batch, seq)).astype(numpy.int64)
        save_file({"input_ids": ids, "labels": ids}, model / "input.safetensors")
        (expected, expected_ids), (found, found_ids) = (
            outputs(args, model, device) for device in (args.reference, args.device)
        )
        gradients = {key: difference(found[key], expected[key]) for key in expected if key.startswith("grad.")}
        worst = max(gradients, key=gradients.get)
        measured = {
            "logits": difference(found["logits"], expected["logits"]),
            "loss": difference(found["loss"], expected["loss"]),
            "gradients": gradients[worst],
        }
        same = found_ids == expected_ids
        fits = same and all(measured[key] <= TOLERANCE[key] for key in TOLERANCE)
        is_right &= fits
        cells = [f"{measured['logits']:.1e}", f"{measured['loss']:.1e}", f"{gradients[worst]:.1e} ({worst[5:]})"]
        lines.append("| " + " | ".join([name, *cells, "same" if same else "DIFFER", "ok" if fits else "WRONG"]) + " |")
    lines.append("")
    lines.append(f"`{args.device}` beside `{args.reference}`, largest difference as a share of the largest number.")
    return lines, is_right


def text(path):
    """Sentences of a small language, which a small model learns within some hundred steps."""
    draw = random.Random(3)
    subjects, verbs = ["the fox", "a child", "my aunt", "the old king"], ["sees", "loves", "paints", "forgets"]
    objects, ends = ["the river", "a red house", "seven birds", "the moon"], ["today", "again", "at night", "slowly"]
    sentence = [subjects, verbs, objects, ends]
    path.write_text("".join(" ".join(map(draw.choice, sentence)) + ".\n" for _ in range(4000)))


def losses(args, folder, device, dtype):
    """The losses of a run without dropout, whose masks depend on how a batch is divided among cores."""
    output = Path(tempfile.mkdtemp(dir=folder)) / "run"
    options = ["--config", folder / "config.json", "--tokenizer", folder / "tokenizer", "--data", folder / "text.txt"]
    options += ["--output", output, "--block-size", 128, "--per-device-batch-size", 8, "--max-steps", args.steps]
    options += ["--learning-rate", "1e-3", "--seed", 5, "--dropout", 0, "--dtype", dtype]
    gpt2(args, "train", *options, device=device)
    lines = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
    return numpy.array([line["loss"] for line in lines if "loss" in line])


def curve(args, folder):
    text(folder / "text.txt")
    sizes = {"n_embd": 128, "n_layer": 4, "n_head": 4, "vocab_size": 300, "n_positions": 128}
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
    gpt2(
        args, "tokenizer", "train", "--kind", "bbpe", "--vocab-size", 300, "--output", folder / "tokenizer",
        folder / "text.txt", device=args.reference,
    )
    with ThreadPoolExecutor() as both:
        runs = [(args.reference, "f32"), (args.device, args.dtype)]
        expected, found = both.map(lambda run: losses(args, folder, *run), runs)
    lines = ["| step | " + args.reference + " | " + args.device + " | difference |", "|---:|---:|---:|---:|"]
    steps = sorted({0, 9, 29, 99, 199, args.steps - 1} & set(range(args.steps)))
    lines += [
        f"| {step + 1} | {expected[step]:.4f} | {found[step]:.4f} | {found[step] - expected[step]:+.1e} |" for step in steps
    ]
    # Rounding makes two runs part slowly: first they are the same, in the end they have learned as much.
    early = float(numpy.abs(found - expected)[:20].max())
    late = float(abs(found[-20:].mean() - expected[-20:].mean()))
    is_right = len(found) == args.steps and early <= EARLY[args.dtype] and late <= LATE
    lines.append("")
    lines.append(
        f"{args.steps} steps, `{args.device}` in {args.dtype} beside `{args.reference}` in f32: largest difference {early:.1e} in"
        f" the first 20 steps; means of the last 20 differ by {late:.1e}: {'ok' if is_right else 'WRONG'}."
    )
    return lines, is_right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("numbers", "curve"))
    parser.add_argument("--gpt2", default="target/release/gpt2", help="the binary")
    parser.add_argument("--device", required=True)
    parser.add_argument("--reference", default="flex")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="of the device's run")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", help="Markdown file [default: standard output]")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines, is_right = {"numbers": numbers, "curve": curve}[args.what](args, Path(folder))
    text = "\n".join(lines) + "\n"
    Path(args.output).write_text(text) if args.output else print(text)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
