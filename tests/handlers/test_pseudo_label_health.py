# SPDX-License-Identifier: Apache-2.0
"""What the teacher's maps are worth is written down, and said when they are worth nothing."""

from __future__ import annotations

import csv
import math
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ignite.engine import Engine, Events

from monai_kd.handlers import PseudoLabelHealth
from monai_kd.losses import AALSLoss, sharpen_labels

FINDINGS = ["rib", "clavicle"]
SURE, TIMID = 2.0, -3.0  # logits of a peak above the center 0.4, and below


def maps(step, peak, films=4):
    """Logits of a teacher, the peak of each map somewhere."""
    random = torch.Generator().manual_seed(step)
    logits = -6 + torch.rand(films, 2, 8, 8, generator=random)
    places = torch.randint(64, (films, 2), generator=random)
    return logits.flatten(2).scatter(2, places[..., None], peak).unflatten(2, (8, 8))


def batch(step, *, peak=SURE, drawn=1, present=1.0, hidden=None, inside=1.0):
    """What the loss is given: the first ``drawn`` films are drawn, nobody drew the others."""
    label = torch.full((4, 2), float(present))
    annotated = torch.zeros(4, 2, dtype=torch.bool)
    region = torch.zeros(4, 2, 32, 32)
    annotated[:drawn], region[:drawn, :, 4:12, 4:12] = True, 1
    given = {
        "student_map_logits": maps(step + 1000, 0.0).requires_grad_(),
        "teacher_map_logits": maps(step, peak),
        "label": label, "region_mask": region, "region_annotated": annotated,
        "region_drawn": region.flatten(2).any(2),
    }  # fmt: skip
    if hidden is not None:
        given["hidden_region_annotated"] = torch.tensor([hidden, False]).expand(4, 2)
        teacher = given["teacher_map_logits"]
        beside = (teacher < teacher.amax((2, 3), keepdim=True)).float()  # all but the peak
        cells = beside if inside == 0 else torch.ones_like(beside)
        given["hidden_region_mask"] = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return given


