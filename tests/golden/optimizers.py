"""Makes optimizers.npz: what PyTorch's optimisers, schedules, clipping and averages make of three small networks in 20 updates,
in double precision. tests/test_optimizers.py compares them with ours.

    python tests/golden/optimizers.py          needs torch; the file was made with 2.14.1

The networks are written here as formulas over torch's own operations, so forward and backward are torch's too. What is
descended is the objective of docs/numerics.md divided by the rows: s total_loss, s = 1/2 for squared errors and 1 for a softmax.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.optim import lr_scheduler, swa_utils

UPDATES, RECORDED = 20, (1, 20)
RATE, MAX_BATCHES = 0.01, 20
Parameters = dict[str, torch.Tensor]

VAE = """[connected]
output=9
activation=tanh
[connected]
output=2
activation=linear
[route]
layers=-2
[connected]
output=2
activation=linear
[route]
layers=-1,-3
[sampling]
beta=0.7
[connected]
output=9
activation=tanh
[connected]
output=10
activation=logistic
[cost]
type=sse
"""
CONV = """[convolutional]
filters=3
size=3
pad=1
batch_normalize=1
activation=tanh
[convolutional]
filters=2
size=3
stride=2
pad=1
activation=logistic
[connected]
output=4
activation=linear
[softmax]
"""
LSTM = """[lstm]
output=5
[connected]
output=3
activation=linear
[cost]
type=sse
"""
BATCH = 6  # rows per update; of the LSTM two sequences of three rows, step by step


def dense(p: Parameters, layer: int, x: torch.Tensor) -> torch.Tensor:
    return x @ p[f"{layer}.weights"].T + p[f"{layer}.biases"]


def vae(p: Parameters, x: torch.Tensor, truth: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    h = torch.tanh(dense(p, 0, x))
    mean, log_variance = dense(p, 1, h), dense(p, 3, h)
    z = mean + torch.exp(log_variance / 2) * noise
    y = torch.sigmoid(dense(p, 7, torch.tanh(dense(p, 6, z))))
    kl = 0.5 * (torch.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    return 0.5 * (((y - truth) ** 2).sum() + 0.7 * kl)


def normalised(p: Parameters, layer: int, x: torch.Tensor) -> torch.Tensor:
    """With the unbiased variance, as Darknet has it."""
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=1, keepdim=True)
    scales, biases = (p[f"{layer}.{name}"].view(1, -1, 1, 1) for name in ("scales", "biases"))
    return (x - mean) / torch.sqrt(variance + 1e-5) * scales + biases


def conv(p: Parameters, x: torch.Tensor, truth: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    h = torch.tanh(normalised(p, 0, functional.conv2d(x.view(-1, 2, 5, 5), p["0.weights"], padding=1)))
    h = torch.sigmoid(functional.conv2d(h, p["1.weights"], p["1.biases"], stride=2, padding=1))
    return -(truth * torch.log_softmax(dense(p, 2, h.flatten(1)), 1)).sum()


def lstm(p: Parameters, x: torch.Tensor, truth: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    h = c = torch.zeros(2, 5, dtype=x.dtype)
    total = torch.zeros((), dtype=x.dtype)
    for now, wanted in zip(x.view(3, 2, -1), truth.view(3, 2, -1), strict=True):
        gate = {}
        for name in "ifog":
            w, u = (value @ p[f"0.{k}{name}.weights"].T + p[f"0.{k}{name}.biases"] for k, value in (("w", h), ("u", now)))
            gate[name] = w + u
        c = torch.sigmoid(gate["f"]) * c + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])
        h = torch.sigmoid(gate["o"]) * torch.tanh(c)
        total = total + 0.5 * ((dense(p, 1, h) - wanted) ** 2).sum()
    return total


Loss = Callable[[Parameters, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
DENSE_SHAPES = {"0": (9, 10), "1": (2, 9), "3": (2, 9), "6": (9, 2), "7": (10, 9)}
# name -> loss, layers, keys of [net], shapes of the parameters, values of a row: of x, of the truth, of the noise
NETWORKS: dict[str, tuple[Loss, str, str, dict[str, tuple[int, ...]], tuple[int, int, int]]] = {
    "vae": (
        vae,
        VAE,
        "inputs=10\n",
        {f"{i}.{n}": s if n == "weights" else s[:1] for i, s in DENSE_SHAPES.items() for n in ("biases", "weights")},
        (10, 10, 2),
    ),
    "conv": (
        conv,
        CONV,
        "height=5\nwidth=5\nchannels=2\n",
        {
            **{"0.biases": (3,), "0.weights": (3, 2, 3, 3), "0.scales": (3,)},
            **{"1.biases": (2,), "1.weights": (2, 3, 3, 3), "2.biases": (4,), "2.weights": (4, 18)},
        },
        (50, 4, 0),
    ),
    "lstm": (
        lstm,
        LSTM,
        "time_steps=3\ninputs=4\n",
        {
            **{f"0.{p}{g}.weights": (5, 5 if p == "w" else 4) for p in "wu" for g in "ifog"},
            **{f"0.{p}{g}.biases": (5,) for p in "wu" for g in "ifog"},
            **{"1.weights": (3, 5), "1.biases": (3,)},
        },
        (4, 3, 0),
    ),
}
# name -> keys of [net]
RECIPES = {
    "sgd": "optimizer=sgd\nmomentum=0.9\ndecay=0.02",
    "sgd_clip": "optimizer=sgd\nmomentum=0.9\ndecay=0.02\nclip_norm=1",
    "adam": "optimizer=adam\ndecay=0",
    "adam_decay": "optimizer=adam\ndecay=0.02",
    "adam_betas": "optimizer=adam\ndecay=0\nB1=0.8\nB2=0.95\neps=0.001",
    "adamw": "optimizer=adamw\ndecay=0",
    "adamw_decay": "optimizer=adamw\ndecay=0.5",
    "adamw_usual": "optimizer=adamw",
    "adam_clip": "optimizer=adam\ndecay=0.02\neps=0.01\nclip_norm=1",
    "adamw_cosine": "optimizer=adamw\ndecay=0.1\npolicy=cosine\nfinal_fraction=0.1\nema=0.9",
    "sgd_warm_up": "optimizer=sgd\nmomentum=0.9\ndecay=0\npolicy=cosine\nburn_in=5\npower=1\nema=0.8",
}


def key(recipe: str, name: str, fallback: float) -> float:
    return float(dict(line.split("=") for line in recipe.split("\n")[1:]).get(name, fallback))


def optimizer_of(recipe: str, parameters: Parameters) -> torch.optim.Optimizer:
    kind = recipe.split("\n")[0].removeprefix("optimizer=")
    decay = key(recipe, "decay", 0.01 if kind == "adamw" else 0.0001)
    groups = [  # decay acts on weights alone
        {"params": [v for n, v in parameters.items() if n.endswith("weights")], "weight_decay": decay},
        {"params": [v for n, v in parameters.items() if not n.endswith("weights")], "weight_decay": 0.0},
    ]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=RATE, momentum=key(recipe, "momentum", 0.9))
    betas, eps = (key(recipe, "B1", 0.9), key(recipe, "B2", 0.999)), key(recipe, "eps", 1e-8)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](groups, lr=RATE, betas=betas, eps=eps)


def schedule_of(recipe: str, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler | None:
    if "policy=cosine" not in recipe:
        return None
    warm = int(key(recipe, "burn_in", 1))
    wave = lr_scheduler.CosineAnnealingLR(optimizer, MAX_BATCHES + 1 - warm, eta_min=RATE * key(recipe, "final_fraction", 0))
    if warm == 1:
        return wave
    rise = lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / warm)
    return lr_scheduler.SequentialLR(optimizer, [rise, wave], milestones=[warm - 1])


class Module(torch.nn.Module):
    """Parameters alone, for torch's averages."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__()
        self.values = torch.nn.ParameterList(parameters.values())


