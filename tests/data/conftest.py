"""Shared fixtures: a separate cache, and factories of small images and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded images go to a folder of this test run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("PELLUCID_CACHE", str(folder))
        yield folder


@pytest.fixture
def picture() -> Callable[..., Path]:
    """A maker of image files: `picture(path, size=(8, 6), mode="L", value=128)`."""

    def make(path: Path, size: tuple[int, int] = (8, 6), mode: str = "L", value: int = 128) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        bands = {"L": 1, "RGB": 3, "RGBA": 4, "LA": 2}[mode]
        noise = np.random.default_rng(abs(hash(path.name)) % 2**32).integers(0, 32, (size[1], size[0], bands))
        pixels = (noise + value).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels.squeeze(-1) if bands == 1 else pixels, mode=None).save(path)
        return path

    return make


@pytest.fixture
def pets(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """A folder of two classes with ten images each."""
    for label, value in (("cat", 40), ("dog", 200)):
        for index in range(10):
            picture(tmp_path / "pets" / label / f"{label}{index}.png", value=value)
    return tmp_path / "pets"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A maker of text files: `write("a,b\\n1,2\\n", name="x.csv", encoding="utf-8")`."""

    def make(text: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path

    return make


@pytest.fixture
def titanic(write: Callable[..., Path]) -> Path:
    """A table of passengers with every kind of column; who survives depends on sex, class and age."""
    random = np.random.default_rng(0)
    lines = ["PassengerId,Survived,Pclass,Name,Sex,Age,Fare,Cabin,Embarked,Boarded,Alone,Ship"]
    for index in range(1, 301):
        sex, rank = random.choice(["male", "female"]), int(random.integers(1, 4))
        lived = int(random.random() < (0.9 if sex == "female" else 0.2) - 0.1 * (rank - 1))
        title = "Mr." if sex == "male" else "Mrs."
        family, first = random.choice(["Smith", "Brown", "Moran"]), random.choice(["Jo", "Lily"])
        name = f'"{family}, {title} {first} the {index}th"'
        age = "" if random.random() < 0.2 else str(round(random.uniform(1, 70), 1))
        cabin = f"C{random.integers(1, 99)}" if random.random() < 0.3 else ""
        fare, port, day = random.exponential(30), random.choice(list("SCQ")), random.integers(1, 11)
        alone = random.choice(["yes", "no"])
        lines.append(
            f"{index},{lived},{rank},{name},{sex},{age},{fare:.2f},{cabin},"
            f"{port},1912-04-{day:02d},{alone},RMS Titanic"
        )
    return write("\n".join(lines) + "\n", "titanic.csv")
