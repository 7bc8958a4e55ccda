"""Hidden words of film reviews, predicted by a small BERT.

Jacob Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL
2019, hide 15 % of the words and learn from 3.3 billion words. Here it is ten million in one pass, so the
baselines count words: the most frequent one, and the most frequent after the previous one.
"""

from pellucid.config import Config

CONFIG = Config.parse(
    {
        "name": "masked-language",
        "summary": "hidden words of film reviews, a small BERT",
        "data": {"source": "imdb", "text": {"tokenizer": "words", "vocab_size": 10_000, "max_seq_len": 64}},
        "model": {"name": "bert", "size": "small", "options": {"dropout": 0.0}},
        "objective": {"name": "masked_language_model"},
        "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.01},
        "schedule": {"name": "one_cycle", "options": {"peak_at": 0.1}},
        "train": {"epochs": 1, "max_steps": 2500, "batch_size": 64, "clip_grad_norm": 1.0},
        "published_note": "the loss depends on the vocabulary, here 10,000 words; Devlin et al. "
        "report tasks that are learned afterwards",
    }
)
