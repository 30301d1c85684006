# SPDX-License-Identifier: Apache-2.0
"""Films of every kind through the bundle's inference: each is answered, at its own scale."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.data.phantom.fractured_films import FIVE_FRACTURES, write_fractures

SIDE = 128
SETTINGS = {
    "bundle": "cxr_aals_fracture_detection",
    "backbone": "resnet10-w16",
    "channels": 16,
    "norm": "group",
    "pooling": "max",
    "spatial_size": SIDE,
    "radius": 3,
    "findings": ["rib_fracture", "clavicle_fracture"],
    "activation": "sigmoid",
}
POINTS = {"dotted": {"threshold": 0.5}, "solid": {"threshold": 0.8}}
FIVE = [(60, 20), (120, 80), (60, 140), (180, 30), (180, 150)]  # middles, of 240 x 200


class Brightness(nn.Module):
    """The first map is the film's brightness in cells of 4 pixels, the second is empty."""

    def __init__(self):
        super().__init__()
        self.gray = nn.Parameter(torch.tensor([0.449, 0.226]))

    def forward_map(self, image):
        gray = nn.functional.avg_pool2d(image * self.gray[1] + self.gray[0], 4)
        return torch.cat([gray, torch.zeros_like(gray)], 1).clamp(1e-4, 1 - 1e-4).logit()

    def image_logits(self, maps):
        return maps.flatten(2).amax(2)


def save(path, rows, columns, *squares, gray=60):
    """A gray film with bright squares; each square: x_min, y_min, x_max, y_max, brightness."""
    film = np.full((rows, columns), gray, np.uint8)
    for x_min, y_min, x_max, y_max, brightness in squares:
        film[y_min:y_max, x_min:x_max] = brightness
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(film).save(path, compress_level=1)
    return path


def save_dicom(path, archive, rows, columns, *squares):
    """A film of the phantom archive with other pixels."""
    from pydicom import dcmread

    film = np.full((rows, columns), 60, np.uint16)
    for x_min, y_min, x_max, y_max, brightness in squares:
        film[y_min:y_max, x_min:x_max] = brightness
    dataset = dcmread(next(iter(sorted((archive / "dicom").rglob("*.dcm")))))
    set_pixels(dataset, film).save_as(path)


def save_fractures(path, breaks, size):
    """Darken a DICOM film of the phantom and plant a bright square on each of its fractures.

    Returns the squares as ``x_min, y_min, x_max, y_max``, in stored pixels.
    """
    from pydicom import dcmread

    rendering = write_fractures(path, breaks, size=size)
    film = np.rint(rendering.film * 100).astype(np.uint16)
    half, squares = size // 20, []
    for region in rendering.regions:
        x_min, y_min, x_max, y_max = region["box"]
        x, y = round((x_min + x_max) / 2), round((y_min + y_max) / 2)
        squares.append((x - half, y - half, x + half, y + half))
        film[y - half : y + half, x - half : x + half] = 230
    set_pixels(dcmread(path), film).save_as(path)
    return squares


def set_pixels(dataset, film):
    """Give a DICOM film other pixels, of 8 bits, shown as they are."""
    dataset.Rows, dataset.Columns = film.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 8, 7
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = 0, "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = film.astype("<u2").tobytes()
    for keyword in ("VOILUTSequence", "PresentationLUTShape", "RescaleSlope", "RescaleIntercept"):
        if keyword in dataset:
            del dataset[keyword]
    return dataset


def model(folder, network):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    points = dict.fromkeys(SETTINGS["findings"], POINTS)
    (folder / "operating_points.json").write_text(json.dumps({"findings": points, "radius": 3}))
    torch.save(network.state_dict(), folder / "model.pt")
    return folder


@pytest.fixture
def infer(aals, tmp_path):
    """Run the bundle on a folder; return predictions by file, and detections by file and place."""

    def run(films, network=None, **overrides):
        if network is not None:
            overrides |= {"network_def": network}
        out, mapping = tmp_path / "out", tmp_path / "mapping.csv"
        settings = {"dataset_dir": films, "output_dir": out, "mapping_file": mapping}
        settings |= {"model_dir": tmp_path / "model", "batch_size": 3}
        assert aals.run("inference", **settings, **overrides) == []
        names = {
            row["id"]: row["image"].rpartition("/")[2].partition(".")[0]
            for row in aals.read_csv(mapping)
        }
        rows = {}
        for row in aals.read_csv(out / "detections.csv"):
            rows.setdefault(names[row["id"]], []).append(row)
        said = {names[row["id"]]: row for row in aals.read_csv(out / "predictions.csv")}
        return out, said, rows

    return run


def box_of(row):
    return [float(row[name]) for name in ("x_min", "y_min", "x_max", "y_max")]


