"""Write what the rules find in the records of this folder into their pages."""

from __future__ import annotations

import re
import textwrap

from pellucid.diagnosis.explained import PAGES
from tests.diagnosis.examples import RECORDS, found

for id in RECORDS:
    path = PAGES / f"{id}.md"
    text = path.read_text(encoding="utf-8")
    quoted = textwrap.fill(
        found(id).message,
        110,
        initial_indent="> ",
        subsequent_indent="> ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    made = re.sub(r"(?<=## Example\n\n)(> .*\n)+", lambda _, quoted=quoted: f"{quoted}\n", text)
    if made != text:
        path.write_text(made, encoding="utf-8")
        print(path.name)
