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
    dtype: str = "f32"  # or int8

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

    def __init__(self, binary, subject, threads, dropout=None):
        self.binary, self.subject, self.threads, self.dropout = binary, subject, threads, dropout

    def has(self, option):
        helped = subprocess.run([self.binary, "bench", "--help"], capture_output=True, text=True, check=True)
        return option in helped.stdout

    def measure(self, job, repeats):
        """Seconds of a pass, a median of `repeats`, and the peak of memory of a process that does nothing else."""
        command = [self.binary, "bench", *self.subject, "--json", "--only", job.kind]
        command += ["--batch", job.batch, "--seq", job.seq, "--threads", self.threads, "--repeats", repeats]
        if job.dtype != "f32":
            command += ["--quantize", job.dtype]
        if job.kind == "train" and self.dropout is not None:
            command += ["--dropout", self.dropout]
        ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if ran.returncode != 0:
            raise RuntimeError(f"{job.name}: {ran.stderr.strip() or ran.returncode}")
        found = json.loads(ran.stdout)
        seconds = found["value"] if found["unit"] == "s" else job.tokens / found["value"]
        return seconds, found["peak_memory_bytes"]


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
