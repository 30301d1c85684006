# SPDX-License-Identifier: Apache-2.0
"""How the model evolved: what each round has brought, beside the methods it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_kd.explain import HEAT_COLORS
from monai_kd.report.common import data_uri, is_interval, is_number, limits_or_none, map_name
from monai_kd.report.evolution_files import EvolutionFiles, read_evolution
from monai_kd.report.evolution_plots import auroc_by_round_png, health_png
from monai_kd.report.run_files import RunFiles

__all__ = ["evolution"]

_NAMES = {
    "distl": "DISTL",
    "supervised": "supervised, same labels",
    "supervised_all": "supervised, all labels",
    "self_supervised": "self-supervision alone",
    "self_training": "self-training alone",
    "fixmatch": "FixMatch",
    "mean_teacher": "Mean Teacher",
}
_SHOWN = ("gain shown", "loss shown")


def evolution(run: RunFiles, baseline: RunFiles | None) -> dict[str, Any] | None:
    """Return scores by round and method, differences, the gate's decisions, health and pictures.

    Args:
        run: the run that the page is about.
        baseline: not used.
    """
    files = read_evolution(run)
    if files is None:
        return None
    told = {} if files.other_model else files.told
    methods = told.get("methods") or []
    own = methods[0] if methods else _unjudged(files.rounds)
    numbers = [entry["round"] for entry in own["rounds"]]
    scores = _scores(methods, numbers)
    return {
        "section": told.get("section"),
        "seen_for": _seen_for(str(told.get("section"))),
        "films": told.get("films"),
        "patients": told.get("patients"),
        "other_model": files.other_model,
        "method": _name(own["method"]),
        "network": own.get("network") or "student",
        "rounds": [_round(entry, own["delivered"]) for entry in own["rounds"]],
        "scores": scores,
        "changes": _changes(own, methods[1:]) if methods else [],
        "outcome": _outcome(own) if methods else None,
        "gap": _gap(own, told.get("upper_bound")),
        "others_back": _rolled_back(methods[1:]),
        "stopped": [f"{_name(m['method'])}: {m['stopped']}" for m in methods if m.get("stopped")],
        "plot": _plot(methods, numbers, [entry["name"] for entry in own["rounds"]]),
        "health": data_uri(health_png(files.health)) if files.health else None,
        "pictures": _pictures(files, own),
        "map": map_name(next((one.get("method") for one in told.get("pictures") or []), None)),
        "gradient": _gradient(),
    }


def _unjudged(rounds: dict[str, Any]) -> dict[str, Any]:
    """The run's own rounds where nobody has evaluated them."""
    entries = [{**entry, "gate": entry.get("difference")} for entry in rounds["rounds"]]
    return {**rounds, "rounds": entries}


def _seen_for(section: str) -> str | None:
    """What the training has used the films of a section for; None for films kept apart."""
    if section == "validation":
        return "which also decided what rounds were kept"
    return "which are films of the training" if section.startswith(("labeled", "unl")) else None


def _name(method: Any) -> str:
    return _NAMES.get(str(method), str(method))


def _round(entry: dict[str, Any], delivered: int) -> dict[str, Any]:
    gate, validation = entry.get("gate") or {}, entry.get("validation") or {}
    score = (validation.get("student") or {}).get("macro_auroc")
    return {
        "number": entry["round"],
        "name": entry["name"],
        "labeled": entry.get("labeled"),
        "unlabeled": entry.get("unlabeled"),
        "accepted": entry.get("accepted", True),
        "reason": entry.get("reason"),
        "delivered": entry["round"] == delivered,
        "change": gate.get("value") if is_number(gate.get("value")) else None,
        "change_ci": limits_or_none([gate.get("low"), gate.get("high")]),
        "validation": score if isinstance(score, list) and is_number(score[0]) else None,
    }


