"""Read a folder of images: one subfolder for each class, optionally in train, validation and test folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pellucid.data import cache, images
from pellucid.data.dataset import SPLITS, Column, Dataset, Source
from pellucid.data.sources.tables import SPLIT_NAMES
from pellucid.errors import BadDataError, DataNotFoundError

SHOWN = 5
LISTED = 100


@dataclass(frozen=True)
class _File:
    path: Path
    split: str
    label: str  # "" for an image in no class folder


def image_folder(path: str | os.PathLike) -> Dataset:
    """Read a folder of images; the name of the subfolder an image lies in is its class.

    Args:
        path: `path/CLASS/x.png`, or `path/train/CLASS/x.png` next to `validation` (or `val`) and `test`.

    Returns:
        A dataset with the columns `image` and `label`; not split unless the folders are.

    Raises:
        DataNotFoundError: there is no such folder.
        BadDataError: a file or folder is not as expected; names it.
    """
    return read_folder(Path(path))


def holds_images(folder: Path) -> bool:
    """Return whether a folder or its subfolders contain an image."""
    return any(images.is_image_file(file) for file in folder.rglob("*"))


def read_folder(folder: Path, *, skip_bad: bool = False, labelled: bool = True) -> Dataset:
    """Read a folder of images; every file is decoded once, so that broken ones are found early.

    Args:
        folder: as for `image_folder`.
        skip_bad: leave out files that cannot be decoded, and folders without images.
        labelled: whether there must be classes; otherwise images may be in a single folder.
    """
    if not folder.is_dir():
        raise DataNotFoundError(f"There is no folder {folder}.")
    found, odd, empty = _walk(folder, loose=not labelled)
    if not found:
        raise BadDataError(
            f"{folder} holds no images: expected {folder.name}/CLASS/IMAGE.png.",
            remedy=f"images end in {', '.join(sorted(images.SUFFIXES))}",
        )
    if empty and not skip_bad:
        raise BadDataError(
            f"The class folder {empty[0]} holds no images: expected at least 1 file.",
            remedy="fill or remove it, or leave it out with --skip-bad",
        )
    good, digests, skipped = _checked(folder, found, skip_bad)
    skipped += [f"{name}: a class folder without images" for name in empty]
    classes = sorted({file.label for file in good}, key=images.natural)
    if labelled and len(classes) < 2:
        raise BadDataError(
            f"{folder} has a single class, {classes[0]!r}: expected at least 2 subfolders with images.",
            remedy="put the images of each class into a folder of its own",
        )
    if labelled:
        _same_classes(folder, good)
    classes = classes if "" not in classes else []
    notes = [f"{sum(odd.values()):,} files are not images and were ignored ({_tally(odd)})"] if odd else []
    label = Column("label", "category", tuple(classes), "the folder of each image")
    return Dataset(
        name=folder.resolve().name,
        splits=_tables(good, digests, classes),
        columns=(Column("image", "image", reason="image files"), *([label] if classes else [])),
        target="label" if classes else None,
        task="classification" if classes else None,
        source=Source(str(folder), "folder"),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


# ---- finding -------------------------------------------------------------------------------------


def _walk(folder: Path, *, loose: bool) -> tuple[list[_File], Counter[str], list[str]]:
    """Find the images, how many other files there are by suffix, and the class folders without images.

    Args:
        folder: to look in.
        loose: allow images in no class folder.
    """
    splits = {name: SPLIT_NAMES[name.lower()] for name in _subfolders(folder) if name.lower() in SPLIT_NAMES}
    tops = (
        {folder / name: split for name, split in splits.items()}
        if "train" in splits.values()
        else {folder: "train"}
    )
    found: list[_File] = []
    odd: Counter[str] = Counter()
    empty: list[str] = []
    for top, split in tops.items():
        for label in _subfolders(top):
            inside = _class_images(top / label, odd)
            found += [_File(path, split, label) for path in inside]
            if not inside:
                empty.append(str((top / label).relative_to(folder)))
        flat = sorted((name for name in _files(top) if images.is_image_file(name)), key=images.natural)
        if loose:
            found += [_File(top / name, split, "") for name in flat]
        elif flat:
            raise BadDataError(
                f"{top / flat[0]} and {len(flat) - 1:,} other images are not in a class folder.",
                remedy=f"move them to {top}/CLASS/",
            )
    return found, odd, empty


def _class_images(folder: Path, odd: Counter[str]) -> list[Path]:
    deeper = [name for name in _subfolders(folder) if _anything_below(folder / name)]
    if deeper:
        raise BadDataError(
            f"{folder / deeper[0]} is a folder inside the class folder {folder.name!r}: expected images.",
            remedy="move its images one level up, or give the folder above its own class",
        )
    inside = []
    for name in sorted(_files(folder), key=images.natural):
        if images.is_image_file(name):
            inside.append(folder / name)
        else:
            odd[Path(name).suffix.lower() or name] += 1
    return inside


def _anything_below(folder: Path) -> bool:
    """Return whether a folder contains anything but hidden files."""
    return any(_files(folder)) or any(_anything_below(folder / name) for name in _subfolders(folder))


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted((e.name for e in entries if e.is_dir() and not _hidden(e.name)), key=images.natural)


def _files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [e.name for e in entries if e.is_file() and not _hidden(e.name)]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


# ---- checking ------------------------------------------------------------------------------------


def _checked(
    folder: Path, files: Sequence[_File], skip_bad: bool
) -> tuple[list[_File], list[str], list[str]]:
    """Decode every image; return the good ones, their digests, and a line for each bad one."""
    results = _verify(folder, [file.path for file in files])
    bad = [f"{file.path}: {fault}" for file, (_, fault) in zip(files, results, strict=True) if fault]
    if bad and not skip_bad:
        more = [f"... and {len(bad) - SHOWN:,} more"] if len(bad) > SHOWN else []
        raise BadDataError(
            "\n".join(["Expected images that can be decoded, but:", *bad[:SHOWN], *more]),
            remedy="replace or remove them, or leave them out with --skip-bad",
        )
    good = [(file, digest) for file, (digest, fault) in zip(files, results, strict=True) if not fault]
    if not good:
        raise BadDataError(
            f"{folder}: none of its {len(files):,} images can be decoded; the first: {bad[0]}."
        )
    more = [f"... and {len(bad) - LISTED:,} more images"] if len(bad) > LISTED else []
    return [file for file, _ in good], [digest for _, digest in good], bad[:LISTED] + more


def _verify(folder: Path, paths: Sequence[Path]) -> list[tuple[str, str | None]]:
    """Check files, except those that were good before and have the same size and time."""
    key = f"verified {folder.resolve()}"
    before = cache.notes(key)
    stamps = {}
    for path in paths:
        facts = path.stat()
        stamps[path] = [facts.st_size, facts.st_mtime_ns]
    known = {path: before.get(str(path)) for path in paths}

    def check(path: Path) -> tuple[str, str | None]:
        old = known[path]
        if isinstance(old, list) and old[:2] == stamps[path]:
            return old[2], None
        return images.check_file(str(path))

    results = images.spread(check, paths)
    good = {
        str(path): [*stamps[path], digest]
        for path, (digest, fault) in zip(paths, results, strict=True)
        if not fault
    }
    if good != before:
        cache.write_notes(key, good)
    return results


def _same_classes(folder: Path, files: Sequence[_File]) -> None:
    """Raise for classes that have no training image."""
    seen = {file.label for file in files if file.split == "train"}
    for split in SPLITS[1:]:
        extra = sorted({file.label for file in files if file.split == split} - seen, key=images.natural)
        if extra:
            raise BadDataError(
                f"{folder}: the class {extra[0]!r} occurs in {split} and not in train"
                + (f", as do {len(extra) - 1} others." if len(extra) > 1 else "."),
                remedy=f"add training images of it, or remove it from {split}",
            )


def _tables(files: Sequence[_File], digests: Sequence[str], classes: Sequence[str]) -> dict[str, pa.Table]:
    index = {label: code for code, label in enumerate(classes)}
    tables = {}
    for split in SPLITS:
        chosen = [number for number, file in enumerate(files) if file.split == split]
        if chosen:
            paths = [str(files[number].path.resolve()) for number in chosen]
            column = images.from_files(paths, [digests[number] for number in chosen])
            tables[split] = pa.table({"image": column})
            if classes:
                codes = pa.array([index[files[number].label] for number in chosen], pa.int64())
                tables[split] = tables[split].append_column("label", codes)
    return tables


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(4))
