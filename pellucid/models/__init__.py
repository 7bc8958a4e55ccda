"""Model families, one file each, written to be read from top to bottom. In: batches of inputs. Out: logits.

`find` returns the builder of a model by name; `BUILDERS` holds all of them; `register` adds one. A new file
of this package with a dict `BUILDERS` is found without being listed here. Imports torch and `pellucid.nn`
only, so a model file copied together with `nn/` needs only torch.
"""

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
from pellucid.models.registry import BUILDERS, REGISTERED_BY, discover, find, register
from pellucid.models.rnn import RNN, gru, lstm, rnn
from pellucid.models.rnn_language import RNNLanguageModel, RNNMaskedModel, lstm_lm, lstm_mlm
from pellucid.models.seq2seq import Seq2Seq, seq2seq
from pellucid.models.siamese import Siamese, siamese
from pellucid.models.tabm import TabM, tabm
from pellucid.models.tcn import TCN, tcn
from pellucid.models.text_cnn import PhraseLM, TextCNN, phrase_lm, text_cnn
from pellucid.models.transformer import BERT, GPT, TransformerEncoder, bert, gpt, transformer
from pellucid.models.unet import UNet, unet
from pellucid.models.vae import VAE, vae
from pellucid.models.vit import ViT, vit
from pellucid.models.vqvae import VQVAE, vqvae

discover()

__all__ = [
    "BERT",
    "BUILDERS",
    "CNN",
    "GAN",
    "GPT",
    "MLP",
    "REGISTERED_BY",
    "RNN",
    "TCN",
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
    "TabM",
    "TextCNN",
    "TransformerEncoder",
    "UNet",
    "ViT",
    "autoencoder",
    "bert",
    "cnn",
    "dcgan",
    "dlinear",
    "find",
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
    "register",
    "rnn",
    "seq2seq",
    "siamese",
    "tabm",
    "tcn",
    "text_cnn",
    "transformer",
    "unet",
    "vae",
    "vit",
    "vqvae",
]
