"""Open data as a `Dataset`: a name on the hub, or the path of a file or folder."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pellucid.config import DataConfig
from pellucid.data import images, split
from pellucid.data.build_dataset import DataOptions, RawTables, build_dataset
from pellucid.data.dataset import Column, Dataset, Source
from pellucid.data.image_index import names_images
from pellucid.data.panel import FILE
from pellucid.data.sources import (
    array_files,
    conll,
    folder,
    hub,
    jsonlines,
    labelled_lines,
    parallel_files,
    tablefile,
    tables,
    tagged,
    text_classes,
    textfiles,
    word_pairs,
)
from pellucid.data.sources.stacked_images import stack
from pellucid.data.sources.toy import TOYS
from pellucid.data.split_rules import rule_columns, without_rule_columns
from pellucid.errors import (
    BadDataError,
    DataError,
    DataNotFoundError,
    UnknownNameError,
    UsageError,
    similar_file,
)

ALIASES = {
    "digits": "ylecun/mnist",
    "mnist": "ylecun/mnist",
    "fashion": "zalando-datasets/fashion_mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar-10": "uoft-cs/cifar10",
    "imdb": "stanfordnlp/imdb",
    "pneumonia": "medmnist/pneumoniamnist",
    "faces": "att/orl_faces",
    "shakespeare": "karpathy/tiny_shakespeare",
    "multi30k": "bentrevett/multi30k",
    "etth1": "zhouhaoyi/ETDataset",
    "etth2": "zhouhaoyi/ETDataset",
}
"""Short names of hub datasets."""

SUBSETS = {"etth1": "h1", "etth2": "h2"}
"""The subset that a short name stands for, where a dataset has several."""

STAND_IN = (
    "a stand-in: MNIST was not available, so these are the 1,797 digits of 8 x 8 pixels that come with "
    "scikit-learn; scores on them do not compare with scores on MNIST"
)


Form = Literal["rows", "texts", "series", "tagged", "pairs"]
"""What a task makes of a source: rows of a table or images; whole texts; rows in the order of time; rows of
tokens with a tag for each; rows of two texts."""


def load(name: str, *, subset: str | None = None) -> Dataset:
    """Load a dataset by name.

    Looks in the local cache, then in the folder `PELLUCID_MIRROR`, then on the hub; `dataset.source.looked`
    lists the results. "digits" is MNIST, or scikit-learn's small digits where MNIST is not available.

    Args:
        name: a short name such as "mnist", or a hub id `owner/name`.
        subset: the configuration, where a dataset has several.

    Returns:
        A dataset with the splits its source has.

    Raises:
        UnknownNameError: there is no such short name or subset.
        DataNotFoundError: it is in none of the places.
    """
    return _load(name, subset, DataOptions())


def open_data(
    config: DataConfig, *, labelled: bool = True, form: Form = "rows", task: str | None = None
) -> Dataset:
    """Open what a config describes, and give it train, validation and test splits.

    Args:
        config: what to open.
        labelled: whether there must be a target. Without one, text files are documents rather than tables,
            images need no class folders, and rows without targets are kept.
        form: what the task makes of it.
        task: what the user wants to learn, which decides how the target is read; None: as its values tell.

    Raises:
        DataNotFoundError: there is no such file, folder or dataset.
        BadDataError: a cell does not fit; names file, row and column.
        UnknownNameError: a short name, subset or column is not there.
    """
    return with_splits(
        open_source(config, labelled=labelled, form=form, task=task), config, labelled=labelled
    )


def with_splits(opened: Dataset, config: DataConfig, *, labelled: bool = True) -> Dataset:
    """Turn what `open_source` opened into what `open_data` returns."""
    dataset = make_splits(opened, config, labelled=labelled)
    return replace(dataset, rows_of=_row_settings(config, labelled))


def open_source(
    config: DataConfig,
    *,
    labelled: bool = True,
    form: Form = "rows",
    fewest_classes: int = 2,
    task: str | None = None,
) -> Dataset:
    """Open what a config describes, with the rows and splits it comes with; raises what `open_data` does.

    Args:
        config: what to open.
        labelled: see `open_data`.
        form: see `open_data`.
        fewest_classes: folders of classes that there must be: 2 to learn from them, 1 to measure on them.
        task: see `open_data`.
    """
    csv = config.csv.model_copy(update={"encoding": config.csv.encoding or config.encoding})
    options = DataOptions(
        config.target, config.inputs, config.columns, config.skip_bad, labelled=labelled, csv=csv
    )
    options = replace(options, fewest_classes=fewest_classes, task=task if labelled else None)
    if form == "series":
        options = _for_series(options, config)
    elif names := rule_columns(config.split):
        plain = {config.split.column: "category"} if config.split.column else {}
        options = replace(options, keep=names, columns={**plain, **options.columns})
    path = Path(os.path.expanduser(config.source))
    if path.exists():
        if form == "texts" and _is_text(path):
            return _read_texts(path, config)
        if form == "tagged":
            return build_dataset(*tagged.pair_columns(_tagged_tables(path, options), options))
        if parallel := parallel_files.find(path):
            raw = parallel_files.read(path, parallel, config.encoding)
            return word_pairs.read_pairs(raw, options) if form == "pairs" else build_dataset(raw, options)
        if form == "pairs":
            raw = tables.raw_tables(path, skip_bad=options.skip_bad, csv=options.csv)
            return word_pairs.read_pairs(raw, options)
        return _read_path(path, options, config)
    if _is_path(config.source):
        raise DataNotFoundError(
            f"There is no file or folder {config.source} (looked in {Path.cwd()}).{similar_file(path)}",
            remedy="pass an existing path, or the name of a dataset such as mnist",
        )
    return _load(config.source, config.subset, options, form)


def _tagged_tables(path: Path, options: DataOptions) -> RawTables:
    """Read a CoNLL file or a folder of them, or tables."""
    if conll.is_conll(path) if path.is_file() else not _holds_tables(path):
        return conll.read_conll(path, options.csv.encoding, skip_bad=options.skip_bad)
    return tables.raw_tables(path, skip_bad=options.skip_bad, csv=options.csv)


def _for_series(options: DataOptions, config: DataConfig) -> DataOptions:
    """All columns of a series are inputs; those of its id, its time and its target stay in any case."""
    series = config.series
    named = [name for name in (series.id, series.time, config.target if options.inputs else None) if name]
    keep = [part.strip() for name in named for part in name.split(",")]
    file = FILE if FILE in keep else None
    return replace(options, target=None, labelled=False, targets=False, keep=keep, file_column=file)


ROW_SETTINGS = frozenset(
    [
        *("source", "subset", "target", "inputs", "columns", "encoding", "class_from", "skip_bad", "csv"),
        *("fraction", "validation", "test", "split", "split_seed", "training_rows", "stack"),
    ]
)
"""The settings in `data` that decide which rows there are, and in which split."""


def has_rows_of(dataset: Dataset, config: DataConfig, *, labelled: bool = True) -> bool:
    """Whether a dataset is what `open_data` would return."""
    return dataset.rows_of == _row_settings(config, labelled)


def _row_settings(config: DataConfig, labelled: bool) -> dict[str, Any]:
    size = config.image_size if config.stack else None
    path = Path(os.path.expanduser(config.source))
    source = str(path.resolve()) if path.exists() else config.source
    said = {**config.model_dump(include=set(ROW_SETTINGS)), "source": source}
    return {**said, "stacked_size": size, "labelled": labelled}


def make_splits(dataset: Dataset, config: DataConfig, *, labelled: bool = True) -> Dataset:
    """Return a dataset with the rows and splits that a config asks for, and with stacked images if it does.

    Raises:
        UsageError: it has no target, and one is needed.
        BadDataError: it cannot be split, or not be stacked.
    """
    if has_rows_of(dataset, config, labelled=labelled):
        return dataset
    if labelled and dataset.target is None:
        raise UsageError(
            f"{dataset.name} has nothing to predict.",
            remedy="--target names a column; --set objective.name=language_model learns from text only",
        )
    if labelled and config.stack:
        raise UsageError(
            "data.stack makes images without labels, so there is nothing to predict.",
            remedy="--set data.stack=null, or what needs no labels, such as objective.name=adversarial",
        )
    if rule_columns(config.split):
        dataset = without_rule_columns(dataset, config.split, config.inputs)
    dataset = split.subset(dataset, config.fraction, config.split_seed)
    dataset = split.split(
        dataset,
        validation=config.validation,
        test=config.test,
        seed=config.split_seed,
        labelled=labelled,
        rule=config.split,
    )
    if config.training_rows is not None:
        dataset = split.limit_rows(dataset, round(config.training_rows * config.fraction), config.split_seed)
    if config.stack:
        dataset = stack(dataset, image_size=config.image_size, seed=config.split_seed)
    return replace(dataset, rows_of=_row_settings(config, labelled))


ARRAYS = "arrays"
"""What a dataset of arrays is called in the config of a run."""


# ---- names ---------------------------------------------------------------------------------------


def _load(name: str, subset: str | None, options: DataOptions, form: Form = "rows") -> Dataset:
    identity, subset = ALIASES.get(name, name), subset or SUBSETS.get(name)
    if name in (ARRAYS, *TOYS):
        made = "pellucid.arrays" if name == ARRAYS else f"pellucid.toy.{name}"
        raise DataNotFoundError(
            f"The data {name!r} is made in Python, by {made}, and cannot be loaded by its name.",
            remedy="pass it: pellucid.fit(model, data); for an earlier run, pellucid.Run(path, dataset=data)",
        )
    if "/" not in identity:
        raise UnknownNameError("dataset", name, ALIASES)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", identity):
        raise UsageError(
            f"{name!r} is not the name of a dataset: expected a short name or owner/name.",
            remedy="pellucid.load('mnist')",
        )
    found, looked = hub.find(identity, subset)
    if found is None:
        if name == "digits":
            return replace(_bundled_digits(), source=replace(_BUNDLED, looked=(*looked, "bundled: found")))
        raise DataNotFoundError(
            f"{name} was not found:\n" + "\n".join(f"  {line}" for line in looked),
            remedy=f"connect to the network once, or fetch it by hand "
            f"(`hf download {identity} --repo-type dataset --local-dir FOLDER/{identity}`) "
            f"and set {hub.MIRROR}=FOLDER",
        )
    splits, notes = hub.split_names(found.splits, unlabeled=not options.labelled)
    if "train" not in splits:
        raise BadDataError(f"{name}: expected a split named train, received {', '.join(found.splits)}.")
    source = Source(identity, found.place, licence=found.licence, looked=tuple(looked))
    raw = RawTables(
        name, splits, source, classes=found.classes, notes=tuple(notes), documents=found.documents
    )
    return build_dataset(*(tagged.pair_columns(raw, options) if form == "tagged" else (raw, options)))


_BUNDLED = Source(
    "scikit-learn digits",
    "bundled",
    licence="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)",
    note=STAND_IN,
)


def _bundled_digits() -> Dataset:
    """Return the digits that come with scikit-learn, as images."""
    from sklearn.datasets import load_digits

    ink, labels = load_digits(return_X_y=True)
    pixels = np.rint(np.reshape(ink, (-1, 8, 8)) * (255 / 16)).astype(np.uint8)  # from 0 to 16
    table = pa.table({"image": images.from_pixels(pixels), "label": pa.array(labels, pa.int64())})
    columns = (
        Column("image", "image", reason="encoded images"),
        Column("label", "category", tuple("0123456789"), "declared as class labels"),
    )
    return Dataset(
        "digits", {"train": table}, columns, "label", "classification", _BUNDLED, notes=(STAND_IN,)
    )


# ---- paths ---------------------------------------------------------------------------------------


def _is_path(source: str) -> bool:
    """Return whether a source can only be a path."""
    path = Path(source)
    plain = source.count("/") == 1 and not path.suffix and not source.startswith((".", "~", "/"))
    return not plain and (
        os.sep in source
        or source.startswith((".", "~"))
        or tables.is_table_file(path)
        or path.suffix.lower() in (".npy", ".npz", *tablefile.OTHERS)
    )


def _is_text(path: Path) -> bool:
    """Return whether a task on texts reads a path as texts: a folder without tables, or a file of text."""
    if path.is_dir():
        return not _holds_tables(path)
    others = tables.is_table_file(path) or path.suffix in (".npy", ".npz") or images.is_image_file(path)
    return textfiles.is_text(path) or jsonlines.is_json_lines(path) or not others


def _read_texts(path: Path, config: DataConfig) -> Dataset:
    """Read whole texts; `data.inputs` names the field of JSON lines that holds them."""
    field = config.inputs[0] if config.inputs else None
    return build_dataset(
        textfiles.read_texts(path, encoding=config.encoding, field=field), DataOptions(labelled=False)
    )


def _read_path(path: Path, options: DataOptions, config: DataConfig) -> Dataset:
    """Read a file or folder by its content."""
    if array_files.holds_arrays(path):
        return _with_options(array_files.read_file(path, options.task), options)
    if options.labelled and config.class_from is None and (classes := text_classes.find(path)):
        raw = text_classes.read(path, classes, config.encoding)
        return build_dataset(raw, replace(options, columns={"text": "text", **options.columns}))
    if options.labelled and config.class_from is None and labelled_lines.is_labelled(path):
        raw = labelled_lines.read(path, config.encoding)
        return build_dataset(raw, replace(options, columns={"text": "text", **options.columns}))
    prose = path.is_file() and textfiles.is_text(path) and textfiles.is_prose(path)
    if (prose or not options.labelled or path.is_dir()) and textfiles.holds_texts(path):
        return _read_texts(path, config)
    if path.is_dir():
        if _holds_tables(path):
            return tables.read_tables(path, options)
        if not folder.holds_images(path) and textfiles.has_texts(path):
            return _read_texts(path, config)
        if options.labelled and config.class_from is None and (table := _table_of_images(path)):
            return tables.read_tables(table, options)
        read = folder.read_folder(
            path,
            skip_bad=options.skip_bad,
            labelled=options.labelled,
            class_from=config.class_from,
            fewest=options.fewest_classes,
        )
        return _with_options(read, options)
    if tables.is_table_file(path):
        return tables.read_tables(path, options)
    if path.suffix.lower() in (".npy", ".npz"):
        return _with_options(array_files.read_file(path, options.task), options)
    if (suffix := path.suffix.lower()) in tablefile.OTHERS:
        raise BadDataError(
            f"{path}: files of type {suffix} are not read; expected .csv, .tsv, .parquet, .xlsx, .jsonl, "
            ".feather, .npy, .npz or a folder of images.",
            remedy=tablefile.OTHERS[suffix],
        )
    if images.is_image_file(path):
        raise BadDataError(f"{path} is a single image: expected a folder with a subfolder for each class.")
    raise BadDataError(
        f"{path} is of no known kind: expected a folder of images, .csv, .tsv, .parquet, .jsonl, .npy, .npz, "
        "or text (.txt, .md, source code).",
        remedy="a language model reads any text: --set objective.name=language_model",
    )


def _table_of_images(path: Path) -> Path | None:
    """Return the table in a folder of images that names them; None if there is none.

    Raises:
        BadDataError: there are several.
    """
    files = sorted(file for file in path.glob("*") if file.is_file() and tables.is_table_file(file))
    found = [file for file in files if _names_images(file)]
    usual = [file for file in found if re.search("train|label", file.stem.lower())]
    if len(found) > 1 and len(usual) != 1:
        raise BadDataError(
            f"{path} holds {len(found)} tables that name its images: {', '.join(f.name for f in found)}.",
            remedy=f"name the one to use: {found[0]}",
        )
    return (usual or found)[0] if found else None


def _names_images(file: Path) -> bool:
    """Return whether a column of a table names images next to it, and another may hold their classes."""
    try:
        table = next(iter(tables.raw_tables(file, skip_bad=True).splits.values()))
    except DataError:
        return False
    columns = [table[name].slice(0, 20) for name in table.column_names]
    texts = [column.to_pylist() for column in columns if pa.types.is_string(column.type)]
    return len(columns) > 1 and any(
        names_images([cell for cell in cells if cell], file.parent) for cells in texts
    )


def _holds_tables(path: Path) -> bool:
    """Return whether a folder, or its split folders, contain tables and no class folders."""
    near = [*path.glob("*"), *path.glob("*/*")]
    has_tables = any(tables.is_part(file) for file in near if file.is_file())
    return has_tables and not any(images.is_image_file(file) for file in path.glob("*/*"))


def _with_options(dataset: Dataset, options: DataOptions) -> Dataset:
    """Apply options to data whose columns and kinds are fixed: only the inputs can be chosen."""
    for name in (*options.columns, *(options.inputs or ()), *([options.target] if options.target else ())):
        dataset.column(name)
    for name, kind in options.columns.items():
        if dataset.column(name).kind != kind:
            raise UsageError(f"Column {name!r} of {dataset.name} is {dataset.column(name).kind}, not {kind}.")
    if options.target not in (None, dataset.target):
        raise UsageError(
            f"{dataset.name} predicts {dataset.target!r}: expected that, received {options.target!r}."
        )
    if options.inputs is None:
        return dataset
    kept = tuple(c for c in dataset.columns if c.name in options.inputs or c.name == dataset.target)
    tables = {split: table.select([c.name for c in kept]) for split, table in dataset.splits.items()}
    return replace(dataset, columns=kept, splits=tables)
