"""One network, five losses: which are likelihoods, and what each of them says of the same digits. python likelihoods.py"""

import darknet_vae as dv

digits = dv.load_csv(dv.bundled("digits.csv"), label_column="label", scale=16)
learn, rest = digits[:1400], digits[1400:]  # log-likelihoods of rows that were not learned
losses = {
    "sse": {"cost.type": "sse", "sampling.beta": 0.05},  # squared errors: no likelihood, and beta is a choice
    "bernoulli": {"cost.type": "bernoulli", "sampling.beta": 1, "9.activation": "linear"},  # of grey values only nearly one
    "gaussian": {"cost.type": "gaussian", "cost.sigma": "learned", "sampling.beta": 1},  # one deviation for all pixels
    "gaussian by pixel": {"cost.type": "gaussian", "cost.sigma": "column", "sampling.beta": 1},
    "laplace by pixel": {"cost.type": "laplace", "cost.sigma": "column", "sampling.beta": 1},
}
print(f"{'loss':18} {'total':>8} {'ELBO':>8} {'log-likelihood':>15} {'squared error':>14}")
for name, keys in losses.items():
    net = dv.Network(dv.bundled("vae_digits.cfg"), seed=0, set=keys)
    net.train(learn, epochs=60)
    found = net.evaluate(rest, latent=True, k=None if name == "sse" else 100)
    numbers = (f"{value:.2f}" if value is not None else "-" for value in (found.get("elbo"), found.get("log_likelihood")))
    error = found["baselines"]["network_mse"]
    print("{:18} {:8.2f} {:>8} {:>15} {:14.4f}".format(name, found["total_loss"], *numbers, error))
