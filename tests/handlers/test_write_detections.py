# SPDX-License-Identifier: Apache-2.0
"""Detections per film: the right place, the right line, and nothing lost or told."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from torch import nn

from monai_kd.handlers import WriteDetections
from monai_kd.handlers.detection_pictures import DrawnBox, detection_picture, stored_film
from monai_kd.networks import MapMemory
from monai_kd.transforms import SquarePadResized
from monai_kd.utils import MonaiKDError

SIDE = 128
POINTS = {
    "findings": {"rib": {"dotted": {"threshold": 0.4}, "solid": {"threshold": 0.75}}},
    "radius": 4,
}


class Brightness(nn.Module):
    """The map is the brightness of cells of 4 pixels; the film's score is its brightest."""

    def forward_map(self, image):
        return nn.functional.avg_pool2d(image, 4).clamp(1e-4, 1 - 1e-4).logit()

    def image_logits(self, maps):
        return maps.flatten(2).amax(2)


def film(rows, columns, *squares):
    """A film with bright squares: brightness, x_min, y_min, x_max, y_max in stored pixels."""
    image = torch.zeros(1, rows, columns)
    for brightness, x_min, y_min, x_max, y_max in squares:
        image[:, y_min:y_max, x_min:x_max] = brightness
    return image


def batch(*films, first=0, **more):
    prepare = SquarePadResized("image", spatial_size=SIDE, size_key="stored_size")
    items = [prepare({"image": image}) for image in films]
    numbers = range(first, first + len(films))
    return {
        "image": torch.stack([item["image"] for item in items]),
        "stored_size": torch.stack([item["stored_size"] for item in items]),
        "index": torch.tensor(list(numbers)),
        "id": [f"salted{number}" for number in numbers],
        "format": ["PNG"] * len(films),
        "problem": [""] * len(films),
    } | more


def write(folder, *batches, findings=("rib",), network=None, after=None, **settings):
    memory = MapMemory(network or Brightness())

    def step(engine, batch):
        if after is not None:
            after(engine, batch)
        return {"pred": memory(batch["image"]), "image": batch["image"]}

    settings = {"operating_points": POINTS, "pictures": 0, "mean": 0.0, "sd": 1.0} | settings
    engine = Engine(step)
    WriteDetections(memory, folder, findings, **settings).attach(engine)
    engine.run(list(batches))


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def box_of(row):
    return [float(row[name]) for name in ("x_min", "y_min", "x_max", "y_max")]


@pytest.mark.parametrize(
    ("rows", "columns"), [(256, 256), (512, 300), (300, 512), (90, 100), (2000, 1600), (200, 37)]
)
def test_the_box_lies_on_the_square_of_the_stored_film(tmp_path, rows, columns):
    """Oracle: the square that was painted, in stored pixels, to a cell of the map."""
    square = [round(columns * 0.5), round(rows * 0.2), round(columns * 0.9), round(rows * 0.4)]
    write(tmp_path, batch(film(rows, columns, (0.9, *square))))
    (row,) = rows_of(tmp_path / "detections.csv")
    cell = 4 * max(rows, columns) / SIDE
    np.testing.assert_allclose(box_of(row), square, atol=cell)
    assert (row["id"], row["finding"], row["operating_point"]) == ("salted0", "rib", "solid")
    assert float(row["score"]) == pytest.approx(0.9, abs=1e-3)


def test_boxes_are_cut_at_the_edges_and_the_border_has_none(tmp_path):
    """A network that sees most on the black border, left of the film and over its edge."""

    class SeesTheBorder(Brightness):
        def forward_map(self, image):
            prob = torch.full((len(image), 1, 32, 32), 1e-4)
            prob[:, :, 4:8, 0:4] = 0.9  # the film covers columns 8 to 24 of the map
            prob[:, :, 16:20, 6:10] = 0.8
            return prob.logit()

    write(tmp_path, batch(film(256, 128)), network=SeesTheBorder())
    (row,) = rows_of(tmp_path / "detections.csv")
    assert float(row["score"]) == pytest.approx(0.8, abs=1e-6)
    assert box_of(row) == [0, 128, 16, 160]


