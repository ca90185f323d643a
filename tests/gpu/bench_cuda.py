"""Seconds for one epoch of 60,000 rows on the device cuda, beside PyTorch's where it is installed with CUDA.

    python tests/gpu/bench_cuda.py > report.md

Prints Markdown with the date and the GPU's name. All data lie on the GPU in both; both run float32 without TF32; the median of
three epochs after one to warm up. "compiled" is torch.compile(mode="reduce-overhead"): fused kernels in CUDA graphs.
"""

from __future__ import annotations

import datetime
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import darknet_vae as dv

CFG = Path(__file__).resolve().parents[2] / "cfg"
ROWS, REPEATS = 60_000, 3
CASES = [("vae_connected", 4, 6_000), ("vae_connected", 256, ROWS), ("vae_connected", 4096, ROWS), ("vae_conv", 512, ROWS)]


def ours(name: str, batch: int, X: np.ndarray, cublas: bool) -> tuple[float, str]:
    if cublas:
        os.environ.pop("DARKNET_CUBLAS", None)
    else:
        os.environ["DARKNET_CUBLAS"] = "off"
    net = dv.Network(CFG / f"{name}.cfg", device="cuda", batch=batch)
    seconds: list[float] = []
    last = time.perf_counter()

    def epoch(_: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds.append(now - last)
        last = now

    net.train(X, epochs=REPEATS + 1, learning_rate=1e-6, callback=epoch)
    return statistics.median(seconds[1:]), net.device


def torch_model(name: str) -> Any:
    from torch import nn

    class Vae(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            act = nn.LeakyReLU(0.1)
            if name == "vae_connected":
                self.encoder = nn.Sequential(nn.Linear(784, 512), act)
                self.mean, self.log_variance = nn.Linear(512, 2), nn.Linear(512, 2)
                self.decoder = nn.Sequential(nn.Linear(2, 512), act, nn.Linear(512, 784), act)
            else:
                self.encoder = nn.Sequential(
                    nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
                    nn.Flatten(),
                )  # fmt: skip
                self.mean, self.log_variance = nn.Linear(3136, 10), nn.Linear(3136, 10)
                self.decoder = nn.Sequential(
                    nn.Linear(10, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
                    nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Flatten(),
                )  # fmt: skip

        def forward(self, x: Any) -> Any:
            import torch
            from torch.nn import functional

            h = self.encoder(x)
            mean, lv = self.mean(h), self.log_variance(h)
            y = self.decoder(mean + torch.exp(lv / 2) * torch.randn_like(mean))
            kl = 0.5 * (lv.exp() + mean**2 - 1 - lv).sum()
            if name == "vae_connected":
                return 0.5 * ((y - x) ** 2).sum() + 0.25 * kl
            return functional.binary_cross_entropy_with_logits(y, x, reduction="sum") + kl

    return Vae()


def theirs(name: str, batch: int, X: np.ndarray, compiled: bool) -> float:
    import torch

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    model = torch_model(name).cuda()
    if name == "vae_connected":
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True)
    data = torch.from_numpy(X).cuda()
    loss_of: Callable[[Any], Any] = torch.compile(model, mode="reduce-overhead") if compiled else model
    seconds = []
    for _ in range(REPEATS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        total = torch.zeros((), device="cuda")
        order = torch.randperm(len(X), device="cuda")
        for at in range(0, len(X) - batch + 1, batch):  # whole batches: a compiled graph has one shape
            loss = loss_of(data[order[at : at + batch]])
            (loss / batch).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        total.item()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def have_torch() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def main() -> None:
    X = np.random.default_rng(0).uniform(size=(ROWS, 784)).astype(np.float32)
    torch_there = have_torch()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        device = dv.Network(CFG / "vae_digits.cfg", device="cuda").device
        print(f"{datetime.date.today()}, {device}, darknet-vae {dv.__version__}", end="")
        if torch_there:
            import torch

            print(f", PyTorch {torch.__version__}", end="")
        print(f"; seconds for an epoch of {ROWS:,} rows of 784\n")
        print("| network | batch | own kernels | with cuBLAS | PyTorch eager | PyTorch compiled |\n|---|---|---|---|---|---|")
        for name, batch, rows in CASES:
            part, scale = X[:rows], ROWS / rows  # small batches: a tenth, times ten
            own = scale * ours(name, batch, part, cublas=False)[0]
            time_blas, used = ours(name, batch, part, cublas=True)
            blas = f"{scale * time_blas:.3f}" if "cuBLAS" in used else "not there"
            others = [
                f"{scale * theirs(name, batch, part, compiled):.3f}" if torch_there else "not there" for compiled in (False, True)
            ]
            print(f"| {name} | {batch} | {own:.3f} | {blas} | {others[0]} | {others[1]} |", flush=True)


if __name__ == "__main__":
    main()
