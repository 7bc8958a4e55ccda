"""A tag for every token: the forms in which such data comes, spans, training, and new texts."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

import pellucid
from pellucid.cli.main import app
from pellucid.config import Config, DataConfig, TextConfig
from pellucid.data.contents import look
from pellucid.data.dataset import Column
from pellucid.data.offers import choose, proposals
from pellucid.data.sources import conll
from pellucid.data.sources.open_source import open_data, open_source
from pellucid.data.text import ragged
from pellucid.data.text.text_inputs import UNK
from pellucid.data.text.token_lists import ReplaceRare, TokenLists, forms, pieces
from pellucid.errors import BadDataError, ConfigError, ModelError, UnknownNameError
from pellucid.models import find
from pellucid.runner import train
from pellucid.tasks.tagging.baselines import measure_baselines
from pellucid.tasks.tagging.objective import tagging
from pellucid.tasks.tagging.spans import span_f1, spans
from pellucid.tasks.tagging.spec import SPEC


def sentences(count: int = 200) -> list[tuple[list[str], list[str]]]:
    """Sentences about people and cities, each token with its tag."""
    chosen = random.Random(0)
    made = []
    for _ in range(count):
        name, place = chosen.choice(["Anna", "Bert", "Carla"]), chosen.choice(["Bern", "Oslo", "Rome"])
        made.append(
            chosen.choice(
                [
                    ([name, "Miller", "lives", "in", place], ["B-PER", "I-PER", "O", "O", "B-LOC"]),
                    (["In", place, "it", "rains"], ["O", "B-LOC", "O", "O"]),
                    (["We", "met", name], ["O", "O", "B-PER"]),
                ]
            )
        )
    return made


def write(path: Path, rows: list[tuple[list[str], list[str]]]) -> Path:
    """Write sentences in the form that the name of the file stands for."""
    if path.suffix in (".conll", ".txt"):
        blocks = ["\n".join(f"{token} x {tag}" for token, tag in zip(*row, strict=True)) for row in rows]
        path.write_text("-DOCSTART- -X- O\n\n" + "\n\n".join(blocks) + "\n")
    elif path.suffix == ".conllu":
        path.write_text("\n".join(map(universal, rows)))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"id": 1, "tokens": a, "ner_tags": b}) for a, b in rows))
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(cells(path.stem, rows))
    return path


def universal(row: tuple[list[str], list[str]]) -> str:
    lines = [
        "\t".join([str(number), token, token, tag, *"x_0dep"[:1] * 6])
        for number, (token, tag) in enumerate(zip(*row, strict=True), 1)
    ]
    return "# text = ...\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n" + "\n".join(lines) + "\n"


def cells(name: str, rows: list[tuple[list[str], list[str]]]) -> list[list[str]]:
    if name == "words":
        return [["text", "labels"], *([" ".join(a), " ".join(b)] for a, b in rows)]
    if name == "python":
        return [["tokens", "tags"], *([str(a), str(b)] for a, b in rows)]
    if name == "numpy":
        return [["tokens", "tags"], *([str(np.array(a)), str(np.array(b))] for a, b in rows)]
    long = [["Sentence #", "Word", "POS", "Tag"]]
    for number, row in enumerate(rows):
        for place, (token, tag) in enumerate(zip(*row, strict=True)):
            long.append(["" if place else f"Sentence: {number}", token, "x", tag])
    return long


FILES = ["a.conll", "b.txt", "c.conllu", "d.jsonl", "words.csv", "python.csv", "numpy.csv", "long.csv"]


@pytest.mark.parametrize("name", FILES)
def test_every_usual_form_of_tagged_text_is_read(tmp_path, name):
    rows = sentences(30)
    found = open_source(DataConfig(source=str(write(tmp_path / name, rows))), form="tagged")
    tokens, tags = (found.splits["train"][column.name].to_pylist() for column in found.columns)
    assert (tokens, tags) == ([a for a, _ in rows], [b for _, b in rows])
    assert (found.task, found.classes) == ("tagging", ("O", "B-LOC", "B-PER", "I-PER"))


def test_letters_are_tokens_where_two_texts_are_of_one_length(tmp_path):
    (tmp_path / "p.csv").write_text("seq,fold\n" + "MKV,CHH\nGGA,CCE\n" * 10)
    found = open_source(DataConfig(source=str(tmp_path / "p.csv")), form="tagged")
    assert found.splits["train"]["seq"][0].as_py() == ["M", "K", "V"]
    assert found.classes == ("C", "E", "H")


def test_files_of_a_folder_are_the_splits_that_they_are_named_after(tmp_path):
    for name, count in (("eng.train", 12), ("eng.testa", 5), ("eng.testb", 4)):
        write(tmp_path / "x.conll", sentences(count)).rename(tmp_path / name)
    found = open_source(DataConfig(source=str(tmp_path)), form="tagged")
    assert {name: len(part) for name, part in found.splits.items()} == {
        "train": 12,
        "validation": 5,
        "test": 4,
    }


def test_files_that_are_no_text_are_no_tagged_text(tmp_path):
    (tmp_path / "blob").write_bytes(bytes(range(256)) * 200)
    write(tmp_path / "z.txt", sentences(3000))
    assert not conll.is_conll(tmp_path / "blob")
    assert conll.is_conll(tmp_path / "z.txt")
    assert conll.holds_conll(tmp_path)


def test_rows_with_more_tags_than_tokens_are_named_or_left_out(tmp_path):
    rows = [*sentences(10), (["One", "two"], ["O"]), ([], [])]
    source = str(write(tmp_path / "d.jsonl", rows))
    with pytest.raises(BadDataError, match=r"d\.jsonl row 11: 2 tokens and 1 tags"):
        open_source(DataConfig(source=source), form="tagged")
    found = open_source(DataConfig(source=source, skip_bad=True), form="tagged")
    assert len(found.splits["train"]) == 10
    assert "1 rows without tokens are left out" in found.notes
    assert any("row 11" in line for line in found.skipped)


def test_a_line_without_a_tag_is_named(tmp_path):
    (tmp_path / "n.conll").write_text("Anna B-PER\nlives\n")
    with pytest.raises(
        BadDataError, match=r"n\.conll line 2: expected a token and its tag, received 'lives'"
    ):
        open_source(DataConfig(source=str(tmp_path / "n.conll")), form="tagged")


def test_columns_that_are_not_there_are_refused(tmp_path):
    source = str(write(tmp_path / "words.csv", sentences(5)))
    with pytest.raises(UnknownNameError, match="nowhere"):
        open_source(DataConfig(source=source, target="nowhere"), form="tagged")


# ---- tokens --------------------------------------------------------------------------------------


def vocabulary(rows: list[list[str]], **settings) -> TokenLists:
    table = pa.table({"t": pa.array(rows, pa.list_(pa.string()))})
    return TokenLists.fit(Column("t", "tokens"), table, TextConfig(lowercase=False, **settings))


def test_unseen_tokens_are_read_by_their_form():
    encoded = vocabulary([["Springfield", "Mansfield", "is", "a", "city", "5-year"]])
    known, new, none = (int(encoded.encode([[token]]).ids[0]) for token in ("city", "Hatfield", "...."))
    assert encoded.vocabulary[known - 5] == "city"
    assert encoded.vocabulary[new - 5] == "[Aa~ld]"
    assert none == UNK
    assert forms("x-Ray9") == ["[.0-]"]


def test_rare_tokens_are_replaced_by_their_forms_now_and_then():
    encoded = vocabulary([["Springfield", "Mansfield"] + ["city"] * 1000])
    ids = encoded.encode([["Springfield", "city"]]).ids.astype(np.int64)
    replace = ReplaceRare(encoded, np.bincount(ids, minlength=encoded.vocab_size) * np.array(1))
    batch = torch.from_numpy(np.tile(ids, (2000, 1)))
    changed, _ = replace(batch, batch, torch.Generator().manual_seed(0))
    again, _ = replace(batch, batch, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)
    assert 0.17 < (changed[:, 0] != batch[:, 0]).float().mean() < 0.23  # 0.25 / 1.25


def test_long_rows_are_cut_in_pieces_without_losing_a_token():
    rows = ragged.join([[1, 2, 3, 4, 5], [6], [7, 8]])
    cut = pieces(rows, 2)
    assert [cut.row(number).tolist() for number in range(cut.rows)] == [[1, 2], [3, 4], [5], [6], [7, 8]]


# ---- spans and measures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-A I-A O B-B", [("A", 0, 2), ("B", 3, 4)]),
        ("I-A I-A B-A O", [("A", 0, 2), ("A", 2, 3)]),  # IOB1
        ("B-A I-B", [("A", 0, 1), ("B", 1, 2)]),
        ("S-A B-B I-B E-B S-B", [("A", 0, 1), ("B", 1, 4), ("B", 4, 5)]),  # BIOES
        ("U-A B-B L-B", [("A", 0, 1), ("B", 1, 3)]),  # BILOU
        ("O O", []),
    ],
)
def test_spans_begin_and_end_as_conlleval_reads_them(tags, found):
    assert spans(tags.split()) == found


def test_f1_of_spans_counts_whole_spans():
    wanted, found = [["B-A", "I-A", "O", "B-B"]], [["B-A", "O", "O", "B-B"]]
    assert span_f1(wanted, found) == 2 * 1 / (2 + 2)
    assert span_f1([["O"]], [["O"]]) == 0.0


def test_the_loss_is_the_mean_over_tokens_without_padding():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, 2, 0], [4, 0, 0]])
    rows = torch.stack([logits[0, 0], logits[0, 1], logits[1, 0]])
    wanted = F.cross_entropy(rows, torch.tensor([0, 1, 3]))
    objective = tagging()
    inputs = torch.ones(2, 3, dtype=torch.long)
    assert torch.allclose(objective.phases[0].loss(lambda _: logits, (inputs, targets)), wanted)  # type: ignore[arg-type]
    total, count = objective.score(logits, (inputs, targets))["loss"]  # type: ignore[misc]
    assert count == 3
    assert torch.allclose(total / count, wanted)


def test_baselines_look_tokens_up_and_read_a_window():
    rows = ragged.join([[5, 6], [6, 5]] * 50)
    classes = np.array([0, 1, 1, 1] * 50)  # 5 is class 1 only after 6
    found = measure_baselines((rows, classes), {"val": (rows, classes)}, 7, 2)
    assert found["prior"]["val/accuracy"] == 0.75
    assert found["by_token"]["val/accuracy"] == 0.75
    assert found["window"]["val/accuracy"] == 1.0


# ---- models and training -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer"])
def test_models_without_pooling_answer_at_every_step(name):
    model = find(name)((9,), 3, vocab_size=20, size="tiny", pooling="none").eval()
    tokens = torch.tensor([[5, 6, 7, 0], [8, 9, 10, 11]])
    together = model(tokens)
    assert together.shape == (2, 4, 3)
    assert torch.allclose(model(tokens[:1, :3])[0], together[0, :3], atol=1e-5)


def config(source: Path, **changes) -> Config:
    return Config.parse(
        {
            "data": {"source": str(source), "text": {"max_seq_len": 4, "lowercase": False}},
            "model": {"name": "lstm", "size": "tiny", "options": {"pooling": "none"}},
            "objective": {"name": "tagging"},
            "optimizer": {"name": "adamw", "lr": 0.01},
            "train": {"epochs": 6, "batch_size": 16, "execution": "eager", "device": "cpu"},
        }
    ).patch(changes)


def test_a_tagger_learns_names_that_it_never_saw(tmp_path, runs):
    run = train(config(write(tmp_path / "n.conll", sentences())), runs=runs)
    assert run.metrics["test/accuracy"] == 1.0
    assert run.metrics["test/span_f1"] == 1.0
    found = pellucid.Run(run.path).predict(["Peter Miller lives in Berlin", "We met Hanna"])
    rows = found.rows()
    assert rows[0]["prediction"] == ["B-PER", "I-PER", "O", "O", "B-LOC"]
    assert rows[0]["spans"][0] == {"type": "PER", "start": 0, "end": 2, "text": "Peter Miller"}
    assert rows[1]["tokens"] == ["We", "met", "Hanna"]
    alone = pellucid.Run(run.path).predict("We met Hanna").rows()[0]
    assert np.allclose(alone["confidences"], rows[1]["confidences"], atol=1e-5)
    by_file = pellucid.Run(run.path).predict(write(tmp_path / "new.jsonl", sentences(3))).rows()
    assert [row["tokens"] for row in by_file] == [tokens for tokens, _ in sentences(3)]
    with pytest.raises(ModelError, match="no tokens"):
        pellucid.Run(run.path).predict("  ")


def test_a_table_without_tags_and_a_model_that_pools_are_refused(tmp_path, runs):
    with pytest.raises(ModelError, match="one for every tag at every token"):
        train(
            config(write(tmp_path / "n.conll", sentences(60)), **{"model.options": {"pooling": "max"}}),
            runs=runs,
        )
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{n}.5,{'xy'[n % 2]}\n" for n in range(80)))
    dataset = open_data(DataConfig(source=str(tmp_path / "t.csv")))
    with pytest.raises(ConfigError, match="expected a column of tokens and one of tags"):
        train(config(tmp_path / "t.csv"), runs=runs, dataset=dataset)
    assert not runs.exists()


def test_proteins_are_tagged_better_than_by_guessing(mirror, runs):
    part = config(Path("uci/protein_secondary_structure"), **{"data.text.max_seq_len": 512})
    part = part.patch(
        {"data.source": "uci/protein_secondary_structure", "train.epochs": 8, "train.batch_size": 4}
    )
    run = train(part.patch({"data.target": "dssp3", "data.fraction": 0.5}), runs=runs)
    assert run.metrics["test/loss"] < run.facts["baselines"]["prior"]["test/loss"]
    assert 0.5 < run.facts["baselines"]["window"]["test/accuracy"] < 0.65


# ---- offers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_tagged_text_is_recognized_without_being_told(tmp_path, name):
    contents = look(DataConfig(source=str(write(tmp_path / name, sentences(30)))))
    found = choose(contents)
    assert found.task == "tagging"
    assert "O, B-LOC, B-PER, I-PER" in found.learns
    dataset = contents.read(found.suggest(None).config.data, SPEC)
    assert (dataset.task, len(dataset.splits)) == ("tagging", 3)


def test_tables_and_texts_of_other_kinds_are_no_tagged_text(tmp_path):
    (tmp_path / "t.csv").write_text("name,kind\n" + "".join(f"a{n},{'xy'[n % 2]}\n" for n in range(60)))
    (tmp_path / "q.csv").write_text("q,a\n" + "".join(f"how is {n} ,it is {n} {n}\n" for n in range(60)))
    (tmp_path / "n.txt").write_text("A line of words.\nAnother one.\n\nA second paragraph.\n" * 20)
    for name in ("t.csv", "q.csv", "n.txt"):
        assert "tagging" not in [p.task for p in proposals(look(DataConfig(source=str(tmp_path / name))))]


def test_a_tagger_is_trained_by_one_command_and_used_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "long.csv", sentences(60))
    call = CliRunner().invoke
    assert call(app, ["train", "long.csv", "--task", "tag", "--epochs", "2"]).exit_code == 0
    answer = call(app, ["predict", "last", "Anna Miller lives in Oslo", "--json"])
    found = json.loads(answer.stdout)["predictions"][0]
    assert (found["tokens"][0], len(found["prediction"])) == ("Anna", 5)
