"""Lists of words, conversations, nested records and tags, in the layouts that people have."""

import json

import pytest

from pellucid.config import DataConfig
from pellucid.data.contents import look
from pellucid.data.offers import choose, proposals
from pellucid.data.sources import conll
from pellucid.data.sources.json_records import flat
from pellucid.data.sources.open_source import open_source
from pellucid.errors import BadDataError

WORDS = [(f"teh{i}", f"the{i}") for i in range(60)]


def contents(path, **settings):
    return look(DataConfig(source=str(path), **settings))


def lines(path, *written):
    path.write_text("\n".join(map(str, written)) + "\n")
    return path


def test_two_columns_of_different_words_are_a_pair_to_translate(tmp_path):
    found = contents(lines(tmp_path / "w.csv", "misspelling,correct", *(f"{a},{b}" for a, b in WORDS)))
    suggested = choose(found).suggest(None).config
    assert suggested.objective.name == "seq2seq"
    assert (suggested.data.inputs, suggested.data.target) == (["misspelling"], "correct")
    assert suggested.data.text.tokenizer == "characters"


def test_sums_and_their_results_are_not_translated_unless_asked(tmp_path):
    path = lines(tmp_path / "s.csv", "expr,value", *(f"{i}*{j},{i * j}" for i in range(9) for j in range(9)))
    found = contents(path)
    assert choose(found, "seq2seq").learns == "to write 'value' from 'expr'"
    assert next(p for p in proposals(found) if p.task == "seq2seq").likelihood < 0.5


def test_sentences_in_the_first_row_are_no_names(tmp_path):
    pairs = [(f"The man number {i} runs home.", f"Der Mann Nummer {i} rennt heim.") for i in range(40)]
    found = contents(lines(tmp_path / "p.tsv", *("\t".join(pair) for pair in pairs)))
    assert found.column_names == ("column_1", "column_2")
    assert choose(found).task == "seq2seq"


def test_questions_above_answers_are_names(tmp_path):
    rows = [f"The soup number {i} was good,I liked the bread and soup {i}" for i in range(30)]
    found = contents(lines(tmp_path / "q.csv", "What did you like most?,What would you change?", *rows))
    assert found.column_names[0] == "What did you like most?"


def test_empty_columns_at_the_end_and_a_label_in_front_of_its_text(tmp_path):
    rows = [f'{"spam" if i % 3 == 0 else "ham"},"message {i}, with a comma in it",,,' for i in range(60)]
    found = contents(lines(tmp_path / "spam.csv", "v1,v2,,,", *rows))
    assert (found.dataset.target, found.dataset.classes) == ("v1", ("ham", "spam"))
    assert [column.name for column in found.dataset.inputs] == ["v2"]
    assert any("'v1', the only column of classes" in note for note in found.dataset.notes)


@pytest.mark.parametrize(
    ("role", "words", "name"), [("role", "content", "messages"), ("from", "value", "chat")]
)
def test_conversations_are_what_was_said_and_the_answer(tmp_path, role, words, name):
    records = [
        {name: [{role: "user", words: f"What is {i}+1?"}, {role: "assistant", words: f"It is {i + 1}."}]}
        for i in range(40)
    ]
    found = contents(lines(tmp_path / "c.jsonl", *map(json.dumps, records)))
    assert choose(found).task == "seq2seq"
    assert found.table.slice(3, 1).to_pylist() == [{"prompt": "What is 3+1?", "response": "It is 4."}]


def test_a_longer_conversation_keeps_who_spoke():
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    row = flat({"id": 7, "messages": [*turns, {"role": "assistant", "content": "Hello"}]})
    assert row == {"id": 7, "prompt": "system: Be brief.\nuser: Hi", "response": "Hello"}
    assert flat({"messages": turns}, whole=True) == {"text": "system: Be brief.\nuser: Hi"}


def test_objects_in_objects_have_columns_of_their_own(tmp_path):
    records = [{"doc": {"text": f"The film {i} is long and rather good", "stars": i % 2}} for i in range(40)]
    found = contents(lines(tmp_path / "n.jsonl", *map(json.dumps, records)))
    assert found.dataset.target == "doc.stars"
    assert [column.name for column in found.dataset.inputs] == ["doc.text"]


def test_lines_may_be_texts(tmp_path):
    found = contents(
        lines(tmp_path / "s.jsonl", *(json.dumps(f"A long text {i} about it") for i in range(30)))
    )
    assert found.documents
    assert found.table["text"][0].as_py() == "A long text 0 about it"


TAGGED = [f"Mary\tB-PER\nwent\tO\nto\tO\nPrag{i}\tB-LOC\n" for i in range(30)]


@pytest.mark.parametrize("name", ["t.tsv", "t.txt"])
def test_tokens_and_tags_between_tabs_are_sentences(tmp_path, name):
    path = tmp_path / name
    path.write_bytes("\n".join(TAGGED).replace("\n", "\r\n").encode())
    found = choose(contents(path))
    assert found.task == "tagging"
    assert "40 epochs of 24 rows" in " ".join(found.suggest(None).reasons)


