"""Seconds for one epoch of 60,000 rows on the device cuda beside PyTorch's, where it is installed with CUDA, and the goals.

    python tests/gpu/bench_cuda.py [--into docs/performance.md]

Prints Markdown with the date and the GPU's name; --into also puts it in place of that file's section "GPUs". Both have all data
on the GPU; the median of three epochs after one to warm up. PyTorch eager, and with torch.compile and the whole step, optimiser
included, in one CUDA graph; images channels-last.
"""

from __future__ import annotations

import argparse
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
# (network, batch): times faster than PyTorch eager, than PyTorch in a graph; seconds for an epoch
GOALS: dict[tuple[str, int], tuple[float, float, float | None]] = {
    ("vae_connected", 4): (10, 2, None),
    ("vae_connected", 256): (1.2, 1.2, 0.1),
    ("vae_connected", 4096): (1.2, 1.2, None),
    ("vae_conv", 512): (1, 1, None),
}


def ours(name: str, batch: int, X: np.ndarray, cublas: bool, precision: str = "float32") -> float | None:
    """None: this way is not there."""
    if cublas:
        os.environ.pop("DARKNET_CUBLAS", None)
    else:
        os.environ["DARKNET_CUBLAS"] = "off"
    try:
        net = dv.Network(CFG / f"{name}.cfg", device="cuda", batch=batch, precision=precision)
    except dv.errors.DeviceError:
        return None
    if cublas and "cuBLAS" not in net.device:
        return None
    seconds: list[float] = []
    last = time.perf_counter()

    def epoch(_: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds.append(now - last)
        last = now

    net.train(X, epochs=REPEATS + 1, learning_rate=1e-6, callback=epoch)
    return statistics.median(seconds[1:])


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


def theirs(name: str, batch: int, X: np.ndarray, graph: bool, tf32: bool = False) -> float:
    import torch

    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    model = torch_model(name).cuda().to(memory_format=torch.channels_last)
    if name == "vae_connected":
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True, capturable=graph)
    data = torch.from_numpy(X).cuda()
    x = data[:batch].clone()
    total = torch.zeros((), device="cuda")
    loss_of: Callable[[Any], Any] = torch.compile(model) if graph else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x)
        (loss / batch).backward()
        optimizer.step()
        total.add_(loss.detach())

    run: Callable[[], None] = step
    if graph:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            step()
        run = recorded.replay
    seconds = []
    for _ in range(REPEATS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        order = torch.randperm(len(X), device="cuda")
        for at in range(0, len(X) - batch + 1, batch):  # whole batches: a graph has one shape
            torch.index_select(data, 0, order[at : at + batch], out=x)
            run()
        total.item()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def have_torch() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f}"


def verdict(name: str, batch: int, best: float, eager: float | None, graph: float | None) -> list[str]:
    """A line for each goal of a case."""
    times_eager, times_graph, most = GOALS[name, batch]
    lines = []
    for words, other, times in (("PyTorch eager", eager, times_eager), ("PyTorch in a graph", graph, times_graph)):
        if other is None:
            lines.append(f"- {name}, batch {batch}: {times:g} times as fast as {words}: not measured")
        else:
            end = "reached" if other / best >= times else "missed"
            lines.append(f"- {name}, batch {batch}: {times:g} times as fast as {words}: {other / best:.2f}, {end}")
    if most is not None:
        end = "reached" if best < most else "missed"
        lines.append(f"- {name}, batch {batch}: an epoch in less than {most:g} s: {best:.3f}, {end}")
    return lines


def section() -> str:
    X = np.random.default_rng(0).uniform(size=(ROWS, 784)).astype(np.float32)
    torch_there = have_torch()
    device = dv.Network(CFG / "vae_digits.cfg", device="cuda").device
    versions = f"darknet-vae {dv.__version__}"
    if torch_there:
        import torch

        versions += f", PyTorch {torch.__version__}"
    text = [
        "## GPUs",
        "",
        f"{datetime.date.today()}, {device}, {versions}; `tests/gpu/run.sh`.",
        f"Seconds for an epoch of {ROWS:,} rows of 784 values:",
        "",
        "| network | batch | precision | own kernels | with cuBLAS | PyTorch eager | PyTorch in a graph |",
        "|---|---|---|---|---|---|---|",
    ]
    goals = []
    for name, batch, rows in CASES:
        part, scale = X[:rows], ROWS / rows  # small batches: a tenth, times ten
        for precision in ("float32", "tf32"):
            values: list[float | None] = [ours(name, batch, part, cublas, precision) for cublas in (False, True)]
            values += [theirs(name, batch, part, graph, precision == "tf32") if torch_there else None for graph in (False, True)]
            values = [value if value is None else scale * value for value in values]
            text.append(f"| {name} | {batch} | {precision} | " + " | ".join(map(shown, values)) + " |")
            mine = [value for value in values[:2] if value is not None]
            if precision == "float32":
                goals += verdict(name, batch, min(mine), values[2], values[3])
    return "\n".join([*text, "", "Goals, in float32 with the faster of our two ways:", "", *goals, ""])


def put(text: str, path: Path) -> None:
    """In place of the section of the same heading, else at the end."""
    before = path.read_text() if path.exists() else ""
    heading = text.splitlines()[0]
    at = f"\n{before}".find(f"\n{heading}\n")
    if at < 0:
        path.write_text(before + ("\n" if before else "") + text)
        return
    end = before.find("\n## ", at + 1)
    path.write_text(before[:at] + text + ("" if end < 0 else before[end:]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--into", type=Path)
    into = parser.parse_args().into
    into = into and into.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        text = section()
    print(text)
    if into:
        put(text, into)


if __name__ == "__main__":
    main()
