# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd seeds``: a bundle trained and evaluated once per seed.

What one seed gains another may lose; the mean, its spread and its interval say what the method is
worth. A seed that is finished is not run again, and one that was interrupted goes on, unless the
settings have changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from monai_kd.cli.frame import add_command, aligned
from monai_kd.cli.steps import repository, run_steps, say

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  python -m monai_kd seeds bundles/cxr_hkd_classification --seeds 5 --output runs/hkd \\
      --method hkd --dataset_dir archive --max_epochs 60
  python -m monai_kd compare runs/hkd runs/baseline --seeds

All that is no option here is a knob of the bundle. Paths are seen from where you are. Give the same
command again after an interruption; a seed that was started with other knobs is refused."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "seeds",
        description=(
            "Train and evaluate a bundle once per seed, into FOLDER/seed_0, FOLDER/seed_1, and so "
            "on; then print mean, SD and interval of each score, and write FOLDER/seeds.json."
        ),
        example=_EXAMPLE,
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of the bundle, or its name")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many (default 5)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="gets the runs")
    parser.set_defaults(knobs=[])
    return parser


def run(args: argparse.Namespace) -> int:
    """Run what is not finished, print the table, and write ``seeds.json``.

    Args:
        args: what :func:`add_parser` reads, with the bundle's ``knobs``.

    Returns:
        0, or the exit code of the step that failed.

    Raises:
        MonaiKDError: if there is no such bundle, it has no such knob, or a seed was started with
            other settings.
    """
    from monai_kd.cli.seed_run import SeedRuns, read_knobs
    from monai_kd.utils import MonaiKDError

    if args.seeds < 1:
        raise MonaiKDError(
            f"seeds: `--seeds` must be at least 1, got {args.seeds}. Five are a good start."
        )
    runs = SeedRuns(_bundle(args.bundle), Path(args.output).absolute(), read_knobs(args.knobs))
    for seed in range(args.seeds):
        runs.check(seed)  # all of them before anything is trained
    runs.output.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seeds):
        if runs.is_finished(seed):
            say(f"\nSeed {seed} is finished.\n")
            continue
        runs.start(seed)
        code = run_steps(runs.steps(seed), log=runs.output / "seeds.log", who="seeds")
        if code:
            return code
        runs.finish(seed)
    _summarize(runs.output, args.seeds)
    return 0


def _bundle(name: str) -> Path:
    folder = Path(name)
    return (folder if folder.is_dir() else repository() / "bundles" / name).absolute()


def _summarize(output: Path, count: int) -> None:
    from monai_kd.cli.comparison_table import ABOUT_INTERVALS, films_and_patients, seeds_rows
    from monai_kd.report import summarize_seeds
    from monai_kd.utils import write_text_atomically

    summary = summarize_seeds(output, seeds=range(count))
    write_text_atomically(output / "seeds.json", json.dumps(summary.as_dict(), indent=2) + "\n")
    runs = f"{count} seed{'s' if count > 1 else ''}"
    films = films_and_patients(summary.films, summary.patients)
    say(f"\n{runs}, {films}, section {summary.section or '-'}\n\n")
    say(aligned(seeds_rows(summary), left=1))
    say(f"\n{ABOUT_INTERVALS}\n")
    say("Compare with another method: python -m monai_kd compare FOLDER OTHER --seeds\n")