def run(watched, *, steps=60, start=0, epoch=None, weight=1.0, sharpening="aals", **changes):
    """Train: the real loss of ``batch`` of each step, with changes that may be functions."""
    engine = Engine(lambda engine, _: {"loss": None})
    engine.objective = AALSLoss(distillation_weight=weight, sharpening=sharpening)
    ends = []
    length = epoch or steps

    @engine.on(Events.ITERATION_STARTED)
    def ask(engine):
        step = engine.state.iteration
        now = {key: v(step) if callable(v) else v for key, v in changes.items()}
        engine.objective(**batch(step, **now))

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.iteration = start
        engine.state.epoch = start // length

    watched.attach(engine)

    @engine.on(Events.EPOCH_COMPLETED)
    def save(engine):
        ends.append(watched.state_dict())

    engine.run([0] * length, max_epochs=(start + steps) // length)
    return ends


def monitor(folder=None, **changes):
    return PseudoLabelHealth(folder, FINDINGS, **({"burn_in": 0} | changes))


def read(folder):
    with (folder / "health.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# Oracle: the sums by hand, film by film, from the maps themselves.
def test_the_numbers_are_those_of_the_window():
    watched = monitor(every=5)
    run(watched, steps=5, hidden=True, inside=0.0, weight=0.5)
    (row,) = watched.rows
    teacher = torch.cat([maps(step, SURE)[1:] for step in range(1, 6)]).double().sigmoid()
    pseudo = sharpen_labels(teacher).double()
    peak = teacher.amax((2, 3))
    assert row["pseudo_maps"] == 30
    for column, finding in enumerate(FINDINGS):
        assert row[f"peak_{finding}"] == pytest.approx(peak[:, column].mean().item(), rel=1e-5)
        assert row[f"above_center_{finding}"] == 1
        added = (pseudo - teacher)[:, column].sum() / teacher[:, column].sum()
        assert row[f"sharpened_mass_{finding}"] == pytest.approx(added.item(), rel=1e-4)
    assert row["precision_rib"] == 0
    assert math.isnan(row["precision_clavicle"])  # hidden regions are known of ribs alone
    supervised = distilled = 0.0
    for step in range(1, 6):
        loss = AALSLoss(distillation_weight=0.5)
        loss(**batch(step))
        supervised += loss.parts["supervised"].item()
        distilled += 0.5 * loss.parts["distillation"].item()
    share = distilled / (supervised + distilled)
    assert row["distillation_share"] == pytest.approx(share, rel=1e-5)


def test_precision_is_the_mass_in_the_hidden_regions():
    watched = monitor(every=5)
    run(watched, steps=10, hidden=True, inside=lambda step: float(step <= 5))
    assert [row["precision_rib"] for row in watched.rows] == [1, 0]


def test_the_share_above_the_center_counts_maps():
    watched = monitor(every=4)
    run(watched, steps=4, peak=lambda step: SURE if step == 1 else TIMID)
    assert watched.rows[0]["above_center_rib"] == 0.25


def test_writes_a_table_and_its_picture(tmp_path):
    run(monitor(tmp_path), steps=40, hidden=True)
    rows = read(tmp_path)
    assert [(row["phase"], row["iteration"]) for row in rows] == [
        ("second_stage", "20"), ("second_stage", "40"),
    ]  # fmt: skip
    assert list(rows[0])[2:6] == [
        "pseudo_maps", "distillation_share", "above_center_rib", "above_center_clavicle",
    ]  # fmt: skip
    assert rows[0]["precision_rib"] == "1"
    assert rows[0]["precision_clavicle"] == ""
    assert (tmp_path / "health.png").read_bytes()[:4] == b"\x89PNG"


# The last look before the interruption is at 20, the epoch ends at 25: five iterations are pending.
def test_a_resumed_run_writes_the_rows_of_one_that_was_not_interrupted(tmp_path, caplog):
    changes = {"peak": lambda step: TIMID if step > 30 else SURE, "hidden": True}
    ends = run(monitor(tmp_path / "whole"), steps=100, epoch=25, **changes)
    said = [r.message for r in caplog.records]
    caplog.clear()
    run(monitor(tmp_path / "cut"), steps=25, epoch=25, **changes)
    saved = ends[0]
    run(monitor(tmp_path / "cut"), steps=50, epoch=25, start=25, peak=TIMID)  # thrown away
    resumed = monitor(tmp_path / "cut")
    resumed.load_state_dict(saved)
    run(resumed, steps=75, epoch=25, start=25, **changes)
    whole = (tmp_path / "whole" / "health.csv").read_text()
    assert (tmp_path / "cut" / "health.csv").read_text() == whole
    assert said
    assert [r.message for r in caplog.records][-len(said) :] == said


def test_what_was_said_is_not_said_again_after_a_resume(caplog):
    silent = {"peak": TIMID}
    saved = run(monitor(), **silent)[-1]
    assert len(caplog.records) == 2
    caplog.clear()
    resumed = monitor()
    resumed.load_state_dict(saved)
    run(resumed, start=60, **silent)
    assert not caplog.records


def test_a_teacher_that_predicts_nothing_is_told_once_for_each_finding(caplog):
    run(monitor(), steps=200, peak=TIMID)
    assert [r.message for r in caplog.records] == [
        f"Iteration 60: The teacher's peak is above the center on none of the 180 films with {f} "
        "in the last 3 looks (`center` is 0.4): AALS changes nothing there. Train the first stage "
        "longer, draw more regions, or lower `center`."
        for f in FINDINGS
    ]


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        pytest.param({}, {"peak": SURE, "hidden": True}, id="healthy"),
        pytest.param({"burn_in": 50}, {"peak": lambda s: TIMID if s < 90 else SURE}, id="burn-in"),
        pytest.param({"patience": 5}, {"peak": lambda s: TIMID if s < 90 else SURE}, id="patience"),
        pytest.param({}, {"peak": lambda s: TIMID if s % 60 else SURE}, id="not in a row"),
        pytest.param({}, {"peak": TIMID, "present": 0.0}, id="no positive film"),
        pytest.param({}, {"peak": TIMID, "weight": 0.0}, id="no teacher"),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(settings, changes, caplog):
    run(monitor(**settings), steps=200, **changes)
    assert not caplog.records


@pytest.mark.parametrize(
    ("sharpening", "then", "advice"),
    [
        ("constant", "sharpening changes nothing there", "or lower `center`"),
        ("symmetric", "sharpening lowers these maps", "or lower `center`"),
        ("hard", "their pseudo labels are empty", "or lower `center`"),
        ("none", "taught maps in which hardly anything is seen", "or draw more regions"),
    ],
)
def test_what_a_silent_teacher_means_depends_on_the_sharpening(sharpening, then, advice, caplog):
    run(monitor(), peak=TIMID, sharpening=sharpening)
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert then in record.message
        assert record.message.endswith(f"{advice}.")
        assert "AALS" not in record.message


def test_wrong_places_of_a_teacher_that_is_not_sharpened(caplog):
    run(monitor(), hidden=True, inside=0.0, sharpening="none")
    assert caplog.records[0].message.endswith("Train the first stage longer, or draw more regions.")


def test_what_is_left_over_is_looked_at_when_training_ends(tmp_path):
    run(monitor(tmp_path), steps=47)
    assert [row["iteration"] for row in read(tmp_path)] == ["20", "40", "47"]
    assert [row["pseudo_maps"] for row in read(tmp_path)] == ["120", "120", "42"]
    run(monitor(tmp_path / "even"), steps=40)
    assert [row["iteration"] for row in read(tmp_path / "even")] == ["20", "40"]


@pytest.mark.parametrize(
    ("steps", "iteration", "films", "looks"),
    [(8, 8, 24, "look"), (50, 50, 150, "3 looks"), (200, 100, 180, "3 looks")],
)
def test_a_short_training_is_warned_of_too(steps, iteration, films, looks, caplog):
    run(PseudoLabelHealth(None, FINDINGS), steps=steps, peak=TIMID)
    assert caplog.records[0].message.startswith(
        f"Iteration {iteration}: The teacher's peak is above the center on none of the {films} "
        f"films with rib in the last {looks} ("
    )


def test_a_training_that_goes_on_after_its_end_has_no_row_of_that_end(tmp_path):
    ends = run(monitor(tmp_path / "cut", every=40), steps=25)
    assert [row["iteration"] for row in read(tmp_path / "cut")] == ["25"]
    longer = monitor(tmp_path / "cut", every=40)
    longer.load_state_dict(ends[0])
    run(longer, steps=75, epoch=25, start=25)
    run(monitor(tmp_path / "whole", every=40), steps=100, epoch=25)
    whole = (tmp_path / "whole" / "health.csv").read_text()
    assert (tmp_path / "cut" / "health.csv").read_text() == whole


@pytest.mark.parametrize(("name", "done"), [("append_row", "written"), ("draw_health", "drawn")])
def test_what_cannot_be_written_or_drawn_is_said_once_and_left(
    name, done, tmp_path, monkeypatch, caplog
):
    def fail(*_, **__):
        raise OSError(28, "No space left", "secret")

    monkeypatch.setattr(f"monai_kd.handlers.pseudo_label_health.{name}", fail)
    watched = monitor(tmp_path)
    run(watched, steps=60)
    assert len(watched.rows) == 3
    assert [r.message for r in caplog.records] == [
        f"The health of the pseudo labels could not be {done} (OSError). Training goes on."
    ]


def test_looks_that_cannot_tell_are_passed_over(caplog):
    watched = monitor(every=1)
    run(watched, steps=5, peak=TIMID, present=lambda step: float(step % 2))
    assert caplog.records[0].message.startswith("Iteration 5: The teacher's peak")
    assert "none of the 9 films" in caplog.records[0].message


def test_pseudo_labels_beside_the_hidden_regions_are_told(caplog):
    run(monitor(), hidden=True, inside=0.0)
    (record,) = caplog.records
    assert "Of what the pseudo labels call rib, 0.0% lies in the regions" in record.message
    assert "raise `center`" in record.message


def test_a_distillation_that_outweighs_all_is_told(caplog):
    run(monitor(), weight=500)
    (record,) = caplog.records
    assert "% of the loss" in record.message
    assert "Lower `distillation_weight`" in record.message


def test_a_loss_that_distills_nothing_leaves_no_file(tmp_path):
    run(monitor(tmp_path), weight=0.0)
    engine = Engine(lambda *_: None)
    engine.objective = SimpleNamespace()
    monitor(tmp_path).attach(engine)
    engine.run([0] * 40)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{"every": 0}, {"patience": 0}, {"burn_in": -1}])
