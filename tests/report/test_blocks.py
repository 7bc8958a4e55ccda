"""Every kind of block shows on the page what is on disk."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from pellucid import report
from pellucid.record import Run
from pellucid.report import block as shelf
from pellucid.report import blocks as drawing
from pellucid.report import plots
from pellucid.report.split_results import evaluation
from pellucid.report.views import heatmap, snapshots, tokens
from tests.report import shown

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script>"
BLOCKS = {
    "picture": 0,
    "snapshots": 1,
    "texts": 2,
    "tokens": 3,
    "heatmap": 4,
    "scatter": 6,
    "lines": 7,
    "table": 8,
}


@pytest.fixture
def run(tmp_path) -> Run:
    """A run of an autoencoder with one block of each kind."""
    made = shown.task_run(tmp_path, "reconstruction", {"test/mse": 0.006}, {}, [{"train/loss": 0.1}] * 3)
    shown.write_evaluation(made, shown.every_block(made))
    return made


def block_of(page: str, title: str) -> str:
    """The HTML of the block with a title."""
    found = re.search(
        rf'<section class="block(?:(?!</section>).)*>{title}</h3>.*?</section>', page, flags=re.S
    )
    assert found
    return found.group()


def images_of(part: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', part)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def alone(run: Run, block) -> drawing.Blocks:
    """Prepare one block of a run by itself."""
    shown.write_evaluation(run, [block])
    return drawing.blocks(run, evaluation(run))


def test_blocks_are_in_order_with_captions(run, page_of):
    page = page_of(run)
    facts = shown.every_block(run)
    places = [page.text.index(block["title"]) for block in facts]
    assert places == sorted(places)
    assert all(block["caption"] in page.text for block in facts)
    assert "Reconstructions" in page.text
    assert page.text.index("Reconstructions") < page.text.index("How it learned")
    assert "could not be drawn" not in page.text
    assert page.open == []


def test_ids_are_unique_and_drawings_are_well_formed(run, page_of):
    page = page_of(run)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    drawings = re.findall(r"<svg[^>]*role.*?</svg>", page.html, flags=re.S)
    assert len(drawings) >= 4
    assert all(ET.fromstring(drawing).get("aria-label") for drawing in drawings)


def test_pictures_are_enlarged_by_whole_factors(run):
    part = block_of(report.render(run), "New images")
    [pixels] = images_of(part)
    assert np.array_equal(pixels, np.asarray(Image.open(run.path / "samples" / "test-samples.png")))
    width = int(re.search(r"--wide:(\d+)px", part).group(1))
    assert width % pixels.shape[1] == 0
    assert width // pixels.shape[1] == 3  # 198 pixels into 720
    assert 'alt="New images. Forty draws from the prior, decoded."' in part


def test_snapshots_hold_all_frames_and_show_the_last(run):
    part = block_of(report.render(run), "Images while it learns")
    assert len(images_of(part)) == 9
    inputs = re.findall(r"<input type=\"radio\"[^>]*>", part)
    assert [("checked" in tag) for tag in inputs] == [False] * 8 + [True]
    assert 'aria-label="untrained"' in inputs[0]


def test_many_snapshots_are_thinned_and_keep_the_last(run):
    snaps = shown.every_block(run)[BLOCKS["snapshots"]]
    file = snaps["frames"][0]["file"]
    snaps["frames"] = [{"label": f"epoch {i}", "file": file} for i in range(1, 101)]
    [block] = alone(run, snaps).blocks
    assert 10 <= len(block.body) <= snapshots.FRAMES
    assert block.body[-1].label == "epoch 100"


def test_large_snapshots_are_thinned_to_what_fits(run, monkeypatch):
    snaps = shown.every_block(run)[BLOCKS["snapshots"]]
    sizes = [(run.path / frame["file"]).stat().st_size * 4 / 3 for frame in snaps["frames"]]
    monkeypatch.setattr(shelf, "BUDGET", int(sum(sizes) / 3))
    found = alone(run, snaps)
    assert found.left_out == ()
    assert 2 <= len(found.blocks[0].body) <= 4


def test_texts_keep_their_lines(run):
    part = block_of(report.render(run), "Texts it wrote")
    assert "ROMEO:\nO, she doth" in part
    assert "1.21 nats a token" in part


def test_tokens_show_their_sign_by_line_and_number_as_well_as_by_color(run):
    part = block_of(report.render(run), "Why it decided so")
    marks = {word: mark for mark, word in re.findall(r'<span class="(\w+ \w+)" title="[^"]+">(\w+)<', part)}
    assert re.fullmatch(r"n\d+ against", marks["bad"])
    assert re.fullmatch(r"p\d+ for", marks["wonder"])
    assert "a" not in marks  # a weight of nothing
    assert 'title="−0.900">bad' in part
    assert re.search(r"bad\u00a0<span class=\"quiet\">−0.900", part)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["not", "bad", ",", "at", "all", "."], "not bad, at all."),
        (["un", "##believ", "##able", "end"], "unbelievable end"),
        (["▁The", "▁end", "ing", "▁is"], "The ending is"),
        (["The", "Ġking", "Ġof"], "The king of"),
        (list("a b\nc"), "a b↵c"),
    ],
)
def test_tokens_are_joined_as_they_are_read(pieces, text):
    [passage] = tokens.tokens([(pieces, [1.0] * len(pieces), None, None)]).passages
    assert "".join(f"{'' if token.joined else ' '}{token.text}" for token in passage.tokens) == text


def test_weights_without_a_sign_are_shown_as_amounts(run):
    facts = {
        **shown.every_block(run)[BLOCKS["tokens"]],
        "rows": [{"tokens": ["a", "b"], "weights": [0.5, 3.25]}],
    }
    shown.write_evaluation(run, [facts])
    part = block_of(report.render(run), facts["title"])
    assert "passages signed" not in part
    assert "against" not in re.sub(r"<p class=\"small caption\">.*?</p>", "", part)
    assert ">3.25<" in part


def test_a_heatmap_has_its_numbers_under_their_names(run):
    facts = shown.every_block(run)[BLOCKS["heatmap"]]
    part = block_of(report.render(run), facts["title"])
    rows = re.findall(r'<th scope="row"><span>(.*?)</span></th>(.*?)</tr>', part)
    assert [name for name, _ in rows] == facts["rows"]
    numbers = [[float(n) for n in re.findall(r">([\d.]+)</td>", cells)] for _, cells in rows]
    assert np.allclose(numbers, facts["values"], atol=5e-4)


def test_a_heatmap_with_negative_values_uses_the_diverging_scale():
    found = heatmap.heatmap(["a"], ["x", "y", "z"], [[-2.0, 0.0, 1.0]])
    assert found.signed
    assert [cell.mark for cell in found.rows[0][1]] == ["n12", "", "p6"]
    assert (found.low, found.high) == ("−2.00", "2.00")


def test_a_large_heatmap_says_what_is_not_drawn():
    names = [str(i) for i in range(100)]
    found = heatmap.heatmap(names, names, np.ones((100, 100)).tolist())
    assert len(found.rows) == len(found.columns) == heatmap.MAX_SIDE
    assert found.left_out == "The first 64 rows and columns of 100 × 100."


def test_a_scatter_plot_has_the_points_of_its_groups(run):
    facts = shown.every_block(run)[BLOCKS["scatter"]]
    part = block_of(report.render(run), facts["title"])
    wide = part.split('<div class="narrow">')[0]
    drawn = {int(i): d.count("M") for d, i in _paths(wide)}
    assert drawn == {i: len(group["points"]) for i, group in enumerate(facts["groups"])}
    assert part.count('class="pick-') == 10


def _paths(part: str) -> list[tuple[str, str]]:
    found = re.findall(r'<path class="hit cloud [^"]*of-(\d+)" d="([^"]+)"', part)
    return [(d, i) for i, d in found]


def test_points_that_are_not_numbers_are_left_out(run):
    group = {"name": "a", "points": [[0, 1], [None, 2], [3, float("nan")], [4, 5]]}
    facts = {
        "kind": "scatter",
        "title": "t",
        "caption": "",
        "x_label": "x",
        "y_label": "y",
        "groups": [group],
    }
    [block] = alone(run, facts).blocks
    assert dict(zip(block.body.table.columns, block.body.table.rows[0], strict=True))["points"] == "2"


def test_lines_show_every_value_and_known_roles_have_fixed_colors(run):
    part = block_of(report.render(run), "Oil temperature: a typical window")
    assert re.search(r"<title>hours 1: truth [\d.]+, forecast [\d.]+</title>", part)
    assert len(re.findall(r'class="band g2"', part)) == 2  # wide and narrow
    assert re.search(r'class="line ink"', part)
    assert re.search(r'class="line g5"', part)
    assert "The same as a table" in part


def test_other_lines_use_colors_that_no_role_has():
    roles = plots.roles(["forecast", "mean", "last value", "last cycle again", "truth"])
    assert roles[0] == "g2"
    assert len(set(roles)) == 5


def test_a_table_aligns_numbers_and_words_differently(run):
    part = block_of(report.render(run), "Channel by channel")
    assert '<td class="words">oil temperature</td>' in part
    assert "<td>0.0551</td>" in part


def test_training_blocks_are_shown_and_their_charts_join_the_curves(run, page_of):
    facts = shown.every_block(run)
    quality = {**facts[BLOCKS["lines"]], "title": "Quality by epoch", "caption": "Lower is better."}
    shown.write_evaluation(run, [facts[BLOCKS["picture"]]])
    shown.write_evaluation(run, [facts[BLOCKS["snapshots"]], quality], split="training")
    page = page_of(run).text
    learned = page.rindex("How it learned")
    assert page.index("Images while it learns") < learned < page.index("Quality by epoch")
    (run.path / "evaluation" / "test.json").unlink()
    assert "Images while it learns" in page_of(run).text


DAMAGED = {
    "of no kind": {"title": "x"},
    "of an unknown kind": {"kind": "hologram", "title": "x"},
    "no block": "a text",
    "without a title": {"kind": "table", "columns": [], "rows": []},
    "without a file": {"kind": "picture", "title": "x"},
    "of a missing file": {"kind": "picture", "title": "x", "file": "samples/none.png"},
    "outside the run": {"kind": "picture", "title": "x", "file": "../../outside.png"},
    "no picture": {"kind": "picture", "title": "x", "file": "config.yaml"},
    "a folder": {"kind": "picture", "title": "x", "file": "samples"},
    "without frames": {"kind": "film", "title": "x", "frames": []},
    "of one bad frame": {"kind": "film", "title": "x", "frames": [{"label": "a"}]},
    "texts of nothing": {"kind": "texts", "title": "x", "rows": None},
    "too few weights": {"kind": "tokens", "title": "x", "rows": [{"tokens": ["a", "b"], "weights": [1]}]},
    "weights of words": {"kind": "tokens", "title": "x", "rows": [{"tokens": ["a"], "weights": ["b"]}]},
    "a ragged map": {"kind": "heatmap", "title": "x", "rows": ["a"], "columns": ["b"], "values": [[1, 2]]},
    "an empty map": {"kind": "heatmap", "title": "x", "rows": [], "columns": [], "values": []},
    "no points": {"kind": "scatter", "title": "x", "x_label": "", "y_label": "", "groups": []},
    "points of words": {
        "kind": "scatter",
        "title": "x",
        "x_label": "",
        "y_label": "",
        "groups": [{"name": "a", "points": [["b", 1]]}],
    },
    "lines of unlike lengths": {
        "kind": "lines",
        "title": "x",
        "x_label": "",
        "y_label": "",
        "series": [{"name": "a", "x": [1, 2], "y": [1]}],
    },
    "lines of nothing": {
        "kind": "lines",
        "title": "x",
        "x_label": "",
        "y_label": "",
        "series": [{"name": "a", "x": [1], "y": [None]}],
    },
    "a ragged table": {"kind": "table", "title": "x", "columns": ["a"], "rows": [[1, 2]]},
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_block_is_left_out_with_a_sentence_and_the_others_remain(run, damage, page_of):
    (run.path.parent / "outside.png").write_bytes(shown.grid(shown.INPUTS[:1], 1))
    good = shown.every_block(run)[BLOCKS["table"]]
    shown.write_evaluation(run, [DAMAGED[damage], good])
    page = page_of(run)
    assert page.text.count("could not be drawn: ") == 1
    assert "Channel by channel" in page.text
    assert "How it learned" in page.text
    assert page.open == []


def test_blocks_that_are_not_a_list_are_ignored(run, page_of):
    shown.write_evaluation(run, "nothing")  # type: ignore[arg-type]
    assert "Reconstructions" not in page_of(run).text


def test_damaged_training_blocks_do_not_break_the_page(run, page_of):
    (run.path / "evaluation" / "training.json").write_text('["half a ')
    assert "Reconstructions" in page_of(run).text
    (run.path / "evaluation" / "training.json").write_text(json.dumps(["no", "facts"]))
    assert "Reconstructions" in page_of(run).text


def test_html_in_names_is_escaped(run, page_of):
    facts = json.loads(json.dumps(shown.every_block(run)))
    for block in facts:
        block["title"] = block["caption"] = HOSTILE
    facts[BLOCKS["snapshots"]]["frames"][0]["label"] = HOSTILE
    facts[BLOCKS["texts"]]["rows"][0] = {"text": HOSTILE, "note": HOSTILE, "label": HOSTILE}
    facts[BLOCKS["tokens"]]["rows"][0] = {
        "tokens": [HOSTILE],
        "weights": [1],
        "label": HOSTILE,
        "note": HOSTILE,
    }
    facts[BLOCKS["heatmap"]]["rows"][0] = facts[BLOCKS["heatmap"]]["columns"][0] = HOSTILE
    facts[BLOCKS["scatter"]]["groups"][0]["name"] = facts[BLOCKS["lines"]]["series"][0]["name"] = HOSTILE
    facts[BLOCKS["table"]]["rows"][0][0] = HOSTILE
    shown.write_evaluation(run, facts)
    page = page_of(run)
    assert not any(attributes.get("onerror") for _, attributes in page.elements)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert page.open == []
    assert "could not be drawn" not in page.text


def test_nothing_is_loaded_from_elsewhere(run, page_of):
    page = page_of(run)
    assert all(value.startswith(("data:", "#")) for value in page.values("src") + page.values("href"))


def test_pictures_are_left_out_when_the_page_is_full(run, monkeypatch):
    monkeypatch.setattr(shelf, "BUDGET", 3000)
    block = shown.every_block(run)[BLOCKS["picture"]]
    shown.write_evaluation(run, [block] * 3)
    found = drawing.blocks(run, evaluation(run))
    assert 0 < len(found.blocks) < 3
    assert "as many pictures as it can" in found.left_out[0]


def test_a_very_large_picture_is_reduced(run):
    noise = np.random.default_rng(0).integers(0, 255, (900, 2000, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    file = shown.picture(run, "large.png", buffer.getvalue())
    [block] = alone(run, {"kind": "picture", "title": "x", "caption": "", "file": file}).blocks
    data = base64.b64decode(block.body.uri.partition(",")[2])
    assert max(Image.open(io.BytesIO(data)).size) <= 1600
    assert len(data) < len(buffer.getvalue()) / 2
