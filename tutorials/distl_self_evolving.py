# SPDX-License-Identifier: Apache-2.0
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A model that goes on learning from films that nobody labeled
#
# You have labels for a tenth of your chest films. The others lie in the archive, and each year more
# arrive. Can the model learn from those, too?
#
# In the **self-evolving** method (distl) it teaches itself, in rounds:
#
# 1. an *initial model* learns from the labeled films;
# 2. new films arrive. A *teacher*, a slow copy of the model, judges each film as it is. A *student*
#    sees the same film with noise (cropped, turned, blurred) and has to come to the same judgment;
# 3. now and then the student goes back to the few labeled films, so that it does not drift away;
# 4. more films arrive, and the next round starts from the model of the last one.
#
# The method is that of Park et al., [Self-evolving vision transformer for chest X-ray diagnosis
# through knowledge distillation](https://doi.org/10.1038/s41467-022-31514-x), Nature Communications
# 13:3848, 2022. Here it runs on drawn films and a small network, so you need no data, no network
# connection and no GPU: it takes about five minutes on a laptop. What it shows is how the method
# works, how to find out whether it helped, and how to see that it goes wrong. It says nothing about
# patients.

# %%
import copy
import json
import logging
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose, NormalizeIntensityd
from monai.utils import set_determinism
from torch.utils.data import DataLoader

import monai_kd
from monai_kd.data import (
    ArrivalSampler,
    CachedDataset,
    arriving_films,
    collate_items,
    draw_phantom_archive,
    open_datalist,
    refuse_leaks,
)
from monai_kd.engines import load_model, make_adamw
from monai_kd.explain import explain, mass_inside, overlay
from monai_kd.losses import DINOLoss, DISTLCorrectionLoss, DISTLLoss, alpha_at
from monai_kd.metrics import (
    distribution_entropy,
    read_health,
    score_difference,
    score_interval,
)
from monai_kd.networks import DINOHead, DISTLNetwork, EMATeacher, build_backbone
from monai_kd.transforms import (
    LabelToTensord,
    LoadRadiographd,
    RandViewsd,
    RegionsToMaskd,
    SquarePadResized,
    views_to_float,
)

# %% [markdown]
# ## Settings
# The only cell that the smoke test changes; everything below runs as you see it.


# %%
@dataclass(frozen=True)
class Settings:
    images: int = 600  # films that are drawn
    film_size: int = 128  # rows and columns of a drawn film
    size: int = 96  # rows and columns that the network sees
    local_size: int = 48  # of the small views
    local_views: int = 2  # small views in training; published: 8
    backbone: str = "resnet10-w16"  # small enough for a laptop; vit_small_patch8 with a GPU
    prototypes: int = 512  # published: 65536
    rounds: int = 3
    initial_epochs: int = 30
    epochs: int = 5  # of a round
    batch_size: int = 8
    initial_learning_rate: float = 1e-3
    learning_rate: float = 5e-4
    momentum: float = 0.99  # share of the teacher that stays at a step; published: 0.9995
    demo_steps: int = 60  # of the collapse that is shown in the end
    seed: int = 0


smoke = bool(os.environ.get("MONAI_KD_SMOKE"))
settings = (
    Settings(
        images=80, film_size=64, size=32, local_size=16, prototypes=32, initial_epochs=1, epochs=1,
        batch_size=2, demo_steps=3,
    )
    if smoke
    else Settings()
)  # fmt: skip
plt.rcParams |= {"figure.dpi": 80, "axes.spines.top": False, "axes.spines.right": False}
scratch = tempfile.TemporaryDirectory()  # everything that is written goes here, and goes away
folder = Path(scratch.name)

# %% [markdown]
# ## An archive, a tenth of it labeled
# `draw_phantom_archive` draws chests with and without signs of tuberculosis. `labeled` is what
# somebody has read; `unlabeled_1` to `unlabeled_3` arrive one after the other. Validation and test
# are labeled, too, and no model learns from them. All films of a patient are in one section, and
# `refuse_leaks` makes sure.

# %%
archive = draw_phantom_archive(
    folder / "phantom", images=settings.images, size=settings.film_size, task="tb"
)
datalist = open_datalist(archive)
refuse_leaks(datalist)
for name, items in datalist.sections.items():
    patients = len({item["patient_id"] for item in items})
    ill = [item["label"][0] for item in items]
    known = "labels unknown" if None in ill else f"{sum(ill):2} with {datalist.findings[0]}"
    print(f"{name:>11}: {len(items):3} films of {patients:2} patients, {known}")

