# SPDX-License-Identifier: Apache-2.0
"""The films of distl_evolution: a tenth labeled, three unlabeled rounds, all dealt by patient.

``nih``: no finding or pneumonia in adults and children, NIH films; a film's section and round are
those of the release, so all seeds learn from the same labeled films.
``kermany``: normal or pneumonia in children; ``kermany_kind``: bacterial or viral pneumonia. Test
and validation are those of the release; each seed draws its own training patients, and of those its
own labeled ones.

Two ways to make it harder: labels of the labeled section are flipped, or films of another hospital
take the place of films of the unlabeled rounds. Both are done by patient.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.data import (
    Datalist,
    check_sections,
    refuse_leaks,
    save_datalist,
    split_patients,
    stored_pixels_sha256,
)
from monai_kd.utils import write_text_atomically

__all__ = ["DATA", "ROUNDS", "Films", "make_datalist"]

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
NIH, KERMANY = SHARED / "cxr_nih_pneumonia_covid", SHARED / "pneumonia_kermany_lungmask"
ROUNDS = ("unlabeled_1", "unlabeled_2", "unlabeled_3")
SHARES = {"labeled": 0.1} | dict.fromkeys(ROUNDS, 0.3)


@dataclass(frozen=True)
class Film:
    """A film, who it is of, and where it stands; ``pool`` waits to be dealt by a seed."""

    image: Path
    patient: str
    positive: bool | None
    section: str


@dataclass(frozen=True)
class Films:
    """What a run learns from.

    Attributes:
        data: one of :data:`DATA`.
        seed: deals the pool, and chooses patients whose labels are flipped or films replaced.
        pool: at most about so many training films of a pool (0: all).
        flipped: share of the labeled films with the wrong label, in [0, 1).
        foreign: share of each unlabeled round that comes from another hospital, in [0, 1).
    """

    data: str
    seed: int = 0
    pool: int = 0
    flipped: float = 0.0
    foreign: float = 0.0


def _nih(sources: Iterable[str] = ("no_finding", "pneumonia")) -> list[Film]:
    stages = {"labelled": "labeled"} | {f"unlabelled_{n}": f"unlabeled_{n}" for n in (1, 2, 3)}
    return [
        Film(
            NIH / row["image"],
            row["patient_id"],
            {"no_finding": False, "pneumonia": True}.get(row["label_name"]),
            {"train": stages.get(row["stage"], ""), "val": "validation", "test": "test"}[
                row["split"]
            ],
        )
        for row in _rows(NIH)
        if row["label_name"] in sources
    ]


def _kermany(positive: tuple[str, ...], negative: str) -> list[Film]:
    sections = {"train": "pool", "val": "validation", "test": "test"}
    return [
        Film(
            KERMANY / row["image"],
            row["patient_id"],
            row["label_name"] in positive,
            sections[row["split"]],
        )
        for row in _rows(KERMANY)
        if row["label_name"] in (*positive, negative)
    ]


@dataclass(frozen=True)
class Data:
    """A question, its films, and the films of another hospital."""

    finding: str
    films: Callable[[], list[Film]]
    foreign: Callable[[], list[Film]]
    says: str


def _covid() -> list[Film]:
    return _nih(("covid19",))


DATA = {
    "nih": Data("pneumonia", _nih, _covid, "NIH, pneumonia or no finding"),
    "kermany": Data(
        "pneumonia",
        functools.partial(_kermany, ("bacterial", "viral"), "normal"),
        _nih,
        "Kermany, pneumonia or normal",
    ),
    "kermany_kind": Data(
        "bacterial",
        functools.partial(_kermany, ("bacterial",), "viral"),
        _nih,
        "Kermany, bacterial or viral pneumonia",
    ),
}


def make_datalist(films: Films, folder: Path, *, hashes: Path) -> Datalist:
    """Write ``datalist.json`` into a folder; the films stay where they are.

    Unlabeled items keep their truth as ``hidden_label``, for the comparator that may see it.

    Args:
        films: what to learn from.
        folder: gets the datalist; not the folder of the films.
        hashes: JSON file in which the hashes of pixels are kept for the next time.

    Returns:
        The datalist as written, free of leaks.
    """
    data = DATA[films.data]
    random = np.random.default_rng([films.seed, 41])
    own = _dealt(data.films(), films, random)
    if films.foreign:
        own = _with_foreign(own, data.foreign(), films.foreign, films.seed)
    wrong = _flipped(own, films.flipped, films.seed)
    known = json.loads(hashes.read_text()) if hashes.exists() else {}
    sections: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("labeled", *ROUNDS, "validation", "test")
    }
    for film in sorted(own, key=lambda film: str(film.image)):
        flip = film.section == "labeled" and film.patient in wrong
        sections[film.section].append(_item(film, flip=flip, hashes=known))
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(hashes, json.dumps(known))
    datalist = Datalist([data.finding], exclusive=False, sections=sections, root=folder)
    save_datalist(datalist, folder / "datalist.json")
    refuse_leaks(datalist, hash_pixels=False)
    check_sections(datalist.sections, datalist.findings)
    return datalist


def _dealt(films: list[Film], settings: Films, random: np.random.Generator) -> list[Film]:
    """Deal the patients of the pool into the labeled section and the rounds."""
    pool = [film for film in films if film.section == "pool"]
    if not pool:
        return films
    if settings.pool:
        pool = _some_of_each(pool, settings.pool, random)
    findings: dict[str, set[int]] = {}
    for film in pool:
        findings.setdefault(film.patient, set()).add(int(bool(film.positive)))
    section = split_patients(findings, SHARES, seed=settings.seed)
    fixed = [film for film in films if film.section != "pool"]
    return fixed + [replace(film, section=section[film.patient]) for film in pool]


def _some_of_each(films: list[Film], count: int, random: np.random.Generator) -> list[Film]:
    """Draw patients until each class has about half of ``count`` films."""
    members = _by_patient(films)
    left = {True: count // 2, False: count // 2}
    chosen: list[Film] = []
    for patient in random.permutation(sorted(members)):
        kind = bool(members[patient][0].positive)
        if left[kind] > 0:
            chosen += members[patient]
            left[kind] -= len(members[patient])
    return chosen


def _with_foreign(films: list[Film], foreign: list[Film], share: float, seed: int) -> list[Film]:
    """Replace a share of each round by foreign films; the round keeps its size."""
    random = np.random.default_rng([seed, 43])
    guests = _by_patient(foreign)
    waiting = [guests[patient] for patient in random.permutation(sorted(guests))]
    out = [film for film in films if film.section not in ROUNDS]
    for name in ROUNDS:
        own = _by_patient([film for film in films if film.section == name])
        size = sum(len(members) for members in own.values())
        stay: list[Film] = []
        for patient in random.permutation(sorted(own)):
            if len(stay) < round((1 - share) * size):
                stay += own[patient]
        while len(stay) < size and waiting:
            guest = waiting.pop()[: size - len(stay)]
            stay += [replace(film, positive=None, section=name) for film in guest]
        out += stay
    return out


def _flipped(films: list[Film], share: float, seed: int) -> set[str]:
    """Return the labeled patients whose labels are wrong: as near to the share as they allow."""
    random = np.random.default_rng([seed, 47])
    labeled = _by_patient([film for film in films if film.section == "labeled"])
    wanted = share * sum(len(members) for members in labeled.values())
    wrong: set[str] = set()
    count = 0
    for patient in random.permutation(sorted(labeled)):
        more = len(labeled[patient])
        if abs(count + more - wanted) < abs(count - wanted):
            wrong.add(str(patient))
            count += more
    return wrong


def _item(film: Film, *, flip: bool, hashes: dict[str, str]) -> dict[str, Any]:
    key = f"{film.image.parent.parent.name}/{film.image.name}"
    if key not in hashes:
        hashes[key] = stored_pixels_sha256(film.image)
    truth = [None if film.positive is None else int(film.positive != flip)]
    hidden = film.section in ROUNDS
    item = {
        "image": str(film.image),
        "label": [None] if hidden else truth,
        "regions": None,
        "patient_id": _hashed(film.patient),
        "id": _hashed(key),
        "pixel_sha256": hashes[key],
    }
    return item | ({"hidden_label": truth} if hidden else {})


def _by_patient(films: Iterable[Film]) -> dict[str, list[Film]]:
    members: dict[str, list[Film]] = {}
    for film in films:
        members.setdefault(film.patient, []).append(film)
    return members


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "datalist.csv").open(newline="") as file:
        return list(csv.DictReader(file))
