"""Captions of photographs, translated from German into English by an encoder-decoder Transformer.

Desmond Elliott et al., "Multi30K: Multilingual English-German Image Descriptions", 2016, made the data.
Ashish Vaswani et al., "Attention Is All You Need", NeurIPS 2017, made the network. Ben Trevett's tutorial
pytorch-seq2seq trains one on the same captions (notebook 6): 36.09 BLEU, on lowercased tokens and with greedy
decoding; here BLEU is that of SacreBLEU, with case.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "translate",
        "summary": "captions translated from German into English, a Transformer",
        "data": {
            "source": "multi30k",
            "columns": {"de": "text", "en": "text"},
            "target": "en",
            "text": {"tokenizer": "bpe", "vocab_size": 8_000, "max_seq_len": 64, "lowercase": False},
        },
        "model": {
            "name": "seq2seq",
            "options": {"embed_dim": 256, "num_layers": 3, "num_heads": 4, "dropout": 0.2},
        },
        "objective": {"name": "seq2seq", "label_smoothing": 0.1},
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.01, "options": {"betas": [0.9, 0.98]}},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.15}},
        "train": {"epochs": 8, "batch_size": 128, "clip_grad_norm": 1.0, "restore_best": False},
        "target": {"metric": "test/bleu", "value": 33.0, "on": "bentrevett/multi30k"},
        "published": {
            "metric": "test/bleu",
            "value": 36.09,
            "source": "Transformer, BLEU of lowercased tokens (ours: SacreBLEU, with case), Trevett, "
            "pytorch-seq2seq, notebook 6",
            "on": "bentrevett/multi30k",
        },
    }
)