def test_refuses_settings_that_make_no_sense(settings):
    with pytest.raises(ValueError, match="`every` and `patience` must be at least 1, `burn_in`"):
        monitor(**settings)


def _one_process(rank, folder):
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.set_num_threads(1)
    changes = {"peak": lambda s: (SURE, TIMID)[rank] if s > 2 else SURE, "drawn": rank}
    watched = monitor(folder / "whole", every=4)
    ends = run(watched, steps=12, epoch=6, **changes)
    saved = [ends[0]]
    dist.broadcast_object_list(saved)  # all load what the main process has saved
    run(monitor(folder / "cut", every=4), steps=6, epoch=6, **changes)
    resumed = monitor(folder / "cut", every=4)
    resumed.load_state_dict(saved[0])
    run(resumed, steps=6, epoch=6, start=6, **changes)
    torch.save(watched.rows, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_agree_and_resume_as_one(tmp_path):
    mp.spawn(_one_process, args=(tmp_path,), nprocs=2)
    rows = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    assert str(rows[0]) == str(rows[1])
    assert [row["pseudo_maps"] for row in rows[0]] == [4 * 2 * 7] * 3  # 4 films here, 3 there
    assert rows[0][0]["above_center_rib"] == pytest.approx((16 + 6) / 28)
    whole = (tmp_path / "whole" / "health.csv").read_text()
    assert (tmp_path / "cut" / "health.csv").read_text() == whole
