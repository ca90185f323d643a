"""Makes bounds.npz: what PyTorch, in double precision, makes of a VAE with several draws of each row: reconstruction, KL and
importance-sampled log-likelihood, and the gradients of the importance-weighted bound, IWAE's and DReG's.
tests/test_bounds.py compares them with ours.

    python tests/golden/bounds.py          needs torch; the file was made with 2.14.1

Densities are torch.distributions, gradients autograd's: DReG's is that of sum(w^2 log p/q) with q's parameters detached in its
density. The noise is that of docs/numerics.md, "Several draws of a row", with Philox written out here in numpy.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

LATENT, DRAWS, SEED = 3, 7, 11
CFG = """[net]
batch=6
inputs=10
[connected]
output=9
activation=tanh
[connected]
output=3
activation=linear
[route]
layers=-2
[connected]
output=3
activation=linear
[route]
layers=-1,-3
[sampling]
samples=7
gradient=iwae
[connected]
output=9
activation=tanh
[connected]
output=10
activation=linear
[cost]
type=bce
"""
LAYERS = (0, 1, 3, 6, 7)  # with parameters: hidden, means, log-variances, hidden, logits
SAMPLING = 5


def philox(seed: int, stream: int, step: int, block: int) -> list[int]:
    """Philox4x32-10 (Salmon et al., SC 2011)."""
    low = 0xFFFFFFFF
    c, k = [block & low, stream, step & low, step >> 32], [seed & low, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & low, (p0 >> 32) ^ c[3] ^ k[1], p0 & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def normals(rows: int) -> np.ndarray:
    """(rows, DRAWS, LATENT): Box and Muller, two from each pair of a block's numbers."""
    blocks, eps = -(-LATENT // 4), np.empty((rows, DRAWS, LATENT))
    for row in range(rows):
        for draw in range(DRAWS):
            values = []
            for block in range(blocks):
                bits = [b >> 8 for b in philox(SEED, 0x30000 + SAMPLING, row, draw * blocks + block)]
                for a, b in (bits[:2], bits[2:]):
                    radius, angle = np.sqrt(-2 * np.log((a + 0.5) / 2**24)), 2 * np.pi * b / 2**24
                    values += [radius * np.cos(angle), radius * np.sin(angle)]
            eps[row, draw] = values[:LATENT]
    return eps


def main() -> None:
    rng = np.random.default_rng(0)
    shapes = {0: (9, 10), 1: (3, 9), 3: (3, 9), 6: (9, 3), 7: (10, 9)}
    p = {}
    for i, shape in shapes.items():
        p[f"{i}.weights"] = rng.normal(0, 0.6, shape).astype(np.float32)
        p[f"{i}.biases"] = rng.normal(0, 0.3, shape[0]).astype(np.float32)
    x = (rng.random((6, 10)) > 0.5).astype(np.float32)
    arrays: dict[str, np.ndarray] = {f"start.{n}": v for n, v in p.items()} | {"x": x}
    eps = normals(len(x))
    arrays["eps"] = eps.astype(np.float32)
    t = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in p.items()}
    rows, e = torch.tensor(x, dtype=torch.float64), torch.tensor(arrays["eps"], dtype=torch.float64)

    def layer(i: int, v: torch.Tensor) -> torch.Tensor:
        return v @ t[f"{i}.weights"].T + t[f"{i}.biases"]

    hidden = torch.tanh(layer(0, rows))
    mean, deviation = layer(1, hidden)[:, None], torch.exp(layer(3, hidden) / 2)[:, None]
    z = mean + deviation * e
    likelihood = Bernoulli(logits=layer(7, torch.tanh(layer(6, z)))).log_prob(rows[:, None]).sum(-1)
    q, prior = Normal(mean, deviation), Normal(0.0, 1.0)
    drawn = (q.log_prob(z) - prior.log_prob(z)).sum(-1)
    log_w = likelihood - drawn
    bound = torch.logsumexp(log_w, 1) - np.log(DRAWS)
    arrays["reconstruction"] = -likelihood.mean(1).detach().numpy()
    arrays["kl"] = kl_divergence(q, prior).sum(-1)[:, 0].detach().numpy()
    arrays["drawn_kl"] = drawn.mean(1).detach().numpy()
    arrays["log_likelihood"] = bound.detach().numpy()

    (-bound.sum()).backward(retain_graph=True)
    arrays |= {f"iwae.{n}": v.grad.numpy().copy() for n, v in t.items() if v.grad is not None}
    for v in t.values():
        v.grad = None
    held = Normal(mean.detach(), deviation.detach()).log_prob(z) - prior.log_prob(z)
    weight = torch.softmax(log_w, 1).detach()
    encoder = [n for n in t if int(n.split(".")[0]) < SAMPLING]
    doubly = -(weight**2 * (likelihood - held.sum(-1))).sum()
    for n, g in zip(encoder, torch.autograd.grad(doubly, [t[n] for n in encoder]), strict=True):
        arrays[f"dreg.{n}"] = g.numpy()
    index = {"torch": torch.__version__, "cfg": CFG, "draws": DRAWS, "seed": SEED, "layers": LAYERS, "sampling": SAMPLING}
    arrays["index"] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez_compressed(Path(__file__).with_name("bounds.npz"), **arrays)


if __name__ == "__main__":
    main()
