#!/usr/bin/env bash
# The checks that need a GPU, from a plain checkout on a machine with an NVIDIA driver, nvcc, python3 and a C compiler:
#
#   tests/gpu/run.sh [REPORT.md]
#
# builds with make and pip, compares every operation and layer with the CPU, checks gradients and golden vectors on device
# cuda with and without cuBLAS, trains, looks for bad memory accesses and races with compute-sanitizer where it is, and
# measures. Ends with 0 when everything passed.
set -euo pipefail
cd "$(dirname "$0")/../.."
report=${1:-gpu_report.md}
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "nvcc is missing" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || { echo "there is no NVIDIA driver" >&2; exit 1; }

python3 -m venv --system-site-packages build/gpu_venv # torch of the system, if there is one, is used by the benchmark
# shellcheck disable=SC1091
. build/gpu_venv/bin/activate
make -j"$(nproc)" WERROR=1 all parity
pip install --quiet --disable-pip-version-check --ignore-installed '.[test]'
export DARKNET_CUDA_PLUGIN=$PWD/build/make/libdarknet_cuda.so

echo "== own kernels"
DARKNET_CUBLAS=off build/make/cuda_parity cuda 8
DARKNET_TEST_GPU=1 DARKNET_CUBLAS=off pytest -rs tests/test_cuda.py tests/test_gradients.py tests/test_golden.py
echo "== cuBLAS where it is found"
build/make/cuda_parity cuda 8
DARKNET_TEST_GPU=1 pytest -rs tests/test_cuda.py

echo "== a training on both"
for device in "-nogpu" "-i 0"; do
    # shellcheck disable=SC2086
    ./darknet vae train cfg/vae_digits.cfg data/digits.csv -epochs 20 -save build/gpu.weights -json $device
done | python3 -c '
import json, sys
cpu, gpu = (json.loads(line)["total_loss"] for line in sys.stdin)
print(f"total_loss after 20 epochs: CPU {cpu:.4f}, GPU {gpu:.4f}")
assert abs(cpu - gpu) < 0.02 * cpu, "too far apart for rounding"'
rm -f latent_space.txt

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
        echo "== compute-sanitizer $tool"
        DARKNET_CUBLAS=off compute-sanitizer --tool $tool --error-exitcode 9 build/make/cuda_parity cuda
        DARKNET_CUBLAS=off compute-sanitizer --tool $tool --error-exitcode 9 ./darknet vae train cfg/vae_digits.cfg \
            data/digits.csv -N 200 -epochs 2 -save build/gpu.weights -i 0 -quiet
    done
    rm -f latent_space.txt
else
    echo "compute-sanitizer is missing: memory accesses and races were not looked at"
fi

echo "== benchmark"
python3 tests/gpu/bench_cuda.py | tee "$report"