def test_each_film_is_answered_at_its_own_scale(infer, tmp_path):
    """A film without anything, one with five, a black one, 20 megapixels, 100 pixels."""
    films = tmp_path / "films"
    spots = [(x - 9, y - 9, x + 9, y + 9, 230) for y, x in FIVE]
    squares = {
        "none": (240, 200),
        "five": (240, 200, *spots),
        "black": (300, 200),
        "huge": (5000, 4000, (3000, 800, 3400, 1200, 230)),
        "tiny": (100, 100, (10, 70, 25, 85, 230)),
        "wide": (90, 400, (300, 10, 350, 50, 170)),
        "thin": (400, 41, (0, 300, 41, 360, 230)),
    }
    for name, (rows, columns, *bright) in squares.items():
        save(films / f"{name}.png", rows, columns, *bright, gray=0 if name == "black" else 60)
    (films / "damaged.png").write_bytes((films / "five.png").read_bytes()[:60])
    model(tmp_path / "model", Brightness())
    out, said, rows = infer(films, Brightness())
    assert said.keys() == rows.keys() == {*squares, "damaged"}
    assert said["damaged"]["prob_rib_fracture"] == ""
    assert [row["problem"] != "" for row in rows["damaged"]] == [True]
    for name, (height, width, *bright) in squares.items():
        found = [row for row in rows[name] if row["finding"]]
        assert len(found) == len(bright)
        cell = 4 * max(height, width) / SIDE
        expected = sorted(square[:4] for square in bright)
        np.testing.assert_allclose(sorted(map(box_of, found)), expected, atol=cell)
        for x_min, y_min, x_max, y_max in map(box_of, found):
            assert 0 <= x_min < x_max <= width
            assert 0 <= y_min < y_max <= height
        assert float(said[name]["prob_rib_fracture"]) == pytest.approx(
            max([square[4] for square in bright], default=0 if name == "black" else 60) / 255,
            abs=0.02,
        )
    assert {row["operating_point"] for row in rows["five"]} == {"solid"}
    assert [row["operating_point"] for row in rows["wide"]] == ["dotted"]
    with_boxes = [place for place, name in enumerate(said) if rows[name][0]["finding"]]
    drawn = {path.stem for path in out.glob("detections/film_*.png")}
    assert drawn == {f"film_{place}" for place in with_boxes[:6]}


def test_a_network_of_this_bundle_answers_films_of_all_sizes(infer, tmp_path, caplog):
    """The real network, fresh from the generator, with maps that say something."""
    from monai_kd.networks import build_aals_network

    torch.manual_seed(0)
    network = build_aals_network("resnet10-w16", num_findings=2, channels=16, norm="group")
    nn.init.normal_(network.head[-1].weight, std=2.0)
    films = tmp_path / "films"
    shapes = {"SMITH_a": (120, 90), "SMITH_b": (64, 300), "SMITH_c": (33, 20)}
    rng = np.random.RandomState(0)
    for name, shape in shapes.items():
        save(films / f"{name}.png", *shape)
        Image.fromarray(rng.randint(0, 256, shape, np.uint8)).save(films / f"{name}.png")
    model(tmp_path / "model", network)
    with caplog.at_level(logging.INFO):
        out, said, rows = infer(films)
    assert said.keys() == rows.keys() == shapes.keys()
    found = [(name, row) for name in rows for row in rows[name] if row["finding"]]
    assert len(found) > 5
    for name, row in found:
        (height, width), (x_min, y_min, x_max, y_max) = shapes[name], box_of(row)
        assert 0 <= x_min < x_max <= width
        assert 0 <= y_min < y_max <= height
        assert float(row["score"]) >= 0.5
        assert float(row["score"]) <= float(said[name][f"prob_{row['finding']}"]) + 1e-4
    results = json.loads((out / "coco_results.json").read_text())
    assert len(results) == len(found)
    written = "".join(path.read_text() for path in out.glob("*.*"))
    assert "SMITH" not in caplog.text + written + "".join(map(str, out.rglob("*")))


def test_dicom_films_get_results_and_others_none(infer, fractures, tmp_path):
    pytest.importorskip("highdicom")
    from pydicom import dcmread

    films = tmp_path / "films"
    square = (30, 100, 60, 130, 230)
    save(films / "plain.png", 160, 120, square)
    save_dicom(films / "film.dcm", fractures, 160, 120, square)
    model(tmp_path / "model", Brightness())
    out, _, rows = infer(films, Brightness(), dicom=True, pictures=0)
    assert [row["problem"] for name in ("film", "plain") for row in rows[name]] == ["", ""]
    (folder,) = (out / "dicom").iterdir()
    assert folder.name == rows["film"][0]["id"]
    source = dcmread(films / "film.dcm")
    report = dcmread(folder / "report.dcm")
    assert report.StudyInstanceUID == source.StudyInstanceUID
    assert report.SeriesInstanceUID != source.SeriesInstanceUID
    np.testing.assert_allclose(box_of(rows["film"][0]), square[:4], atol=5)
    mask = dcmread(folder / "segmentation.dcm").pixel_array.astype(bool)
    ys, xs = np.nonzero(mask.reshape(-1, 160, 120).any(0))
    np.testing.assert_allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], square[:4], atol=5)


