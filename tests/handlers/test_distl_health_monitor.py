# SPDX-License-Identifier: Apache-2.0
"""A collapse is seen, named, and stopped; a healthy run is left alone."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from monai_kd.handlers import HealthMonitor
from monai_kd.utils import MonaiKDError

HEALTHY = {"teacher_entropy": 1.0, "marginal": 0, "spread": 1.0, "positive": 0.4, "mean": 0.4}


def health(step, *, teacher_entropy, marginal, spread, positive, mean, films=16):
    """What a loss says: ``marginal`` 0 is one prototype after the other, 1 all alike."""
    generator = torch.Generator().manual_seed(step)
    one_hot = torch.eye(64)[torch.randint(64, (films,), generator=generator)].mean(dim=0)
    features = torch.ones(films, 8) + spread * torch.randn(films, 8, generator=generator)
    return {
        "teacher_entropy": torch.tensor(teacher_entropy),
        "teacher_marginal": marginal / 64 + (1 - marginal) * one_hot,
        "center_norm": torch.tensor(0.5),
        "features": torch.nn.functional.normalize(features, dim=1),
        "pseudo_positive": torch.tensor([positive]),
        "pseudo_probability": torch.tensor([mean]),
        "agreement": torch.tensor(0.9),
    }


def run(monitor, *, steps=300, start=0, stop_after=None, **changes):
    """Train ``steps`` iterations whose health is HEALTHY with changes: value, or function."""
    engine = Engine(lambda *_: {"loss": torch.tensor(1.0)})
    engine.objective = SimpleNamespace(health={})

    @engine.on(Events.ITERATION_STARTED)
    def set_health(engine):
        step = engine.state.iteration
        now = {k: v(step) if callable(v) else v for k, v in (HEALTHY | changes).items()}
        engine.objective.health = health(step, **now)

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.iteration = start

    monitor.attach(engine)
    batch = {"label": torch.zeros(16, 1)}
    engine.run([batch] * (steps + 1), max_iters=steps)
    return engine


def monitor(folder=None, **changes):
    settings = {"findings": ["tb"], "labeled_rate": [0.5], "phase": "round_1"}
    return HealthMonitor(folder, **(settings | changes))


def after(step, bad, good):
    return lambda now: bad if now > step else good


UNIFORM = {"teacher_entropy": math.log(64) - 0.001, "marginal": 1}


def test_a_healthy_run_is_left_alone():
    watched = monitor()
    run(watched)
    assert [row["iteration"] for row in watched.rows] == list(range(20, 301, 20))


# Oracle: the same numbers by hand, from the batches themselves.
def test_the_numbers_are_those_of_the_window():
    watched = monitor(every=4)
    run(watched, steps=4, teacher_entropy=0.3)
    (row,) = watched.rows
    batches = [health(s, **(HEALTHY | {"teacher_entropy": 0.3})) for s in range(1, 5)]
    marginal = torch.stack([b["teacher_marginal"] for b in batches]).double().mean(dim=0)
    assert row["teacher_entropy"] == pytest.approx(0.3 / math.log(64), rel=1e-6)
    information = torch.special.entr(marginal).sum().item() - 0.3
    assert row["information"] == pytest.approx(information, rel=1e-5)
    assert row["prototypes_used"] == pytest.approx(math.exp(information + 0.3), rel=1e-5)
    features = torch.cat([b["features"] for b in batches]).double()
    share = torch.linalg.svdvals(features)
    share = share / share.sum()
    assert row["effective_rank"] == pytest.approx(
        math.exp(torch.special.entr(share).sum().item()), rel=1e-4
    )
    cosines = features @ features.T
    off = cosines[~torch.eye(64, dtype=torch.bool)].mean().item()
    assert row["similarity"] == pytest.approx(off, rel=1e-4)
    flatness = math.sqrt((1 - off) / (2 * 8 * information))
    assert row["effective_temperature"] == pytest.approx(flatness, rel=1e-4)
    assert row["positive_tb"] == row["probability_tb"] == pytest.approx(0.4)
    assert row["drift"] == pytest.approx(0.1)
    assert row["agreement"] == pytest.approx(0.9)
    assert row["center_norm"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(UNIFORM, "all prototypes alike.*Lower `teacher_temperature`", id="uniform"),
        pytest.param(
            {"teacher_entropy": 4.0, "marginal": 0.9, "spread": 0.0},
            "features of different films are the same",
            id="features",
        ),
        pytest.param(
            {"positive": 0.0, "mean": 0.001}, "nearly every unlabeled film negative", id="negative"
        ),
        pytest.param(
            {"positive": 1.0, "mean": 0.999}, "nearly every unlabeled film positive", id="positive"
        ),
    ],
)
def test_a_collapse_is_stopped_with_its_reason(changes, words):
    with pytest.raises(MonaiKDError, match=f"since iteration 120: .*{words}") as stopped:
        run(monitor(), **changes)
    assert "stopped at iteration 160: the " in str(stopped.value)
    assert "in round_1" in str(stopped.value)


def feed(health, steps=300):
    """Show a monitor the same health again and again."""
    watched = monitor()
    objective, state = SimpleNamespace(health=health), SimpleNamespace(batch=torch.zeros(16, 1))
    for step in range(1, steps):
        state.iteration = step
        watched(SimpleNamespace(objective=objective, state=state))


def test_one_prototype_for_all_is_a_collapse_too():
    same = {"teacher_entropy": torch.tensor(0.0), "teacher_marginal": torch.eye(64)[3]}
    with pytest.raises(MonaiKDError, match=r"one and the same prototype .*Keep the center"):
        feed(same)


@pytest.mark.parametrize("settings", [{"burn_in": 1000}, {"patience": 20}, {"every": 200}])
def test_nothing_is_stopped_before_its_time(settings):
    run(monitor(**settings), **UNIFORM)


def test_a_short_dip_is_no_collapse():
    dip = {
        k: (lambda now, b=b, g=HEALTHY[k]: b if 180 < now <= 220 else g) for k, b in UNIFORM.items()
    }
    run(monitor(), **dip)


def test_says_since_when():
    late = {name: after(220, bad, HEALTHY[name]) for name, bad in UNIFORM.items()}
    with pytest.raises(MonaiKDError, match=r"iteration 280: .*since iteration 240"):
        run(monitor(), **late)


@pytest.mark.parametrize(
    ("rate", "changes"),
    [
        pytest.param(None, {"positive": 0.0, "mean": 0.0}, id="rate unknown"),
        pytest.param([math.nan], {"positive": 0.0, "mean": 0.0}, id="rate not a number"),
        pytest.param([0.0], {"positive": 0.0, "mean": 0.0}, id="no labeled film has it"),
        pytest.param([1.0], {"positive": 1.0, "mean": 1.0}, id="each labeled film has it"),
        pytest.param([0.05], {"positive": 0.0, "mean": 0.04}, id="rare, and known to be"),
        pytest.param([0.02], {"positive": 0.0, "mean": 0.0005}, id="too few films to tell"),
        pytest.param([0.5], {"positive": 0.05, "mean": 0.05}, id="rarer, not gone"),
    ],
)
def test_pseudo_labels_are_judged_by_the_labeled_films(rate, changes):
    run(monitor(labeled_rate=rate), **changes)


def test_may_only_warn_once_per_phase(caplog):
    watched = monitor(on_collapse="warn")
    run(watched, **UNIFORM)
    run(watched, **UNIFORM)
    assert len([r for r in caplog.records if "collapsed" in r.message]) == 1
    watched.reset()
    watched.phase = "round_2"
    run(watched, **UNIFORM)
    assert [r.message for r in caplog.records if "collapsed in round_2" in r.message]


def read(folder):
    with (folder / "health.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_writes_a_table_and_its_picture(tmp_path):
    watched = monitor(tmp_path)
    run(watched, steps=60)
    rows = read(tmp_path)
    assert [(row["phase"], row["iteration"]) for row in rows] == [
        ("round_1", "20"), ("round_1", "40"), ("round_1", "60"),
    ]  # fmt: skip
    assert float(rows[0]["information"]) == pytest.approx(watched.rows[0]["information"], rel=1e-5)
    assert (tmp_path / "health.png").read_bytes()[:4] == b"\x89PNG"


def test_a_stopped_run_has_its_table_and_its_picture(tmp_path):
    with pytest.raises(MonaiKDError, match="collapsed"):
        run(monitor(tmp_path), **UNIFORM)
    assert read(tmp_path)[-1]["iteration"] == "160"
    assert (tmp_path / "health.png").exists()


def test_a_resumed_run_drops_the_rows_it_repeats_and_no_others(tmp_path):
    run(monitor(tmp_path, phase="initial"), steps=60)
    run(monitor(tmp_path), steps=100)
    run(monitor(tmp_path), steps=80, start=40, positive=0.3)
    rows = [(row["phase"], row["iteration"], row["positive_tb"]) for row in read(tmp_path)]
    assert rows[:3] == [("initial", str(i), "0.4") for i in (20, 40, 60)]
    assert rows[3:] == [
        ("round_1", "20", "0.4"), ("round_1", "40", "0.4"),
        ("round_1", "60", "0.3"), ("round_1", "80", "0.3"),
    ]  # fmt: skip


def test_a_loss_that_says_nothing_is_not_judged(tmp_path):
    engine = Engine(lambda *_: None)
    engine.objective = SimpleNamespace()
    HealthMonitor(tmp_path, findings=["tb"]).attach(engine)
    engine.run([0] * 200, max_epochs=1)
    assert not list(tmp_path.iterdir())


def test_only_pseudo_labels_are_judged_where_there_are_only_those():
    gone = {"pseudo_positive": torch.tensor([0.0]), "pseudo_probability": torch.zeros(1)}
    with pytest.raises(MonaiKDError, match="pseudo labels collapsed"):
        feed(gone)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "`every` and `patience` must be at least 1"),
        ({"burn_in": -1}, "`burn_in` at least 0"),
        ({"labeled_rate": [0.1, 0.2]}, "`labeled_rate` must have a value per finding, got 2 for 1"),
        ({"on_collapse": "ask"}, "`on_collapse` must be one of stop, warn"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        monitor(**settings)
