"""The parts of `darknet_vae.report`: rows, what the network is, numbers, warnings in words, pictures, the page."""
