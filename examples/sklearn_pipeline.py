"""A table of mixed columns in scikit-learn: latents as features of a classifier, and unusual rows. python sklearn_pipeline.py"""

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import darknet_vae as dv

table = pd.read_csv(dv.bundled("penguins.csv"))
species, rows = table["species"], table.drop(columns="species")  # words, numbers, missing cells

model = make_pipeline(dv.VAE(latent=3, random_state=0), LogisticRegression())
scores = cross_val_score(model, rows, species, cv=3)
print(f"species from three latents: {scores.mean():.1%} right in three folds")

vae = dv.VAE(random_state=0).fit(table)
print("drawn penguins:", vae.sample(3, random_state=0), sep="\n")

detector = dv.VAEDetector(contamination=0.02, random_state=0).fit(table)
print("unusual penguins:", table[detector.predict(table) == -1], sep="\n")
