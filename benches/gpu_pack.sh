#!/usr/bin/env bash
# Puts all that benches/gpu.sh needs into the folder benches/gpu, to be carried to a machine with a GPU:
# the binary with the CPU's, CUDA's and Vulkan's backends, and the scripts. It takes less than 64 MiB.
#
#     bash benches/gpu_pack.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# Without the second CPU backend, which nothing is measured beside.
cargo build --release -p gpt2-cli --no-default-features --features flex,cuda,vulkan

rm -rf benches/gpu
mkdir benches/gpu
strip -o benches/gpu/gpt2 "${CARGO_TARGET_DIR:-target}/release/gpt2"
gzip -9 benches/gpu/gpt2
cp benches/{gpu.sh,gpu_check.py,compare_pytorch.py,compare_worker.py,gpt2_bench.py} benches/gpu/
git rev-parse HEAD >benches/gpu/revision
du -sh benches/gpu