def test_a_table_that_ends_in_empty_lines_is_no_list_of_tags(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("".join(f"{'ab'[i % 2]}\tthe text number {i}\n" for i in range(40)) + "\n\n")
    assert not conll.is_conll(path)


def test_a_line_without_a_tag_is_named_and_can_be_left_out(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join(TAGGED).replace("Prag7\tB-LOC", "Prag7"))
    with pytest.raises(BadDataError, match=r"t\.txt line 39: expected a token and its tag, received 'Prag7'"):
        choose(contents(path), "tag")
    assert choose(contents(path, skip_bad=True), "tag").task == "tagging"


def test_unequal_lists_are_named_although_nothing_else_can_be_learned(tmp_path):
    records = [{"tokens": ["a", "b", "c"], "tags": ["X", "Y", "X"]} for _ in range(9)]
    records[4]["tags"].pop()
    with pytest.raises(BadDataError, match=r"t\.jsonl row 5: 3 tokens and 2 tags"):
        contents(lines(tmp_path / "t.jsonl", *map(json.dumps, records)))


def test_sentences_of_tatoeba_have_a_third_column_that_is_left_out(tmp_path):
    rows = [
        f"The man {i} runs.\tDer Mann {i} rennt.\tCC-BY 2.0 (France) Attribution: #{i}" for i in range(40)
    ]
    found = contents(lines(tmp_path / "deu.txt", *rows))
    assert choose(found).task == "seq2seq"
    assert found.dataset.splits["train"].column_names == ["column_1", "column_2"]


def test_two_files_of_one_language_each_are_pairs(tmp_path):
    for split, count in (("train", 40), ("dev", 9)):
        lines(tmp_path / f"{split}.de", *(f"Der Mann {i} rennt." for i in range(count)))
        lines(tmp_path / f"{split}.en", *(f"The man {i} runs." for i in range(count)))
    found = contents(tmp_path)
    assert choose(found).learns == "to write 'en' from 'de'"
    assert {split: len(table) for split, table in found.dataset.splits.items()} == {
        "train": 40,
        "validation": 9,
    }
    lines(tmp_path / "dev.en", "one line")
    with pytest.raises(BadDataError, match=r"dev\.de has 9 lines and dev\.en 1"):
        contents(tmp_path)


def test_classes_may_stand_in_front_of_texts(tmp_path):
    rows = [f"__label__{'ham' if i % 2 else 'spam'} message number {i}" for i in range(40)]
    found = contents(lines(tmp_path / "f.txt", *rows))
    assert choose(found).task == "classification"
    assert (found.dataset.classes, found.table["text"][1].as_py()) == (("ham", "spam"), "message number 1")
    rows[5] = "a line without one"
    with pytest.raises(BadDataError, match=r"f\.txt line 6: expected a class and a text"):
        choose(contents(lines(tmp_path / "f.txt", *rows)))


def test_classes_may_be_files_with_a_text_a_line(tmp_path):
    for label in ("pos", "neg"):
        lines(tmp_path / f"rt-polarity.{label}.txt", *(f"a film that is {label} {i}" for i in range(30)))
    found = contents(tmp_path)
    assert (found.dataset.classes, len(found.table)) == (("neg", "pos"), 60)


def test_labels_that_are_missing_are_refused_and_not_replaced_by_another_task(tmp_path):
    rows = [f"the film number {i} is here,{'' if i % 5 == 0 else 'ab'[i % 2]}" for i in range(40)]
    with pytest.raises(
        BadDataError, match=r"t\.csv line 2, column 'tags': expected a class, received nothing"
    ):
        choose(contents(lines(tmp_path / "t.csv", "text,tags", *rows)))


def test_messages_without_words_are_left_out():
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}
    parts = [{"type": "text", "text": "1+1?"}, {"type": "image_url", "image_url": "x"}]
    row = flat(
        {"messages": [{"role": "user", "content": parts}, call, {"role": "assistant", "content": "2"}]}
    )
    assert row == {"prompt": "1+1?", "response": "2"}


def test_the_input_of_an_instruction_belongs_to_it(tmp_path):
    records = [
        {"instruction": "Double it.", "input": str(i) if i % 2 else "", "output": f"it is {2 * i} {i}"}
        for i in range(40)
    ]
    found = contents(lines(tmp_path / "a.jsonl", *map(json.dumps, records)))
    assert found.table["instruction"].slice(0, 2).to_pylist() == ["Double it.", "Double it.\n1"]
    assert any("'input' is read as the end of 'instruction'" in note for note in found.dataset.notes)


@pytest.mark.parametrize("name", ["label", "entities"])
def test_marked_spans_are_tags(tmp_path, name):
    def span(start, end, label):
        places = ("start_offset", "end_offset", "label")
        return [start, end, label] if name == "label" else dict(zip(places, (start, end, label), strict=True))

    records = [
        {
            "id": 0,
            "text": "Ada Lovelace met IBM.",
            name: [span(0, 13, "P"), span(17, 20, "O"), span(4, 12, "X")],
        },
        *({"id": i, "text": f"Nobody came {i}", name: []} for i in range(1, 30)),
    ]
    found = contents(lines(tmp_path / "d.jsonl", *(json.dumps({**r, "Comments": []}) for r in records)))
    assert choose(found).task == "tagging"
    tags = open_source(found.config, form="tagged")
    (row,) = tags.splits["train"].slice(0, 1).to_pylist()
    assert row == {
        "text": ["Ada", "Lovelace", "met", "IBM", "."],
        name: ["B-P", "I-P", "O", "B-O", "O"],
    }
    assert any(note.endswith("hold no word: 1") for note in tags.notes)
