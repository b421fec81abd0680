"""Whether the cost of a step grows faster than its floating-point operations: with length, and with the model.

    cargo build --release --workspace --bins
    python benches/scaling.py --output scaling.md

Needs the binary alone. Models have random weights; those that do not fit the memory that is free are left out and
said so. Seconds per operation are given relative to the first line of each part, one round after the other.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from gpt2_bench import Gpt2, Job, flops, multiplied_parameters

# n_embd, n_layer, n_head of the published models.
MODELS = {"gpt2": (768, 12, 12), "medium": (1024, 24, 16), "large": (1280, 36, 20), "xl": (1600, 48, 25)}
LENGTHS = (64, 128, 256, 512, 1024)
# Copies of the parameters: weights, gradients and the two means of AdamW in training.
COPIES = {"train": 4, "prefill": 1}
REPEATS = {"train": 2, "prefill": 3}


def config(name):
    embd, layers, heads = MODELS[name]
    sizes = {"n_embd": embd, "n_layer": layers, "n_head": heads}
    return {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, **sizes}


def free_memory():
    """Bytes; no limit where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def needed_memory(kind, model):
    # The position embedding is small change; activations of the lengths that are measured are about a gigabyte.
    return COPIES[kind] * 4 * multiplied_parameters(model) + (2 << 30)


def measure(gpt2s, jobs, rounds):
    """Medians of seconds for each (model, job), the rounds in turn."""
    found = {key: [] for key in jobs}
    for number in range(rounds):
        for name, job in jobs:
            print(f"{name}, {job.name}: round {number + 1} of {rounds}", file=sys.stderr)
            found[name, job].append(gpt2s[name].measure(job, REPEATS[job.kind])[0])
    return {key: median(seconds) for key, seconds in found.items()}


def table(seconds):
    lines = ["| model | what | s | GFLOP | GFLOP/s | seconds per operation |", "|---|---|---:|---:|---:|---:|"]
    first = {}
    for (name, job), time in seconds.items():
        work = flops(job, config(name))
        per_operation = time / work
        relative = per_operation / first.setdefault(job.kind, per_operation)
        numbers = f"{time:.3f} | {work / 1e9:.0f} | {work / time / 1e9:.0f} | {relative:.2f}"
        lines.append(f"| {name} | {job.name} | {numbers} |")
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpt2", default="target/release/gpt2", help="the binary")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", choices=MODELS, default="xl", help="the last model")
    parser.add_argument("--output", help="Markdown file [default: standard output]")
    return parser.parse_args()


def main():
    args = arguments()
    names = list(MODELS)[: list(MODELS).index(args.largest) + 1]
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        gpt2s = {}
        for name in names:
            path = Path(folder) / f"{name}.json"
            path.write_text(json.dumps(config(name)))
            gpt2s[name] = Gpt2(args.gpt2, ["--config", str(path)], args.threads)
        by_length = [("gpt2", Job(kind, 1, seq)) for kind in COPIES for seq in LENGTHS]
        by_size = []
        for kind in COPIES:
            for name in names:
                if needed_memory(kind, config(name)) > free_memory():
                    notes.append(f"- {kind} of {name} is left out: it needs more memory than is free.")
                else:
                    by_size.append((name, Job(kind, 1, 256)))
        lengths = table(measure(gpt2s, by_length, args.rounds))
        sizes = table(measure(gpt2s, by_size, args.rounds))
    machine = f"{args.threads} threads of {os.cpu_count()} cores, {args.rounds} rounds."
    text = "\n\n".join([machine, lengths, sizes, "\n".join(notes)]).rstrip() + "\n"
    Path(args.output).write_text(text) if args.output else print(text)


if __name__ == "__main__":
    main()
