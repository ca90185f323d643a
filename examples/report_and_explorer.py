"""A model of a table, a report about it, and its latent space to walk in; two pages. python report_and_explorer.py [TABLE.csv]"""

import sys

import darknet_vae as dv

table = sys.argv[1] if len(sys.argv) > 1 else dv.bundled("penguins.csv")
net = dv.Network.for_table(table)
history = net.train(table, holdout=0.1)

report = dv.report(net, table, log=history)  # numbers, pictures and warnings, in one page
report.save("report.html")
print("report.html:", *(report.warnings or ["nothing stands out"]), sep="\n  ")

print("written:", dv.explore(net, table, output="explorer.html"))  # without output= it is served, and a browser opens
