"""Load pretrained models by name, together with their tokenizer or image preprocessing.

    minilm = pellucid.load_model("sentence-transformers/all-MiniLM-L6-v2")
    minilm.embed(["A cat sits on the mat.", "A kitten rests on a rug."])  # (2, 384)

Models of the types bert, gpt2 and vit (and timm's vit_*) are converted to `pellucid.nn` blocks, so all tools
that inspect modules work on them. All others are the modules of the library transformers, which is an extra.
"""

from pellucid.pretrained.building import input_type, pretrained, rebuild
from pellucid.pretrained.loading import Pretrained, load_model
from pellucid.pretrained.published import read_weights

__all__ = ["Pretrained", "input_type", "load_model", "pretrained", "read_weights", "rebuild"]
