"""Which penguins are unlike the others, and in what? python anomalies.py [TABLE.csv]"""

import sys

import numpy as np

import darknet_vae as dv

table = sys.argv[1] if len(sys.argv) > 1 else dv.bundled("penguins.csv")
net = dv.Network.for_table(table)  # learns what the columns are, and chooses a network for them
net.train(table)
scores, parts = net.score_rows(table, contributions=True)  # in nats; higher: more unusual

print(f"{len(scores)} rows; the most unusual ones, and their columns that say so:")
for row in np.argsort(-scores)[:5]:
    worst = np.argsort(-parts[row])[:2]
    print(f"row {row:4}  score {scores[row]:6.1f}  ", ", ".join(f"{net.columns[c]} ({parts[row, c]:.1f})" for c in worst))

threshold = np.quantile(scores, 0.99)
print(f"one in a hundred scores above {threshold:.1f}: rows", *np.flatnonzero(scores > threshold))
