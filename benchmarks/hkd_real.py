# SPDX-License-Identifier: Apache-2.0
"""Does an expert's marking make a better student? Five methods, many seeds, real radiographs.

    python benchmarks/hkd_real.py            # trains what the CSV lacks, then prints the table
    python benchmarks/hkd_real.py --table    # only prints the table

(a) FracAtlas limb radiographs, fractured or not, regions are the fracture polygons;
(b) Kermany chest radiographs of children, normal, bacterial or viral, regions are the lungs.

Each seed draws its own training images and starts all methods from the same student. The test
images are the same for all; checkpoints are chosen on validation. Every run writes one row, and its
test predictions, as soon as it is done: an interrupted benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared" / "data"
RESULTS = HERE / "results"
METHODS = ("baseline", "soft_target", "self_distillation", "hkd", "hkd_region", "teacher")


@dataclass(frozen=True)
class Settings:
    """One size fits all methods; the defaults suit two CPU cores."""

    images: int = 300
    validation: int = 120
    size: int = 96
    backbone: str = "resnet10"
    epochs: int = 16
    teacher_epochs: int = 8
    kd_epochs: int = 11
    batch_size: int = 16
    learning_rate: float = 5e-4
    feature_weight: float = 0.5
    region_weight: float = 0.5
    dropout: float = 0.5
    augmentation: str = "strong"
    precision: str = "bfloat16"


def fracatlas() -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Return findings, and items by section; the test is the release's and most of its training."""
    import numpy as np

    folder = SHARED / "fracture_fracatlas"
    sections: dict[str, list[dict[str, Any]]] = {"pool": [], "validation": [], "test": []}
    with (folder / "datalist.csv").open() as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(2024).permutation(len(rows))
    for row in (rows[position] for position in order):
        positive = row["label"] == "1"
        polygons = json.loads(row["polygons_xy"] or "[]")
        item = {
            "image": str(folder / row["image"]),
            "label": [0, 1] if positive else [1, 0],
            "regions": [_polygon(points) for points in polygons] if positive else [],
            "patient_id": row["image"],
        }
        same = [other for other in sections["pool"] if other["label"] == item["label"]]
        section = {"val": "validation", "test": "test"}.get(row["split"])
        sections[section or ("pool" if len(same) < 350 else "test")].append(item)
    return ["not fractured", "fractured"], sections


