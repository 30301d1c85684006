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
# # Find fractures, from the labels of whole films and a few boxes
#
# A trauma registry knows of every film whether the patient had a fracture: somebody coded the
# diagnosis. *Where* the fracture is, somebody drew on a few films only, for that takes a
# radiologist's time. Can a detector learn from both?
#
# **Adaptive asymmetric label sharpening** (aals) does it in two stages:
#
# 1. a network learns from the drawn films, and from films without a fracture. It answers with a
#    *map*: how likely is a fracture at each place of the film;
# 2. the films join that have a fracture somewhere. A *teacher*, a slow copy of the network, draws
#    a map of each, and the *student* has to draw the same. The teacher has seen few fractures and
#    is timid; but here we know that there is one. So its map is **sharpened** before the student
#    gets it: upwards only, and a timid map more than a sure one.
#
# The method is that of Wang et al., [Knowledge Distillation with Adaptive Asymmetric Label
# Sharpening for Semi-supervised Fracture Detection in Chest
# X-rays](https://arxiv.org/abs/2012.15359), IPMI 2021. Here it runs on drawn films and a small
# network, so you need no data, no network connection and no GPU: it takes about six minutes on a
# laptop. What it shows is how the method works, how to see whether it does anything at all, and
# how to find out whether it helped. It says nothing about patients.
#
# **Research only, not for diagnosis.** The method is covered by US patent 11,823,381 B2 (Ping An
# Technology); the licence of this software gives no right to that patent. Whether you need one is
# for you to find out.

# %%
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose, NormalizeIntensityd

import monai_kd
from monai_kd.data import (
    CachedDataset,
    check_groups,
    collate_items,
    draw_phantom_archive,
    film_groups,
    open_datalist,
    refuse_leaks,
)
from monai_kd.engines import CandidateNetwork, load_model
from monai_kd.handlers import lesion_boxes
from monai_kd.losses import AALSLoss, map_roles, sharpen_labels
from monai_kd.metrics import read_health, read_metrics
from monai_kd.networks import GREY_MEAN, GREY_SD, build_aals_network
from monai_kd.report import compare_runs
from monai_kd.transforms import (
    LabelToTensord,
    LoadRadiographd,
    RegionsToMaskd,
    SquarePadResized,
)

# %% [markdown]
# ## Settings
# The only cell that the smoke test changes; everything below runs as you see it.


# %%
@dataclass(frozen=True)
class Settings:
    images: int = 600  # films that are drawn
    size: int = 160  # rows and columns of a film; 512 with a GPU
    backbone: str = "resnet10-w16"  # small enough for a laptop; resnet50 with a GPU
    channels: int = 32  # of the feature pyramid; 256 with a GPU
    radius: int = 4  # cells of the map in which only the highest peak counts
    positive_weight: float = 1.0  # of a cell inside a box; a few make a bolder teacher
    strength: float = 4.0  # of the sharpening
    center: float = 0.4  # of the sharpening; published
    batch_size: int = 8
    momentum: float = 0.99  # share of the teacher that stays at a step; 0.999 in a long training
    films_per_epoch: int = 320
    first_stage_epochs: int = 8
    epochs: int = 6  # of the second stage
    learning_rate: float = 3e-3
    second_learning_rate: float = 2e-3
    demo_epochs: int = 2  # of what goes wrong in the end
    seed: int = 0


smoke = bool(os.environ.get("MONAI_KD_SMOKE"))
settings = (
    Settings(
        images=80, size=64, channels=8, radius=2, batch_size=4, films_per_epoch=80,
        first_stage_epochs=1, epochs=1, demo_epochs=1,
    )
    if smoke
    else Settings()
)  # fmt: skip
BLUE, ORANGE, GREEN, GRAY = "#2a6f97", "#e07a2f", "#6a7b3c", "#9aa5ad"
COLORS = {"rib_fracture": BLUE, "clavicle_fracture": ORANGE}
ON_FILM = {"rib_fracture": "#1fb4ff", "clavicle_fracture": "#ff9a1f"}  # seen on bone and on air
plt.rcParams |= {"figure.dpi": 80, "axes.spines.top": False, "axes.spines.right": False}
plt.rcParams["image.interpolation"] = "nearest"
scratch = tempfile.TemporaryDirectory()  # everything that is written goes here, and goes away
folder = Path(scratch.name)

