"""One measurement of PyTorch, CTranslate2 or the machine, in a process that compare_pytorch.py starts.

Says {"ready": true} once it has warmed up; then, for every line `N` on standard input, makes N passes and
answers with their seconds and the peak of memory: {"seconds": [..], "peak": bytes}.
"""

import argparse
import json
import os
import random
import sys
import time

PROMPT_TOKENS, NEW_TOKENS = 16, 64  # as gpt2_infer::bench has them


def random_ids(args, vocab_size):
    draw = random.Random(args.batch * args.seq)
    return [[draw.randrange(vocab_size) for _ in range(args.seq)] for _ in range(args.batch)]


def torch_ids(args, model):
    import torch

    return torch.tensor(random_ids(args, model.config.vocab_size))


def torch_model(args):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(args.threads)
    dropout = {}
    if args.dropout is not None:
        dropout = {key: args.dropout for key in ("attn_pdrop", "embd_pdrop", "resid_pdrop")}
    config = GPT2Config.from_pretrained(args.model, **dropout)
    return GPT2LMHeadModel.from_pretrained(args.model, config=config)


def torch_train(args, is_compiled):
    """Forward, backward, clipping and AdamW; `train()` has the dropout of the configuration."""
    import torch

    model = torch_model(args).train()
    ids = torch_ids(args, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0)
    run = torch.compile(model) if is_compiled else model

    def step():
        optimizer.zero_grad()
        loss = run(ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def torch_prefill(args):
    import torch

    model = torch_model(args).eval()
    ids = torch_ids(args, model)

    @torch.inference_mode()
    def forward():
        return model(ids, use_cache=False).logits

    return forward


def torch_generate(args, new_tokens):
    import torch

    model = torch_model(args).eval()
    ids = torch_ids(args, model)
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False}
    # Nothing that ends a text, as on the other side.
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    @torch.inference_mode()
    def generate():
        found = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        assert found.shape == (args.batch, args.seq + new_tokens), found.shape
        return found

    return generate


def convert_to_ctranslate2(model_folder, quantization, output):
    """What `ct2-transformers-converter` does, for a folder that needs no tokenizer."""
    from ctranslate2.converters.transformers import GPT2Loader
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(model_folder)
    loader = GPT2Loader()
    spec = loader.get_model_spec(model)
    # The last token ends a text and is never asked for.
    tokens = [f"t{index}" for index in range(model.config.vocab_size)]
    loader.set_vocabulary(spec, tokens)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = tokens[-1]
    spec.validate()
    spec.optimize(quantization=quantization)
    os.makedirs(output)
    spec.save(output)


def ctranslate2_tokens(args):
    vocab_size = json.load(open(f"{args.model}/config.json"))["vocab_size"]
    return [[f"t{index}" for index in row] for row in random_ids(args, vocab_size - 1)]


def ctranslate2_generator(args):
    import ctranslate2

    return ctranslate2.Generator(
        args.ctranslate2, device="cpu", compute_type=args.compute_type, inter_threads=1, intra_threads=args.threads
    )


def ctranslate2_generate(args, new_tokens):
    generator, prompts = ctranslate2_generator(args), ctranslate2_tokens(args)

    def generate():
        found = generator.generate_batch(
            prompts,
            max_length=new_tokens,
            min_length=new_tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        assert all(len(row.sequences_ids[0]) == new_tokens for row in found)
        return found

    return generate


def ctranslate2_prefill(args):
    generator, prompts = ctranslate2_generator(args), ctranslate2_tokens(args)

    def forward():
        logits = generator.forward_batch(prompts)
        assert logits.shape[:2] == [args.batch, args.seq], logits.shape
        return logits

    return forward


def product(args):
    """A product of square matrices, 2 * 2048**3 operations."""
    import torch

    torch.set_num_threads(args.threads)
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return lambda: a @ b


def read(args):
    """A pass over 1 GiB, which no cache holds."""
    import torch

    torch.set_num_threads(args.threads)
    values = torch.ones(1 << 28)
    return values.sum


MEASUREMENTS = {
    "torch train": lambda args: torch_train(args, False),
    "torch.compile train": lambda args: torch_train(args, True),
    "torch prefill": torch_prefill,
    "torch decode": lambda args: torch_generate(args, NEW_TOKENS),
    "torch first-token": lambda args: torch_generate(args, 1),
    "ctranslate2 prefill": ctranslate2_prefill,
    "ctranslate2 decode": lambda args: ctranslate2_generate(args, NEW_TOKENS),
    "ctranslate2 first-token": lambda args: ctranslate2_generate(args, 1),
    "machine product": product,
    "machine read": read,
}


def peak_memory():
    """Largest resident set so far, in bytes; None where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--model")
    parser.add_argument("--ctranslate2", help="folder of the converted model")
    parser.add_argument("--compute-type", default="float32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=PROMPT_TOKENS)
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    run = MEASUREMENTS[args.measurement](args)
    run()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            result = run()
            seconds.append(time.perf_counter() - start)
            del result
        print(json.dumps({"seconds": seconds, "peak": peak_memory()}), flush=True)


if __name__ == "__main__":
    main()
