# SPDX-License-Identifier: Apache-2.0
"""The page of a run: whole in itself, says what is missing, lets no name in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from monai_kd.report import build_page, read_run
from monai_kd.report.common import data_uri
from monai_kd.utils import MonaiKDError
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run
from tests.report.read_page import quick_plots, words

NAME = "Zzyzx^Planted"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "hkd", name=NAME, slow=True), make_run(
        folder / "base", skill=1.1, seed=3
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quick_plots(monkeypatch)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with every section that there is, and its run."""
    run = make_run(tmp_path_factory.mktemp("full") / NAME, name=NAME, slow=True)
    add_evidence(run, external=True)
    return build_page(run).read_text(encoding="utf-8"), run


@pytest.fixture(scope="module")
def page(runs):
    return build_page(runs[0], baseline_dir=runs[1]).read_text(encoding="utf-8")


class Addresses(HTMLParser):
    """Collects what a browser would fetch or run."""

    def __init__(self, html):
        super().__init__()
        self.found, self.tags = [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [value for key, value in attrs if key in {"src", "href", "srcset", "action"}]


def test_nothing_is_fetched_and_nothing_runs(page):
    addresses = Addresses(page)
    fetched = [value for value in addresses.found if not value.startswith("#")]
    assert len(fetched) == 12  # 3 of discrimination, 8 of films, the training curves
    assert all(value.startswith("data:image/") for value in fetched)
    assert not {"script", "link", "iframe", "object"} & addresses.tags
    assert "@import" not in page
    assert "url(" not in page


def test_it_leads_with_the_auroc_and_its_interval(page, runs):
    summary = json.loads((runs[0] / "evaluation.json").read_text())["sections"]["test"]
    low, high = summary["macro_auroc_ci"]
    text = words(page)
    assert f"{summary['macro_auroc']:.3f} 95% CI {low:.3f} to {high:.3f}" in text
    assert text.index("95% CI") < text.index("accuracy") < text.index("Each finding")
    assert "images 90" in text
    assert "patients 45" in text


def test_a_baseline_is_compared_on_the_same_films(page, runs, tmp_path):
    assert "a gain is shown by this one run" in words(page)
    twin = make_run(tmp_path / "twin")
    same = words(build_page(twin, baseline_dir=twin).read_text())
    assert (
        "Paired difference +0.000 (95% CI +0.000 to +0.000, p = 1.000): a gain is not shown" in same
    )


def test_without_such_films_nothing_is_said_of_them(full):
    text = words(full[0])
    assert "and then left alone" in text
    assert "is not known: films" not in text
    assert "Judged on" not in text
    assert "could not be read" not in text


def test_the_error_of_calibration_is_told_with_its_bias(full):
    assert re.search(
        r"noise alone lifts it .* its interval may end at the estimate", words(full[0])
    )


def test_a_planted_name_is_nowhere(page, full):
    texts = [
        page,
        full[0],
        *((full[1] / name).read_text() for name in ("MODEL_CARD.md", "CLAIM.md")),
    ]
    for text in texts:
        assert NAME not in text
        assert "Planted" not in text
        assert not re.search(r"\b[ip]0{2}[0-9a-f]{2}\b", words(text))  # nor is a salted id


def test_names_of_other_places_stay_out_too(tmp_path):
    run = add_evidence(make_run(tmp_path / "run", n=30))
    evaluation = json.loads((run / "evaluation.json").read_text())
    summary = evaluation["sections"]["test"]
    for row in (summary["worst_cases"][0], summary["subgroups"][0], summary["operating_points"][0]):
        row |= {"id": NAME, "patient_id": NAME, "image": f"/archive/{NAME}.dcm"}
    summary["worst_cases"][0]["picture"] = f"../../{NAME}"
    summary["note"] = evaluation["note"] = NAME
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    page = build_page(run)
    assert all(NAME not in path.read_text() for path in (page, *run.glob("*.md")))


def test_of_a_picture_only_the_pixels_travel(runs):
    assert NAME.encode() in (runs[0] / "pictures" / "i0000.png").read_bytes()
    assert all(NAME.encode() not in content for content in read_run(runs[0]).pictures.values())


def test_text_from_files_cannot_become_markup(tmp_path):
    run = make_run(tmp_path / "run")
    config = {"method": "<script>alert(1)</script>", "note": "<img src=x onerror=alert(2)>"}
    (run / "config.json").write_text(json.dumps(config))
    page = build_page(run).read_text()
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page


def test_an_empty_directory_gives_a_page_that_says_what_is_missing(tmp_path):
    text = words(build_page(tmp_path).read_text())
    assert text.count("Not available:") >= 14
    assert "no metrics.csv" in text
    assert "Not measured in this run" in text
    assert "must not be used to diagnose" in text


@pytest.mark.parametrize("harm", ["missing", "broken", "something else"])
@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("evaluation.json", "run the evaluation first"),
        ("config.json", "no config.json"),
        ("predictions.csv", "ROC curves need predictions.csv"),
        ("metrics.csv", "no metrics.csv"),
    ],
)
def test_one_bad_file_costs_its_section_alone(tmp_path, name, gap, harm, caplog):
    run = make_run(tmp_path / NAME, n=30)
    if harm == "missing":
        (run / name).unlink(missing_ok=True)
    else:
        (run / name).write_text("{" if harm == "broken" else '["auroc", 3]')
    text = words(build_page(run).read_text())
    assert gap in text
    assert "must not be used to diagnose" in text
    assert (name == "evaluation.json") != ("images 30" in text)
    assert NAME not in caplog.text


