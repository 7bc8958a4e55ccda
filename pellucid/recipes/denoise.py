"""Digits behind noise: a small U-Net takes Gaussian noise of deviation 0.5 off MNIST.

Pascal Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008.
Beside it stands total-variation denoising (Antonin Chambolle, 2004), 15.51 dB here; the target is 3 dB more.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "denoise",
        "summary": "digits behind noise, a denoising U-Net",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "unet", "size": "tiny", "options": {"residual": True}},
        "objective": {"name": "reconstruction", "options": {"noise": 0.5}},
        "optimizer": {"name": "adamw", "lr": 2e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 3, "batch_size": 128},
        "target": {"metric": "test/psnr", "value": 18.51, "on": "ylecun/mnist"},
    }
)