def test_each_finding_has_its_thresholds_and_equal_is_enough(tmp_path):
    class Two(Brightness):
        def forward_map(self, image):
            prob = torch.full((1, 2, 32, 32), 1e-4)
            for place, score in enumerate((0.75, 0.5, 0.25)):
                prob[:, :, 4, 4 + 10 * place] = score
            return prob.logit()

    points = {
        "findings": {
            "rib": {"dotted": {"threshold": 0.5}, "solid": {"threshold": 0.75}},
            "clavicle": {"dotted": {"threshold": 0.2}, "solid": {"threshold": 0.5}},
        }
    }
    findings = ("rib", "clavicle")
    settings = {"operating_points": points, "network": Two(), "findings": findings}
    write(tmp_path, batch(film(64, 64)), **settings)
    seen = [
        (row["finding"], float(row["score"]), row["operating_point"])
        for row in rows_of(tmp_path / "detections.csv")
    ]
    assert seen == [
        ("rib", 0.75, "solid"),
        ("rib", 0.5, "dotted"),
        ("clavicle", 0.75, "solid"),
        ("clavicle", 0.5, "solid"),
        ("clavicle", 0.25, "dotted"),
    ]


def test_without_operating_points_it_says_so_once(tmp_path, caplog):
    square = (0.3, 10, 10, 30, 30)
    missing = {"findings": {"rib": {"dotted": {"threshold": None}, "solid": {"threshold": None}}}}
    for points in (tmp_path / "operating_points.json", missing):
        caplog.clear()
        films = [batch(film(64, 64, square), first=first) for first in (0, 1)]
        write(tmp_path, *films, operating_points=points)
        found = rows_of(tmp_path / "detections.csv")
        assert [row["operating_point"] for row in found] == ["dotted", "dotted"]
        assert [record.message for record in caplog.records if "operating" in record.message] == [
            "No operating points were chosen for 1 of 1 findings: candidates are shown dotted from "
            "0.2 and solid from 0.5 on."
        ]


def test_every_film_is_in_the_table_in_its_order(tmp_path):
    unread = {"problem": ["", "the file is damaged."]}
    first = batch(film(64, 64), film(64, 64), first=2, **unread)
    first["stored_size"][1] = torch.nan
    write(tmp_path, first, batch(film(64, 64, (0.9, 8, 8, 24, 24)), film(64, 64)))
    rows = rows_of(tmp_path / "detections.csv")
    assert [row["id"] for row in rows] == ["salted0", "salted1", "salted2", "salted3"]
    assert [row["finding"] for row in rows] == ["rib", "", "", ""]
    assert [row["problem"] for row in rows] == ["", "", "", "the file is damaged."]
    images = json.loads((tmp_path / "coco_images.json").read_text())["images"]
    assert [image["id"] for image in images] == [0, 1, 2]


def test_coco_files_fit_each_other_and_the_table(tmp_path):
    square = (0.9, 200, 40, 280, 80)
    write(tmp_path, batch(film(256, 512), film(256, 512, square)))
    (row,) = (r for r in rows_of(tmp_path / "detections.csv") if r["finding"])
    about = json.loads((tmp_path / "coco_images.json").read_text())
    (result,) = json.loads((tmp_path / "coco_results.json").read_text())
    assert about["images"][1] == {"id": 1, "file_name": "salted1", "height": 256, "width": 512}
    assert about["categories"] == [{"id": 1, "name": "rib"}]
    x_min, y_min, x_max, y_max = box_of(row)
    assert result["bbox"] == pytest.approx([x_min, y_min, x_max - x_min, y_max - y_min], abs=0.02)
    assert (result["image_id"], result["category_id"]) == (1, 1)
    assert result["score"] == pytest.approx(float(row["score"]), abs=1e-6)


def test_what_was_done_outlives_a_crash_and_goes_when_all_is_done(tmp_path):
    films = [batch(film(64, 64, (0.9, 8, 8, 24, 24)), first=first) for first in range(3)]

    def crash(engine, batch):
        if engine.state.iteration == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path, *films, after=crash)
    assert not (tmp_path / "detections.csv").exists()
    kept = rows_of(tmp_path / "detections.partial_0.csv")
    write(tmp_path, *films)
    assert kept == rows_of(tmp_path / "detections.csv")[:2]
    assert not list(tmp_path.glob("*partial*"))


