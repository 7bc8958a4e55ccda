"""Read a folder of images: one subfolder for each class, optionally in train, validation and test folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pellucid.data import cache, images
from pellucid.data.dataset import SPLITS, Column, Dataset, Source
from pellucid.data.image_files import images_below
from pellucid.data.sources.image_layout import ImageFile, find_layout
from pellucid.data.sources.raw_files import printable
from pellucid.errors import BadDataError, DataNotFoundError

SHOWN = 5
LISTED = 100


def image_folder(path: str | os.PathLike, *, labelled: bool = True) -> Dataset:
    """Read a folder of images; the name of the subfolder an image lies in is its class.

    Args:
        path: `path/CLASS/x.png`, or `path/train/CLASS/x.png` next to `validation` (or `val`) and `test`.
        labelled: whether there must be classes; without, images may lie in one folder, or in several levels,
            or all be of one class.

    Returns:
        A dataset with the columns `image` and `label`; not split unless the folders are.

    Raises:
        DataNotFoundError: there is no such folder.
        BadDataError: a file or folder is not as expected; names it.
    """
    try:
        return read_folder(Path(path), labelled=labelled)
    except BadDataError as error:
        if not labelled or error.remedy is None:
            raise
        without = "what needs no classes: pellucid.image_folder(path, labelled=False)"
        raise BadDataError(error.message, remedy=f"{error.remedy}; or for {without}") from None


def holds_images(folder: Path) -> bool:
    """Return whether a folder or its subfolders contain an image."""
    return next(images_below(folder), None) is not None


def read_folder(
    folder: Path,
    *,
    skip_bad: bool = False,
    labelled: bool = True,
    class_from: str | None = None,
    fewest: int = 2,
) -> Dataset:
    """Read a folder of images; every file is decoded once, so that broken ones are found early.

    Args:
        folder: as for `image_folder`.
        skip_bad: leave out files that cannot be decoded, and folders without images.
        labelled: whether there must be classes; otherwise images may be in a single folder.
        class_from: see `data.class_from`.
        fewest: classes that there must be, if there must be classes.
    """
    if not folder.is_dir():
        raise DataNotFoundError(f"There is no folder {folder}.")
    layout = find_layout(folder, loose=not labelled, class_from=class_from)
    found, odd, empty = layout.files, layout.others, layout.empty
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
    if labelled and len(classes) < fewest:
        raise BadDataError(
            f"{folder} has a single class, {classes[0]!r}: expected at least 2 subfolders with images.",
            remedy="put the images of each class into a folder of its own, or name a table of their classes",
        )
    if labelled:
        _same_classes(folder, good)
    classes = classes if "" not in classes else []
    notes = [*layout.notes]
    if odd:
        notes.append(
            f"{sum(odd.values()):,} files were ignored, since they do not end like an image that can be read "
            f"({_tally(odd)})"
        )
    label = Column(
        "label",
        "category",
        tuple(classes),
        "the folder of each image" if class_from is None else "in the file name",
    )
    return Dataset(
        name=printable(folder.resolve().name),
        splits=_tables(good, digests, classes),
        columns=(Column("image", "image", reason="image files"), *([label] if classes else [])),
        target="label" if classes else None,
        task="classification" if classes else None,
        source=Source(printable(folder), "folder"),
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


# ---- checking ------------------------------------------------------------------------------------


def _checked(
    folder: Path, files: Sequence[ImageFile], skip_bad: bool
) -> tuple[list[ImageFile], list[str], list[str]]:
    """Decode every image; return the good ones, their digests, and a line for each bad one."""
    results = _verify(folder, [file.path for file in files])
    bad = [
        f"{printable(file.path)}: {fault}" for file, (_, fault) in zip(files, results, strict=True) if fault
    ]
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
    key = f"verified {printable(folder.resolve())}"
    before = cache.notes(key)
    stamps = {}
    for path in paths:
        stamps[path] = _stamp(path)
    known = {path: before.get(str(path)) for path in paths}

    def check(path: Path) -> tuple[str, str | None]:
        old = known[path]
        if isinstance(old, list) and stamps[path] and old[:2] == stamps[path]:
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


def _stamp(path: Path) -> list[int]:
    """Return size and time of a file; [] for one that is gone, such as the target of a link."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def _same_classes(folder: Path, files: Sequence[ImageFile]) -> None:
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


def _tables(
    files: Sequence[ImageFile], digests: Sequence[str], classes: Sequence[str]
) -> dict[str, pa.Table]:
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
