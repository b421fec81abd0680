"""Speed and memory of `gpt2` beside PyTorch and CTranslate2, in turn with them, as one table with goals.

    cargo build --release --workspace --bins
    pip install torch transformers ctranslate2
    python benches/compare_pytorch.py --output comparison.md

Every measurement goes round by round: `gpt2 bench` in a process of its own, then each of the others in a process
that stays, warmed up, and is stopped while it is not its turn. A ratio is the median of the ratios of the rounds,
so that a machine that has other work to do slows both sides. What is missing (a package, a C++ compiler for
torch.compile, an option of the binary) is left out and said so.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from compare_worker import convert_to_ctranslate2
from gpt2_bench import Gpt2, Job, flops, multiplied_parameters

WORKER = Path(__file__).with_name("compare_worker.py")
# Passes of a round after one that warms up.
REPEATS = {"train": 2, "prefill": 4, "decode": 2, "first-token": 4}


@dataclass
class Goal:
    """Least ratio of speeds, and largest ratio of peaks of memory."""

    speed: float | None = None
    memory: float | None = None


@dataclass
class Row:
    """A measurement, and who it is compared with: by name the goal."""

    job: Job
    others: dict[str, Goal]
    # Share of the floor that has to be reached; the floor is products, or reading where decoding is bound by that.
    floor: str = "product"
    floor_goal: float | None = None
    ours: list = field(default_factory=list)
    theirs: dict = field(default_factory=dict)
    floors: list = field(default_factory=list)


def rows():
    eager, compiled, c2 = "PyTorch", "torch.compile", "CTranslate2"
    train = [
        Row(Job("train", 1, 256), {eager: Goal(1.7, 0.6), compiled: Goal(1.25)}),
        Row(Job("train", 4, 256), {eager: Goal(1.4, 0.6), compiled: Goal(1.25)}),
        Row(Job("train", 1, 1024), {eager: Goal(1.7, 0.6), compiled: Goal(1.25)}),
    ]
    forward = [
        Row(Job("prefill", batch, seq), {eager: Goal(1.2), c2: Goal()})
        for batch, seq in ((1, 256), (4, 256), (1, 1024))
    ]
    other = [
        Row(Job("decode", 1, 16), {eager: Goal(), c2: Goal()}, "read", 0.8),
        Row(Job("decode", 8, 16), {eager: Goal(), c2: Goal()}, "read"),
        Row(Job("decode", 1, 16, "int8"), {c2: Goal(1.5)}, "read"),
        Row(Job("decode", 8, 16, "int8"), {c2: Goal(1.2)}, "read"),
        Row(Job("prefill", 1, 256, "int8"), {c2: Goal(1.0)}),
        Row(Job("first-token", 1, 512), {eager: Goal(1.0), c2: Goal(1.0)}),
        Row(Job("first-token", 1, 512, "int8"), {c2: Goal(1.0)}),
    ]
    return train + forward + other


class Worker:
    """A process that measures one thing, stopped while it is not its turn."""

    def __init__(self, measurement, options, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        command = [sys.executable, str(WORKER), measurement, "--threads", str(threads), *options]
        self.errors = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=self.errors,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            self.answer()
        except BaseException:
            self.close()
            raise
        self.send(signal.SIGSTOP)

    def send(self, number):
        # torch.compile has processes of its own.
        os.killpg(self.process.pid, number)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else "it said nothing")
        return json.loads(line)

    def measure(self, repeats):
        self.send(signal.SIGCONT)
        self.process.stdin.write(f"{repeats}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.send(signal.SIGSTOP)
        return median(answer["seconds"]), answer["peak"]

    def close(self):
        self.send(signal.SIGKILL)
        self.process.wait()
        self.errors.close()


class Comparison:
    """Workers of a row, and what was left out."""

    def __init__(self, args, folder):
        self.args, self.folder, self.notes = args, folder, []
        self.config = json.loads((Path(args.model) / "config.json").read_text())
        self.gpt2 = Gpt2(args.gpt2, [args.model], args.threads, args.dropout)
        self.has_int8 = self.gpt2.has("--quantize")

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            print(f"note: {text}", file=sys.stderr)

    def worker(self, name, job):
        """The worker of a contender, or None with a note."""
        options = ["--model", self.args.model, "--batch", str(job.batch), "--seq", str(job.seq)]
        if self.args.dropout is not None:
            options += ["--dropout", str(self.args.dropout)]
        prefix = {"PyTorch": "torch", "torch.compile": "torch.compile", "CTranslate2": "ctranslate2"}.get(name, name)
        if name == "torch.compile" and not shutil.which(os.environ.get("CXX", "g++")):
            return self.note("torch.compile needs a C++ compiler (g++, or CXX), which is not here")
        try:
            if name == "CTranslate2":
                options += self.converted(job.dtype)
            measurement = f"{prefix} {job.kind}" if name in ("PyTorch", "torch.compile", "CTranslate2") else name
            return Worker(measurement, options, self.args.threads)
        except (ImportError, RuntimeError) as error:
            return self.note(f"{name}, {job.name}: {error}")

    def converted(self, dtype):
        compute_type = {"f32": "float32", "int8": "int8"}[dtype]
        folder = self.folder / compute_type
        if not folder.exists():
            convert_to_ctranslate2(self.args.model, compute_type, str(folder))
        return ["--ctranslate2", str(folder), "--compute-type", compute_type]

    def run(self, row):
        job = row.job
        if job.dtype != "f32" and not self.has_int8:
            self.note(f"{job.name}: this binary has no `bench --quantize`")
            return
        workers, floor = {}, None
        try:
            for name in row.others:
                if worker := self.worker(name, job):
                    workers[name] = worker
            floor = self.worker(f"machine {row.floor}", job)
            for number in range(self.args.rounds):
                print(f"{job.name}: round {number + 1} of {self.args.rounds}", file=sys.stderr)
                row.ours.append(self.gpt2.measure(job, REPEATS[job.kind]))
                for name, worker in workers.items():
                    row.theirs.setdefault(name, []).append(worker.measure(REPEATS[job.kind]))
                if floor:
                    row.floors.append(self.floor_rate(row.floor, floor.measure(5)[0]))
        finally:
            for worker in [*workers.values(), floor]:
                if worker:
                    worker.close()

    @staticmethod
    def floor_rate(kind, seconds):
        """Operations, or bytes, per second."""
        return (2 * 2048**3 if kind == "product" else 4 << 28) / seconds

    def work(self, row):
        """Operations, or bytes of weights, of a pass."""
        if row.floor == "product":
            return flops(row.job, self.config)
        size = {"f32": 4, "int8": 1}[row.job.dtype]
        # All weights for every new token: for the first one while the prompt is read.
        return size * multiplied_parameters(self.config) * row.job.tokens / row.job.batch


def speed(job, seconds):
    return f"{seconds * 1000:.0f} ms" if job.kind == "first-token" else f"{job.tokens / seconds:.1f} tok/s"


def megabytes(size):
    return "-" if size is None else f"{size / 1e6:,.0f} MB"


def verdict(found, goal, is_met):
    return "" if goal is None or found is None else f" ({'met' if is_met(found, goal) else 'MISSED'}: {goal:g})"


def summary(comparison, row):
    """The row as numbers: medians, and medians of the ratios of the rounds."""
    ours = [seconds for seconds, _ in row.ours]
    peak = median(peak for _, peak in row.ours) if row.ours[0][1] else None
    result = {"what": row.job.name, "seconds": median(ours), "rounds": ours, "peak_memory_bytes": peak, "others": {}}
    for name, goal in row.others.items():
        if name not in row.theirs:
            continue
        theirs = [seconds for seconds, _ in row.theirs[name]]
        other_peak = median(peak for _, peak in row.theirs[name]) if row.theirs[name][0][1] else None
        result["others"][name] = {
            "seconds": median(theirs),
            "rounds": theirs,
            "peak_memory_bytes": other_peak,
            "speed_ratio": median(other / own for own, other in zip(ours, theirs)),
            "speed_goal": goal.speed,
            "memory_ratio": peak / other_peak if peak and other_peak else None,
            "memory_goal": goal.memory,
        }
    if row.floors:
        shares = [comparison.work(row) / own / floor for own, floor in zip(ours, row.floors)]
        result["floor"] = {"of": row.floor, "per_second": median(row.floors), "share": median(shares)}
        result["floor"]["goal"] = row.floor_goal
    return result


def at_least(found, goal):
    return found >= goal


def at_most(found, goal):
    return found <= goal


def table(comparison, measured):
    lines = [
        "| what | gpt2 | beside | | ratio of speeds | gpt2, peak | beside, peak | ratio of peaks | of the floor |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row, result in measured:
        job, floor = row.job, result.get("floor")
        share = "-"
        if floor:
            unit = "GFLOP/s" if floor["of"] == "product" else "GB/s"
            goal = verdict(floor["share"], floor["goal"], at_least)
            share = f"{floor['share']:.2f} of {floor['per_second'] / 1e9:.0f} {unit}{goal}"
        own = [job.name, speed(job, result["seconds"])]
        for name, other in result["others"].items() or [("-", None)]:
            beside = ["-"] * 5
            if other:
                ratio, memory = other["speed_ratio"], other["memory_ratio"]
                beside = [
                    speed(job, other["seconds"]),
                    f"{ratio:.2f}{verdict(ratio, other['speed_goal'], at_least)}",
                    megabytes(result["peak_memory_bytes"]),
                    megabytes(other["peak_memory_bytes"]),
                    "-" if memory is None else f"{memory:.2f}{verdict(memory, other['memory_goal'], at_most)}",
                ]
            lines.append("| " + " | ".join([*own, name, *beside, share]) + " |")
            own, share = ["", ""], ""
    return "\n".join(lines)


def versions():
    found = []
    for package in ("torch", "transformers", "ctranslate2"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def random_model(folder):
    """GPT-2 small with random weights; speed does not depend on them."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(bos_token_id=None, eos_token_id=None)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpt2", default="target/release/gpt2", help="the binary")
    parser.add_argument("--model", help="model folder [default: GPT-2 small with random weights]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dropout", type=float, help="of training [default: the model's own, which is 0.1]")
    parser.add_argument("--only", help="measure what has this in its name, such as `train` or `decode batch 1`")
    parser.add_argument("--output", help="Markdown file [default: standard output]")
    parser.add_argument("--json", help="file with all numbers")
    return parser.parse_args()


def main():
    args = arguments()
    # So that no worker stays behind, stopped, where this program is asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        args.model = args.model or random_model(folder / "model")
        comparison = Comparison(args, folder)
        measured = []
        for row in rows():
            if args.only and args.only not in row.job.name:
                continue
            comparison.run(row)
            if row.ours:
                measured.append((row, summary(comparison, row)))
    text = [
        f"{processor()}, {args.threads} threads of {os.cpu_count()} cores; {versions()}; {args.rounds} rounds; "
        f"dropout {'of the model' if args.dropout is None else args.dropout}.",
        table(comparison, measured),
        *(f"- {note}" for note in comparison.notes),
    ]
    text = "\n\n".join(text[:2]) + "\n\n" + "\n".join(text[2:]) + "\n"
    Path(args.output).write_text(text) if args.output else print(text)
    if args.json:
        Path(args.json).write_text(json.dumps([result for _, result in measured], indent=1) + "\n")


if __name__ == "__main__":
    main()