def test_results_of_an_earlier_run_do_not_stay(tmp_path):
    found = film(64, 64, (0.9, 8, 8, 24, 24))
    write(tmp_path, batch(found, found), pictures=2)
    assert len(list(tmp_path.glob("detections/*.png"))) == 2
    write(tmp_path, batch(found), pictures=2)
    assert [path.name for path in tmp_path.glob("detections/*.png")] == ["film_0.png"]
    foreign = tmp_path / "photos"
    (foreign / "detections").mkdir(parents=True)
    (foreign / "detections" / "film_7.png").write_text("mine")
    write(foreign, batch(film(64, 64)))
    assert (foreign / "detections" / "film_7.png").exists()


def test_what_a_crashed_run_left_does_not_stay(tmp_path):
    """Also not what a second process wrote, which is not there the next time."""
    found = film(64, 64, (0.9, 8, 8, 24, 24))

    def crash(engine, batch):
        if engine.state.iteration == 2:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path, batch(found), batch(found, first=1), after=crash, pictures=2)
    assert drawn(tmp_path) == ["film_0.png"]
    (tmp_path / "detections.partial_3.csv").touch()
    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path, batch(film(64, 64)), batch(found), after=crash, pictures=2)
    assert drawn(tmp_path) == []
    assert [path.name for path in tmp_path.glob("*.csv")] == ["detections.partial_0.csv"]


def test_a_crash_before_the_first_row_leaves_a_mark(tmp_path, monkeypatch):
    """Pictures of the first batch are written before its rows."""
    import monai_kd.handlers.write_detections as module

    def full(picture, path):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        raise OSError("No space left on device")

    found = film(64, 64, (0.9, 8, 8, 24, 24))
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_png", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, batch(found), pictures=1)
    assert drawn(tmp_path) == ["film_0.png"]
    write(tmp_path, batch(film(64, 64)), pictures=1)
    assert drawn(tmp_path) == []


def test_unfinished_tables_of_other_processes_go_at_the_end_too(tmp_path):
    """The other process has given its films; what it kept them in is not needed any more."""

    def other(engine, batch):
        (tmp_path / "detections.partial_1.csv").touch()

    write(tmp_path, batch(film(64, 64)), after=other)
    assert not list(tmp_path.glob("*partial*"))


def start_of_two(folder, rank, address):
    import os

    import torch.distributed as dist

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    found = film(64, 64, (0.9, 8, 8, 24, 24))
    write(folder, batch(found, first=rank), pictures=2)
    dist.destroy_process_group()


