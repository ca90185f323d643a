"""Digits drawn, changed and mixed by a variational autoencoder; five pictures. python images.py [FOLDER]"""

import sys
from pathlib import Path

import darknet_vae as dv

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
digits = dv.load_table(dv.bundled("digits.csv"), label_column="label", scale=16)
net = dv.Network(dv.bundled("vae_digits.cfg"), seed=0)
history = net.train(digits.X, epochs=100)
print(f"{history.seconds:.1f} s; image_loss {history.image_loss[-1]:.3f}, latent_loss {history.latent_loss[-1]:.3f}")

for name, figure in {
    "curves": dv.plots.curves(history),
    "reconstructions": dv.plots.reconstructions(net, digits.X, n=10),
    "samples": dv.plots.samples(net, n=64),
    "traversals": dv.plots.traversals(net, digits.X, row=0),
    "interpolation": dv.plots.interpolation(net, digits.X, rows=(0, 7)),
}.items():
    print("wrote", dv.plots.save(figure, folder / f"{name}.png"))