def trained(loss: Loss, recipe: str, start: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters after some updates; `rate.N` are the rates, `norm.N` the gradients' norms before they are clipped."""
    module = Module({n: torch.tensor(v, dtype=torch.float64) for n, v in start.items()})
    parameters: Parameters = dict(zip(start, module.values, strict=True))
    ema = key(recipe, "ema", 0)
    optimizer = optimizer_of(recipe, parameters)
    schedule = schedule_of(recipe, optimizer)
    averages = swa_utils.AveragedModel(module, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(ema)) if ema else None
    clip = key(recipe, "clip_norm", 0)
    out: dict[str, np.ndarray] = {}
    norms, rates = [], []
    for update in range(1, UPDATES + 1):
        optimizer.zero_grad()
        x, truth, noise = (torch.tensor(rows[n][update - 1], dtype=torch.float64) for n in ("x", "truth", "noise"))
        (loss(parameters, x, truth, noise) / BATCH).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters.values(), clip or 1e30)))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if averages:
            averages.update_parameters(module)
        if schedule:
            schedule.step()
        if update in RECORDED:
            out |= {f"{update}.{n}": v.detach().numpy().copy() for n, v in parameters.items()}
            if averages:
                kept = averages.module.values
                out |= {f"ema.{update}.{n}": v.detach().numpy().copy() for n, v in zip(parameters, kept, strict=True)}
    assert not clip or sorted(norms)[2] < clip < sorted(norms)[-3], norms  # some are clipped, some are not
    return out | {"rates": np.array(rates), "norms": np.array(norms)}