# %% [markdown]
# `arriving_films` puts all films that are trained on into one list, with the round in which each
# arrives (0: labeled). The labeled ones never grow in number.

# %%
films = arriving_films(datalist, rounds=settings.rounds)
arrivals = np.array([film["arrival"] for film in films])
arrived = [int((arrivals == number).sum()) for number in range(settings.rounds + 1)]
stages = ["initial"] + [f"round {number}" for number in range(1, settings.rounds + 1)]

# %%
BLUE, ORANGE, GRAY = "#2a6f97", "#e07a2f", "#9aa5ad"
figure, axis = plt.subplots(figsize=(6, 1.9))
left = np.zeros(len(stages))
for number, films_of_round in enumerate(arrived):
    width = np.array([films_of_round if stage >= number else 0 for stage in range(len(stages))])
    label = "labeled" if number == 0 else f"unlabeled_{number}"
    color = ORANGE if number == 0 else plt.cm.Blues(0.35 + 0.17 * number)
    axis.barh(stages, width, left=left, color=color, edgecolor="white", label=label)
    left += width
axis.invert_yaxis()
axis.set_xlabel("films that the model may look at")
axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Ten views of a film
# From each film come the film itself (`original`), once more as a whole but noised (crop of 75 to
# 100%, rotation, contrast, blur), and small crops of 20 to 60% (`local`). They are drawn anew in
# each epoch. Nothing is mirrored: a mirrored chest has its heart on the wrong side.

# %%
prepare = Compose(
    [
        LoadRadiographd("image"),
        SquarePadResized("image", spatial_size=settings.size),
        LabelToTensord("label"),
    ]
)


def views_of(local_views):
    make_views = RandViewsd(
        "image",
        spatial_size=settings.size,
        local_size=settings.local_size,
        local_views=local_views,
    )
    return CachedDataset(films, prepare=prepare, augment=make_views, seed=settings.seed)


ten_views = views_of(local_views=8)
ill = next(number for number, film in enumerate(films) if film["label"] == [1])
views = ten_views[0, ill]  # in epoch 0