# %% [markdown]
# ## A registry
# `draw_phantom_archive` draws chests with and without fractures of ribs and clavicles. A film may
# have both, or several of one. All films of a patient are in one section, and `refuse_leaks` makes
# sure.

# %%
archive = draw_phantom_archive(
    folder / "phantom", images=settings.images, size=settings.size, task="fracture"
)
datalist = open_datalist(archive)
refuse_leaks(datalist)
findings = datalist.findings
for name, items in datalist.sections.items():
    patients = len({item["patient_id"] for item in items})
    broken = [sum(item["label"][column] for item in items) for column in range(len(findings))]
    words = ", ".join(f"{n:3} with {f}" for n, f in zip(broken, findings, strict=True))
    print(f"{name:>10}: {len(items):3} films of {patients:3} patients, {words}")

# %% [markdown]
# The films to train on fall into three groups:
#
# - **drawn**: somebody drew the fracture;
# - **positive**: the label says that there is one, nobody drew it;
# - **negative**: the label says that there is none.
#
# `film_groups` says which film is in which, and `check_groups` stops a training that lacks one of
# them. (What counts in the loss is decided finding by finding: a film on which the rib was drawn
# and the clavicle was passed over is a drawn film for the rib, and a positive one for the clavicle,
# if the label says that it is broken.)

# %%
labeled = datalist.section("labeled")
groups = np.array(film_groups(labeled, findings))
counts = check_groups(labeled, findings, needs=("drawn", "positive", "negative"))
for kind, count in counts.items():
    print(f"{kind:>9}: {count:3} films")

# %% [markdown]
# The validation and test films that have a fracture are all drawn. That is what it takes: a box
# that is found on a film that nobody drew cannot be counted, neither as right nor as wrong.
#
# What happens to a film before training: read it, turn boxes into masks, one for each finding,
# and make it a square. On this archive there is a thing that you will seldom have: the boxes of
# the *positive* films are known, too, as `hidden_regions`. No training sees them. We look at them
# to judge what the teacher makes up.

# %%
prepare = Compose(
    [
        LoadRadiographd("image"),
        RegionsToMaskd("regions", findings=findings, hidden=True),
        SquarePadResized(
            "image", mask_keys=["region_mask", "hidden_region_mask"], spatial_size=settings.size
        ),
        LabelToTensord("label"),
    ]
)
normalize = NormalizeIntensityd("image", subtrahend=GREY_MEAN, divisor=GREY_SD)


def section(name):
    """Return all films of a section in one batch; an archive of this size fits into memory."""
    films = CachedDataset(datalist.section(name), prepare=prepare, augment=normalize)
    return collate_items([films[number] for number in range(len(films))])


def gray(image):
    """Return films as they are looked at, in [0, 1]; 24 levels keep the notebook small."""
    return ((image * GREY_SD + GREY_MEAN).clamp(0, 1) * 23).round() / 23


def draw_box(axis, box, *, color, linestyle="-", scale=1):
    """Draw one box, x_min, y_min, x_max, y_max in pixels; ``scale`` is pixels per shown pixel."""
    x_min, y_min, x_max, y_max = (edge / scale - 0.5 for edge in box)
    style = {"edgecolor": color, "linestyle": linestyle, "linewidth": 1.6, "fill": False}
    axis.add_patch(Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, **style))


def draw_boxes(axis, masks, **style):
    """Draw the boxes of each finding, (C, H, W), in its color."""
    for mask, finding in zip(masks, findings, strict=True):
        for box in lesion_boxes(mask):
            draw_box(axis, box, color=ON_FILM[finding], **style)


train = section("labeled")
figure, axes = plt.subplots(2, 3, figsize=(5.6, 4))
titles = ("drawn", "positive (hidden boxes dotted)", "negative")
for column, (group, title) in enumerate(zip((0, 1, 2), titles, strict=True)):
    for row in (0, 1):
        film, axis = np.flatnonzero(groups == group)[row], axes[row, column]
        axis.imshow(gray(train["image"][film])[0], cmap="gray", vmin=0, vmax=1)
        draw_boxes(axis, train["region_mask"][film])
        draw_boxes(axis, train["hidden_region_mask"][film], linestyle=":")
        axis.axis("off")
    axes[0, column].set_title(title, fontsize=8)
figure.tight_layout(pad=0.6)
plt.show()

