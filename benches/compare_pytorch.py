"""Speed and memory of `gpt2` beside PyTorch and CTranslate2, in turn with them, as one table with goals.

    cargo build --release --workspace --bins
    pip install torch transformers ctranslate2
    python benches/compare_pytorch.py --output comparison.md

Every measurement goes round by round: `gpt2 bench` in a process of its own, then each of the others in a process
that stays, warmed up, and is stopped while it is not its turn. A ratio is the median of the ratios of the rounds,
so that a machine that has other work to do slows both sides. What is missing (a package, a C++ compiler for
torch.compile, an option of the binary) is left out and said so.

With `--device cuda` (or another name of `gpt2 devices` that is not a CPU's) both sides compute on the GPU, peaks are of
its memory, and `--jobs` says what is measured; `benches/gpu.sh` calls it so.
"""

import argparse
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from compare_worker import PRODUCT_WIDTH, PROMPT_TOKENS, READ_NUMBERS, convert_to_ctranslate2
from gpt2_bench import Gpt2, Job, flops, multiplied_parameters

WORKER = Path(__file__).with_name("compare_worker.py")
# Passes of a round after one that warms up.
REPEATS = {"train": 2, "prefill": 4, "decode": 2, "first-token": 4}
# On a GPU, where they are short.
GPU_REPEATS = {"train": 10, "prefill": 10, "decode": 5, "first-token": 10}
CPUS = ("flex", "ndarray")


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


def rows_of(text, dtype):
    """The rows of a list such as `train 8x1024, decode 32`, with the goals for GPUs."""
    for part in filter(None, map(str.strip, text.split(","))):
        kind, shape = part.split()
        batch, _, seq = shape.partition("x")
        job = Job(kind, int(batch), int(seq or PROMPT_TOKENS), dtype)
        if kind == "train":
            yield Row(job, {"PyTorch": Goal(), "torch.compile": Goal(1.0)})
        elif kind == "decode":
            yield Row(job, {"PyTorch": Goal(1.5 if job.batch == 1 else None)}, "read")
        else:
            yield Row(job, {"PyTorch": Goal()})


class Worker:
    """A process that measures one thing, stopped while it is not its turn."""

    def __init__(self, measurement, options, threads, deadline=None):
        self.deadline = deadline
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
        if self.deadline and not select.select([self.process.stdout], [], [], self.deadline.left())[0]:
            raise RuntimeError("not done when time was up")
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


