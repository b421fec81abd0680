#!/usr/bin/env bash
# Compiles every kernel of training and generation for an H200 where there is no GPU: NVRTC is NVIDIA's, the driver is the
# stand-in of libcuda/. Needs a `gpt2` with the feature `cuda`, NVRTC and the CUDA headers; with ptxas, registers and spills.
#
#     bash stand-ins/check_cuda.sh GPT2 OUTPUT [COMMAND..]
#
# CUDA_PATH is the folder with include/ and lib/ or lib64/, such as nvidia/cu13 of the Python packages nvidia-cuda-nvrtc,
# nvidia-cuda-runtime, nvidia-cuda-cccl, nvidia-cuda-crt and nvidia-cuda-nvcc. A COMMAND is run in the place of
# the usual ones, with the stand-in before everything else. OUTPUT gets the log of launches, PTX and a summary.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,11s/^# \?//p' "$0" >&2; exit 2; }
gpt2=$(realpath "$1") output=$2
shift 2
mkdir -p "$output/ptx" && output=$(realpath "$output")
cuda=${CUDA_PATH:-/usr/local/cuda}

CARGO_TARGET_DIR=$output/target cargo build --release --quiet --manifest-path "$here/libcuda/Cargo.toml" || exit 1
export CUDA_PATH=$cuda CUDA_STAND_IN_LOG=$output/launches.log CUBECL_CUDA_DUMP_PTX=$output/ptx
export LD_LIBRARY_PATH=$output/target/release:$cuda/lib64:$cuda/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
: >"$CUDA_STAND_IN_LOG"

failed=0
try() {
    echo "== ${*##*/}"
    "$@" >>"$output/run.log" 2>&1 || { failed=1; echo "FAILED ($?), the end of run.log:"; tail -n 8 "$output/run.log"; }
}
if [ $# -gt 0 ]; then
    try "$@"
else
    # One layer is enough: the others run the same kernels. The sizes are those of GPT-2, which kernels are chosen by.
    cat >"$output/config.json" <<'JSON'
{"model_type": "gpt2", "n_embd": 768, "n_layer": 1, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}
JSON
    bench=("$gpt2" bench --config "$output/config.json" --device cuda --repeats 1 --peak-tflops 1 --peak-gbs 1 --json)
    for dtype in f32 bf16; do
        try "${bench[@]}" --dtype $dtype --only train --batch 2 --seq 1024
        try "${bench[@]}" --dtype $dtype --only prefill --batch 2 --seq 1024
        try "${bench[@]}" --dtype $dtype --only decode --batch 1
        try "${bench[@]}" --dtype $dtype --only decode --batch 32
    done
    for bits in int8 int4; do
        try "${bench[@]}" --quantize $bits --only decode --batch 1
        try "${bench[@]}" --quantize $bits --only prefill --batch 1 --seq 64
    done
fi

echo "launches: $(grep -c '^launch' "$CUDA_STAND_IN_LOG"), refused: $(grep -c '^REFUSED' "$CUDA_STAND_IN_LOG")"
grep '^REFUSED' "$CUDA_STAND_IN_LOG" | sort | uniq -c | head -n 20
echo "kernels: $(ls "$output/ptx" | wc -l)"
ptxas=$(command -v "$cuda/bin/ptxas" ptxas | head -n 1)
if [ -n "$ptxas" ]; then
    for file in "$output"/ptx/*.ptx; do
        echo "# $(basename "$file")"
        "$ptxas" --gpu-name sm_90a --verbose --output-file /dev/null "$file" 2>&1 | grep -E 'error|registers|spill'
    done >"$output/ptxas.log"
    grep -c error "$output/ptxas.log" | sed 's/^/ptxas errors: /'
    grep -B1 -A1 -E '[1-9][0-9]* bytes spill' "$output/ptxas.log" | head -n 30
fi
exit $failed
