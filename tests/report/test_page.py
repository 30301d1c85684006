# SPDX-License-Identifier: Apache-2.0
"""The page of a run: whole in itself, says what is missing, lets no name in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from monai_kd.report import build_page, read_run
from monai_kd.report.common import data_uri
from monai_kd.report.sections import SECTIONS
from monai_kd.utils import MonaiKDError
from tests.report.fake_evidence import add_evidence
from tests.report.fake_run import make_run

NAME = "Zzyzx^Planted"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return make_run(folder / "hkd", name=NAME, slow=True), make_run(
        folder / "base", skill=1.1, seed=3
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Plots take most of the time; only the pages of the module's runs have real ones."""
    for name in ("roc", "precision_recall"):
        monkeypatch.setitem(SECTIONS, name, lambda run, _: run.predictions and data_uri(b"PNG"))
    monkeypatch.setitem(SECTIONS, "confusion", lambda run, _: run.evaluation and data_uri(b"PNG"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with every section that there is, and its run."""
    run = make_run(tmp_path_factory.mktemp("full") / NAME, name=NAME, slow=True)
    add_evidence(run, external=True)
    return build_page(run).read_text(encoding="utf-8"), run


@pytest.fixture(scope="module")
def page(runs):
    return build_page(runs[0], baseline_dir=runs[1]).read_text(encoding="utf-8")


def words(html):
    """The text that a reader sees, spaces as one."""
    body = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", body)


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


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("films", "the baseline was evaluated on other films"),
        ("nothing", "the baseline has not been evaluated"),
        ("section", "the baseline was not evaluated on the section test"),
    ],
)
def test_a_baseline_that_cannot_be_compared_is_refused_with_the_reason(
    tmp_path, harm, reason, caplog
):
    run, other = make_run(tmp_path / "run", n=30), tmp_path / NAME
    make_run(other, n=60 if harm == "films" else 30)
    if harm == "nothing":
        (other / "evaluation.json").unlink()
    if harm == "section":
        changed(other, sections={"labeled": {"n": 30}})
    text = words(build_page(run, baseline_dir=other).read_text())
    assert f"No baseline is shown beside this run: {reason}." in text
    assert "Paired difference" not in text
    assert "Baseline on the same section" not in text
    assert reason in caplog.text
    assert NAME not in caplog.text


def changed(run, name="evaluation.json", **content):
    """Overwrite entries of a file of the run."""
    path = run / name
    path.write_text(json.dumps(json.loads(path.read_text()) | content))
    return run


def changed_summary(run, **content):
    """Overwrite entries of the summary of section test."""
    sections = json.loads((run / "evaluation.json").read_text())["sections"]
    return changed(run, sections={"test": sections["test"] | content})


def test_what_a_reader_has_to_know_of_the_films_stands_on_the_page(tmp_path):
    run = add_evidence(make_run(tmp_path / "run", n=30))
    changed(run, "config.json", films_without_patient=5)
    changed_summary(run, shared_with_validation=12, unreadable=3)
    text = words(build_page(run).read_text())
    assert "patients not known" in text
    assert "The patient of 5 films of the datalist is not known" in text
    assert "counted together where the patient is known" in text
    assert "images 30 3 more could not be read" in text
    assert text.count("12 of the 30 films") >= 2  # operating points and temperature
    assert "and then left alone" not in text
    assert "films in groups of fewer than 10 or without the value are not shown" in text


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


@pytest.mark.parametrize(
    ("section", "badge"),
    [
        ("labeled", "Judged on films of the training"),
        ("validation", "Judged on films that chose the epoch"),
    ],
)
def test_films_of_the_training_are_named_at_the_top(tmp_path, section, badge):
    run = make_run(tmp_path / "run", n=30)
    summary = json.loads((run / "evaluation.json").read_text())["sections"]["test"]
    changed(run, sections={section: summary})
    text = words(build_page(run).read_text())
    assert text.index(badge) < text.index("Macro AUROC")


def test_decision_regions_tell_whose_films_each_row_is_of(tmp_path):
    run, other = make_run(tmp_path / "run", n=30), make_run(tmp_path / "base", n=30)
    for folder, n, empty, control in ((run, 54, 7, 8), (other, 60, 1, 12)):
        looks = {
            "mass_inside": 0.3, "n": n, "empty": empty,
            "control": {"mass_inside": 0.1, "n": control},
            "beyond_control": {"mass_inside": 0.2, "mass_inside_ci": [-0.1, 0.3]},
        }  # fmt: skip
        changed_summary(folder, decision_regions=looks)
    text = words(build_page(run, baseline_dir=other).read_text())
    assert re.search(r"hkd 30\.0% – 54 7 without a map", text)  # noqa: RUF001
    assert re.search(r"baseline 30\.0% – 60 1 without a map", text)  # noqa: RUF001
    assert re.search(r"random weights 10\.0% – 8 ", text)  # noqa: RUF001
    assert "on the 8 films on which both have a map" in text
    assert "may therefore be of different films" in text


def test_curves_of_a_changed_table_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", n=30)
    changed(run, files={"predictions.csv": "ab" * 32})
    text = words(build_page(run).read_text())
    assert "ROC curves need predictions.csv, which is not as the evaluation has written it" in text
    assert "Not looked at: predictions.csv. Each is not as the evaluation has written it" in text
    assert "images 30" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"versions": "1.0"}), ("config.json", {"data": {"test": {}}}),
        ("config.json", {"data": {"test": [1]}}), ("config.json", {"spatial_size": {"a": [1]}}),
        ("config.json", {"films_without_patient": "many"}), ("evaluation.json", {"files": [1]}),
        ("evaluation.json", {"settings": 1}), ("evaluation.json", {"sections": [1]}),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_costs_its_section_alone(tmp_path, name, content):
    run = changed(make_run(tmp_path / "run", n=30), name, **content)
    text = words(build_page(run).read_text())
    assert "must not be used to diagnose" in text
    assert ("images 30" in text) != ("sections" in content)


@pytest.mark.parametrize("part", ["operating_points", "subgroups", "localization"])
def test_a_part_that_cannot_be_written_costs_its_section_alone(tmp_path, part, monkeypatch, caplog):
    run = make_run(tmp_path / NAME, n=30)
    monkeypatch.setitem(SECTIONS, part, lambda *_: {"rows": 3, "groups": 3})
    text = words(build_page(run).read_text())
    assert "Not available: the files of the run do not hold what belongs here" in text
    assert "images 30" in text
    assert "must not be used to diagnose" in text
    assert "The page goes without `" in caplog.text
    assert NAME not in text + caplog.text


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
