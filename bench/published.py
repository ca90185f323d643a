"""The published headline: cfg/vae_connected.cfg on the first 4,000 MNIST images, 10 epochs, seeds 0, 1, 2.

    DARKNET_VAE_MNIST=<folder with the IDX files> python bench/published.py

Published: latent_loss 4.4, image_loss 38.2. Goals: mean latent_loss <= 4.4 and mean (image_loss + latent_loss) <= 43.0.
"""

import os
import sys
from pathlib import Path

import numpy as np

import darknet_vae as dv

CFG = Path(__file__).resolve().parent.parent / "cfg" / "vae_connected.cfg"


def main() -> int:
    X = dv.datasets.load("mnist", folder=os.environ.get("DARKNET_VAE_MNIST")).pixels[:4000].reshape(4000, -1) / np.float32(255)
    print("| seed | image_loss | latent_loss | image + latent | seconds |\n|---|---|---|---|---|")
    rows = []
    for seed in range(3):
        history = dv.Network(CFG, seed=seed).train(X, epochs=10)
        image, latent = history.image_loss[-1], history.latent_loss[-1]
        rows.append((image, latent, image + latent, history.seconds))
        print(f"| {seed} | {image:.2f} | {latent:.2f} | {image + latent:.2f} | {history.seconds:.1f} |", flush=True)
    mean = np.mean(rows, axis=0)
    print(f"| mean | {mean[0]:.2f} | {mean[1]:.2f} | {mean[2]:.2f} | {mean[3]:.1f} |")
    return 0 if mean[1] <= 4.4 and mean[2] <= 43.0 else 1


if __name__ == "__main__":
    sys.exit(main())
