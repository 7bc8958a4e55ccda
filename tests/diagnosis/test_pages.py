"""Every finding has a page, whose example is what its rule finds in a record."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pellucid.diagnosis import RULES, Facts, Rule, preflight, register
from pellucid.diagnosis.explained import OLD_IDS, PAGES, check_muted, page, plain, title, where_found
from pellucid.diagnosis.rules import unregister
from pellucid.errors import UnknownNameError
from pellucid.record import Finding
from tests.diagnosis.examples import RECORDS, found

IDS = sorted({rule.id for rule in RULES} | set(preflight.IDS))
PARTS = ["How it is detected", "Example", "Fix", "References"]


def test_every_finding_has_a_page_and_every_page_a_finding():
    assert sorted(path.stem for path in PAGES.glob("*.md")) == IDS == sorted(RECORDS)


@pytest.mark.parametrize("id", IDS)
def test_the_example_of_a_page_is_what_its_rule_finds(id):
    text = page(id)
    assert re.findall(r"^## (.*)", text, flags=re.M) == PARTS
    quoted = " ".join(line.removeprefix("> ") for line in text.splitlines() if line.startswith("> "))
    assert quoted == found(id).message, "run: python -m tests.diagnosis.examples"


@pytest.mark.parametrize("id", IDS)
def test_pages_are_short_and_have_references(id):
    text = page(id)
    words = len(re.sub(r"## Example.*?## Fix", "", text, flags=re.S).partition("## References")[0].split())
    assert 50 <= words <= 190
    assert re.search(r"^- .*(\]\(|\d{4})", text.partition("## References")[2], flags=re.M)
    assert len(title(id)) <= 70


def test_a_page_says_where_its_finding_is_looked_for():
    places = where_found()
    assert places["overfitting"] == ("training runs",)
    assert places["dead-units"] == ("training runs", "loops under `pellucid.watch`")
    assert places["slow-optimizer"] == ("`pellucid profile`",)
    assert places["evaluation-mode"] == ("`pellucid.check`",)
    assert len(places["activation-before-loss"]) == 3


def test_unknown_ids_name_similar_ones_and_old_ids_are_known():
    with pytest.raises(UnknownNameError, match="overfitting"):
        page("overfiting")
    for old, new in OLD_IDS.items():
        assert page(old) == page(new)
        check_muted([old])


@pytest.fixture
def own() -> Iterator[Rule]:
    def check(facts: Facts) -> Finding | None:
        """Report a loss that is odd."""

    rule = Rule("odd-loss", ("curves",), check)
    yield rule
    unregister("odd-loss")


def test_a_rule_of_ones_own_brings_its_page(own):
    register(own)
    assert "Report a loss that is odd." in page("odd-loss")
    unregister("odd-loss")
    register(Rule("odd-loss", ("curves",), own.check, about="# An odd loss\n\nIt is odd."))
    assert page("odd-loss").startswith("# An odd loss\n\n`odd-loss`, found in training runs.\n\nIt is odd.")


def test_as_plain_text_a_page_has_no_markup_and_fits_the_width():
    text = plain(page("dead-units"), 60)
    assert "](" not in text
    assert "## " not in text
    assert "https://arxiv.org/abs/1903.06733" in text
    assert all(len(line) <= 60 or " " not in line.strip() for line in text.splitlines())