def kermany() -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Return findings, and items by section, split by patient as delivered."""
    folder = SHARED / "pneumonia_kermany_lungmask"
    findings = ["normal", "bacterial", "viral"]
    sections: dict[str, list[dict[str, Any]]] = {"pool": [], "validation": [], "test": []}
    with (folder / "datalist.csv").open() as file:
        for row in csv.DictReader(file):
            item = {
                "image": str(folder / row["image"]),
                "label": [int(row["label_name"] == name) for name in findings],
                "regions": [{"mask": str(folder / row["lung_mask"]), "finding": None}],
                "patient_id": row["patient_id"],
            }
            section = {"train": "pool", "val": "validation", "test": "test"}[row["split"]]
            sections[section].append(item)
    return findings, sections


DATA = {"fracatlas": fracatlas, "kermany": kermany}


def run_seed(job: tuple[str, int, Settings, tuple[str, ...], Path]) -> None:
    """Train all methods of one seed on one data set.

    Args:
        job: data set, seed, settings, methods, folder of the results.
    """
    data_name, seed, settings, methods, results = job
    import torch

    torch.set_num_threads(1)
    from monai.utils import set_determinism

    study = Study(data_name, seed, settings)
    for method in methods:
        set_determinism(seed)
        started = time.perf_counter()
        row, table = study.run(method)
        row |= {"data": data_name, "seed": seed, "method": method}
        row["seconds"] = round(time.perf_counter() - started, 1)
        keep(results, row, table)
        print(f"{data_name} seed {seed} {method}: AUROC {row['macro_auroc']:.3f}", flush=True)


class Study:
    """The films of one seed, prepared once, and the teachers that the methods share."""

    def __init__(self, data_name: str, seed: int, settings: Settings) -> None:
        import numpy as np

        self.findings, sections = DATA[data_name]()
        self.settings, self.seed = settings, seed
        random = np.random.default_rng(seed)
        chosen = {
            "train": balanced(sections["pool"], settings.images, random),
            "validation": balanced(sections["validation"], settings.validation, random),
            "test": sections["test"],
        }
        self.items = chosen
        self.teachers: dict[str, Any] = {}
        self.data = {mode: self._datasets(mode) for mode in ("mask", "whole")}

    def run(self, method: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Train one method; return its numbers and its test predictions.

        ``teacher`` is hkd's teacher itself, shown the region images of the test.
        """
        from monai_kd.losses import HKDLoss, SoftTargetLoss

        if method == "teacher":
            return self._evaluate(self._teacher("mask").network.network, "region_image")

        settings = self.settings
        weight = 0.0 if method == "baseline" else settings.feature_weight
        guidance = settings.region_weight if method == "hkd_region" else 0.0
        loss: Any = HKDLoss(feature_weight=weight, region_weight=guidance)
        if method == "soft_target":
            loss = SoftTargetLoss()
        mode = "whole" if method == "self_distillation" else "mask"
        teacher = None if method == "baseline" else self._teacher(mode)
        student = self._network()
        self._train(student, loss, mode, teacher=teacher, epochs=settings.epochs)
        return self._evaluate(student)

    def _teacher(self, mode: str) -> Any:
        from monai.utils import set_determinism

        from monai_kd.losses import ClassificationLoss
        from monai_kd.networks import FrozenTeacher, WithFeatures

        if mode not in self.teachers:
            set_determinism(1000 + self.seed)
            network = self._network()
            self._train(
                network, ClassificationLoss(), mode, image_key="region_image",
                epochs=self.settings.teacher_epochs,
            )  # fmt: skip
            self.teachers[mode] = FrozenTeacher(WithFeatures(network))
            set_determinism(self.seed)
        return self.teachers[mode]

    def _network(self) -> Any:
        from monai_kd.networks import build_backbone

        return build_backbone(
            self.settings.backbone, num_findings=len(self.findings), dropout=self.settings.dropout
        )

    def _train(
        self, network: Any, loss: Any, mode: str, *, epochs: int, teacher: Any = None,
        image_key: str = "image",
    ) -> None:  # fmt: skip
        import torch
        from monai.engines import SupervisedEvaluator
        from monai.handlers import ValidationHandler

        from monai_kd.engines import (
            DistillationTrainer,
            PrecisionInferer,
            TeacherPrepareBatch,
            load_model,
        )
        from monai_kd.handlers import KeepBest, ScheduleHandler, set_attribute, set_learning_rate
        from monai_kd.networks import WithFeatures
        from monai_kd.utils import cosine, linear

        settings = self.settings
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        evaluator = SupervisedEvaluator(
            device="cpu", val_data_loader=self._loader(mode, "validation"), network=network,
            prepare_batch=TeacherPrepareBatch(None, image_key=image_key), decollate=False,
            val_handlers=self._metrics(),
        )  # fmt: skip
        rate = cosine(settings.learning_rate, 0.0, steps=epochs)
        with tempfile.TemporaryDirectory() as folder:
            handlers: list[Any] = [
                ScheduleHandler("lr", schedule=rate, set_value=set_learning_rate(optimizer)),
                ValidationHandler(1, evaluator),
                KeepBest(network, validator=evaluator, folder=folder),
            ]
            if getattr(loss, "feature_weight", 0) > 0:
                falling = linear(loss.feature_weight, 0.0, steps=settings.kd_epochs)
                setter = set_attribute(loss, "feature_weight")
                handlers.append(ScheduleHandler("weight", schedule=falling, set_value=setter))
            DistillationTrainer(
                device="cpu", max_epochs=epochs, train_data_loader=self._loader(mode, "train"),
                network=network if image_key == "region_image" else WithFeatures(network),
                teacher=teacher, teacher_key="region_image", image_key=image_key,
                target_keys=("label", "region_mask", "region_annotated")
                if image_key == "image" else ("label",),
                optimizer=optimizer, loss_function=loss, train_handlers=handlers,
                inferer=PrecisionInferer(settings.precision),
            ).run()  # fmt: skip
            load_model(network, Path(folder) / "model.pt")

    def _evaluate(
        self, network: Any, image_key: str = "image"
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        from monai.engines import SupervisedEvaluator

        from monai_kd.engines import TeacherPrepareBatch
        from monai_kd.handlers import DecisionRegions

        with tempfile.TemporaryDirectory() as folder:
            regions = DecisionRegions(network, folder=folder, pictures=0)
            evaluator = SupervisedEvaluator(
                device="cpu", val_data_loader=self._loader("mask", "test"), network=network,
                prepare_batch=TeacherPrepareBatch(None, image_key=image_key), decollate=False,
                val_handlers=[*self._metrics(), regions],
            )  # fmt: skip
            evaluator.run()
        summary = evaluator.state.summary
        names = ("accuracy", "macro_f1", "macro_auroc")
        row = {name: summary[name] for name in names} | {"n_test": summary["n"]}
        row |= {
            name: summary.get("decision_regions", {}).get(name, float("nan"))
            for name in ("mass_inside", "region_share", "pointing_game")
        }
        return row, evaluator.state.predictions

    def _metrics(self) -> list[Any]:
        from monai_kd.handlers import ClassificationMetrics, CollectPredictions

        return [
            CollectPredictions(activation="softmax"),
            ClassificationMetrics(self.findings, activation="softmax"),
        ]

    def _datasets(self, mode: str) -> dict[str, Any]:
        from monai.transforms import Compose, NormalizeIntensityd

        from monai_kd import transforms as t
        from monai_kd.data import CachedDataset

        masks = ("region_mask",)
        prepare = Compose(
            [
                t.LoadRadiographd("image"),
                t.RegionsToMaskd("regions", findings=self.findings),
                t.SquarePadResized("image", mask_keys=masks, spatial_size=self.settings.size),
                t.RegionImaged("image", mode=mode),
                t.LabelToTensord("label"),
            ]
        )
        normalize = NormalizeIntensityd(["image", "region_image"], subtrahend=0.449, divisor=0.226)
        augment = Compose([t.augmentation(self.settings.augmentation), normalize])
        return {
            section: CachedDataset(
                items,
                prepare=prepare,
                augment=augment if section == "train" else normalize,
                seed=self.seed,
            )
            for section, items in self.items.items()
            if mode == "mask" or section != "test"
        }

    def _loader(self, mode: str, section: str) -> Any:
        from torch.utils.data import DataLoader

        from monai_kd.data import EpochSampler, collate_items

        data, train = self.data[mode][section], section == "train"
        return DataLoader(
            data,
            batch_size=self.settings.batch_size if train else 64,
            sampler=EpochSampler(len(data), shuffle=train, seed=self.seed),
            drop_last=train,
            collate_fn=collate_items,
        )


def balanced(items: list[dict[str, Any]], count: int, random: Any) -> list[dict[str, Any]]:
    """Draw as many items of each class, ``count`` together."""
    classes: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for item in items:
        classes.setdefault(tuple(item["label"]), []).append(item)
    share = count // len(classes)
    return [
        members[position]
        for _, members in sorted(classes.items())
        for position in random.permutation(len(members))[:share]
    ]


def keep(results: Path, row: dict[str, Any], table: dict[str, Any]) -> None:
    """Add a row to the CSV, and the run's test predictions beside it (probabilities, labels)."""
    import numpy as np

    names = ("data", "seed", "method", "accuracy", "macro_f1", "macro_auroc", "mass_inside",
             "region_share", "pointing_game", "n_test", "seconds")  # fmt: skip
    folder = results / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    patients = np.unique(table.get("patient_id", []), return_inverse=True)[1]
    np.savez_compressed(
        folder / f"{row['data']}_{row['method']}_{row['seed']}.npz",
        prob=table["prob"].numpy().astype(np.float32),
        label=table["label"].numpy().astype(np.int8),
        patient=patients.astype(np.int32),
    )
    path = results / "hkd_real.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({name: _short(row[name]) for name in names})


def print_table(results: Path) -> None:
    """Print mean and SD of each method, and paired differences to the baseline with 95% CI."""
    from hkd_real_table import table  # beside this file

    print(table(results))


def _polygon(points: list[float]) -> dict[str, Any]:
    pairs = [[float(x), float(y)] for x, y in zip(points[::2], points[1::2], strict=True)]
    return {"polygon": pairs, "finding": "fractured"}


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="train nothing, print the table")
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    settings = Settings(**{name: getattr(args, name) for name in vars(Settings())})
    args.results.mkdir(parents=True, exist_ok=True)
    if not args.table:
        done = set()
        if (args.results / "hkd_real.csv").exists():
            with (args.results / "hkd_real.csv").open() as file:
                done = {(r["data"], int(r["seed"]), r["method"]) for r in csv.DictReader(file)}
        jobs = []
        for seed in range(args.seeds):
            for name in args.data:
                left = tuple(m for m in args.methods if (name, seed, m) not in done)
                if left:
                    jobs.append((name, seed, settings, left, args.results))
        os.environ["OMP_NUM_THREADS"] = "1"
        with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(run_seed, jobs, chunksize=1):
                pass
    print_table(args.results)


if __name__ == "__main__":
    main()
