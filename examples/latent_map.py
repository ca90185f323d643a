"""A map of a table: two latent numbers for each row, and a picture if matplotlib is there. python latent_map.py"""

import csv

import numpy as np

import darknet_vae as dv

table = dv.bundled("penguins.csv")
net = dv.Network.for_table(table, latent=2, label_column="species")  # the label is not seen, so the map has to find it
net.train(table)
z, _ = net.encode(table)

with open(table) as file:
    species = np.array([row["species"] for row in csv.DictReader(file)])
for name in np.unique(species):
    middle = z[species == name].mean(axis=0)
    print(f"{name:10} is around ({middle[0]:5.2f}, {middle[1]:5.2f})")

try:
    dv.plots.save(dv.plots.latent(z, species), "map.png")
    print("wrote map.png")
except dv.errors.MissingPackageError:
    print("pip install matplotlib for a picture")
