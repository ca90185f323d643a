"""New rows like those of a table, and some of a wanted kind. python synthetic_rows.py [TABLE.csv [COLUMN=VALUE]]"""

import sys

import darknet_vae as dv

table = sys.argv[1] if len(sys.argv) > 1 else dv.bundled("penguins.csv")
wanted = sys.argv[2] if len(sys.argv) > 2 else "species=Gentoo"
net = dv.Network.for_table(table)
net.train(table)

rows = net.sample(n=1000, seed=1)  # a dict of arrays; of a network that was trained on a DataFrame, a DataFrame
for name, values in rows.items():
    print(f"{name:20}", *values[:5], "...")

some = net.sample(n=100, seed=1, condition=wanted)  # rows that fulfil a condition
print(f"100 rows with {wanted}; the first:", *(values[0] for values in some.values()))

net.save("model.safetensors")  # darknet sample model.safetensors -n 1000 -output new.csv
