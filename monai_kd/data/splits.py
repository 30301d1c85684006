# SPDX-License-Identifier: Apache-2.0
"""Who goes where: patients are dealt into sections, stratified by finding, the same for each seed.

After Sechidis et al., "On the Stratification of Multi-Label Data", ECML PKDD 2011,
https://doi.org/10.1007/978-3-642-23808-6_10: the rarest finding is dealt first, each patient to the
section that still lacks most of it. Ours: the unit is the patient, and as long as a section that is
scored or learned from lacks a finding altogether, it is served first.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_kd.utils import MonaiKDError

__all__ = ["SplitSettings", "check_sections", "deal_evenly", "finding_counts", "split_patients"]

_NEEDY = ("labeled", "validation", "test")
_NO_FINDING = -1


@dataclass(frozen=True)
class SplitSettings:
    """Shares of patients per section.

    Attributes:
        test: share of all patients that are kept for the final score, in [0, 1).
        validation: share of all patients that choose the model, in [0, 1).
        labeled: share of the remaining patients whose labels are used, in (0, 1]; 1 hides none.
        rounds: number of unlabeled sections for the others; 0 labels everything.
        seed: another seed deals other patients.
        keep_hidden_labels: keep the labels of unlabeled items under ``hidden_label``, for
            benchmarks; of all methods only the upper bound of distl is trained with it.

    Raises:
        ValueError: if a share or ``rounds`` is out of range.
    """

    test: float = 0.2
    validation: float = 0.1
    labeled: float = 0.1
    rounds: int = 3
    seed: int = 0
    keep_hidden_labels: bool = False

    def __post_init__(self) -> None:
        for name in ("test", "validation"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"SplitSettings: `{name}` must be in [0, 1), got {value}. It is a share of all "
                    "patients; 0 makes no such section."
                )
        if self.test + self.validation >= 1:
            raise ValueError(
                "SplitSettings: `test` and `validation` must leave patients to train on, got "
                f"{self.test} + {self.validation}."
            )
        if not 0 < self.labeled <= 1:
            raise ValueError(
                f"SplitSettings: `labeled` must be in (0, 1], got {self.labeled}. It is the share "
                "of the training patients whose labels are used."
            )
        if self.rounds < 0:
            raise ValueError(f"SplitSettings: `rounds` must be at least 0, got {self.rounds}.")

    def shares(self, *, train_only: bool = False) -> dict[str, float]:
        """Return the share of patients per section, summing to 1; sections without are absent.

        Args:
            train_only: deal only among ``labeled`` and the unlabeled rounds.
        """
        test, validation = (0.0, 0.0) if train_only else (self.test, self.validation)
        rest = 1 - test - validation
        labeled = 1.0 if self.rounds == 0 else self.labeled
        shares = {"labeled": rest * labeled}
        for number in range(1, self.rounds + 1):
            shares[f"unlabeled_{number}"] = rest * (1 - labeled) / self.rounds
        shares |= {"validation": validation, "test": test}
        return {name: share for name, share in shares.items() if share > 0}


def split_patients(
    positives: Mapping[str, Iterable[int]], shares: Mapping[str, float], *, seed: int = 0
) -> dict[str, str]:
    """Deal patients into sections so that each gets its share of every finding.

    The result depends on the patients and the seed, not on the order they come in.

    Args:
        positives: per patient, the findings (their numbers) of which any image is positive; empty
            for a patient without a finding.
        shares: share per section, summing to 1.
        seed: decides between sections and patients that are equally entitled.

    Returns:
        Section of each patient.

    Example:
        >>> patients = {str(number): [number % 2] for number in range(20)}
        >>> list(split_patients(patients, {"labeled": 0.8, "test": 0.2}).values()).count("test")
        4
    """
    rng = random.Random(seed)
    patients = sorted(positives)
    rng.shuffle(patients)
    keys = {patient: sorted(set(positives[patient])) or [_NO_FINDING] for patient in patients}
    frequency = Counter(key for patient in patients for key in keys[patient])
    rarest = {one: min(own, key=lambda key: (frequency[key], key)) for one, own in keys.items()}
    wanted = {
        (section, key): share * count
        for section, share in shares.items()
        for key, count in frequency.items()
    }
    room = {section: share * len(patients) for section, share in shares.items()}
    without = set(wanted)
    dealt: dict[str, str] = {}
    # patients without a finding come last and even out the sizes
    order = {key: (key == _NO_FINDING, count, key) for key, count in frequency.items()}
    for patient in sorted(patients, key=lambda patient: order[rarest[patient]]):
        key = rarest[patient]
        section = max(
            shares,
            key=lambda name: (
                name in _NEEDY and (name, key) in without,
                0 if key == _NO_FINDING else wanted[name, key],
                room[name],
                rng.random(),
            ),
        )
        dealt[patient] = section
        room[section] -= 1
        for own in keys[patient]:
            wanted[section, own] -= 1
            without.discard((section, own))
    return dealt


def deal_evenly(
    patients: Iterable[str], sections: Sequence[str], *, seed: int = 0
) -> dict[str, str]:
    """Deal patients of whom nothing is known in turn, after a seeded shuffle.

    Args:
        patients: their keys.
        sections: where they may go.
        seed: of the shuffle.
    """
    order = sorted(patients)
    random.Random(seed).shuffle(order)
    return {patient: sections[number % len(sections)] for number, patient in enumerate(order)}


def finding_counts(items: Sequence[Mapping[str, Any]], number: int) -> dict[str, int]:
    """Count the images of one finding by what is known: ``positive``, ``negative``, ``unknown``.

    Args:
        items: items of a section.
        number: which entry of ``label``.
    """
    values = Counter(item["label"][number] for item in items)
    return {"positive": values[1], "negative": values[0], "unknown": values[None]}


def check_sections(
    sections: Mapping[str, Sequence[Mapping[str, Any]]], findings: Sequence[str]
) -> None:
    """Refuse sections that are learned from or scored without both kinds of every finding.

    Args:
        sections: items by section.
        findings: names of the findings.

    Raises:
        MonaiKDError: with the counts of every section and finding that lacks one kind.
    """
    lacking = []
    for section in _NEEDY:
        items = sections.get(section, [])
        for number, finding in enumerate(findings):
            counts = finding_counts(items, number)
            if items and not (counts["positive"] and counts["negative"]):
                said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
                lacking.append(f"\n  - section `{section}`, `{finding}`: {said} images.")
    if lacking:
        raise MonaiKDError(
            "check_sections: every section that is learned from or scored must have positive and "
            f"negative images of each finding, got sections without:{''.join(lacking)}\n"
            "Give the section a larger share, add labels, or merge or leave out a rare finding."
        )
