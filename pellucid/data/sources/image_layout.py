"""Where the images of a folder are, and which class and split each belongs to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data import images
from pellucid.data.image_files import files, images_below, subfolders
from pellucid.data.sources.raw_files import printable
from pellucid.data.sources.tables import SPLIT_NAMES, is_table_file
from pellucid.errors import BadDataError, ConfigError

NAME = "name"
"""The value of `data.class_from` for the usual form of file names."""


STRAYS = 0.05
"""Images next to class folders are left out if they are at most this share of those in the folders."""
MASKS = ("ground_truth", "mask", "masks", "mask_dir")
"""Folders of masks that show where anomalies are."""


@dataclass(frozen=True)
class ImageFile:
    """An image: its path, its split, and its class; "" for an image without a class."""

    path: Path
    split: str
    label: str


@dataclass
class Layout:
    """What was found in a folder.

    Attributes:
        files: the images.
        others: how many other files there are, by suffix.
        empty: class folders without images.
        notes: what was decided.
    """

    files: list[ImageFile] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_layout(folder: Path, *, loose: bool, class_from: str | None = None) -> Layout:
    """Find the images of a folder.

    Args:
        folder: to look in; a folder that holds only one other is the other.
        loose: allow images without a class.
        class_from: see `data.class_from`.

    Raises:
        BadDataError: an image is where its class cannot be told; names it.
        ConfigError: `class_from` is no regular expression with one group.
    """
    found, top = Layout(), _unwrapped(folder)
    if top != folder:
        found.notes.append(f"the images are in {top.relative_to(folder)}")
    names = subfolders(top)
    splits = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    if "train" not in splits.values():
        splits = {}
    elif others := [name for name in names if name not in splits and any(images_below(top / name))]:
        found.notes.append(
            f"only the folders of the splits are read, not {', '.join(map(printable, others))}"
        )
    tops = {top / name: split for name, split in splits.items()} or {top: "train"}
    for place, split in tops.items():
        if class_from is not None:
            _by_name(found, place, split, class_from)
        else:
            _by_folder(found, place, split, folder, loose=loose)
    if not loose:
        _set_aside_unknown(found)
    return found


def _unwrapped(folder: Path) -> Path:
    """Go down while a folder holds nothing but one folder of folders, as archives often do."""
    while True:
        below = subfolders(folder)
        if len(below) != 1 or any(map(images.is_image_file, files(folder))):
            return folder
        if not subfolders(folder / below[0]) or below[0].lower() in SPLIT_NAMES:
            return folder
        folder = folder / below[0]


# ---- classes by folder ---------------------------------------------------------------------------


def _by_folder(found: Layout, top: Path, split: str, folder: Path, *, loose: bool) -> None:
    flat = sorted(filter(images.is_image_file, files(top)), key=images.natural)
    labels = subfolders(top)
    unlabelled = (
        bool(flat) and not loose and split != "train" and not any(map(_has_images, map(top.joinpath, labels)))
    )
    if unlabelled:
        found.notes.append(
            f"{split}: the {len(flat):,} images in {top.name} have no class and are not used; "
            f"a trained run predicts them: pellucid predict RUN {top}"
        )
        return
    if loose and any(
        _anything_below(top / label / deeper) for label in labels for deeper in subfolders(top / label)
    ):
        nested = sorted(images_below(top), key=lambda path: images.natural(str(path)))
        found.files += [ImageFile(path, split, "") for path in nested]
        found.notes.append(
            f"{printable(top)}: the images are in folders of several levels, so there are no classes"
        )
        return
    masks = [name for name in labels if name.casefold() in MASKS]
    if masks and len(labels) > len(masks):
        labels = [name for name in labels if name not in masks]
        found.notes.append(f"{', '.join(map(printable, masks))}: folders of masks are not read")
    for label in labels:
        inside = _class_images(top / label, found.others)
        found.files += [ImageFile(path, split, printable(label)) for path in inside]
        if not inside:
            found.empty.append(printable((top / label).relative_to(folder)))
    if loose and _are_strays(flat, found.files, split):
        listed = printable(flat[0]) + (f" and {len(flat) - 1:,} more" if flat[1:] else "")
        found.notes.append(f"left out, next to the class folders and without a class: {listed}")
    elif loose:
        found.files += [ImageFile(top / name, split, "") for name in flat]
    elif flat:
        more = f" and {len(flat) - 1:,} other images are" if len(flat) > 1 else " is"
        raise BadDataError(
            f"{printable(top / flat[0])}{more} not in a class folder.", remedy=_advice(top, folder, flat)
        )


def _are_strays(flat: list[str], found: list[ImageFile], split: str) -> bool:
    """Return whether images without a class are few next to those in class folders."""
    return 0 < len(flat) <= STRAYS * sum(file.split == split for file in found)


def _class_images(folder: Path, others: Counter[str]) -> list[Path]:
    deeper = [name for name in subfolders(folder) if _anything_below(folder / name)]
    if deeper:
        raise BadDataError(
            f"{folder / deeper[0]} is a folder inside the class folder {folder.name!r}: expected images.",
            remedy="move its images one level up, or give the folder above its own class",
        )
    inside = []
    for name in sorted(files(folder), key=images.natural):
        if images.is_image_file(name):
            inside.append(folder / name)
        else:
            others[printable(Path(name).suffix.lower() or name)] += 1
    return inside


def _set_aside_unknown(found: Layout) -> None:
    """Leave out a test folder whose folders are no classes, such as test/unknown."""
    train = {file.label for file in found.files if file.split == "train"}
    test = {file.label for file in found.files if file.split == "test"}
    if train and test and not train & test:
        left = [file for file in found.files if file.split == "test"]
        found.files = [file for file in found.files if file.split != "test"]
        found.notes.append(
            f"test: its {len(left):,} images are in {', '.join(sorted(test)[:3])}, no class of train, and "
            f"are not used; a trained run predicts them: pellucid predict RUN {left[0].path.parent}"
        )


# ---- classes by name -----------------------------------------------------------------------------


def _by_name(found: Layout, top: Path, split: str, class_from: str) -> None:
    pattern = _pattern(class_from)
    for path in sorted(images_below(top), key=lambda path: images.natural(str(path))):
        name = printable(path.name)
        label = class_of(path.name) if pattern is None else _searched(pattern, name)
        if not label:
            raise BadDataError(
                f"{printable(path)} has no class in its name: data.class_from is {class_from!r}.",
                remedy="a regular expression with one group, e.g. --set 'data.class_from=^([a-z]+)'",
            )
        found.files.append(ImageFile(path, split, label))
    found.notes.append(f"the class is in the name of the file, data.class_from: {class_from}")


def _pattern(class_from: str) -> re.Pattern[str] | None:
    if class_from == NAME:
        return None
    try:
        pattern = re.compile(class_from)
    except re.error as error:
        raise ConfigError(f"data.class_from is {class_from!r}, no regular expression: {error}.") from None
    if pattern.groups != 1:
        raise ConfigError(
            f"data.class_from is {class_from!r}: expected `name`, or a regular expression with one group, "
            f"received {pattern.groups} groups.",
            remedy="--set data.class_from=name, or --set 'data.class_from=^([a-z]+)'",
        )
    return pattern


def _searched(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.search(name)
    return (found.group(1) or "") if found else ""


def class_of(name: str) -> str:
    """Return the class in a file name: what is left without its number.

    Example:
        >>> [class_of(name) for name in ("cat.12.jpg", "dog_3.png", "rose (4).png", "07-oak.png", "7_31.png")]
        ['cat', 'dog', 'rose', 'oak', '7']
    """
    stem = printable(Path(name).stem)
    label = re.sub(r"[\s_.\-]*[(\[]?\d+[)\]]?$", "", stem)
    if re.match(r"\d+[\s_.\-]+[^\W\d_]", label):
        label = re.sub(r"^\d+[\s_.\-]+", "", label)
    return label


def _advice(top: Path, folder: Path, flat: list[str]) -> str:
    """Say what could hold the classes: the names, or a table next to the images."""
    counts = Counter(class_of(name) for name in flat)
    tables = [
        f
        for place in (folder, top)
        for f in sorted(place.iterdir())
        if f.is_file() and is_table_file(f) and _may_list(f, len(flat))
    ]
    advice = []
    if tables:
        advice.append(f"the table with their names: pellucid train {printable(tables[0])}")
    if "" not in counts and 2 <= len(counts) <= len(flat) / 2:
        shown = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(4))
        advice.append(f"the class from the file name: --set data.class_from=name ({shown})")
    return "; or ".join([*advice, f"move them to {printable(top)}/CLASS/"])


def _may_list(file: Path, images: int) -> bool:
    """Whether a table may say something of each image; a .txt of fewer lines is a note about all of them."""
    if file.suffix.lower() != ".txt":
        return True
    with file.open("rb") as lines:
        return sum(1 for _ in lines) >= images / 2


# ---- folders -------------------------------------------------------------------------------------


def _has_images(folder: Path) -> bool:
    return next(images_below(folder), None) is not None


def _anything_below(folder: Path) -> bool:
    """Return whether a folder contains anything but hidden files."""
    return any(files(folder)) or any(_anything_below(folder / name) for name in subfolders(folder))