def data(name: str, random: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Start parameters and the rows of every update, as float32."""
    _, _, _, shapes, (inputs, truths, noise) = NETWORKS[name]
    middle = {"0.scales": 1, "1.biases": 0.7} if name == "conv" else {}  # two biases close to 0 would be known to fewer digits
    start = {n: random.normal(middle.get(n, 0), 0.4, shape) for n, shape in shapes.items()}
    size = np.linspace(2.5, 0.2, UPDATES)[:, None, None]  # gradients shrink, so that clipping begins and ends
    x = random.normal(size=(UPDATES, BATCH, inputs)) * (1 if name == "conv" else size)
    truth = random.normal(size=(UPDATES, BATCH, truths)) * size
    if name == "vae":
        truth = random.uniform(0, 1, truth.shape)
    if name == "conv":
        truth = np.eye(truths)[random.integers(0, truths, (UPDATES, BATCH))]
    rows = {"x": x, "truth": truth, "noise": random.normal(size=(UPDATES, BATCH, noise))}
    return tuple({n: v.astype(np.float32) for n, v in part.items()} for part in (start, rows))  # type: ignore[return-value]


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    cases = []
    for i, (name, (loss, layers, keys, _, _)) in enumerate(NETWORKS.items()):
        start, rows = data(name, np.random.default_rng(i))
        arrays |= {f"{name}.start.{n}": v for n, v in start.items()} | {f"{name}.{n}": v for n, v in rows.items()}
        batch = BATCH // 3 if name == "lstm" else BATCH
        for recipe, lines in RECIPES.items():
            head = f"[net]\nbatch={batch}\nlearning_rate={RATE}\nmax_batches={MAX_BATCHES}\n{keys}{lines}\n"
            cases.append({"network": name, "recipe": recipe, "cfg": head + layers})
            arrays |= {f"{name}.{recipe}.{n}": v.astype(np.float32) for n, v in trained(loss, lines, start, rows).items()}
    index = {"torch": torch.__version__, "updates": UPDATES, "recorded": RECORDED, "cases": cases}
    arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez_compressed(Path(__file__).with_name("optimizers.npz"), **arrays)


if __name__ == "__main__":
    main()
