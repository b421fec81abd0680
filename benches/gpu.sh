#!/usr/bin/env bash
# The whole measurement on a machine with an NVIDIA GPU, in under 8 minutes: correctness beside the CPU, training and decoding
# beside PyTorch, on CUDA and on Vulkan. Builds nothing, needs no network; Python with torch, transformers and safetensors
# is the other side.
#
#     bash benches/gpu_pack.sh                    # where Rust is: makes benches/gpu
#     bash benches/gpu/gpu.sh [--output DIR]      # where the GPU is
#     bash benches/gpu.sh --tiny --gpt2 target/release/gpt2 --device flex      # tries all of it on a CPU
#
# Each part has its own limit of time; one that fails is recorded, and the rest goes on. report.md in the folder (by default
# $OUT, else gpu-report) is the table, and everything that was said lies beside it.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)

output=${OUT:-gpu-report} device=cuda second=vulkan gpt2= tiny= python=${PYTHON:-python3} total=${GPU_SECONDS:-465}
while [ $# -gt 0 ]; do
    case "$1" in
        --output) output=$2; shift ;;
        --device) device=$2 second=; shift ;;
        --gpt2) gpt2=$2; shift ;;
        --tiny) tiny=1 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "$output" && output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report=$output/report.md

if [ -z "$gpt2" ]; then
    gpt2=$work/gpt2
    gzip -dc "$here/gpt2.gz" >"$gpt2" && chmod +x "$gpt2" || { echo "run benches/gpu_pack.sh first" >&2; exit 1; }
fi
gpt2=$(realpath "$gpt2")

# NVRTC and its headers: the toolkit's, else those of Python's packages.
if [ ! -e "${CUDA_PATH:-/usr/local/cuda}/include/cuda_runtime.h" ]; then
    packages=$("$python" -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null)
    for folder in $packages; do
        [ -e "$folder/cu13/include/cuda_runtime.h" ] && export CUDA_PATH=$folder/cu13
    done
fi
for folder in "${CUDA_PATH:-/usr/local/cuda}"/{lib64,lib}; do
    [ -d "$folder" ] && export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done

# part NAME SECONDS COMMAND..: runs it, writes what it says into NAME.log and how it ended into the report.
part() {
    local name=$1 limit=$2 left=$((total - SECONDS)) start=$SECONDS code
    shift 2
    [ "$limit" -gt "$left" ] && limit=$left
    if [ "$limit" -lt 5 ]; then
        printf -- '- `%s`: no time was left\n' "$name" >>"$output/parts.md"
        return
    fi
    echo "== $name (after $SECONDS s, at most $limit s)"
    timeout --kill-after 5 "$limit" "$@" >"$output/$name.log" 2>&1
    code=$?
    printf -- '- `%s`: %s after %d s\n' "$name" "$([ $code = 0 ] && echo done || echo "FAILED ($code)")" \
        $((SECONDS - start)) >>"$output/parts.md"
    [ $code = 0 ] || tail -n 5 "$output/$name.log"
}

# speed NAME SECONDS DEVICE JOBS [OPTION]..: beside PyTorch, in bf16.
speed() {
    local name=$1 limit=$2 on=$3 jobs=$4
    shift 4
    part "$name" "$limit" "$python" "$here/compare_pytorch.py" --gpt2 "$gpt2" --model "$work/model" --device "$on" --dtype bf16 \
        --jobs "$jobs" --rounds 1 --dropout 0 --time-limit $((limit - 5)) --threads "$(nproc)" \
        --output "$output/$name.md" --json "$output/$name.json" "$@"
}

check() {
    local name=$1 limit=$2
    shift 2
    part "$name" "$limit" "$python" "$here/gpu_check.py" "$@" --gpt2 "$gpt2" --output "$output/$name.md"
}

export gpt2 here python
machine() {
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
    "$gpt2" --version
    "$gpt2" devices
    cat "$here/revision" 2>/dev/null
    "$python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
}
export -f machine

sizes='"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024'
train='train 8x1024' large='train 64x1024, train 32x1024' decode='decode 1, decode 32' steps=300
if [ -n "$tiny" ]; then
    sizes='"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 512, "n_positions": 128'
    train='train 2x64' large='train 4x64' decode='decode 1, decode 4' steps=30
fi
: >"$output/parts.md"
part machine 60 bash -c machine
part model 60 "$python" -c "
from transformers import GPT2Config, GPT2LMHeadModel
config = GPT2Config(**{$sizes}, bos_token_id=None, eos_token_id=None)
GPT2LMHeadModel(config).save_pretrained('$work/model')"

# The most valuable first. Most of the time of each part goes into kernels that every process compiles and tries anew.
check "numbers-$device" 120 numbers --device "$device"
speed "train-$device" 255 "$device" "$train"
speed "decode-$device" 120 "$device" "$decode"
if [ -n "$second" ]; then
    check "numbers-$second" 60 numbers --device "$second"
    speed "train-$second" 100 "$second" "$train" --alone
    speed "decode-$second" 60 "$second" "$decode" --alone
fi
check "curve-$device" 90 curve --device "$device" --steps "$steps"
speed "large-$device" 150 "$device" "$large"

{
    printf '# Measured by benches/gpu.sh on %s\n\n' "$(date -u +%F)"
    printf '```\n%s\n```\n' "$(cat "$output/machine.log")"
    for name in "numbers-$device" "train-$device" "decode-$device" "large-$device" "curve-$device" \
        "numbers-$second" "train-$second" "decode-$second"; do
        [ -s "$output/$name.md" ] && printf '\n## %s\n\n%s\n' "$name" "$(cat "$output/$name.md")"
    done
    printf '\n## Parts\n\n%s\n\nAll of it took %d s.\n' "$(cat "$output/parts.md")" "$SECONDS"
} >"$report"
cat "$report"
! grep -q FAILED "$output/parts.md"