def _scores(methods: Sequence[dict[str, Any]], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """A row for each method; of the run's own, student and teacher."""
    rows = []
    for place, method in enumerate(methods):
        entries = {entry["round"]: entry for entry in method["rounds"]}
        delivered = method.get("network") or "student"
        other = "teacher" if delivered == "student" else "student"
        for network in (delivered, other) if place == 0 else (delivered,):
            cells = [_cell(entries.get(number), network) for number in numbers]
            if any(cells):
                name = _name(method["method"])
                name = f"{name}, {network}" if place == 0 else name
                rows.append({"name": name, "cells": cells, "own": place == 0})
    return rows


def _cell(entry: dict[str, Any] | None, network: str) -> dict[str, Any] | None:
    score = (entry or {}).get(network)
    if entry is None or not score:
        return None
    back = not entry.get("accepted", True)
    return {"value": score["value"], "ci": limits_or_none(score["ci"]), "rolled_back": back}


def _changes(own: dict[str, Any], others: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Paired differences of each round: to the initial model, to the one before, to the others."""
    later = own["rounds"][1:]
    rows = [
        {"name": "minus the initial model", "cells": [e.get("against_initial") for e in later]},
        {"name": "minus the model it started from",
         "cells": [entry.get("against_before") for entry in later]},
    ]  # fmt: skip
    for other in others:
        cells = [(entry.get("against") or {}).get(other["method"]) for entry in later]
        rows.append({"name": f"minus {_name(other['method'])}", "cells": cells})
    told = [{**row, "cells": [_difference(cell) for cell in row["cells"]]} for row in rows]
    return [row for row in told if any(row["cells"])]


def _difference(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if not found or not is_number(found.get("value")):
        return None
    return {
        "value": found["value"],
        "ci": limits_or_none(found.get("ci")),
        "p_value": found.get("p_value"),
        "shown": found["verdict"] if found.get("verdict") in _SHOWN else "not shown",
    }


def _outcome(own: dict[str, Any]) -> dict[str, Any] | None:
    """The delivered model against the initial one, on the judged films."""
    entries = {entry["round"]: entry for entry in own["rounds"]}
    last, first = entries.get(own["delivered"]), own["rounds"][0]
    network = own.get("network") or "student"
    if last is None or not last.get(network) or not first.get(network):
        return None
    return {
        "round": last["name"],
        "stayed": last is first,
        "before": first[network],
        "after": last[network],
        "change": _difference(last.get("against_initial")),
    }


def _gap(own: dict[str, Any], upper_bound: str | None) -> dict[str, Any] | None:
    """How far the delivered model has come to the one that had all labels."""
    kept = [entry for entry in own["rounds"] if entry["round"] == own["delivered"]]
    found = kept[0].get("gap_closed") if kept else None
    if not found or upper_bound is None:
        return None
    return {**found, "ci": found["ci"] if is_interval(found["ci"]) else None}


def _rolled_back(others: Sequence[dict[str, Any]]) -> list[str]:
    told = []
    for other in others:
        back = [entry["name"] for entry in other["rounds"] if not entry.get("accepted", True)]
        if back:
            told.append(f"{_name(other['method'])} ({', '.join(back)})")
    return told


def _plot(
    methods: Sequence[dict[str, Any]], numbers: Sequence[int], names: Sequence[str]
) -> str | None:
    if len(numbers) < 2 or not methods:
        return None
    series = {}
    for method in methods:
        entries = {entry["round"]: entry for entry in method["rounds"]}
        network = method.get("network") or "student"
        cells = [(entries.get(number) or {}).get(network) for number in numbers]
        if any(cells):
            series[_name(method["method"])] = cells
    return data_uri(auroc_by_round_png(series, rounds=names)) if series else None


def _pictures(files: EvolutionFiles, own: dict[str, Any]) -> list[dict[str, Any]]:
    names = {entry["round"]: entry["name"] for entry in own["rounds"]}
    told = []
    for one in [] if files.other_model else files.told.get("pictures") or []:
        if one["picture"] not in files.pictures:
            continue
        heads = files.pictures.get(one.get("heads") or "")
        columns = [
            {"name": names.get(number, number), "prob": prob, "mapped": mapped}
            for number, prob, mapped in zip(one["columns"], one["prob"], one["mapped"], strict=True)
        ]
        told.append(
            {
                "picture": data_uri(files.pictures[one["picture"]]),
                "heads": data_uri(heads) if heads else None,
                "finding": one["finding"],
                "present": one["label"] == 1,
                "better": one["better"],
                "columns": columns,
            }
        )
    return told


def _gradient() -> str:
    return ", ".join(
        f"rgb({', '.join(str(round(255 * part)) for part in color)})" for color in HEAT_COLORS
    )
