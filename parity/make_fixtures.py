"""Writes `fixtures/`: small GPT-2 models and the numbers that Hugging Face transformers computes from them.

    python make_fixtures.py [--out FOLDER] [--check-trainer]

The output does not depend on the run: fixed seeds, one thread, sorted keys. `--check-trainer` also runs transformers'
own Trainer (needs `accelerate`) and compares its losses with those of the loops written here.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile

import fastai
import h5py
import numpy
import peft
import safetensors
import tokenizers
import torch
import transformers

from fixture_maker import (
    autocast, bad, expected, formats, generation, lora, lr_finder, models, pipeline, processors, stages, training,
    transfer,
)


def versions():
    """The programs that made the numbers."""
    parts = (torch, transformers, peft, tokenizers, safetensors, h5py, numpy, fastai)
    named = [f"{part.__name__} {part.__version__}" for part in parts]
    return ", ".join(named + [f"Python {platform.python_version()}"])


def write_models(root, tokenizer):
    """Every model folder; returns the models whose forward pass is recorded, by name."""
    base = models.random_model(models.base_config(), seed=3)
    formats.save_all_formats(base, root, tokenizer)
    trained = models.trained_model(tokenizer)
    folder = os.path.join(root, "bbpe-trained")
    formats.save_new(trained, folder)
    models.save_tokenizer(tokenizer, folder, "strings")
    named = {"bbpe": base}
    for name in ("bbpe-f16", "bbpe-bf16"):
        half = transformers.GPT2LMHeadModel.from_pretrained(os.path.join(root, name))
        rounded = models.new_model(models.base_config())
        rounded.load_state_dict({key: value.float() for key, value in half.state_dict().items()})
        named[name] = rounded
    named["bbpe-trained"] = trained
    for seed, name in enumerate(sorted(models.VARIANTS), start=20):
        model = models.random_model(models.variant_config(name), seed)
        formats.save_new(model, os.path.join(root, "variants", name))
        named[f"variants/{name}"] = model
    return named


def check_formats(root, base):
    """Loads every folder that transformers can read and compares it with the base model, bit for bit."""
    for name in ("bbpe", "bbpe-bin", "bbpe-bin-legacy", "bbpe-noprefix", "bbpe-sharded", "bbpe-bin-sharded"):
        loaded = transformers.GPT2LMHeadModel.from_pretrained(os.path.join(root, name))
        for key, value in base.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), (name, key)


def write_expected(root, named, tokenizer, check):
    """Everything under expected/."""
    base, trained = named["bbpe"], named["bbpe-trained"]
    inside = lambda name: os.path.join(root, name)
    noise = {"logits": expected.write_forward(named, inside("forward"))}
    noise["grads"] = expected.write_grads(base, named["variants/untied"], inside("grads.safetensors"))
    paths = inside("training.json"), inside("training.safetensors")
    noise["training"] = training.write_training(base, tokenizer, stages.curves(base, tokenizer), *paths)
    autocast.write_autocast(base, training.rows(tokenizer)[0], inside("autocast.json"))
    noise["lr_find"] = lr_finder.write_lr_find(base, tokenizer, inside("lr_find.json"))
    noise["evaluation"] = expected.write_evaluation(trained, tokenizer, inside("evaluation.json"))
    expected.write_features(base, tokenizer, inside("features"))
    expected.write_tokenization(tokenizer, inside("tokenization"))
    generated = [("bbpe", base), ("bbpe-trained", trained)]
    noise["beam_scores"] = generation.write_generation(generated, tokenizer, inside("generation.json"))
    processors.write_processors(base, tokenizer, root)
    transfer.write_transfer(base, tokenizer, inside("vocab_transfer"))
    noise["lora"] = lora.write_lora(base, tokenizer, inside("lora"))
    models.write_json(inside("noise.json"), noise)
    if check:
        with open(paths[0], encoding="utf-8") as file, tempfile.TemporaryDirectory() as folder:
            training.check_against_trainer(base, tokenizer, json.load(file)["curves"], folder)


def main():
    """Writes the whole folder anew; README.md in it is kept."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(here, "fixtures"))
    parser.add_argument("--check-trainer", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(versions())
    parts = {name: os.path.join(given.out, name) for name in ("models", "expected", "bad")}
    for folder in parts.values():
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    tokenizer = models.train_tokenizer()
    named = write_models(parts["models"], tokenizer)
    check_formats(parts["models"], named["bbpe"])
    write_expected(parts["expected"], named, tokenizer, given.check_trainer)
    trained = os.path.join(parts["models"], "bbpe-trained")
    texts = os.path.join(parts["expected"], "pipeline.json")
    pipeline.write_pipeline("bbpe-trained", named["bbpe-trained"], trained, texts)
    bad.write_bad(parts["bad"], tokenizer)
    sizes = [os.path.getsize(os.path.join(top, name)) for top, _, files in os.walk(given.out) for name in files]
    print(f"{len(sizes)} files, {sum(sizes)} bytes")


if __name__ == "__main__":
    main()