class Deadline:
    """When everything has to be done."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return max(self.end - time.monotonic(), 0.0)


class Comparison:
    """Workers of a row, and what was left out."""

    def __init__(self, args, folder):
        self.args, self.folder, self.notes = args, folder, []
        self.config = json.loads((Path(args.model) / "config.json").read_text())
        self.gpt2 = Gpt2(args.gpt2, [args.model], args.threads, args.dropout, args.device)
        self.has_int8 = self.gpt2.has("--quantize")
        self.deadline = Deadline(args.time_limit) if args.time_limit else None
        self.torch_device = "cpu" if args.device in (None, *CPUS) else "cuda"
        self.repeats = REPEATS if self.torch_device == "cpu" else GPU_REPEATS
        self.gpu_floors = {}

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            print(f"note: {text}", file=sys.stderr)

    def worker(self, name, job):
        """The worker of a contender, or None with a note."""
        options = ["--model", self.args.model, "--batch", str(job.batch), "--seq", str(job.seq)]
        options += ["--device", self.torch_device, "--dtype", "bf16" if job.dtype == "bf16" else "f32"]
        if self.args.dropout is not None:
            options += ["--dropout", str(self.args.dropout)]
        prefix = {"PyTorch": "torch", "torch.compile": "torch.compile", "CTranslate2": "ctranslate2"}.get(name, name)
        if name == "torch.compile" and not shutil.which(os.environ.get("CXX", "g++")):
            return self.note("torch.compile needs a C++ compiler (g++, or CXX), which is not here")
        try:
            if name == "CTranslate2":
                options += self.converted(job.dtype)
            measurement = f"{prefix} {job.kind}" if name in ("PyTorch", "torch.compile", "CTranslate2") else name
            return Worker(measurement, options, self.args.threads, self.deadline)
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
        if job.dtype == "int8" and not self.has_int8:
            self.note(f"{job.name}: this binary has no `bench --quantize`")
            return
        if self.deadline and not self.deadline.left():
            self.note(f"{job.name}: no time was left")
            return
        if self.torch_device == "cpu":
            self.run_in_turn(row)
        else:
            self.run_one_by_one(row)

    def run_in_turn(self, row):
        """The others stay, each stopped while it is not its turn."""
        job, workers, floor = row.job, {}, None
        try:
            for name in [] if self.args.alone else row.others:
                if worker := self.worker(name, job):
                    workers[name] = worker
            floor = self.worker(f"machine {row.floor}", job)
            for number in range(self.args.rounds):
                print(f"{job.name}: round {number + 1} of {self.args.rounds}", file=sys.stderr)
                row.ours.append(self.gpt2.measure(job, self.repeats[job.kind], self.deadline and self.deadline.left()))
                for name, worker in workers.items():
                    row.theirs.setdefault(name, []).append(worker.measure(self.repeats[job.kind]))
                if floor:
                    row.floors.append(self.floor_rate(row.floor, floor.measure(5)[0]))
        finally:
            for worker in [*workers.values(), floor]:
                if worker:
                    worker.close()

    def run_one_by_one(self, row):
        """Each ends before the next one starts, since a stopped process keeps its memory of the device. What fails (memory that
        is not there, time that is up) is noted and left out."""
        job, repeats = row.job, self.repeats[row.job.kind]
        for number in range(self.args.rounds):
            print(f"{job.name}: round {number + 1} of {self.args.rounds}", file=sys.stderr)
            try:
                row.ours.append(self.gpt2.measure(job, repeats, self.deadline and self.deadline.left()))
            except RuntimeError as error:
                self.note(str(error))
            for name in [] if self.args.alone else row.others:
                if worker := self.worker(name, job):
                    try:
                        row.theirs.setdefault(name, []).append(worker.measure(repeats))
                    except RuntimeError as error:
                        self.note(f"{name}, {job.name}: {error}")
                    finally:
                        worker.close()
        if rate := self.gpu_floor(row):
            row.floors = [rate] * len(row.ours)

    def gpu_floor(self, row):
        """Measured once: a GPU has nothing else to do, and a process takes long to start there."""
        if row.floor not in self.gpu_floors:
            worker = self.worker(f"machine {row.floor}", row.job)
            if worker:
                self.gpu_floors[row.floor] = self.floor_rate(row.floor, worker.measure(20)[0])
                worker.close()
        return self.gpu_floors.get(row.floor)

    def floor_rate(self, kind, seconds):
        """Operations, or bytes, per second."""
        operations, numbers = 2 * PRODUCT_WIDTH[self.torch_device] ** 3, READ_NUMBERS[self.torch_device]
        return (operations if kind == "product" else 4 * numbers) / seconds

    def work(self, row):
        """Operations, or bytes of weights, of a pass."""
        if row.floor == "product":
            return flops(row.job, self.config)
        size = {"f32": 4, "bf16": 2, "int8": 1}[row.job.dtype]
        # All weights for every new token: for the first one while the prompt is read.
        return size * multiplied_parameters(self.config) * row.job.tokens / row.job.batch


def speed(job, seconds):
    if seconds is None:
        return "-"
    if job.kind == "first-token":
        return f"{seconds * 1000:.0f} ms"
    step = f", {seconds * 1000 * job.batch / job.tokens:.2f} ms a step" if job.kind == "decode" else ""
    return f"{job.tokens / seconds:.1f} tok/s{step}"


def megabytes(size):
    return "-" if size is None else f"{size / 1e6:,.0f} MB"


def verdict(found, goal, is_met):
    return "" if goal is None or found is None else f" ({'met' if is_met(found, goal) else 'MISSED'}: {goal:g})"


def summary(comparison, row):
    """The row as numbers: medians, and medians of the ratios of the rounds."""
    ours = [seconds for seconds, _ in row.ours]
    peak = middle([peak for _, peak in row.ours])
    result = {"what": row.job.name, "seconds": middle(ours), "rounds": ours, "peak_memory_bytes": peak, "others": {}}
    for name, goal in row.others.items():
        theirs = [seconds for seconds, _ in row.theirs.get(name, [])]
        if not theirs:
            continue
        other_peak = middle([peak for _, peak in row.theirs[name]])
        result["others"][name] = {
            "seconds": middle(theirs),
            "rounds": theirs,
            "peak_memory_bytes": other_peak,
            "speed_ratio": middle([other / own for own, other in zip(ours, theirs)]),
            "speed_goal": goal.speed,
            "memory_ratio": peak / other_peak if peak and other_peak else None,
            "memory_goal": goal.memory,
        }
    if row.floors:
        shares = [comparison.work(row) / own / floor for own, floor in zip(ours, row.floors)]
        result["floor"] = {"of": row.floor, "per_second": median(row.floors), "share": middle(shares)}
        result["floor"]["goal"] = row.floor_goal
    return result


def middle(numbers):
    """The median of what is known."""
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


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
            found = "-" if floor["share"] is None else f"{floor['share']:.2f}"
            share = f"{found} of {floor['per_second'] / 1e9:.0f} {unit}{goal}"
        own = [job.name, speed(job, result["seconds"])]
        for name, other in result["others"].items() or [("-", None)]:
            beside = ["-"] * 5
            if other:
                ratio, memory = other["speed_ratio"], other["memory_ratio"]
                beside = [
                    speed(job, other["seconds"]),
                    "-" if ratio is None else f"{ratio:.2f}{verdict(ratio, other['speed_goal'], at_least)}",
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
    parser.add_argument("--device", help="of gpt2; PyTorch computes on the GPU where this is not a CPU")
    parser.add_argument("--jobs", help="what to measure, such as `train 8x1024, decode 32` [default: the rows for a CPU]")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="of the `--jobs`")
    parser.add_argument("--alone", action="store_true", help="measure gpt2 and the floors without the others")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="leave out what is not done by then")
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
        for row in rows_of(args.jobs, args.dtype) if args.jobs else rows():
            if args.only and args.only not in row.job.name:
                continue
            comparison.run(row)
            if row.ours or row.theirs:
                measured.append((row, summary(comparison, row)))
            # After each row, so that something is there if the next one ends this program.
            write(args, comparison, measured)
        if not args.output:
            print(report(args, comparison, measured))


def report(args, comparison, measured):
    text = [
        f"{processor()}, {args.threads} threads of {os.cpu_count()} cores; {versions()}; {args.rounds} rounds; "
        f"dropout {'of the model' if args.dropout is None else args.dropout}.",
        table(comparison, measured),
        *(f"- {note}" for note in comparison.notes),
    ]
    return "\n\n".join(text[:2]) + "\n\n" + "\n".join(text[2:]) + "\n"


def write(args, comparison, measured):
    if args.output:
        Path(args.output).write_text(report(args, comparison, measured))
    if args.json:
        Path(args.json).write_text(json.dumps([result for _, result in measured], indent=1) + "\n")


if __name__ == "__main__":
    main()
