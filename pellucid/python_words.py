"""Options of the command line in a sentence, as the arguments that they are in Python.

    --set train.epochs=3 --set data.image_size=32   ->   settings={'train.epochs': 3, 'data.image_size': 32}
    --target price                                  ->   target='price'
    pellucid train data.csv --task forecast         ->   pellucid.fit(None, 'data.csv', task='forecast')

Errors are worded for the command line where they are raised; `PellucidError` says them in Python through this
file, unless the command line runs.
"""

from __future__ import annotations

import re
from typing import Any

_VALUE = r"'[^']*'|\"[^\"]*\"|\{[^}]*\}|\[[^\]]*\]|[^\s,;)`]*[^\s,;.)`:]"
_QUOTED = r"'[\w.]+=(?:[^']|'\"'\"')*'"
_SETTING = rf"--set (?:{_QUOTED}|[\w.]+=(?:{_VALUE}))"
_SETTINGS = re.compile(rf"{_SETTING}(?:(?:,? and|,)? {_SETTING})*")
_ONE = re.compile(rf"--set (?:'(?P<quoted>[\w.]+=(?:[^']|'\"'\"')*)'|(?P<plain>[\w.]+=(?:{_VALUE})))")
_NAMES = (
    "target|task|resume|runs|minutes|epochs|batch-size|seed|lr|data-fraction|fraction|device|folder|split|out"
    "|method"
)
_OPTION = rf"--(?P<name>{_NAMES})"
_WITH_VALUE = re.compile(rf"{_OPTION}[ =](?P<value>'[^']*'|[\w./*-]+(?: \| [\w-]+)*)(?=[\s,;.)`:]|$)")
_ALONE = re.compile(rf"{_OPTION}(?![\w-])")
_COMMAND = re.compile(
    r"pellucid train (?P<data>'[^']*'|[^\s,;`]+)"
    r"(?P<options>(?: --[\w-]+ (?:'[^']*'|[^\s,;`]+(?: \| [\w-]+)*))*)"
)
_OTHER_COMMAND = re.compile(r"`(?!pellucid train|--)")
_CONFIGS = "`pellucid inspect DATA` or `pellucid recipes copy digits`, which write a config with all settings"
_PHRASES = {
    _CONFIGS: "one of the settings that print(pellucid.Config().to_yaml()) lists",
    "`--allow-changes` to resume": "allow_changes=True to resume",
    "--set objective.class_weights=true": "class_weight='balanced'",
}
_NUMBERS = ("minutes", "epochs", "batch-size", "seed", "lr", "data-fraction", "fraction")
_VERBS = ("names", "name", "with", "and", "or", "is", "says", "for", "to")
_DOTTED = {"data-fraction": "data.fraction", "fraction": "data.fraction"}


def in_python(text: str) -> str:
    """Return a text with the options of the command line as arguments of Python."""
    for command, python in _PHRASES.items():
        text = text.replace(command, python)
    if "--" not in text:
        return text
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if _OTHER_COMMAND.match(part) else _worded(part) for part in parts)


def _worded(text: str) -> str:
    text = _COMMAND.sub(_call, text)
    text = _SETTINGS.sub(lambda found: _settings(found.group()), text)
    text = _WITH_VALUE.sub(_argument, text)
    text = _ALONE.sub(lambda found: f"{_plain(found['name'])}=", text)
    text = re.sub(r"--skip-bad", "settings={'data.skip_bad': True}", text)
    text = re.sub(r"--set(?=:)", "settings", text)
    return re.sub(r"--set\b", "settings=", text)


def _call(found: re.Match[str]) -> str:
    """`pellucid train DATA --task NAME ...` as a call of `pellucid.fit`."""
    arguments = in_python(found["options"].strip())
    several = re.sub(r"(?<=[}'\w]) (?=\w+=)", ", ", arguments)
    return f"pellucid.fit(None, {_written(found['data'].strip(chr(39)))}{', ' * bool(several)}{several})"


def _settings(text: str) -> str:
    """Options `--set KEY=VALUE` that follow one another, as one argument; those of a verb by their name."""
    made: dict[str, str] = {}
    plain = []
    for found in _ONE.finditer(text):
        key, _, value = (found["quoted"] or found["plain"]).partition("=")
        if found["quoted"]:
            value = value.replace("'\"'\"'", "'")
        if key == "data.target":
            plain.append(f"target={_written(value)}")
        elif "." in key:
            made[key] = _written(value)
        else:
            plain.append(f"{key}{'_' * (key in ('from', 'class'))}={_written(value)}")
    if made:
        plain.append(f"settings={{{', '.join(f'{key!r}: {value}' for key, value in made.items())}}}")
    return ", ".join(plain)


def _argument(found: re.Match[str]) -> str:
    number = re.fullmatch(r"[\d.,e-]+|N", found["value"])
    if found["value"] in _VERBS or (found["name"] in _NUMBERS and not number):
        return f"{_plain(found['name'])}= {found['value']}"
    value = " | ".join(_written(one.strip("'")) for one in found["value"].split(" | "))
    if found["name"] in _DOTTED:
        return f"settings={{{_DOTTED[found['name']]!r}: {value}}}"
    return f"{_plain(found['name'])}={value}"


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _written(text: str) -> str:
    """Return a value of YAML as it is written in Python; N stays the letter for a number."""
    if text in ("N", "MARK"):
        return text
    import yaml  # here: errors are raised where nothing is loaded yet

    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    return repr(value)
