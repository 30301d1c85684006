# SPDX-License-Identifier: Apache-2.0
"""New films: any folder, and one bad file stops nothing."""

import csv

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from monai_kd.data import (
    Datalist,
    FilmDataset,
    collate_items,
    find_films,
    read_radiograph,
    save_datalist,
)
from monai_kd.transforms import LoadRadiographd, SquarePadResized
from monai_kd.utils import MonaiKDError


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), 128, np.uint8)).save(path)
    return path


def load(item):
    return {"image": torch.from_numpy(read_radiograph(item["image"]).pixels)[None]}


def test_a_folder_gives_every_film_in_order_without_its_name(tmp_path):
    for name in ("SMITH_b.png", "SMITH_a.png", "deep/SMITH_c.png"):
        png(tmp_path / name)
    films = find_films(tmp_path, salt="s")
    assert [film["image"].rpartition("_")[2] for film in films] == ["a.png", "b.png", "c.png"]
    assert len({film["id"] for film in films}) == 3
    assert not any("SMITH" in film["id"] for film in films)


def test_ids_come_again_with_the_same_salt_only(tmp_path):
    png(tmp_path / "a.png")
    one, same, other, fresh = (find_films(tmp_path, salt=s)[0]["id"] for s in ("1", "1", "2", ""))
    assert one == same
    assert len({one, other, fresh}) == 3


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MonaiKDError, match=r"must hold radiographs .* got none"):
        find_films(tmp_path)


def test_a_damaged_film_stops_nothing(tmp_path, caplog):
    good, bad = png(tmp_path / "good.png"), tmp_path / "MRN123.png"
    bad.write_bytes(good.read_bytes()[:30])
    films = FilmDataset(
        [{"image": str(path), "id": path.stem[:1]} for path in (good, bad)],
        transform=load,
        spatial_size=4,
    )
    batch = collate_items([films[0], films[1]])
    assert batch["image"].shape == (2, 1, 4, 4)
    assert batch["problem"][0] == ""
    assert batch["problem"][1]
    assert batch["index"].tolist() == [0, 1]
    assert "MRN123" not in caplog.text + batch["problem"][1]
    assert "Film 1 has no prediction" in caplog.text


def test_a_batch_keeps_what_every_item_has():
    items = [
        {"image": torch.zeros(1, 2, 2), "index": 0, "sex": None, "age": 3},
        {"image": torch.ones(1, 2, 2), "index": 1, "sex": "F"},
    ]
    batch = collate_items(items)
    assert sorted(batch) == ["image", "index", "sex"]
    assert batch["sex"] == [None, "F"]


def test_what_monais_compose_wraps_is_still_a_problem_of_one_film(tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    films = FilmDataset(
        [{"image": str(tmp_path / "bad.png"), "id": "a"}],
        transform=Compose([LoadRadiographd("image")]),
        spatial_size=4,
    )
    assert films[0]["problem"]


def test_a_fault_of_the_program_is_not_a_problem_of_the_film(tmp_path):
    films = FilmDataset(
        [{"image": str(png(tmp_path / "a.png")), "id": "a"}],
        transform=lambda item: item["no such key"],
        spatial_size=4,
    )
    with pytest.raises(KeyError, match="no such key"):
        films[0]


def test_the_mapping_ties_ids_to_files_for_its_owner_alone(tmp_path):
    png(tmp_path / "films" / "a.png")
    mapping = tmp_path / "private.csv"
    (film,) = find_films(tmp_path / "films", mapping_file=mapping)
    assert mapping.read_text().splitlines()[1] == f"{film['id']},{film['image']}"
    assert mapping.stat().st_mode & 0o777 == 0o600


def test_the_mapping_quotes_names_and_numbers_films_without_id(tmp_path):
    items = [{"image": str(png(tmp_path / name)), "label": [1]} for name in ('a,"b".png', "c.png")]
    save_datalist(Datalist(["a"], False, {"test": items}, tmp_path), tmp_path / "datalist.json")
    mapping = tmp_path / "private.csv"
    films = find_films(tmp_path, mapping_file=mapping)
    with mapping.open(newline="") as file:
        rows = [(row["id"], row["image"]) for row in csv.DictReader(file)]
    assert rows == [("film 0", films[0]["image"]), ("film 1", films[1]["image"])]
    dataset = FilmDataset(films, transform=load, spatial_size=4)
    assert [dataset[0]["id"], dataset[1]["id"]] == ["film 0", "film 1"]


def test_a_folder_of_films_may_be_called_phantom(tmp_path):
    png(tmp_path / "phantom" / "a.png")
    assert len(find_films(tmp_path / "phantom")) == 1
    assert [path.name for path in (tmp_path / "phantom").iterdir()] == ["a.png"]


def test_size_and_format_of_the_stored_film_come_along_and_its_path_does_not(tmp_path):
    (tmp_path / "MRN123.png").write_text("no picture")
    films = FilmDataset(
        [
            {"image": str(png(tmp_path / "SMITH.png")), "id": "a"},
            {"image": str(tmp_path / "MRN123.png"), "id": "b"},
        ],
        transform=Compose(
            [
                LoadRadiographd("image"),
                SquarePadResized("image", spatial_size=8, size_key="stored_size"),
            ]
        ),
        spatial_size=8,
    )
    batch = collate_items([films[0], films[1]])
    assert batch["stored_size"][0].tolist() == [4, 4]
    assert batch["stored_size"][1].isnan().all()
    assert batch["format"] == ["PNG", ""]
    assert "SMITH" not in str(batch)
    assert "MRN123" not in str(batch)