@pytest.mark.slow
def test_no_process_removes_what_another_has_just_written(tmp_path, monkeypatch):
    """The main process takes its time to remove what an earlier run left."""
    import multiprocessing

    found = film(64, 64, (0.9, 8, 8, 24, 24))
    write(tmp_path, batch(found, found, found), pictures=3)
    context = multiprocessing.get_context("fork")
    import monai_kd.handlers.write_detections as module

    def slowly(folder, real=module.remove_earlier):
        import time

        time.sleep(2)
        real(folder)

    monkeypatch.setattr(module, "remove_earlier", slowly)
    address = f"file://{tmp_path}/meeting"
    workers = [
        context.Process(target=start_of_two, args=(tmp_path, rank, address)) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert drawn(tmp_path) == ["film_0.png", "film_1.png"]
    assert [row["id"] for row in rows_of(tmp_path / "detections.csv")] == ["salted0", "salted1"]
    assert not list(tmp_path.glob("*partial*"))


def test_dicom_results_of_an_earlier_run_do_not_stay(tmp_path):
    """Ids are salted anew each time; what is not ours stays."""
    names = ["report.dcm", "segmentation.dcm", "picture.dcm", "presentation.dcm"]

    def earlier(folder):
        for film_id in ("old1", "old2"):
            (folder / "dicom" / film_id).mkdir(parents=True)
            for name in names:
                (folder / "dicom" / film_id / name).touch()

    for mark in ("detections.csv", "detections.partial_0.csv"):
        folder = tmp_path / mark
        earlier(folder)
        (folder / "dicom" / "old2" / "film.dcm").touch()
        (folder / mark).touch()
        write(folder, batch(film(64, 64)))
        left = [path for path in (folder / "dicom").rglob("*") if path.is_file()]
        assert left == [folder / "dicom" / "old2" / "film.dcm"]
        assert not (folder / "dicom" / "old1").exists()
    foreign = tmp_path / "foreign"
    earlier(foreign)
    write(foreign, batch(film(64, 64)))
    assert len(list((foreign / "dicom").glob("*/*.dcm"))) == 8
    write(foreign, batch(film(64, 64)))
    assert not (foreign / "dicom").exists()


class Diverged(Brightness):
    """Its answer to the first film of a batch is not a number."""

    def forward_map(self, image):
        maps = super().forward_map(image)
        maps[0, 0, 0, 0] = torch.nan
        return maps


def test_an_answer_that_is_no_number_is_a_problem_of_its_film(tmp_path):
    square = (0.9, 8, 8, 24, 24)
    films = batch(film(64, 64, square), film(64, 64, square))
    write(tmp_path, films, network=Diverged())
    rows = rows_of(tmp_path / "detections.csv")
    assert [row["problem"] for row in rows] == ["The network's answer is not a number.", ""]
    assert [row["finding"] for row in rows] == ["", "rib"]


def drawn(folder):
    return sorted(path.name for path in folder.glob("detections/*"))


def test_the_first_films_with_something_to_show_are_drawn(tmp_path):
    """Candidates below the dotted point are nothing; an expert's region is something."""
    bright, faint = (film(64, 64, (score, 8, 8, 24, 24)) for score in (0.9, 0.2))
    batches = []
    for first, films in ((0, (film(64, 64), faint, bright)), (3, (faint, faint, bright, bright))):
        mask = torch.zeros(len(films), 1, SIDE, SIDE)
        if first:
            mask[1, 0, 64:80, 16:32] = 1  # film 4
        batches.append(batch(*films, first=first) | {"region_mask": mask})
    for pictures, expected in ((0, ""), (1, "2"), (3, "245"), (9, "2456")):
        folder = tmp_path / str(pictures)
        write(folder, *batches, pictures=pictures)
        assert drawn(folder) == [f"film_{index}.png" for index in expected]


def test_of_several_processes_the_first_films_of_all_are_kept(tmp_path, monkeypatch):
    """The other process drew films 0 and 3, this one 1 and 2; two are wanted."""
    monkeypatch.setattr(
        "monai_kd.handlers.write_detections.gather_objects",
        lambda value: [value, {0, 3}] if isinstance(value, set) else [value],
    )
    found = film(64, 64, (0.9, 8, 8, 24, 24))
    write(tmp_path, batch(found, found, first=1), pictures=2)
    assert drawn(tmp_path) == ["film_1.png"]


def test_what_an_expert_drew_is_white_and_a_weak_candidate_dotted(tmp_path):
    square = (0.5, 300, 100, 420, 200)
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[0, 0, 64:80, 16:32] = 1  # stored: x 64 to 128, y 128 to 192
    write(tmp_path, batch(film(256, 512, square)) | {"region_mask": mask}, pictures=2)
    picture = np.asarray(Image.open(tmp_path / "detections" / "film_0.png"))
    assert picture.shape == (512, 1024, 3)
    white = (picture == 255).all(2)
    assert white[256:384, 128].all()  # the expert's left edge, whole
    colored = (picture == (255, 210, 64)).all(2)
    assert 0.2 < colored[:, 590:610].any(1)[205:395].mean() < 0.8  # the candidate's, dotted
    assert not colored[:, :500].any()


def test_the_picture_shows_the_film_where_it_is():
    """A square painted in stored pixels lies at its place in the picture, to two pixels."""
    prepared = SquarePadResized("image", spatial_size=512)
    stored = film(300, 200, (1.0, 50, 60, 110, 90))
    image = prepared({"image": stored})["image"][0].numpy()
    shown = stored_film(image, 300, 200)
    assert shown.shape == (1024, 683)
    rows, columns = np.nonzero(shown > 127)
    scale = 1024 / 300
    expected = np.array([50, 110, 60, 90]) * scale
    found = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
    np.testing.assert_allclose(found, expected, atol=2)
    light = shown.sum(0) / shown.sum()
    middle = (light * (np.arange(683) + 0.5)).sum()
    assert middle == pytest.approx(80 * scale, abs=0.3)


def test_labels_stand_outside_all_boxes_and_in_the_picture():
    shown = stored_film(np.full((64, 64), 0.5, np.float32), 64, 64)
    corners = [(0, 0, 10, 64), (60, 0, 64, 64), (20, 20, 30, 30), (22, 24, 32, 34)]
    color = (255, 210, 64)
    boxes = [DrawnBox(box, color, "clavicle fracture 50%") for box in corners]
    bare = [DrawnBox(box, color) for box in corners]
    expert = [DrawnBox((20, 10, 40, 19), (255, 255, 255))]
    with_labels = detection_picture(shown, boxes + expert, rows=64, columns=64)
    without = detection_picture(shown, bare + expert, rows=64, columns=64)
    changed = (with_labels != without).any(2)
    for x_min, y_min, x_max, y_max in [*corners, expert[0].box]:
        assert not changed[16 * y_min : 16 * y_max, 16 * x_min : 16 * x_max].any()
    text = (with_labels[changed] == color).all(1).sum()
    alone = detection_picture(shown, [boxes[2]], rows=64, columns=64)
    one = (alone == color).all(2).sum()
    one -= (detection_picture(shown, [bare[2]], rows=64, columns=64) == color).all(2).sum()
    assert text == 4 * one  # no label covers another


def test_labels_can_be_read_on_a_page_that_shows_the_picture_half_as_wide():
    """A page shows it 560 pixels wide; there the letters are as high as those of a text."""
    for columns in (64, 48):
        shown = stored_film(np.full((64, 64), 0.5, np.float32), 64, columns)
        box = DrawnBox((20, 30, 30, 40), (255, 210, 64), "87%")
        bare = DrawnBox(box.box, box.color)
        changed = np.not_equal(
            *(detection_picture(shown, [one], rows=64, columns=columns) for one in (box, bare))
        ).any(2)
        height = np.ptp(np.nonzero(changed)[0]) + 1
        assert 18 < height * 560 / shown.shape[1] < 30


class Dicom:
    """Stands for the writer of DICOM results; keeps what it was given."""

    def __init__(self, monkeypatch, fails=()):
        import monai_kd.data.dicom_results as results

        self.calls, self.fails = [], dict(fails)
        monkeypatch.setattr(results, "write_dicom_results", self)

    def __call__(self, source, folder, detections, **about):
        self.calls.append((source, folder, detections, about))
        if source in self.fails:
            raise self.fails[source]


def test_dicom_films_get_results_and_one_that_fails_stops_nothing(tmp_path, monkeypatch, caplog):
    pytest.importorskip("highdicom")
    errors = {
        "SMITH_1": MonaiKDError("read_source: the file has no study. Leave it out."),
        "SMITH_2": AttributeError("'SMITH^JOHN' has no attribute 'x'"),
    }
    writer = Dicom(monkeypatch, errors)
    square = (0.6, 8, 8, 24, 24)
    films = batch(*[film(64, 64, square)] * 4, film(64, 64))
    films["format"] = ["DICOM", "DICOM", "DICOM", "PNG", "DICOM"]
    items = [{"image": f"SMITH_{number}"} for number in range(5)]
    about = {"algorithm_name": "a", "algorithm_version": "1"}
    with caplog.at_level(logging.INFO):
        write(tmp_path, films, items=items, dicom=about)
    assert [call[0] for call in writer.calls] == ["SMITH_0", "SMITH_1", "SMITH_2", "SMITH_4"]
    _, folder, (detection,), given = writer.calls[0]
    assert folder == tmp_path / "dicom" / "salted0"
    assert given == {"findings": ["rib"], **about}
    rows = rows_of(tmp_path / "detections.csv")
    np.testing.assert_allclose(detection.box, box_of(rows[0]), atol=0.01)
    assert (detection.finding, detection.solid) == ("rib", False)
    assert detection.score == pytest.approx(0.6, abs=1e-3)
    assert writer.calls[3][2] == []
    assert [row["problem"] for row in rows] == [
        "",
        "read_source: the file has no study.",
        "WriteDetections: no DICOM result (AttributeError).",
        "",
        "",
    ]
    said = caplog.text + "".join(p.read_text() for p in tmp_path.glob("*.*"))
    assert "SMITH" not in said


@pytest.mark.parametrize(("blind", "reported"), [((), ["rib", "spur"]), (("rib",), ["spur"])])
def test_nothing_is_reported_of_a_finding_that_the_model_does_not_find(
    tmp_path, monkeypatch, caplog, blind, reported
):
    """That "rib" was not detected would be a lie of a model that hit no rib on validation."""
    pytest.importorskip("highdicom")
    writer = Dicom(monkeypatch)
    films = batch(film(64, 64, (0.9, 8, 8, 24, 24)))
    films["format"] = ["DICOM"]
    points = {
        name: {"dotted": {"threshold": 0.5, "recall": 0.0 if name in blind else 0.7}}
        for name in ("rib", "spur")
    }

    class Two(Brightness):
        def forward_map(self, image):
            return super().forward_map(image).expand(-1, 2, -1, -1)

    about = {"algorithm_name": "a", "algorithm_version": "1"}
    settings = {"operating_points": {"findings": points}, "findings": ("rib", "spur")}
    write(tmp_path, films, items=[{"image": "x"}], dicom=about, network=Two(), **settings)
    ((_, _, detections, given),) = writer.calls
    assert given["findings"] == reported
    assert [detection.finding for detection in detections] == reported
    assert ("hit no lesion of rib" in caplog.text) == bool(blind)
    all_blind = {name: {"dotted": {"threshold": 0.5, "recall": 0.0}} for name in points}
    settings["operating_points"] = {"findings": all_blind}
    write(tmp_path / "b", films, items=[{"image": "x"}], dicom=about, network=Two(), **settings)
    assert len(writer.calls) == 1
    assert "No DICOM results are written" in caplog.text


def test_a_film_without_an_answer_gets_neither_picture_nor_dicom_result(tmp_path, monkeypatch):
    """To say that nothing was detected would be wrong."""
    pytest.importorskip("highdicom")
    writer, square = Dicom(monkeypatch), (0.9, 8, 8, 24, 24)
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, 0, 16:48, 16:48] = 1  # an expert drew on both
    films = batch(film(64, 64, square), film(64, 64, square)) | {"region_mask": mask}
    films["format"] = ["DICOM", "DICOM"]
    settings = {"dicom": {"algorithm_name": "a", "algorithm_version": "1"}, "network": Diverged()}
    write(tmp_path, films, items=[{"image": "0"}, {"image": "1"}], pictures=2, **settings)
    assert [call[0] for call in writer.calls] == ["1"]
    assert drawn(tmp_path) == ["film_1.png"]