# %% [markdown]
# Ribs in blue, clavicles in orange. Some of these fractures are easy to see, others are not, and
# pacemakers, catheters and borders lie in the way.
#
# ## A network that answers with a map
# A ResNet and a feature pyramid. The map has one cell for 4 x 4 pixels; the film's score is the
# highest cell of the map. So "is there a fracture" and "where" are one answer, and cannot
# contradict each other. Every cell starts at a probability of 0.01: most of a film is not broken.

# %%
network = build_aals_network(
    settings.backbone, num_findings=len(findings), channels=settings.channels, norm="group"
)


def maps_of(image):
    """Return the network's maps of probabilities, ``(B, C, h, w)``."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network.forward_map(part) for part in image.split(32)]).sigmoid()


untrained = maps_of(train["image"][:4])
print(f"film {tuple(train['image'].shape[2:])}, maps {tuple(untrained.shape[1:])}")
print(f"before training each cell is near {untrained.mean():.2f}")

# %% [markdown]
# ## The first stage, and what comes of boxes alone
# The bundle `cxr_aals_fracture_detection` has both stages as a configuration, with all that a real
# training needs besides: batches with a fixed mix of the groups, augmentation, validation,
# checkpoints, resuming. We run it with three methods. The first is the **comparison**:
# `supervised` never looks at the films that nobody drew. Its second stage is the first one gone on
# with, **for as many epochs** as the others get. Without it no number of the method would mean
# anything: maybe the network has only been trained for too short a time.
#
# All three start from the same first stage (`first_stage_path`), so that what differs between them
# is the second stage alone.

# %%
bundle = Path(monai_kd.__file__).parents[1] / "bundles" / "cxr_aals_fracture_detection"
logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
DEVICE = "$torch.device('cpu')"


def run_bundle(configs, **knobs):
    """Run the bundle as the command line does: python -m monai.bundle run --name value ..."""
    workflow = ConfigWorkflow(
        config_file=[str(bundle / "configs" / name) for name in configs],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle),
        dataset_dir=str(archive),
        cache_dir=str(folder / "cache"),
        device=DEVICE,
        **knobs,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def train_bundle(name, **knobs):
    """Train into a run directory and return it."""
    usual = {
        "backbone": settings.backbone,
        "norm": "group",
        "channels": settings.channels,
        "spatial_size": settings.size,
        "radius": settings.radius,
        "positive_weight": settings.positive_weight,
        "strength": settings.strength,
        "center": settings.center,
        "batch_size": settings.batch_size,
        "momentum": settings.momentum,
        "films_per_epoch": settings.films_per_epoch,
        "first_stage_epochs": settings.first_stage_epochs,
        "max_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "second_learning_rate": settings.second_learning_rate,
        "max_gradient_norm": 1.0,
        "choose_by": "froc",  # boxes are what we are after
        "precision": "float32",
        "seed": settings.seed,
    }
    run_bundle(["train.json"], output_dir=str(folder / name), **usual | knobs)
    return folder / name


runs = {"supervised": train_bundle("supervised", method="supervised")}
first_stage = runs["supervised"] / "first_stage" / "model.pt"

# %% [markdown]
# ## What the first stage says of films that nobody drew
# It becomes the teacher. Here is the highest place of its map, for the training films with a
# fracture that was drawn, with one that nobody drew, and without.

# %%
load_model(network, first_stage)
prob = maps_of(train["image"])
peak = prob.amax((2, 3))
roles = map_roles(train["label"], train["region_drawn"], train["region_annotated"])
KINDS = {
    "drawn": (roles.drawn, BLUE),
    "positive, nobody drew it": (roles.pseudo, ORANGE),
    "negative": (roles.absent, GRAY),
}

figure, axes = plt.subplots(1, len(findings), figsize=(9.5, 2.9), sharey=True)
threshold = np.linspace(0, 1, 201)
for column, (axis, finding) in enumerate(zip(axes, findings, strict=True)):
    for name, (chosen, color) in KINDS.items():
        values = peak[chosen[:, column], column].numpy()
        above = (values[:, None] > threshold).mean(axis=0)
        axis.plot(threshold, above, color=color, linewidth=2, label=name)
    axis.axvline(settings.center, color="black", linestyle=":", linewidth=1)
    axis.set(title=finding.replace("_", " "), xlabel="peak of the teacher's map", ylim=(0, 1.03))
axes[0].set_ylabel("share of films above it")
axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure.tight_layout()
plt.show()

sees = {}
for column, finding in enumerate(findings):
    for name, (chosen, _) in KINDS.items():
        sees[finding, name] = (peak[chosen[:, column], column] > settings.center).float().mean()
    words = ", ".join(f"{name} {sees[finding, name]:.0%}" for name in KINDS)
    print(f"{finding:>17}, peak above {settings.center}: {words}")

# %% [markdown]
# The dotted line is the center of the sharpening. The teacher is sure of the films that it learned
# from. Of the others with a fracture it is much less sure, though it is equally true of them, and
# some it passes over altogether. A student that imitates this teacher imitates its doubt.
#
# ## Sharpening, by hand
# With $p$ the teacher's probability at a place and $\hat p$ the highest of that film's map:
#
# $$S(p) = \max\bigl(p,\; \sigma(a \operatorname{logit} p + (1 - a) \operatorname{logit} t)\bigr),
# \qquad a = a_0 - (a_0 - 1)\,\hat p$$
#
# - **asymmetric**: the maximum. What is above the center $t$ = 0.4 rises, what is below stays: a
#   fracture that the teacher underrates must not be talked down;
# - **adaptive**: $a$ is near $a_0$ = 4 for a timid map and 1, which changes nothing, for a sure
#   one.
#
# Left, what becomes of a place, for films with different peaks. Right, for a peak of 0.6, what the
# bundle offers for comparison.


# %%
def sharpened(peak, sharpening="aals"):
    """Return places of a map with this peak, and what becomes of them."""
    place = torch.linspace(0.001, peak, 400)[None, None]
    answer = sharpen_labels(
        place, strength=settings.strength, center=settings.center, sharpening=sharpening
    )
    return place[0, 0], answer[0, 0]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for number, top in enumerate((0.3, 0.5, 0.6, 0.8, 1.0)):
    color = plt.cm.Blues(0.35 + 0.15 * number)
    before, after = sharpened(top)
    assert (after >= before).all()  # asymmetric: nothing falls
    left.plot(before, after, color=color, linewidth=2)
    left.plot(before[-1], after[-1], "o", color=color, label=f"peak {top}")
    print(f"a peak of {top} becomes {after[-1]:.2f}")
STYLES = {
    "aals": (BLUE, 5),
    "symmetric": (ORANGE, 2),
    "constant": (GREEN, 2),
    "hard": (GRAY, 2),
}
for name, (color, width) in STYLES.items():
    right.plot(*sharpened(0.6, name), color=color, linewidth=width, label=name)
for axis in (left, right):
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.6)
    axis.axvline(settings.center, color="black", linestyle=":", linewidth=1)
    axis.set(xlabel="the teacher says", xlim=(0, 1.02), ylim=(0, 1.04))
    axis.legend(frameon=False, fontsize=8, loc="lower right")
left.set(ylabel="the student is told", title="aals, by the film's peak")
right.set_title("other ways, peak 0.6")
figure.tight_layout()
plt.show()

# %% [markdown]
# A film whose peak is below the center (0.3 here) is left as it is. **There the method does
# nothing**: the student is told the teacher's own low map. If that holds for most films, you train
# a plain mean teacher, whatever the run is called.
#
# On films of the archive: one whose peak is below the center, a timid one, and a sure one. The
# hidden boxes are turquoise.

# %%
pseudo = roles.pseudo.nonzero()  # film and finding
height = peak[pseudo[:, 0], pseudo[:, 1]]
shown = [pseudo[(height - wish).abs().argmin()].tolist() for wish in (0.2, 0.55, 0.95)]

figure, axes = plt.subplots(len(shown), 3, figsize=(7, 7.4))
for row, (film, finding) in zip(axes, shown, strict=True):
    before = prob[film, finding]
    after = sharpen_labels(before[None, None], strength=settings.strength, center=settings.center)[
        0, 0
    ]
    row[0].imshow(gray(train["image"][film])[0], cmap="gray", vmin=0, vmax=1)
    row[0].set_title(findings[finding].replace("_", " "), fontsize=10)
    for axis, heat, who in zip(row[1:], (before, after), ("teacher", "sharpened"), strict=True):
        axis.imshow(heat, cmap="magma", vmin=0, vmax=1)
        axis.set_title(f"{who}, peak {heat.max():.2f}", fontsize=10)
    for axis, scale in zip(row, (1, 4, 4), strict=True):  # a cell of the map is 4 x 4 pixels
        for box in lesion_boxes(train["hidden_region_mask"][film, finding]):
            draw_box(axis, box, color="#40e0d0", scale=scale)
        axis.axis("off")
figure.tight_layout(pad=0.6)
plt.show()

# %% [markdown]
# ### Which center?
# `AALSLoss` counts what it does; no training is needed to see it, only a first stage.
# `above_center`: on which share of the films sharpening does anything at all. `precision`: which
# share of what the pseudo labels call a fracture lies in the hidden boxes.


# %%
def dry_run(center, sharpening="aals"):
    """Return what the loss would tell the student, by finding."""
    loss = AALSLoss(strength=settings.strength, center=center, sharpening=sharpening)
    known = ("label", "region_mask", "region_annotated", "region_drawn")
    hidden = ("hidden_region_mask", "hidden_region_annotated")
    logits = prob.logit(eps=1e-6)
    loss(
        student_map_logits=logits,
        teacher_map_logits=logits,
        **{name: train[name] for name in known + hidden},
    )
    return loss.health


print("center   films above it        precision")
print(" " * 9 + "   ".join(finding.split("_")[0] for finding in findings * 2))
by_center = {}
for center in (0.05, 0.2, 0.4, 0.6, 0.95):
    health = dry_run(center)
    above = health["above_center"] / health["pseudo_maps"]
    right_places = health["called_mass_inside"] / health["called_mass"]
    by_center[center] = above, right_places
    cells = [f"{value:8.0%}" for value in (*above.tolist(), *right_places.tolist())]
    print(f"{center:6}", *cells)

# %% [markdown]
# A low center wakes the teacher on nearly every film, and lets it call much a fracture that is
# none; a high one is right more often, on films that did not need it. You will not have hidden
# boxes for many films. A few dozen that you keep from the training are enough to make this table.
#
# ## The second stage
# `aals`, and, as second comparison, `mean_teacher`: the same without the sharpening.

# %%
for method in ("aals", "mean_teacher"):
    runs[method] = train_bundle(method, method=method, first_stage_path=str(first_stage))

# %% [markdown]
# The bundle writes `health.csv`: every 20 steps, what the loss counted since the last look.

# %%
health = {
    method: read_health(runs[method] / "health.csv")["second_stage"]
    for method in ("aals", "mean_teacher")
}
PANELS = {
    "share above the center": "above_center",
    "mean peak of the teacher": "peak",
    "added by sharpening": "sharpened_mass",
    "share in hidden boxes": "precision",
}
figure, axes = plt.subplots(1, 4, figsize=(12, 2.6))
for axis, (title, column) in zip(axes, PANELS.items(), strict=True):
    for method, style in (("aals", "-"), ("mean_teacher", ":")):
        for finding in findings:
            values = health[method][f"{column}_{finding}"]
            label = f"{finding.split('_')[0]}, {method.replace('_', ' ')}"
            axis.plot(
                health[method]["iteration"], values, style, color=COLORS[finding], label=label
            )
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step", fontsize=9)
    top = 1.04 if column != "sharpened_mass" else None
    axis.set_ylim(0, top)
    axis.tick_params(labelsize=8)
axes[1].legend(frameon=False, fontsize=7, loc="lower right")
figure.tight_layout(pad=0.6)
plt.show()


def mean_of(method, column):
    """Return the mean of a column of health.csv over time and findings."""
    return float(np.nanmean([health[method][f"{column}_{finding}"] for finding in findings]))


for method in health:
    print(
        f"{method:>12}: peak {mean_of(method, 'peak'):.2f}, above the center "
        f"{mean_of(method, 'above_center'):.0%}, sharpening adds "
        f"{mean_of(method, 'sharpened_mass'):.0%} to the maps, "
        f"{mean_of(method, 'precision'):.0%} in hidden boxes"
    )

# %% [markdown]
# How to read it: `above_center` at 0, and with it nothing added, would be the case in which the
# method does nothing; the training says so in a warning. `precision` that falls would be a student
# who is taught wrong places. The mean teacher adds nothing, by its definition.
#
# On the validation films, epoch by epoch:

# %%
METHODS = {"aals": BLUE, "mean_teacher": GREEN, "supervised": GRAY}
figure, axis = plt.subplots(figsize=(6.5, 2.8))
curves = {name: read_metrics(runs[name] / "metrics.csv") for name in METHODS}
first = curves["supervised"]["first_stage"]["val_froc_score"]
axis.plot(range(1, len(first) + 1), first, color="black", marker=".", label="first stage")
start = int(np.nanargmax(first))
for name, color in METHODS.items():
    values = [first[start], *curves[name]["second_stage"]["val_froc_score"]]
    axis.plot(
        range(len(first), len(first) + len(values)), values, color=color, marker=".", label=name
    )
axis.set(xlabel="epoch", ylabel="validation FROC score")
axis.legend(frameon=False, fontsize=8, loc="lower right")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Did it help?
# The test films, which nothing has been chosen by. `evaluate.json` on top of `train.json` writes
# `evaluation.json` and the report page into the run directory, and `compare_runs` (in a shell:
# `python -m monai_kd compare A B`) compares two of them film by film.
#
# **AUROC** is about films: is there a fracture? **FROC** is about boxes: which share of the
# fractures is found, if one puts up with so many wrong boxes per film? A box is right when its peak
# lies in the expert's. The FROC score is the mean share at 0.1, 0.2, 0.5 and 1 wrong box per film.

# %%
evaluations = {}
for name, run in runs.items():
    run_bundle(["train.json", "evaluate.json"], output_dir=str(run), pictures=0, worst_films=0)
    evaluations[name] = json.loads((run / "evaluation.json").read_text())

figure, axes = plt.subplots(1, len(findings), figsize=(9, 2.9), sharey=True)
for axis, finding in zip(axes, findings, strict=True):
    for name, color in METHODS.items():
        where = evaluations[name]["sections"]["test"]["localization"][finding]
        axis.step(
            where["curve"]["fp_per_image"], where["curve"]["recall"], where="post", color=color,
            linewidth=1.8, label=f"{name}: {where['froc_score']:.2f}",
        )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="wrong boxes per film")
    axis.set_title(f"{finding.replace('_', ' ')}: FROC score", fontsize=10)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
axes[0].set_ylabel("share of fractures found")
figure.tight_layout()
plt.show()

# %% [markdown]
# Curves of models that see the same films must not be compared by eye: they err on the same
# films. The paired difference takes that into account. Its interval is that of resampling the
# patients; "shown" means that it does not hold 0.


# %%
def compare(ours, theirs):
    """Print the paired differences of two runs, and return them."""
    print(f"\n{ours} minus {theirs}")
    gains = compare_runs(runs[ours], runs[theirs], metrics=("macro_auroc", "froc_score")).gains
    gains = [gain for gain in gains if gain.by in ("", "finding")]
    for gain in gains:
        score = {"macro_auroc": "AUROC", "auroc": "AUROC", "froc_score": "FROC score"}[gain.score]
        value = gain.difference
        print(
            f"{score:>12}, {gain.group or 'mean':<17} {value.estimate:+.3f} "
            f"(95% CI {value.low:+.3f} to {value.high:+.3f}): {gain.verdict}"
        )
    return gains


over_supervised = compare("aals", "supervised")
over_mean_teacher = compare("aals", "mean_teacher")

# %% [markdown]
# ## Boxes on films
# A box has a score, the height of its peak, and not every box is worth showing. When a training
# ends, two scores are chosen on the validation films, finding by finding, and written to
# `operating_points.json`: **dotted** boxes, at most 0.5 wrong ones per film, to look at twice; and
# **solid** ones, at most 0.1 wrong ones per film.

# %%
points = json.loads((runs["aals"] / "operating_points.json").read_text())["findings"]
for finding in findings:
    for name, point in points[finding].items():
        print(
            f"{finding:>17}, {name:6}: score from {point['threshold']:.2f} on, "
            f"{point['fp_per_image']:.2f} wrong boxes per film, "
            f"{point['recall']:.0%} of the fractures found"
        )

# %% [markdown]
# `CandidateNetwork` is the network as it is exported: film in, boxes out. Three test films, two of
# them with several fractures, one without; the expert's boxes are white, the model's are colored,
# with their scores.

# %%
test = section("test")
load_model(network, runs["aals"] / "model.pt")
detector = CandidateNetwork(network, radius=settings.radius).eval()
count = [sum(len(lesion_boxes(mask)) for mask in masks) for masks in test["region_mask"]]
order = np.argsort(count, kind="stable")
chosen = [order[-1], order[-3], order[0]]
with torch.no_grad():
    image_prob, score, box = detector(test["image"][chosen])

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
for number, (axis, film) in enumerate(zip(axes.flat, chosen, strict=True)):
    axis.imshow(gray(test["image"][film])[0], cmap="gray", vmin=0, vmax=1)
    for expert in lesion_boxes(test["region_mask"][film].amax(dim=0)):
        draw_box(axis, expert, color="white")
    for column, finding in enumerate(findings):
        dotted, solid = (points[finding][name]["threshold"] for name in ("dotted", "solid"))
        candidates = zip(score[number, column].tolist(), box[number, column].tolist(), strict=True)
        for value, candidate in candidates:
            if dotted is None or value < max(dotted, 1e-3):  # an empty place has score 0
                continue
            style = "-" if value >= solid else ":"
            draw_box(axis, candidate, color=ON_FILM[finding], linestyle=style)
            place = candidate[0], candidate[1] - 2
            axis.text(*place, f"{value:.2f}", color=ON_FILM[finding], fontsize=8)
    words = ", ".join(
        f"{finding.split('_')[0]} {value:.2f}"
        for finding, value in zip(findings, image_prob[number].tolist(), strict=True)
    )
    axis.set_title(f"{count[film]} drawn; film: {words}", fontsize=8)
    axis.axis("off")
figure.tight_layout(pad=0.6)
plt.show()

# %% [markdown]
# Look at the wrong boxes, too: now and then it is the letter that marks the side, or a place where
# shadows cross, that is taken for a fracture. What deceives your network should be common on the
# negative films of your archive.
#
# ## What can go wrong
# The teacher makes up labels, and a student believes what it is told. On purpose now: a center so
# low that any smudge is above it, and `hard` pseudo labels, 1 where the teacher is above and 0
# elsewhere. It runs for a short time from the same first stage.

# %%
broken = train_bundle(
    "broken",
    method="hard",
    center=0.02,
    first_stage_path=str(first_stage),
    max_epochs=settings.demo_epochs,
)
health["broken"] = read_health(broken / "health.csv")["second_stage"]

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.6))
for name, color, label in (("aals", BLUE, "aals"), ("broken", ORANGE, "hard, center 0.02")):
    precision = np.nanmean([health[name][f"precision_{finding}"] for finding in findings], axis=0)
    left.plot(health[name]["iteration"], precision, color=color, marker=".", label=label)
    values = read_metrics(folder / name / "metrics.csv")["second_stage"]["val_froc_score"]
    values = [first[start], *values]
    right.plot(range(len(values)), values, color=color, marker=".", label=label)
left.set(title="pseudo labels, share in hidden boxes", xlabel="step", ylim=(0, 1.04))
right.set(title="validation FROC score", xlabel="epoch of the second stage", ylim=(0, 1))
right.legend(frameon=False, fontsize=8, loc="lower right")
figure.tight_layout()
plt.show()
for name in ("aals", "broken"):
    print(f"{name:>6}: {mean_of(name, 'precision'):.0%} of the pseudo labels in hidden boxes")

# %% [markdown]
# The health file says it at once. The validation score need not: after so short a time the network
# still finds the same places first, and the FROC score asks for nothing but the order of the
# peaks. See what has become of the maps, on one test film with a fracture, and of the number of
# cells that are called one, on the films without:

# %%
without = test["label"] == 0
example = int(order[-1])
called = {}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9))
axes[0].imshow(gray(test["image"][example])[0], cmap="gray", vmin=0, vmax=1)
axes[0].set_title("the expert's boxes", fontsize=10)
for axis, name in zip(axes[1:], ("aals", "broken"), strict=True):
    load_model(network, folder / name / "model.pt")
    maps = maps_of(test["image"])
    called[name] = (maps > 0.4).float().sum((2, 3))[without].mean().item()
    axis.imshow(maps[example].amax(dim=0), cmap="magma", vmin=0, vmax=1)
    axis.set_title(name, fontsize=10)
for axis, scale in zip(axes, (1, 4, 4), strict=True):
    for expert in lesion_boxes(test["region_mask"][example].amax(dim=0)):
        draw_box(axis, expert, color="#40e0d0", scale=scale)
    axis.axis("off")
figure.tight_layout(pad=0.6)
plt.show()
for name, cells in called.items():
    print(f"{name:>6}: {cells:.1f} cells above 0.4 on a film without the finding")

# %% [markdown]
# ## What to conclude
# - **Compare with boxes alone, trained for as long.** What `supervised` gains on its first stage
#   comes of longer training alone. Against `supervised`, and not against the first stage, the
#   films that nobody drew have to show what they are worth.
# - **Compare with the mean teacher, too.** Only that difference is the sharpening's. Where it is
#   not shown, while the one against `supervised` is, the labels of whole films have helped, and the
#   sharpening has not been shown to add to it. `health.csv` says why it may be small: it adds
#   little to maps that are sure already, and nothing to those below the center.
# - **"Not shown" is not "no effect".** The interval says how large an effect the test films leave
#   open. The authors had 65,845 films and boxes on 808 of them, and they give FROC scores of 0.73
#   for boxes alone, 0.85 for the mean teacher, 0.89 for aals (their matching rule is not known). On
#   a few hundred films neither a gain nor its absence says much about theirs.
# - **One seed proves nothing.** Another one can move the scores as much as a method does. Train
#   several, `python -m monai_kd seeds cxr_aals_fracture_detection`, and report all of them.
# - **These are drawn films.** None of these numbers says anything about patients.
#
# What is certain enough to be checked each time this tutorial runs:

# %%
assert smoke or mean_of("broken", "precision") < 0.8 * mean_of("aals", "precision")
assert smoke or called["broken"] > called["aals"]
assert smoke or min(sees[finding, "drawn"] for finding in findings) > 0.5
assert mean_of("mean_teacher", "sharpened_mass") == 0
scratch.cleanup()

# %% [markdown]
# ## On your own archive
# In a shell, with `ARCHIVE` your folder of DICOM, PNG or JPEG files; `labels.csv` with the columns
# `image`, `patient_id`, and one of 1 and 0 per finding; and `boxes.csv` with `image`, `x_min`,
# `y_min`, `x_max`, `y_max` and `finding`, a line for each box, in pixels of the stored film:
#
# ```bash
# python -m monai_kd datalist "$ARCHIVE" --labels "$ARCHIVE/labels.csv" \
#     --label-columns rib_fracture clavicle_fracture \
#     --regions "$ARCHIVE/boxes.csv" --rounds 0
# cd bundles/cxr_aals_fracture_detection
# python -m monai.bundle run --config_file configs/train.json \
#     --dataset_dir "$ARCHIVE" --output_dir ~/runs/aals
# python -m monai.bundle run --config_file configs/train.json \
#     --dataset_dir "$ARCHIVE" --output_dir ~/runs/boxes --method supervised \
#     --first_stage_path ~/runs/aals/first_stage/model.pt
# for RUN in ~/runs/aals ~/runs/boxes; do
#     python -m monai.bundle run \
#         --config_file "['configs/train.json','configs/evaluate.json']" \
#         --dataset_dir "$ARCHIVE" --output_dir "$RUN"
# done
# python -m monai_kd compare ~/runs/aals ~/runs/boxes
# ```
#
# The default settings are made for a GPU; without one take those of the cell above. Add `--dry-run`
# to the first command to see the counts before anything is written.
#
# - **Points will do.** Where somebody marked each fracture with a click instead of a box, give a
#   table with `x`, `y` and, if you like, `radius`: a point is a disk. COCO JSON is read, too.
# - **Draw the validation and test films**, all that have a fracture. What is drawn there decides
#   what you can find out; a hundred fractures are few. A column of the CSV that says `train`,
#   `validation` or `test` keeps them where they are (`--split-column`).
# - **Keep some boxes from the training**, so that `health.csv` can say how good the pseudo labels
#   are. Once, after the first command, in Python:
#
# ```python
# from monai_kd.data import load_datalist, save_datalist
#
# datalist = load_datalist(f"{ARCHIVE}/datalist.json")
# drawn = [item for item in datalist.sections["labeled"] if item["regions"]]
# for item in drawn[::10]:
#     item["hidden_regions"], item["regions"] = item["regions"], None
# save_datalist(datalist, f"{ARCHIVE}/datalist.json")
# ```
#
# - **Left and right.** Half of the films are mirrored in training. Where that changes what is to
#   be found, give `--flip 0`.
#
# Inference on new films, pictures, and DICOM objects for the archive are in the bundle's README,
# and so are all settings.