figure = plt.figure(figsize=(11, 2.8))
grid = figure.add_gridspec(2, 8, wspace=0.04, hspace=0.0)
large = [("original", views["original"], grid[:, :2]), ("noised", views["noised"], grid[:, 2:4])]
small = [("", view, grid[n // 4, 4 + n % 4]) for n, view in enumerate(views["local"])]
for title, view, place in large + small:
    axis = figure.add_subplot(place)
    axis.imshow(view[0], cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=10)
    axis.axis("off")
figure.text(0.71, 0.9, "local, 1 to 8", ha="center", fontsize=10)
plt.show()

# %% [markdown]
# Who sees what:
#
# | | original | noised | local |
# |---|---|---|---|
# | teacher | diagnosis, prototypes | prototypes | |
# | student | prototypes | diagnosis, prototypes | prototypes |
#
# *Diagnosis*: the student, on the noised view, has to say what the teacher says of the original.
# The teacher's probability itself is the label; it is not rounded to yes or no. *Prototypes*: each
# view has to choose the same of 512 patterns as the other views of its film. Nobody says what the
# patterns mean; that part is self-supervision (DINO).
#
# ## The initial model
# A small network, trained on the labeled films, on their noised views: plain supervised learning,
# for which a loss of the method with `lam=0` will do.

# %%
train_films = views_of(settings.local_views)
sampler = ArrivalSampler(arrivals, seed=settings.seed)
loader = DataLoader(
    train_films,
    batch_size=settings.batch_size,
    sampler=sampler,
    collate_fn=collate_items,
    drop_last=True,
)


def as_input(batch):
    """Return the views of a batch as the network takes them."""
    views = {name: batch[name] for name in ("original", "noised", "local")}
    return views_to_float(views, subtrahend=0.5, divisor=0.25)


set_determinism(settings.seed)
network = build_backbone(settings.backbone, num_findings=len(datalist.findings), head="mlp")
supervised_loss = DISTLCorrectionLoss(
    "sigmoid", self_supervision=DINOLoss(settings.prototypes), lam=0.0
)
optimizer = make_adamw(network, learning_rate=settings.initial_learning_rate)
sampler.choose([0])  # the labeled films
losses = []
for epoch in range(settings.initial_epochs):
    sampler.set_epoch(epoch)
    for batch in loader:
        loss = supervised_loss(
            student_logits_noised=network(as_input(batch)["noised"]), label=batch["label"]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
few = max(1, len(losses) // 10)
print(f"cross-entropy: {np.mean(losses[:few]):.2f} at first, {np.mean(losses[-few:]):.2f} at last")

# %% [markdown]
# How good is it on the test films? AUROC with its 95% confidence interval (DeLong; films of one
# patient count together).

# %%
prepare_test = Compose(
    [
        LoadRadiographd("image"),
        RegionsToMaskd("regions", findings=datalist.findings),  # and the mask of the lungs
        SquarePadResized(
            "image", mask_keys=["region_mask", "lung_mask"], spatial_size=settings.size
        ),
        LabelToTensord("label"),
    ]
)
test_films = CachedDataset(
    datalist.section("test"),
    prepare=prepare_test,
    augment=NormalizeIntensityd("image", subtrahend=0.5, divisor=0.25),
)
test = collate_items([test_films[number] for number in range(len(test_films))])


def prob_of(network):
    """Return what a network says of the test films."""
    network.eval()
    with torch.no_grad():
        return network(test["image"]).sigmoid().numpy()


def auroc(prob):
    return score_interval(
        "macro_auroc", prob, test["label"], activation="sigmoid", patient_id=test["patient_id"]
    )


def auroc_gain(prob, other):
    return score_difference(
        "macro_auroc",
        prob,
        other,
        test["label"],
        activation="sigmoid",
        patient_id=test["patient_id"],
    )


by_hand = auroc(prob_of(network))
value, low, high = by_hand
print(f"initial model, by hand: test AUROC {value:.3f} (95% CI {low:.3f} to {high:.3f})")

# %% [markdown]
# ## One step of a round, by hand
# The student is the network with a second head, the projector, for the prototypes. The teacher
# starts as its copy. This is a step on films without labels:


# %%
def step(student, teacher, optimizer, loss, batch):
    views = as_input(batch)
    asked = {name: views[name] for name in ("original", "noised")}
    from_teacher = teacher(asked)  # gives no gradient
    from_student = student(views)
    value = loss(
        student_logits_noised=from_student["logits_noised"],
        teacher_logits_original=from_teacher["logits_original"],  # the pseudo label
        student_projection=from_student["projection"],  # what each view chooses ...
        student_prototypes=from_student["prototypes"],  # ... among these
        teacher_projection=from_teacher["projection"],
        teacher_prototypes=from_teacher["prototypes"],
    )
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    teacher.update(student, settings.momentum)  # teacher = 0.99 teacher + 0.01 student
    return value.item()


def teacher_and_student(centering=True):
    """Return both, an optimizer, and the loss of a round."""
    set_determinism(settings.seed)
    network_of_round = copy.deepcopy(network).train()
    projector = DINOHead(network.num_features, prototypes=settings.prototypes, hidden=256)
    student = DISTLNetwork(network_of_round, projector)
    optimizer = make_adamw(student, learning_rate=settings.learning_rate)
    self_supervision = DINOLoss(settings.prototypes, centering=centering)
    loss = DISTLLoss("sigmoid", self_supervision=self_supervision, lam=0.5)
    return student, EMATeacher(student), optimizer, loss


student, teacher, optimizer, loss = teacher_and_student()
loss.pseudo_label_weight = alpha_at(0, epochs=settings.epochs)  # in the first epoch
sampler.choose([1])  # the films of round 1
batch = next(iter(loader))
assert batch["label"].isnan().all()  # nobody knows

total = step(student, teacher, optimizer, loss, batch)
guess = math.log(settings.prototypes)  # of a student that finds all prototypes equally good
print(f"self-supervision {loss.parts['self_supervision']:.3f} (without any idea: {guess:.3f})")
print(f"self-training    {loss.parts['self_training']:.3f}, weight {loss.pseudo_label_weight}")
print(f"loss             {total:.3f}")

# %% [markdown]
# That is all of it. The two parts are added as
#
# $$L = \lambda \, L_\text{self-supervision} + (1 - \lambda) \, \alpha \, L_\text{self-training}$$
#
# with $\lambda = 0.5$; $\alpha$ climbs from 0.4 to 2 in the epochs of a round. About four times per
# epoch comes a *correction pass*: the student goes through the labeled films, with the true label
# in the place of the teacher's; the teacher stays as it is.
#
# ## The rounds
# The bundle `cxr_distl_classification` is the same as a configuration, with what a real training
# needs besides: schedules, correction passes, checkpoints and resuming, the gate and the health
# monitor. It makes its own initial model, and trains from it twice: `distl`, and for comparison
# `supervised`, which goes on with the labeled films alone **for as many steps**. Without it no
# number of the rounds would mean anything: maybe the model has only been trained for too short a
# time.

# %%
bundle = Path(monai_kd.__file__).parents[1] / "bundles" / "cxr_distl_classification"
run_dir = folder / "run"
logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
workflow = ConfigWorkflow(
    config_file=str(bundle / "configs" / "train.json"),
    meta_file=str(bundle / "configs" / "metadata.json"),
    logging_file=False,
    workflow_type="train",
    bundle_root=str(bundle),
    dataset_dir=str(archive),
    output_dir=str(run_dir),
    comparators=["supervised"],
    backbone=settings.backbone,
    spatial_size=settings.size,
    local_size=settings.local_size,
    local_views=settings.local_views,
    prototypes=settings.prototypes,
    projector_width=256,
    image_mean=0.5,
    image_sd=0.25,
    rounds=settings.rounds,
    initial_epochs=settings.initial_epochs,
    max_epochs=settings.epochs,
    initial_learning_rate=settings.initial_learning_rate,
    learning_rate=settings.learning_rate,
    momentum=settings.momentum,
    hand_over="student",  # a round's teacher and student start from the last student
    batch_size=settings.batch_size,
    precision="float32",
    device="$torch.device('cpu')",
    seed=settings.seed,
)
workflow.initialize()
workflow.run()
workflow.finalize()

# %% [markdown]
# After each round the **gate** asks the labeled validation films whether the round was worth it. A
# round that is worse (its 95% interval lies below 0, or it lost more than 0.05) is rolled back, and
# the next one starts from the model before.

# %%
history = json.loads((run_dir / "rounds.json").read_text())
for entry in history["rounds"][1:]:
    gain = {name: math.nan if v is None else v for name, v in entry["difference"].items()}
    verdict = "kept" if entry["accepted"] else "rolled back"
    print(
        f"{entry['name']}: {entry['unlabeled']:3} unlabeled films, validation AUROC "
        f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}): {verdict}"
    )

# %% [markdown]
# ## Did it get better?
# Each round's model is asked about the test films, which nothing has been chosen by.


# %%
def load_round(method, number):
    """Load a round's student; 0 is the initial model, which both methods share."""
    root = run_dir if method == "distl" else run_dir / "comparators" / method
    place = root / f"round_{number}" if number else run_dir / "initial"
    load_model(network, place / "model.pt")
    network.eval()


methods = ("distl", "supervised")
prob = {}
for method in methods:
    for number in range(settings.rounds + 1):
        load_round(method, number)
        prob[method, number] = prob_of(network)
score = {key: auroc(values) for key, values in prob.items()}

figure, axis = plt.subplots(figsize=(6, 3))
for method, color, shift in (("distl", BLUE, -0.04), ("supervised", GRAY, 0.04)):
    value, low, high = np.array([score[method, n] for n in range(settings.rounds + 1)]).T
    axis.errorbar(
        np.arange(settings.rounds + 1) + shift,
        value,
        yerr=[value - low, high - value],
        color=color,
        marker="o",
        capsize=3,
        label=method,
    )
unlabeled = np.cumsum([0, *arrived[1:]])
axis.set_xticks(
    range(settings.rounds + 1),
    [f"{stage}\n{count} unlabeled" for stage, count in zip(stages, unlabeled, strict=True)],
)
axis.set_ylabel("test AUROC, 95% CI")
axis.legend(frameon=False, loc="lower right")
plt.show()

# %% [markdown]
# Intervals that overlap do not answer the question: all models see the same films, and err on the
# same ones. The paired difference takes that into account.


# %%
def say(words, gain):
    print(f"{words:>32}: {gain.estimate:+.3f} (95% CI {gain.low:+.3f} to {gain.high:+.3f})")


last = settings.rounds
for number in range(1, last + 1):
    say(
        f"round {number} minus {stages[number - 1]}",
        auroc_gain(prob["distl", number], prob["distl", number - 1]),
    )
    say(f"minus supervised {number}", auroc_gain(prob["distl", number], prob["supervised", number]))
whole_gain = auroc_gain(prob["distl", last], prob["distl", 0])
over_supervised = auroc_gain(prob["distl", last], prob["supervised", last])
say(f"round {last} minus initial", whole_gain)
say(f"round {last} minus supervised {last}", over_supervised)

# %% [markdown]
# ## Where does it look, before and after?
# Two films with tuberculosis: the one that the rounds helped most, and the one that they hurt most.
# Grad-CAM of the finding, in the initial model and in that of the last round; the title has the
# model's probability. Nobody outlined the findings on these films, but the lungs are known
# (turquoise), and a model that looks elsewhere is not to be trusted.

# %%
ill = test["label"][:, 0] == 1
image, lungs = test["image"][ill], test["lung_mask"][ill]
chance = {number: prob["distl", number][ill.numpy(), 0] for number in (0, last)}
change = chance[last] - chance[0]
maps = {}
for number in (0, last):
    load_round("distl", number)
    maps[number] = explain(network, image, finding=0)

figure, axes = plt.subplots(2, 3, figsize=(7, 5.3))
for row, film in zip(axes, (int(change.argmax()), int(change.argmin())), strict=True):
    gray = (image[film] * 0.25 + 0.5).clamp(0, 1)
    row[0].imshow(gray[0], cmap="gray", vmin=0, vmax=1)
    row[0].set_title("helped most" if film == change.argmax() else "hurt most", fontsize=10)
    for axis, number in zip(row[1:], (0, last), strict=True):
        axis.imshow(overlay(gray, maps[number][film], region_mask=lungs[film]))
        axis.set_title(f"{stages[number]}: {chance[number][film]:.2f}", fontsize=10)
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout(pad=0.8)
plt.show()

# %% [markdown]
# Two films prove nothing; here is the mean over all test films with tuberculosis. A map without any
# aim would reach the share of the film that the lungs cover.

# %%
for number in (0, last):
    inside = mass_inside(maps[number], lungs).nanmean()
    print(f"{stages[number]:>20}: {inside:.2f} of the map's mass inside the lungs")
print(f"{'map without any aim':>20}: {lungs.mean():.2f}")

# %% [markdown]
# Hardly better than without any aim, before and after. The maps of so small a network have 3 x 3
# places, and their heat sits in the middle of the chest, between the lungs. A better AUROC is not a
# better aim; neither the rounds nor the gate look after that.
#
# ## What can go wrong
# A model that learns from itself can talk itself into something. The **health monitor** looks every
# 20 steps and writes `health.csv`:
#
# - `prototypes_used`: how many patterns the teacher uses over many films. One: it says the same of
#   each, the self-supervision has *collapsed*;
# - `information`: how much a pattern tells about the film, in nats;
# - `similarity`: mean cosine of the features of two films. 1: to the network all films are one;
# - `positive_...`: share of the films that the teacher calls ill. If it runs to 0 or 1, the pseudo
#   labels have collapsed. `drift`: its distance from the share among the labeled films;
# - `agreement`: how often teacher and student decide alike. High is not good in itself.
#
# The gray lines are the starts of the rounds 1, 2 and 3.

# %%
health = read_health(run_dir / "health.csv")
PANELS = {
    "prototypes in use": ("prototypes_used", settings.prototypes),
    "information, nats": ("information", None),
    "similarity of two films": ("similarity", 1),
    "share called ill": (f"positive_{datalist.findings[0]}", 1),
    "teacher and student agree": ("agreement", 1),
}


def draw_curves(axes):
    start = 0
    for phase, columns in health.items():
        where = start + np.array(columns["iteration"])
        for axis, (title, (name, top)) in zip(axes, PANELS.items(), strict=True):
            axis.plot(where, columns[name], color=BLUE, marker=".")
            axis.axvline(start, color=GRAY, linewidth=0.8)
            axis.set_title(title, fontsize=9)
            axis.set_ylim(0, None if top is None else 1.04 * top)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=8)
        axes[0].text(
            start + 5, 0.05 * settings.prototypes, phase.removeprefix("round_"), fontsize=8
        )
        start = where[-1]


figure, axes = plt.subplots(1, 5, figsize=(13, 2.3))
draw_curves(axes)
labeled_rate = np.mean([film["label"][0] for film in datalist.section("labeled")])
axes[3].axhline(labeled_rate, color=ORANGE, linestyle=":")
axes[3].text(60, 0.15, "dotted: labeled films", color=ORANGE, fontsize=8)
figure.tight_layout(pad=0.5)
plt.show()

# %% [markdown]
# The pseudo labels are well: the share of the ill stays near that of the labeled films. With the
# self-supervision you should not be content. All 512 patterns are in use, but the information of a
# choice falls, and the features of two films become much the same: it has not
# collapsed, yet it tells films apart less and less. That is known of pooled features of a ResNet;
# the bundle has `projector_batch_norm` for them (try it). What the rounds brought here came mostly
# from elsewhere.
#
# ### A collapse, on purpose
# What keeps the patterns apart is a small thing: from the teacher's answers their running mean, the
# center, is subtracted. With the step that we wrote by hand, once with it and once without.


# %%
def prototypes_in_use(centering):
    student, teacher, optimizer, loss = teacher_and_student(centering)
    sampler.choose(range(1, settings.rounds + 1))
    used, answers = [], []
    while len(answers) < settings.demo_steps:
        sampler.set_epoch(len(answers))
        for batch in loader:
            step(student, teacher, optimizer, loss, batch)
            answers.append(loss.health["teacher_marginal"])  # mean answer over the films
            recent = torch.stack(answers[-10:]).mean(dim=0).numpy()
            used.append(math.exp(distribution_entropy(recent)))
    return used[: settings.demo_steps]


used = {True: prototypes_in_use(True), False: prototypes_in_use(False)}
figure, axis = plt.subplots(figsize=(5, 2.4))
axis.semilogy(used[True], color=BLUE, label="with the center")
axis.semilogy(used[False], color=ORANGE, label="without: collapse")
axis.set(xlabel="step", ylabel="prototypes in use", ylim=(0.8, 2 * settings.prototypes))
axis.legend(frameon=False, fontsize=9, loc="center right")
plt.show()
print(
    f"after {settings.demo_steps} steps: {used[True][-1]:.0f} with, {used[False][-1]:.1f} without"
)

# %% [markdown]
# The loss would not have told you: where all films get the same pattern, teacher and student agree,
# and the loss falls to 0. The monitor of the bundle stops such a training, with a word on what to
# change.
#
# ## What to conclude
# - **The model got better, round by round.** The interval of the whole gain lies clearly above 0.
# - **That it owes this to the unlabeled films was not shown.** The model that went on with the
#   labeled films alone, for as many steps, got better almost as much, and the interval of the
#   difference holds 0. Most of the gain is longer training. Had we compared with the initial model
#   only, we would have told a finer story, and a wrong one. A small gain is not ruled out; to find
#   it takes more films and more seeds. `--comparators all` tells more: each half of the method
#   alone, two other methods, and what all labels would have been worth.
# - **One seed proves nothing.** The two initial models of this tutorial learned from the same films
#   and differ in their order, in the schedule and in the first weights; their test AUROC is 0.84
#   and 0.76. That is as much as a round brings. Train several seeds, and report all of them.
# - **A kept round is not a good round.** The gate stops what is clearly worse on the validation
#   films, and sees no more than their number allows.
# - **These are drawn films.** None of these numbers says anything about patients.
#
# What is certain enough to be checked each time this tutorial runs:

# %%
positive = np.concatenate([columns[PANELS["share called ill"][0]] for columns in health.values()])
assert smoke or whole_gain.low > 0
assert smoke or over_supervised.estimate < 0.5 * whole_gain.estimate
assert smoke or by_hand.estimate - score["distl", 0].estimate > 0.05
assert smoke or all(entry["accepted"] for entry in history["rounds"])
assert smoke or 0.2 < positive.min() < positive.max() < 0.7
assert smoke or (used[True][-1] > 400 and used[False][-1] < 2)
scratch.cleanup()

# %% [markdown]
# ## On your own films
# In a shell, with `ARCHIVE` your folder of DICOM, PNG or JPEG files, and `labels.csv` with the
# columns `image`, `patient_id` and `finding`:
#
# ```bash
# python -m monai_kd datalist "$ARCHIVE" --labels "$ARCHIVE/labels.csv" --rounds 3
# cd bundles/cxr_distl_classification
# python -m monai.bundle run --config_file configs/train.json \
#     --dataset_dir "$ARCHIVE" --output_dir ~/runs/distl --comparators "['supervised']"
# python -m monai.bundle run --config_file "['configs/train.json','configs/evaluate.json']" \
#     --dataset_dir "$ARCHIVE" --output_dir ~/runs/distl
# python -m monai_kd report ~/runs/distl
# ```
#
# The default settings are the published ones: a vision transformer at 256 pixels, made for a GPU
# and for weights that were trained before (`--pretrained_path`). Without them take
# `--backbone resnet10-w16` and the other settings of the cell above. If your rounds are years,
# write them into a column and give `--split-column`; films that nobody labeled come in with
# `--use-unlisted`. All settings are in the bundle's README.