@pytest.mark.parametrize("ids", [["same", "same"], ["a.b", "a/b"], ["Ab", "aB"]])
def test_two_films_never_share_a_folder_of_dicom_results(tmp_path, monkeypatch, caplog, ids):
    pytest.importorskip("highdicom")
    writer = Dicom(monkeypatch)
    films = [batch(film(64, 64), first=n) | {"id": [ids[n]], "format": ["DICOM"]} for n in (0, 1)]
    about = {"algorithm_name": "a", "algorithm_version": "1"}
    said = "WriteDetections: `id` must be another for each film with DICOM results, got one twice."
    for _ in range(2):  # a second run is not troubled by the first
        writer.calls.clear()
        write(tmp_path, *films, items=[{"image": "0"}, {"image": "1"}], dicom=about)
        assert [call[0] for call in writer.calls] == ["0"]
        assert [row["problem"] for row in rows_of(tmp_path / "detections.csv")] == ["", said]
    assert "Film 1 has no DICOM result." in caplog.text


def test_dicom_without_items_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`items` must be the films when `dicom` is given"):
        WriteDetections(MapMemory(Brightness()), tmp_path, ["rib"], dicom={"algorithm_name": "a"})


def test_a_batch_without_sizes_and_foreign_maps_are_refused(tmp_path):
    films = batch(film(64, 64))
    films.pop("stored_size")
    with pytest.raises(KeyError, match=r"`stored_size`.*size_key"):
        write(tmp_path, films)
    handler = WriteDetections(MapMemory(Brightness()), tmp_path, ["rib"], operating_points=POINTS)
    engine = Engine(lambda engine, batch: {"image": batch["image"]})
    handler.attach(engine)
    with pytest.raises(ValueError, match="`memory` must hold the maps of this batch"):
        engine.run([batch(film(64, 64))])
