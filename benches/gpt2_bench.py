"""Calls `gpt2 bench` for one measurement at a time."""

import json
import subprocess
from dataclasses import dataclass

NEW_TOKENS = 64  # of a decoding, as gpt2_infer::bench has it


@dataclass(frozen=True)
class Job:
    """What is measured, of a batch or of prompts of this shape."""

    kind: str  # train, prefill, decode or first-token
    batch: int
    seq: int
    dtype: str = "f32"  # or bf16, int8

    @property
    def name(self):
        shape = f"batch {self.batch}" if self.kind == "decode" else f"{self.batch}x{self.seq}"
        return f"{self.kind} {shape}" + ("" if self.dtype == "f32" else f", {self.dtype}")

    @property
    def tokens(self):
        """Tokens that are read or made in one pass."""
        return self.batch * (NEW_TOKENS if self.kind == "decode" else self.seq)


class Gpt2:
    """The binary, and what is the same at every call."""

    def __init__(self, binary, subject, threads, dropout=None, device=None):
        self.binary, self.subject, self.threads = binary, subject, threads
        self.dropout, self.device = dropout, device
        helped = subprocess.run([binary, "bench", "--help"], capture_output=True, text=True, check=True)
        self.help = helped.stdout

    def has(self, option):
        return option in self.help

    def measure(self, job, repeats, timeout=None):
        """Seconds of a pass, a median of `repeats`, and the peak of memory of a process that does nothing else: that of
        the device, where it has its own."""
        command = [self.binary, "bench", *self.subject, "--json", "--only", job.kind]
        command += ["--batch", job.batch, "--seq", job.seq, "--threads", self.threads, "--repeats", repeats]
        if job.dtype != "f32":
            command += ["--dtype" if job.dtype == "bf16" else "--quantize", job.dtype]
        if job.kind == "train" and self.dropout is not None:
            command += ["--dropout", self.dropout]
        if self.device:
            command += ["--device", self.device]
        if self.has("--peak-tflops"):
            # Floors are measured here; rates that are given are not measured there.
            command += ["--peak-tflops", 1, "--peak-gbs", 1]
        ran = run([str(part) for part in command], timeout)
        if ran.returncode != 0:
            raise RuntimeError(f"{job.name}: {ran.stderr.strip() or ran.returncode}")
        found = json.loads(ran.stdout)
        seconds = found["value"] if found["unit"] == "s" else job.tokens / found["value"]
        return seconds, found.get("device_memory_bytes") or found["peak_memory_bytes"]


def run(command, timeout):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"`{' '.join(command)}`: not done after {timeout:.0f} s") from error


def multiplied_parameters(config):
    """Parameters that every token is multiplied with: all matrices of the blocks, and the head."""
    embd, layers = config["n_embd"], config["n_layer"]
    inner = config.get("n_inner") or 4 * embd
    return layers * (4 * embd * embd + 2 * embd * inner) + config["vocab_size"] * embd


def flops(job, config):
    """Floating-point operations of a forward pass or a training step: `2 N + 4 L E T` for each token, and twice as
    much again for the backward pass (Chowdhery et al. 2022, appendix B). A causal attention can do with less."""
    attention = 4 * config["n_layer"] * config["n_embd"] * job.seq
    return job.tokens * (2 * multiplied_parameters(config) + attention) * (3 if job.kind == "train" else 1)
