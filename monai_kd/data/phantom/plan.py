# SPDX-License-Identifier: Apache-2.0
"""Who is in the phantom archive: patients, sites, findings, films and sections."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from monai_kd.data.phantom.film import Film, Patient
from monai_kd.data.phantom.geometry import Array
from monai_kd.data.phantom.scanner import SITES
from monai_kd.data.splits import SplitSettings, split_patients
from monai_kd.utils import check_choice

__all__ = ["FAKE_FAMILY_NAMES", "FAKE_GIVEN_NAMES", "TASKS", "plan_films", "plan_sections"]

FAKE_FAMILY_NAMES = (
    "Phantomhuber", "Testowitz", "Probandsen", "Fakeborough", "Musterlund", "Dummerville",
    "Placeboni", "Simulanz", "Mockridge", "Inventado", "Scheinberg", "Nullmeyer",
)  # fmt: skip
"""Family names in the headers of the phantom's files; nobody is called so."""

FAKE_GIVEN_NAMES = ("Quilla", "Borvin", "Zelmira", "Ottokarla", "Wendolf", "Ysbrand", "Xantia")
"""Given names in the headers of the phantom's files."""

TASKS: dict[str, tuple[str, ...]] = {
    "opacity": ("healthy", "bacterial", "viral"),
    "fracture": ("rib_fracture", "clavicle_fracture"),
    "tb": ("tuberculosis",),
}
"""Findings of each task."""

# Share of patients with each finding (opacity: with each class), site by site. This is the site
# effect: knowing the site alone gives an AUROC of about 0.56 to 0.60.
_PREVALENCE: dict[str, dict[str, tuple[float, ...]]] = {
    "opacity": {
        "north": (0.46, 0.27, 0.27),
        "south": (0.27, 0.46, 0.27),
        "harbor": (0.27, 0.27, 0.46),
    },
    "fracture": {"north": (0.36, 0.24), "south": (0.44, 0.32), "harbor": (0.52, 0.40)},
    "tb": {"north": (0.36,), "south": (0.50,), "harbor": (0.66,)},
}
_SITE_SHARE = {"north": 0.4, "south": 0.35, "harbor": 0.25}
_MASS = {"opacity": 1300.0, "fracture": 400.0, "tb": 400.0}
_BONE = {"opacity": 1.0, "fracture": 1.5, "tb": 1.0}  # films of ribs are taken at less voltage
_DRAWN_SHARE = 0.06  # of the labeled films with a fracture, for each kind of fracture
_FEWEST_DRAWN = 2  # of each kind, so that small archives have them


def plan_films(images: int, seed: int, task: str) -> list[Film]:
    """Return the films of an archive, one to four of each patient.

    Args:
        images: number of films.
        seed: draws everything.
        task: one of :data:`TASKS`.

    Raises:
        ValueError: if ``task`` is not known.
    """
    check_choice("plan_films", "task", task, TASKS)
    stream = (seed, sorted(TASKS).index(task))
    rng = np.random.default_rng([*stream, 1 << 20])
    visits: list[int] = []
    while sum(visits) < images:
        visits.append(min(int(rng.choice([1, 2, 3, 4], p=[0.6, 0.25, 0.1, 0.05])),
                          images - sum(visits)))  # fmt: skip
    patients = _plan_patients(rng, len(visits), stream, task)
    films = []
    for patient, count in zip(patients, visits, strict=True):
        for visit in range(count):
            view = "AP" if rng.random() < SITES[patient.site].portable else "PA"
            if task == "tb" and patient.present:
                rng.random()  # whether it is drawn was asked here once; the films stay as they were
            films.append((patient, visit, view, task != "tb"))
    order = rng.permutation(len(films))  # film numbers say nothing about patients
    planned = [Film(k + 1, *films[i]) for k, i in enumerate(order)]
    return _drawn_in_part(planned, seed) if task == "fracture" else planned


