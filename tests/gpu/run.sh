#!/usr/bin/env bash
# The checks that need a GPU, from a plain checkout on a machine with an NVIDIA driver, nvcc, python3 and a C compiler:
#
#   tests/gpu/run.sh
#
# builds with make and pip, compares every operation and layer with the CPU, checks gradients and golden vectors on device
# cuda with and without cuBLAS, trains, looks for bad memory accesses and races with compute-sanitizer, and measures beside
# PyTorch, if python3 has one with CUDA. The result is the section "GPUs" of docs/performance.md. Ends with 0 when everything
# passed; goals of speed that were missed are in the section.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "nvcc is missing" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || { echo "there is no NVIDIA driver" >&2; exit 1; }

# In a virtual environment over the packages of this python3, itself perhaps one of such an environment: the benchmark uses
# its torch. Without a network, PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER takes the missing packages from a folder of wheels.
packages=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
python3 -m venv build/gpu_venv
# shellcheck disable=SC1091
. build/gpu_venv/bin/activate
echo "$packages" >"$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/outer.pth"
make -j"$(nproc)" WERROR=1 ARCHS=native all parity
pip install --quiet --disable-pip-version-check '.[test]'
pytest() { PYTHONSAFEPATH=1 python3 -m pytest -n 4 "$@"; } # from the checkout, but with the installed package
export DARKNET_CUDA_PLUGIN=$PWD/build/make/libdarknet_cuda.so
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== own kernels"
DARKNET_CUBLAS=off build/make/cuda_parity cuda 8
export DARKNET_TEST_GPU=1
DARKNET_CUBLAS=off pytest -rs tests/test_cuda.py tests/test_gradients.py tests/test_golden.py \
    tests/test_likelihoods.py tests/test_objectives.py tests/test_bounds.py tests/test_priors.py
echo "== cuBLAS where it is found"
build/make/cuda_parity cuda 8
pytest -rs tests/test_cuda.py

echo "== a training on both: losses within noise"
for device in "-nogpu" "-i 0"; do
    # shellcheck disable=SC2086
    (cd "$scratch" && "$OLDPWD/darknet" vae train "$OLDPWD/cfg/vae_digits.cfg" "$OLDPWD/data/digits.csv" -epochs 20 -json $device)
done | python3 -c '
import json, sys
cpu, gpu = (json.loads(line)["total_loss"] for line in sys.stdin)
print(f"total_loss after 20 epochs: CPU {cpu:.4f}, GPU {gpu:.4f}")
assert abs(cpu - gpu) < 0.02 * cpu, "too far apart for rounding"'

if command -v compute-sanitizer >/dev/null; then
    python3 -c 'import numpy as np, sys; np.savetxt(sys.argv[1], np.random.rand(40, 784), "%.4f", ",")' "$scratch/images.csv"
    for tool in memcheck racecheck; do
        echo "== compute-sanitizer $tool"
        check="compute-sanitizer --tool $tool --error-exitcode 9"
        DARKNET_CUBLAS=off $check build/make/cuda_parity cuda
        for words in "vae_connected.cfg -batch 4" "vae_connected.cfg -batch 20" "vae_conv.cfg -batch 20 -scale 1"; do
            # shellcheck disable=SC2086
            (cd "$scratch" && DARKNET_CUBLAS=off $check "$OLDPWD/darknet" vae train "$OLDPWD/cfg/${words%% *}" images.csv \
                ${words#* } -N 40 -epochs 1 -i 0 -quiet)
        done
    done
else
    echo "compute-sanitizer is missing: memory accesses and races were not looked at" >&2
    exit 1
fi

echo "== benchmark"
python3 tests/gpu/bench_cuda.py --into docs/performance.md
