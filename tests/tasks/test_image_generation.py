"""New images from a finished run: by number, class, seed, latent vector, on a walk and as a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import pellucid
from pellucid.data.sources.arrays import arrays
from pellucid.errors import BadDataError, UnknownNameError, UsageError
from pellucid.inference import load_trained
from pellucid.tasks.shared.image_generation import between, file_stem

IMAGES = np.random.default_rng(0).random((60, 1, 8, 8), np.float32)
TINY = {"model.size": "tiny", "train.batch_size": 16, "model.options.latent_dim": 4}


def fitted(folder: Path, model: str, task: str, y: Any = None, **settings: Any) -> pellucid.Run:
    settings = {"objective.name": task, **TINY, **settings}
    return pellucid.fit(
        model, arrays(IMAGES, y), epochs=1, progress=False, settings=settings, runs=folder / "runs"
    )


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> pellucid.Run:
    y = np.array(["cat", "dog", "a/b"])[np.arange(60) % 3]
    folder = tmp_path_factory.mktemp("gan")
    return fitted(folder, "dcgan", "adversarial", y, **{"model.options.conditional": True})


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> pellucid.Run:
    return fitted(tmp_path_factory.mktemp("vae"), "vae", "elbo")


def test_the_seed_decides(gan: pellucid.Run, vae: pellucid.Run) -> None:
    for run in (gan, vae):
        again: Any = run.predict("5")
        first, other = run.generate(5), run.generate(5, seed=1)
        assert first.images.shape == (5, 1, 8, 8)
        assert first.latent.shape == (5, 4)
        np.testing.assert_array_equal(first.images, again.images)
        assert not np.allclose(first.images, other.images)
        assert first.images.min() >= 0
        assert first.images.max() <= 1
        assert [picture.size for picture in first.pictures()] == [(8, 8)] * 5
        assert "latent" not in first.rows()[0]


def test_a_variational_autoencoder_draws_from_its_prior(vae: pellucid.Run) -> None:
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(7))
    made = vae.generate(3, seed=7)
    np.testing.assert_allclose(made.latent, z)
    model: Any = load_trained(vae).model.eval()
    with torch.no_grad():
        images = model.decode(z).sigmoid()
    np.testing.assert_allclose(made.images, images, atol=1e-6)


def test_a_class_is_drawn_on_request(gan: pellucid.Run) -> None:
    dogs = gan.generate(4, class_="dog")
    assert [row["class"] for row in dogs.rows()] == ["dog"] * 4
    every = gan.generate(4)
    assert [row["class"] for row in every.rows()] == ["a/b", "cat", "dog", "a/b"]
    np.testing.assert_allclose(dogs.images[2], every.images[2], atol=1e-6)
    with pytest.raises(UnknownNameError, match="horse"):
        gan.generate(4, class_="horse")


def test_files_are_named_by_seed_and_class(gan: pellucid.Run, tmp_path: Path) -> None:
    made = gan.generate(3, seed=5, folder=str(tmp_path / "out"), grid=True)
    assert [path.name for path in made.paths] == [
        "seed5-0001-a_b.png",
        "seed5-0002-cat.png",
        "seed5-0003-dog.png",
    ]
    pixels = np.asarray(Image.open(made.paths[1]))
    np.testing.assert_array_equal(pixels, np.rint(made.images[1, 0] * 255))
    assert made.grid == tmp_path / "out" / "grid.png"
    assert Image.open(made.grid).size == (3 * 10 - 2, 8)
    with pytest.raises(UsageError, match=r"\.png file"):
        gan.generate(3, grid="grid.jpg")


def test_latent_vectors_go_out_and_in(vae: pellucid.Run, tmp_path: Path) -> None:
    made = vae.generate(4, seed=3)
    np.save(tmp_path / "z.npy", made.latent)
    pq.write_table(pa.Table.from_pylist(made.records()), tmp_path / "z.parquet")
    for given in (str(tmp_path / "z.npy"), str(tmp_path / "z.parquet"), made.latent):
        np.testing.assert_allclose(vae.generate(4, latents=given).images, made.images, atol=1e-6)
    assert len(vae.generate(2, latents=made.latent)) == 2
    with pytest.raises(BadDataError, match=r"\(N, 4\), received \(4, 3\)"):
        vae.generate(4, latents=made.latent[:, :3])


def test_a_walk_leads_from_one_seed_to_another(gan: pellucid.Run) -> None:
    walk = gan.generate(1, walk=6, from_=1, to=2, class_="cat")
    ends = [gan.generate(1, seed=seed, class_="cat").images[0] for seed in (1, 2)]
    assert len(walk) == 6
    np.testing.assert_allclose(walk.images[0], ends[0], atol=1e-5)
    np.testing.assert_allclose(walk.images[-1], ends[1], atol=1e-5)
    several = gan.generate(3, walk=4)
    assert len(several) == 12
    assert [row["class"] for row in several.rows()][:5] == ["a/b"] * 4 + ["cat"]
    with pytest.raises(UsageError, match="no encoder"):
        gan.generate(1, from_="a.png", to="b.png")
    with pytest.raises(UsageError, match="two ends"):
        gan.generate(1, from_=1)


def test_a_walk_leads_from_one_picture_to_another(vae: pellucid.Run, tmp_path: Path) -> None:
    auto = fitted(tmp_path, "autoencoder", "reconstruction")
    for run in (vae, auto):
        walk = run.generate(1, walk=5, from_=IMAGES[:1], to=IMAGES[1:2])
        ends: Any = run.predict(IMAGES[:2])
        np.testing.assert_allclose(walk.images[[0, -1]], ends.images, atol=1e-5)
    with pytest.raises(UsageError, match="cannot be drawn"):
        auto.generate(4)


def test_the_arc_keeps_the_length_and_a_line_does_not() -> None:
    first, last = torch.randn(2, 8, 1, 50, generator=torch.Generator().manual_seed(0))
    middle = torch.tensor(0.5)
    lengths = [between(first, last, middle, arc=arc).norm(dim=-1).mean().item() for arc in (True, False)]
    assert lengths[0] == pytest.approx(50**0.5, rel=0.05)
    assert lengths[1] < 0.8 * lengths[0]
    torch.testing.assert_close(between(first, first, middle, arc=True), first)


def test_stems_say_where_an_image_comes_from() -> None:
    assert file_stem({"from": "x/a.png", "to": "b.jpg", "step": 3}) == "a-to-b-0003"
    assert file_stem({"seed": 2, "walk": 1, "step": 4, "class": "cat"}) == "seed2-walk1-0004-cat"
    assert file_stem({"latent_row": 2}) == "latent0002"


def test_wrong_requests_are_refused(vae: pellucid.Run) -> None:
    for options, said in (
        ({"class_": "cat"}, "not trained to draw classes"),
        ({"seed": -1}, "at least 0"),
        ({"walk": 1}, "at least 2"),
        ({"walk": 3, "latents": np.zeros((1, 4))}, "do not go with"),
    ):
        with pytest.raises(UsageError, match=said):
            vae.generate(2, **options)
    with pytest.raises(UnknownNameError):
        vae.generate(2, clas="cat")
