"""Speed of the tokenizers beside the Python packages `tokenizers` and `sentencepiece`, in turn with them.

    cargo build --release --workspace --example time_tokenizer
    pip install tokenizers sentencepiece
    python benches/compare_tokenizers.py --tokenizer FOLDER 'corpus/**/*.txt'

FOLDER holds `tokenizer.json` or `spiece.model`. All lines of the files are encoded in one call, once per round by each
side; a ratio is the median of the ratios of the rounds, so that other work on the machine slows both. Both sides have
the same number of threads.
"""

import argparse
import glob
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

BINARY = Path(__file__).parent.parent / "target/release/examples/time_tokenizer"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", help="text files or patterns")
    parser.add_argument("--tokenizer", required=True, type=Path, help="folder with the tokenizer")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--binary", type=Path, default=BINARY, help="time_tokenizer")
    return parser.parse_args()


def their_calls(folder, lines, threads):
    """The other library's calls, each with the one of ours that does the same."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = [encoding.ids for encoding in theirs.encode_batch_fast(lines)]
        return [
            ("encode_batch", "tokenizers encode_batch", lambda: theirs.encode_batch(lines)),
            ("encode_ids", "tokenizers encode_batch_fast", lambda: theirs.encode_batch_fast(lines)),
            ("decode", "tokenizers decode_batch", lambda: theirs.decode_batch(ids, False)),
        ]
    from sentencepiece import SentencePieceProcessor

    theirs = SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    ids = theirs.encode(lines, num_threads=threads)
    return [
        ("encode_ids", "sentencepiece encode", lambda: theirs.encode(lines, num_threads=threads)),
        ("decode", "sentencepiece decode", lambda: theirs.decode(ids, num_threads=threads)),
    ]


def measure(options, files, threads):
    """One process per number of threads: both libraries read it once, when they start."""
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").split("\n")]
    size = sum(len(line.encode()) for line in lines)
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    ours = subprocess.Popen(
        [options.binary, options.tokenizer, *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )

    def our_seconds(call):
        ours.stdin.write(call + "\n")
        ours.stdin.flush()
        answer = ours.stdout.readline()
        if not answer:
            sys.exit("time_tokenizer ended; see its message above")
        return float(answer)

    for call, name, run in their_calls(options.tokenizer, lines, threads):
        our_times, their_times = [], []
        for round in range(options.rounds + 1):
            one = our_seconds(call)
            start = time.perf_counter()
            result = run()
            other = time.perf_counter() - start
            del result
            if round > 0:  # The first one warms up.
                our_times.append(one)
                their_times.append(other)
        ratio = median(other / one for one, other in zip(our_times, their_times))
        speeds = [size / median(times) / 1e6 for times in (our_times, their_times)]
        print(f"| {call} | {threads} | {speeds[0]:.1f} | {name} | {speeds[1]:.1f} | {ratio:.1f} |", flush=True)
    ours.stdin.close()
    ours.wait()


def main():
    options = parse()
    files = sorted(file for pattern in options.files for file in glob.glob(pattern, recursive=True))
    if not files:
        sys.exit("no file matches")
    if options.child:
        return measure(options, files, options.threads[0])
    print("| ours | threads | MB/s | beside | MB/s | ratio |\n|---|---:|---:|---|---:|---:|", flush=True)
    for threads in options.threads:
        # Rayon reads its variable once per process.
        command = [sys.executable, __file__, "--child", "--tokenizer", options.tokenizer, "--threads", str(threads)]
        command += ["--rounds", str(options.rounds), "--binary", options.binary, *files]
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true")
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
