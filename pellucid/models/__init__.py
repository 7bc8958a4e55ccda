"""Model families, one file each, read from top to bottom. In: batches of inputs. Out: logits.

`BUILDERS` holds what makes each family for data of a shape: `builder(input_shape, num_outputs, *, size=None,
...)`; those that read tokens take a `vocab_size`. Imports torch and `pellucid.nn` only, so a model file
copied out with `nn/` runs on torch alone.
"""

from collections.abc import Callable

from torch import nn

from pellucid.models.autoencoder import Autoencoder, autoencoder
from pellucid.models.cnn import CNN, cnn
from pellucid.models.forecast import (
    DLinear,
    NLinear,
    PatchLSTM,
    PatchTransformer,
    dlinear,
    nlinear,
    patch_lstm,
    patch_transformer,
)
from pellucid.models.gan import GAN, dcgan
from pellucid.models.mlp import MLP, linear, mlp
from pellucid.models.rnn import RNN, gru, lstm, rnn
from pellucid.models.rnn_language import RNNLanguageModel, RNNMaskedModel, lstm_lm, lstm_mlm
from pellucid.models.seq2seq import Seq2Seq, seq2seq
from pellucid.models.siamese import Siamese, siamese
from pellucid.models.text_cnn import PhraseLM, TextCNN, phrase_lm, text_cnn
from pellucid.models.transformer import BERT, GPT, TransformerEncoder, bert, gpt, transformer
from pellucid.models.unet import UNet, unet
from pellucid.models.vae import VAE, vae
from pellucid.models.vit import ViT, vit
from pellucid.models.vqvae import VQVAE, vqvae

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
    "vit": vit,
    "rnn": rnn,
    "lstm": lstm,
    "gru": gru,
    "text_cnn": text_cnn,
    "phrase_lm": phrase_lm,
    "lstm_lm": lstm_lm,
    "lstm_mlm": lstm_mlm,
    "transformer": transformer,
    "bert": bert,
    "gpt": gpt,
    "seq2seq": seq2seq,
    "autoencoder": autoencoder,
    "vae": vae,
    "vqvae": vqvae,
    "unet": unet,
    "dcgan": dcgan,
    "siamese": siamese,
    "nlinear": nlinear,
    "dlinear": dlinear,
    "patch_lstm": patch_lstm,
    "patch_transformer": patch_transformer,
}
"""Builders by the name configs use."""

__all__ = [
    "BERT",
    "BUILDERS",
    "CNN",
    "GAN",
    "GPT",
    "MLP",
    "RNN",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "DLinear",
    "NLinear",
    "PatchLSTM",
    "PatchTransformer",
    "PhraseLM",
    "RNNLanguageModel",
    "RNNMaskedModel",
    "Seq2Seq",
    "Siamese",
    "TextCNN",
    "TransformerEncoder",
    "UNet",
    "ViT",
    "autoencoder",
    "bert",
    "cnn",
    "dcgan",
    "dlinear",
    "gpt",
    "gru",
    "linear",
    "lstm",
    "lstm_lm",
    "lstm_mlm",
    "mlp",
    "nlinear",
    "patch_lstm",
    "patch_transformer",
    "phrase_lm",
    "rnn",
    "seq2seq",
    "siamese",
    "text_cnn",
    "transformer",
    "unet",
    "vae",
    "vit",
    "vqvae",
]