def plan_sections(films: list[Film], seed: int, task: str) -> dict[str, list[Film]]:
    """Return the films of each section; all films of a patient stand in one.

    A quarter of the patients is kept for the test, 15% for validation. Task ``"tb"`` labels 10% of
    the others, whose rest arrives in three rounds; the other tasks label them all.

    Args:
        films: from :func:`plan_films`.
        seed: draws the order.
        task: one of :data:`TASKS`.
    """
    rounds, labeled = (3, 0.1) if task == "tb" else (0, 1.0)
    settings = SplitSettings(test=0.25, validation=0.15, labeled=labeled, rounds=rounds)
    findings = TASKS[task]
    positives = {f.patient.mrn: [findings.index(n) for n in f.patient.present] for f in films}
    section_of = split_patients(positives, settings.shares(), seed=seed)
    sections: dict[str, list[Film]] = {name: [] for name in settings.shares()}
    for film in films:
        sections[section_of[film.patient.mrn]].append(film)
    return sections


def _drawn_in_part(films: list[Film], seed: int) -> list[Film]:
    """Let the expert draw some labeled films of each finding, and all to measure by."""
    rng = np.random.default_rng([seed, 1 << 21])
    labeled = plan_sections(films, seed, "fracture")["labeled"]
    drawn = {film.number for film in films} - {f.number for f in labeled if f.patient.present}
    for finding in TASKS["fracture"]:
        positive = [film.number for film in labeled if finding in film.patient.present]
        wanted = max(_FEWEST_DRAWN, math.ceil(_DRAWN_SHARE * len(positive)))
        missing = wanted - len(drawn.intersection(positive))
        waiting = [number for number in positive if number not in drawn]
        drawn.update(int(n) for n in rng.permutation(waiting)[: max(0, missing)])
    return [replace(film, drawn=film.number in drawn) for film in films]


def _plan_patients(
    rng: np.random.Generator, count: int, stream: tuple[int, int], task: str
) -> list[Patient]:
    """Deal findings by quota within each site, so that small archives have them all."""
    sites = rng.permutation(np.repeat(list(_SITE_SHARE), _quota(list(_SITE_SHARE.values()), count)))
    present: list[list[str]] = [[] for _ in range(count)]
    for site in _SITE_SHARE:
        members = np.flatnonzero(sites == site)
        _deal(rng, members, task, site, present)
    mrns = rng.choice(9_000_000, count, replace=False) + 1_000_000
    patients = []
    for number in range(count):
        name = f"{rng.choice(FAKE_FAMILY_NAMES)}^{rng.choice(FAKE_GIVEN_NAMES)}"
        patients.append(
            Patient(
                number=number,
                seed=stream,
                name=name,
                mrn=f"MRN{mrns[number]}",
                sex="F" if rng.random() < 0.48 else "M",
                age=int(np.clip(rng.normal(54, 17), 18, 94)),
                site=str(sites[number]),
                present=tuple(present[number]),
                mass=_MASS[task],
                bone=_BONE[task],
            )
        )
    return patients


def _deal(
    rng: np.random.Generator,
    members: Array,
    task: str,
    site: str,
    present: list[list[str]],
) -> None:
    findings, prevalence = TASKS[task], _PREVALENCE[task][site]
    if task == "opacity":
        names = np.repeat(findings, _quota(list(prevalence), len(members)))
        for member, name in zip(rng.permutation(members), names, strict=True):
            present[member].append(str(name))
        return
    for name, share in zip(findings, prevalence, strict=True):
        number = int(share * len(members) + rng.random())
        for member in rng.permutation(members)[:number]:
            present[member].append(name)


def _quota(shares: list[float], count: int) -> list[int]:
    """Return whole numbers that sum to ``count``, as near to the shares as can be."""
    edges = np.round(np.cumsum(shares) / sum(shares) * count).astype(int)
    return [int(n) for n in np.diff(edges, prepend=0)]
