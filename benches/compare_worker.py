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
# Sizes of the floors: so large that starting a kernel and waiting for it do not count.
PRODUCT_WIDTH = {"cpu": 2048, "cuda": 8192}
READ_NUMBERS = {"cpu": 1 << 28, "cuda": 1 << 31}


def random_ids(args, vocab_size):
    draw = random.Random(args.batch * args.seq)
    return [[draw.randrange(vocab_size) for _ in range(args.seq)] for _ in range(args.batch)]


def torch_ids(args, model):
    import torch

    return torch.tensor(random_ids(args, model.config.vocab_size), device=args.device)


def torch_model(args):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(args.threads)
    if args.device != "cpu":
        # Products of f32 by the units for TF32, as who measures speed there has it.
        torch.set_float32_matmul_precision("high")
    dropout = {}
    if args.dropout is not None:
        dropout = {key: args.dropout for key in ("attn_pdrop", "embd_pdrop", "resid_pdrop")}
    config = GPT2Config.from_pretrained(args.model, **dropout)
    model = GPT2LMHeadModel.from_pretrained(args.model, config=config, attn_implementation="sdpa")
    return model.to(args.device)


def torch_inference_model(args):
    """With weights of the type that was asked for, as one loads a model for generation."""
    import torch

    model = torch_model(args).eval()
    return model.to(torch.bfloat16) if args.dtype == "bf16" else model


def torch_train(args, is_compiled):
    """Forward, backward, clipping and AdamW; `train()` has the dropout of the configuration. In bf16: autocast."""
    import torch

    model = torch_model(args).train()
    ids = torch_ids(args, model)
    on_gpu = args.device != "cpu"
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=on_gpu or None)
    run = torch.compile(model) if is_compiled else model
    mixed = torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.dtype == "bf16")

    def step():
        optimizer.zero_grad()
        with mixed:
            loss = run(ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def torch_prefill(args):
    import torch

    model = torch_inference_model(args)
    ids = torch_ids(args, model)

    @torch.inference_mode()
    def forward():
        return synchronized(args, model(ids, use_cache=False).logits)

    return forward


def torch_generate(args, new_tokens):
    import torch

    model = torch_inference_model(args)
    ids = torch_ids(args, model)
    options = {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False}
    # Nothing that ends a text, as on the other side.
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0

    @torch.inference_mode()
    def generate():
        found = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        assert found.shape == (args.batch, args.seq + new_tokens), found.shape
        return synchronized(args, found)

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


def synchronized(args, result):
    """The result, once the device has computed it."""
    if args.device != "cpu":
        import torch

        torch.cuda.synchronize()
    return result


def product(args):
    """A product of square matrices, `2 * width**3` operations."""
    import torch

    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.dtype == "bf16" and args.device != "cpu" else torch.float32
    width = PRODUCT_WIDTH[args.device]
    a, b = (torch.rand(width, width, device=args.device).to(dtype) for _ in range(2))
    return lambda: synchronized(args, a @ b)


def read(args):
    """A pass over memory, which no cache holds."""
    import torch

    torch.set_num_threads(args.threads)
    values = torch.ones(READ_NUMBERS[args.device], device=args.device)
    return lambda: synchronized(args, values.sum())


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


def peak_memory(args):
    """Most memory of the device, or largest resident set so far, in bytes; None where the system does not say."""
    if args.device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated()
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
    parser.add_argument("--device", choices=PRODUCT_WIDTH, default="cpu")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
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
        print(json.dumps({"seconds": seconds, "peak": peak_memory(args)}), flush=True)


if __name__ == "__main__":
    main()
