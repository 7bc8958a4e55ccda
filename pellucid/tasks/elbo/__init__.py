"""Train a variational autoencoder on the evidence lower bound."""
