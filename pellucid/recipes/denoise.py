"""Digits without noise: a small U-Net removes Gaussian noise of standard deviation 0.5 from MNIST.

Pascal Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008, and
"Stacked Denoising Autoencoders", JMLR 2010, introduced the task to learn features. The baseline is
total-variation denoising (Antonin Chambolle, 2004), 15.51 dB here; the target is 3 dB more.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "denoise",
        "summary": "noise removed from digits, a denoising U-Net",
        "data": {"source": "digits", "normalize": False},
        "model": {"name": "unet", "size": "tiny", "options": {"residual": True}},
        "objective": {"name": "reconstruction", "options": {"noise": 0.5}},
        "optimizer": {"name": "adamw", "lr": 2e-3},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.2}},
        "train": {"epochs": 3, "batch_size": 128},
        "target": {"metric": "test/psnr", "value": 18.51, "on": "ylecun/mnist"},
        "published_note": "Vincent et al. report how well the features classify; no PSNR for this noise on "
        "MNIST was found in a paper",
    }
)
