"""Missing spans of film reviews, predicted by a small encoder-decoder.

Colin Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
JMLR 2020: 15 % of the words are removed in spans of three on average, and the decoder predicts the spans. The
baselines count words, and see the words before a gap.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "span-denoise",
        "summary": "missing spans of film reviews, a small T5",
        "data": {"source": "imdb", "text": {"tokenizer": "words", "vocab_size": 10_000, "max_seq_len": 64}},
        "model": {"name": "seq2seq", "size": "small", "options": {"dropout": 0.0, "share_embeddings": True}},
        "objective": {"name": "span_denoising"},
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 1, "max_steps": 2000, "batch_size": 64, "clip_grad_norm": 1.0},
        "published_note": "the loss depends on the vocabulary, here 10,000 words; Raffel et al. "
        "report tasks that are learned afterwards",
    }
)
