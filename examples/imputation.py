"""Fill the gaps of a table, and how well that works. python imputation.py"""

import numpy as np

import darknet_vae as dv
from darknet_vae.tables import Frame, Schema

table = dv.bundled("penguins.csv")
schema = Schema.learn(Frame(table))
whole = schema.decode(schema.code(table))  # as a dict of arrays
random = np.random.default_rng(0)
gone = random.random(len(whole["species"])) < 0.2  # take out the mass of one penguin in five
known = {**whole, "body_mass_g": np.where(gone, np.nan, whole["body_mass_g"])}

net = dv.Network.for_table(known)
net.train(known)
filled = net.impute(known)["body_mass_g"]  # the other cells stay as they are

there = gone & np.isfinite(whole["body_mass_g"])
error = np.sqrt(np.mean((filled - whole["body_mass_g"])[there] ** 2))
guess = np.sqrt(np.mean((np.nanmean(known["body_mass_g"]) - whole["body_mass_g"])[there] ** 2))
print(f"{there.sum()} cells filled; error {error:.0f} g, of the column's mean {guess:.0f} g")