def test_an_evaluation_with_other_values_than_expected_still_gives_a_page(tmp_path):
    run = make_run(tmp_path / "run")
    nonsense = {"sections": {"test": {"auroc": 3}}, "data": [1], "teacher": "yes", "baseline": 2}
    (run / "evaluation.json").write_text(json.dumps(nonsense))
    text = words(build_page(run).read_text())
    assert text.count("Not available") >= 5
    assert "must not be used to diagnose" in text


@pytest.mark.parametrize(
    ("shuffled", "verdict"),
    [(0.54, "it needs what the film shows"), (0.86, "may answer from the outline")],
)
def test_the_leakage_check_is_said_in_words(tmp_path, shuffled, verdict):
    block = {"teacher": {"accuracy": 0.873, "shuffled_region_accuracy": shuffled}}
    (tmp_path / "evaluation.json").write_text(json.dumps(block))
    text = words(build_page(tmp_path).read_text())
    assert verdict in text
    assert f"{shuffled:.1%}" in text


@pytest.mark.parametrize("shuffled", [None, 0.873])  # older files have a number
def test_a_leakage_check_without_any_exchange_is_no_verdict(tmp_path, shuffled):
    block = {"accuracy": 0.873, "shuffled_region_accuracy": shuffled, "most_frequent": 0.4, "n": 0}
    (tmp_path / "evaluation.json").write_text(json.dumps({"teacher": block}))
    text = words(build_page(tmp_path).read_text())
    assert "could not be checked" in text
    assert "may answer from the outline" not in text
    assert "it needs what the film shows" not in text


def test_limits_of_this_run_are_named(page):
    assert "drawn by a program" in words(page)
    assert "The test set is small (90 images)" in words(page)


def test_independent_findings_and_numbers_that_are_not_defined(tmp_path):
    run = make_run(tmp_path / "run", activation="sigmoid")
    evaluation = json.loads((run / "evaluation.json").read_text())
    summary = evaluation["sections"]["test"]
    summary["auroc"]["viral"] = summary["auroc_ci"]["viral"] = None
    summary["macro_auroc_ci"] = None
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    text = words(build_page(run).read_text())
    assert "each on its own" in text
    assert "No interval: too few cases" in text
    assert re.search(r"viral – ", text)  # noqa: RUF001


def test_films_are_shown_as_both_models_see_them(tmp_path):
    run, other = make_run(tmp_path / "run", name="x"), make_run(tmp_path / "base")
    (other / "pictures" / "i0001.png").unlink()
    page = build_page(run, baseline_dir=other).read_text()
    assert page.count('alt="Heat map of the baseline"') == 3
    assert page.count('alt="Heat map of this run"') == 3
    ours = [data_uri(read_run(run).pictures[f"i000{number}"]) for number in (0, 2, 3)]
    assert all(picture in page for picture in ours)
    assert build_page(run).read_text().count('alt="Heat map of this run"') == 4


def test_decision_regions_stand_beside_the_baseline_and_the_blind_map(page):
    text = words(page)
    assert "The regions cover 6.2% of the film" in text
    assert "hkd 48.0% 80% 41 baseline 33.0% 55% 41" in text


def test_a_full_page_has_every_section_and_misses_nothing(full):
    text = words(full[0])
    assert "Not available" not in text
    for title in (
        "On films from elsewhere", "Each finding", "Telling findings apart", "Decisions",
        "Set to work", "Can the probabilities be believed?", "The same for everyone?",
        "Does it find the lesion?", "Where the model looks", "The 10 films it got most wrong",
        "Training", "Data", "How it was made", "Intended use and limits", "Checklist for a paper",
    ):  # fmt: skip
        assert title in text, title
    links = re.findall(r'href="#([a-z-]+)"', full[0])
    assert len(links) == 12
    assert all(full[0].count(f'id="{link}"') == 1 for link in links)


def test_a_full_page_stays_under_5_mb(full):
    assert len(full[0].encode()) < 5_000_000


def test_a_page_stays_under_5_mb_however_many_pictures_there_are(tmp_path):
    import numpy as np
    from PIL import Image

    run = make_run(tmp_path / "run", n=30)
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    add_evidence(run)
    for number in range(3):
        Image.fromarray(noise).save(run / "pictures" / f"{number}.png", compress_level=0)
    for number in range(1, 4):
        film = run / "pictures" / "worst" / f"worst_{number:02d}.png"
        Image.fromarray(noise).save(film, compress_level=0)
    assert build_page(run, baseline_dir=run).stat().st_size < 5_000_000


def test_an_old_page_is_replaced_in_one_step(tmp_path, monkeypatch):
    page = build_page(tmp_path)
    before = page.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        build_page(tmp_path)
    assert page.read_bytes() == before
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["CLAIM.md", "MODEL_CARD.md", "report.html"]


@pytest.mark.parametrize("name", ["run_dir", "baseline_dir"])
def test_a_directory_that_is_not_there_is_refused_without_its_path(tmp_path, name):
    folders = {"run_dir": tmp_path} | {name: tmp_path / NAME}
    with pytest.raises(MonaiKDError, match=f"`{name}` must be a run directory") as caught:
        build_page(folders.pop("run_dir"), **folders)
    assert NAME not in str(caught.value)