def boxes_of_report(path):
    """Boxes of the report, and the findings that it calls not detected."""
    import highdicom as hd

    content = hd.sr.srread(path).content
    groups = content.get_planar_roi_measurement_groups()
    corners = [group.roi.value for group in groups]
    boxes = [[*corner.min(0).tolist(), *corner.max(0).tolist()] for corner in corners]
    none = [
        group.finding_type.meaning
        for group in content.get_image_measurement_groups()
        if group.get_qualitative_evaluations()[0].value.meaning == "Not detected"
    ]
    return boxes, none


def boxes_of_graphics(state):
    graphics = [
        np.reshape(graphic.GraphicData, (-1, 2))
        for annotation in state.get("GraphicAnnotationSequence", [])
        for graphic in annotation.get("GraphicObjectSequence", [])
    ]
    return [[*corner.min(0).tolist(), *corner.max(0).tolist()] for corner in graphics]


def test_dicom_results_of_each_kind_of_film_hold_the_boxes_of_what_was_planted(infer, tmp_path):
    """Without anything, with five, black, and small: read back by other programs."""
    hd = pytest.importorskip("highdicom")
    from pydicom import dcmread

    films = tmp_path / "films"
    films.mkdir()
    kinds = {
        "none": ((), 192),
        "five": (FIVE_FRACTURES, 512),
        "black": ((), 256),
        "small": (FIVE_FRACTURES[:1], 104),
    }
    planted = {
        name: save_fractures(films / f"{name}.dcm", breaks, size)
        for name, (breaks, size) in kinds.items()
    }
    dark = dcmread(films / "black.dcm")
    set_pixels(dark, np.zeros((256, 200), np.uint16)).save_as(films / "black.dcm")
    assert {name: len(squares) for name, squares in planted.items()} == {
        "none": 0, "five": 5, "black": 0, "small": 1
    }  # fmt: skip
    model(tmp_path / "model", Brightness())
    out, _, rows = infer(films, Brightness(), dicom=True, pictures=0)
    assert len(list((out / "dicom").iterdir())) == 4
    for name, squares in planted.items():
        assert {row["problem"] for row in rows[name]} == {""}
        source, folder = dcmread(films / f"{name}.dcm"), out / "dicom" / rows[name][0]["id"]
        cell = 4 * max(source.Rows, source.Columns) / SIDE
        boxes, not_detected = boxes_of_report(folder / "report.dcm")
        assert len(boxes) == len(squares)
        assert len(not_detected) == 2 - bool(squares)
        state = dcmread(folder / "presentation.dcm")
        picture = dcmread(folder / "picture.dcm")
        assert (folder / "segmentation.dcm").exists() == bool(squares)
        np.testing.assert_allclose(sorted(boxes_of_graphics(state)), sorted(boxes))
        factor = picture.Columns // source.Columns
        colored = (picture.pixel_array[: factor * source.Rows] == (255, 176, 0)).all(2)
        assert colored.any() == bool(squares)
        if not squares:
            continue
        nearest = [
            min(boxes, key=lambda box: np.abs(np.subtract(box, one)).sum()) for one in squares
        ]
        np.testing.assert_allclose(nearest, squares, atol=cell)
        assert sorted(nearest) == sorted(boxes)
        mask = hd.seg.segread(folder / "segmentation.dcm").get_pixels_by_source_instance(
            [source.SOPInstanceUID], ignore_spatial_locations=True
        )[0, ..., 0]
        expected = np.zeros_like(mask)
        for x_min, y_min, x_max, y_max in boxes:
            left, top, right, bottom = map(int, (x_min, y_min, -(-x_max // 1), -(-y_max // 1)))
            expected[top:bottom, left:right] = 1
            edge = colored[int(factor * y_min), int(factor * x_min) : int(factor * x_max)]
            assert edge.mean() > 0.9  # the upper edge of a solid box, in the picture
        np.testing.assert_array_equal(mask, expected)
        for x_min, y_min, x_max, y_max in squares:
            assert mask[(y_min + y_max) // 2, (x_min + x_max) // 2]


def test_dicom_results_of_a_second_run_replace_those_of_the_first(infer, fractures, tmp_path):
    """Without a datalist each run has new ids: whoever sends the folder would send both."""
    pytest.importorskip("highdicom")
    films = tmp_path / "films"
    films.mkdir()
    save_dicom(films / "film.dcm", fractures, 160, 120, (30, 100, 60, 130, 230))
    model(tmp_path / "model", Brightness())
    folders = []
    for _ in range(2):
        out, _, rows = infer(films, Brightness(), dicom=True, pictures=0)
        (folder,) = (out / "dicom").iterdir()
        assert folder.name == rows["film"][0]["id"]
        assert len(list(folder.iterdir())) == 4
        folders.append(folder.name)
    assert len(set(folders)) == 2
