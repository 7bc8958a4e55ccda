"""Generate images with a generator and a discriminator (GAN)."""
