"""Mutates one module and runs the tests that guard it: `scripts/mutate [--sample N] [--seed S] MODULE`.

cosmic-ray makes the mutants, each with one changed operator, number or condition. A mutant that no test notices has
survived: a test is missing, or the change makes no difference. Works on a copy of the checkout. The same sample and
seed choose the same mutants of the same source.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import ROOT, say

GUARDS: dict[str, tuple[str, ...]] = {
    "claude_force/database/ad_hoc.py": ("integration/test_ad_hoc.py",),
    "claude_force/database/sqlite/ad_hoc.py": ("integration/test_ad_hoc.py",),
    "claude_force/network/peers.py": ("acceptance/test_serve.py",),
    "claude_force/web/links.py": ("integration/test_live_page.py",),
    "claude_force/web/safety.py": ("integration/test_live_page.py",),
    "claude_force/executions/clean_names.py": ("unit/test_transcript_responses.py", "unit/test_telemetry_requests.py"),
    "claude_force/executions/costs.py": ("unit/test_costs.py",),
    "claude_force/executions/bill_lines.py": ("unit/test_bill_lines.py",),
    "claude_force/executions/billed_steps.py": ("unit/test_costs.py", "properties/test_steps.py"),
    "claude_force/executions/usage.py": ("unit/test_usage.py", "unit/test_billed_usage.py"),
    "claude_force/executions/deduplication.py": (
        "unit/test_deduplication.py", "unit/test_ingest_passes.py", "unit/test_transcript_responses.py",
        "integration/test_ingestion.py",
    ),
    "claude_force/executions/export.py": ("unit/test_text.py", "properties/test_laws.py"),
    "claude_force/executions/columns.py": ("properties/test_columns.py", "integration/test_store.py"),
    "claude_force/executions/histogram.py": ("properties/test_rollups.py", "unit/test_significance.py"),
    "claude_force/executions/intervals.py": ("properties/test_rollups.py", "properties/test_oracle.py"),
    "claude_force/executions/jsonl/codec.py": ("unit/test_codec.py", "unit/test_lines.py"),
    "claude_force/executions/jsonl/": ("unit/test_lines.py", "unit/test_codec.py"),
    "claude_force/executions/ledgers.py": ("unit/test_transcript_ledgers.py", "integration/test_reconciliation.py"),
    "claude_force/executions/unknown_costs.py": ("integration/test_unpriced.py",),
    "claude_force/executions/what_if.py": ("properties/test_what_if.py", "integration/test_what_if.py"),
    "claude_force/executions/outcomes.py": ("integration/test_outcomes.py",),
    "claude_force/executions/origin.py": ("integration/test_tracker.py",),
    "claude_force/executions/model_names.py": ("unit/test_model_names.py",),
    "claude_force/executions/model_rates.py": ("unit/test_price_modifiers.py", "unit/test_pricing.py"),
    "claude_force/executions/plan_limits.py": ("unit/test_plan_limits.py",),
    "claude_force/executions/price_supplements.py": ("unit/test_price_modifiers.py", "unit/test_price_supplements.py"),
    "claude_force/executions/published_rates.py": ("unit/test_price_modifiers.py", "unit/test_pricing.py"),
    "claude_force/executions/pricing.py": (
        "unit/test_pricing.py",
        "unit/test_price_modifiers.py",
        "integration/test_repricing.py",
    ),
    "claude_force/executions/projects.py": ("unit/test_projects.py", "integration/test_dimensions.py"),
    "claude_force/executions/content_uids.py": ("unit/test_record.py", "unit/test_lines.py"),
    "claude_force/executions/record.py": ("unit/test_record.py", "unit/test_codec.py", "integration/test_tracker.py"),
    "claude_force/executions/run_parts.py": ("properties/test_rollups.py", "properties/test_runs.py"),
    "claude_force/executions/rollups.py": ("properties/test_rollups.py", "integration/test_rollup_races.py"),
    "claude_force/executions/rollup_rows.py": ("properties/test_rollups.py",),
    "claude_force/executions/seats.py": ("properties/test_seats.py", "properties/test_rollups.py"),
    "claude_force/executions/run_parents.py": ("unit/test_run_parents.py", "properties/test_run_trees.py"),
    "claude_force/executions/run_trees.py": ("properties/test_run_trees.py", "acceptance/test_run_show.py"),
    "claude_force/executions/sightings.py": ("properties/test_sightings.py", "integration/test_joined_sightings.py"),
    "claude_force/executions/run_labels.py": ("integration/test_run_labels.py",),
    "claude_force/executions/signals.py": ("integration/test_telemetry_spool.py",),
    "claude_force/executions/joining.py": ("integration/test_joined_sightings.py", "properties/test_sightings.py"),
    "claude_force/executions/nearby.py": ("properties/test_nearby.py",),
    "claude_force/executions/runs.py": ("integration/test_runs.py", "properties/test_runs.py"),
    "claude_force/executions/session_blocks.py": ("unit/test_blocks.py", "properties/test_session_blocks.py"),
    "claude_force/executions/statistics.py": ("unit/test_statistics.py", "integration/test_backfill.py"),
    "claude_force/executions/totals.py": ("integration/test_store.py", "properties/test_oracle.py"),
    "claude_force/database/writes/alerts.py": (
        "integration/test_alert_evaluation.py", "integration/test_alert_notifications.py", "integration/test_outbox.py",
        "integration/test_outbox_order.py",
    ),
    "claude_force/database/writes/archives.py": ("integration/test_archived_rows.py", "properties/test_archives.py"),
    "claude_force/database/writes/baselines.py": ("integration/test_baselines.py",),
    "claude_force/database/writes/export_queue.py": ("integration/test_export_queue.py",),
    "claude_force/database/writes/ingestion.py": ("integration/test_ingestion.py", "unit/test_ingest_passes.py"),
    "claude_force/database/writes/jobs.py": ("integration/test_doctor_monitoring.py",),
    "claude_force/database/queries/reconciliation.py": ("integration/test_reconciled_sources.py",),
    "claude_force/database/writes/ledgers.py": ("integration/test_reconciliation.py",),
    "claude_force/database/writes/projects.py": ("integration/test_dimensions.py",),
    "claude_force/database/queries/headless_runs.py": ("integration/test_headless_runs.py",),
    "claude_force/database/queries/run_labels.py": ("integration/test_run_labels.py",),
    "claude_force/database/queries/run_parts.py": ("integration/test_runs.py", "properties/test_runs.py"),
    "claude_force/database/writes/run_parts.py": ("integration/test_runs.py", "properties/test_rollups.py"),
    "claude_force/database/writes/run_labels.py": ("integration/test_run_labels.py",),
    "claude_force/database/writes/sightings.py": ("integration/test_joined_sightings.py",),
    "claude_force/database/writes/step_usage.py": ("properties/test_steps.py",),
    "claude_force/database/writes/telemetry.py": ("integration/test_outcomes.py", "properties/test_outcomes.py"),
    "claude_force/database/writes/": (
        "integration/test_store.py", "integration/test_rollup_races.py", "integration/test_export_queue.py",
        "integration/test_archived_rows.py",
    ),
    "claude_force/receiver/wire.py": ("properties/test_otlp_bodies.py", "unit/test_otlp_decode.py"),
    "claude_force/anthropic_sdk/": ("integration/test_anthropic_sdk.py", "unit/test_sdk_hooks.py"),
    "claude_force/executions/tracked_blocks.py": ("integration/test_anthropic_sdk.py",),
    "claude_force/ingest/nothing_new.py": ("integration/test_nothing_new.py",),
    "claude_force/ingest/telemetry/calls.py": ("integration/test_anthropic_sdk.py",),
    "claude_force/ingest/telemetry/labels.py": ("integration/test_run_labels.py",),
    "claude_force/ingest/telemetry/requests.py": ("unit/test_telemetry_requests.py",),
    "claude_force/ingest/telemetry/telemetry_pass.py": ("integration/test_telemetry_pass.py",),
    "claude_force/ingest/telemetry/segments.py": ("integration/test_telemetry_spool.py",),
    "claude_force/ingest/telemetry/spool.py": ("integration/test_telemetry_spool.py",),
    "claude_force/ingest/transcripts/agent_ids.py": ("unit/test_transcript_responses.py",),
    "claude_force/ingest/transcripts/api_errors.py": ("unit/test_api_errors.py",),
    "claude_force/ingest/transcripts/billed_usage.py": ("unit/test_billed_usage.py",),
    "claude_force/ingest/transcripts/ledgers.py": ("unit/test_transcript_ledgers.py",),
    "claude_force/ingest/transcripts/": (
        "unit/test_transcript_entries.py", "unit/test_transcript_responses.py", "unit/test_transcript_source.py",
        "unit/test_transcript_locate.py", "unit/test_ingest_passes.py", "integration/test_ingestion.py",
    ),
    "claude_force/alerts/decision.py": (
        "properties/test_alert_decision.py", "integration/test_alert_evaluation.py",
        "integration/test_alert_notifications.py",
    ),
}  # fmt: skip
"""The quickest tests of each module, below tests/, by the beginning of its path. The first match counts."""

EQUIVALENT = ("core/ReplaceBinaryOperator_BitOr_",)
"""Operators that are left out: nearly every `|` is in an annotation, where a change makes no difference."""

TIME_LIMIT_S = 300
"""A mutant whose tests take longer is killed."""

_LEFT_OUT = (".git", ".venv", ".hypothesis", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build")


class Result(NamedTuple):
    """The numbers of mutants that the tests killed and that survived, and the changes of the survivors."""

    killed: int
    survived: int
    survivors: list[str]

    def line(self) -> str:
        """Killed of all: "18 of 20 mutants killed (90 %)"."""
        total = self.killed + self.survived
        return f"{self.killed} of {total} mutants killed ({100 * self.killed // max(total, 1)} %)"


def guards_of(module: str) -> tuple[str, ...]:
    """The tests that guard a module, below tests/; () if there are none."""
    return next((tests for beginning, tests in GUARDS.items() if module.startswith(beginning)), ())


def mutate(root: Path, module: str, tests: Sequence[str], sample: int | None, seed: int) -> Result:
    """Run `sample` mutants (None: all) of a module of the checkout `root` against tests. Raises SystemExit if the tests
    fail without a mutation."""
    with tempfile.TemporaryDirectory(prefix="claude-force-mutation-") as folder:
        copy, session = Path(folder) / "checkout", Path(folder) / "session.sqlite"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        config = Path(folder) / "config.toml"
        config.write_text(_configuration(module, tests))
        _cosmic_ray(copy, "init", config, session)
        number = choose(session, sample, seed)
        say(f"{module}: {number} mutants, tests: {' '.join(tests)}")
        _cosmic_ray(copy, "baseline", config)
        _cosmic_ray(copy, "exec", config, session)
        return read_result(session)


def _configuration(module: str, tests: Sequence[str]) -> str:
    """The configuration of cosmic-ray."""
    pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = shlex.join([*pytest, "-k", "not postgres", *(f"tests/{test}" for test in tests)])
    return (
        f"[cosmic-ray]\nmodule-path = {json.dumps(module)}\ntimeout = {float(TIME_LIMIT_S)}\nexcluded-modules = []\n"
        f'test-command = {json.dumps(command)}\n\n[cosmic-ray.distributor]\nname = "local"\n'
    )


def _cosmic_ray(folder: Path, *arguments: str | Path) -> None:
    # Compiled code would be taken for current if two mutants have the same size within a second. Programs that tests
    # start in other folders must import the copy, not the checkout that is installed.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    program = Path(sys.executable).with_name("cosmic-ray")
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"error: cosmic-ray {arguments[0]} failed: {(done.stderr or done.stdout).strip()[-1000:]}")


def choose(session: Path, sample: int | None, seed: int) -> int:
    """Keep a random sample of the mutants of a session, without equivalent ones. The number that is left."""
    with closing(sqlite3.connect(session)) as database, database:
        mutants = database.execute(
            "SELECT job_id, operator_name FROM mutation_specs"
            " ORDER BY start_pos_row, start_pos_col, operator_name, operator_args, occurrence"
        ).fetchall()
        kept = [job for job, operator in mutants if not operator.startswith(EQUIVALENT)]
        if sample is not None and sample < len(kept):
            kept = random.Random(seed).sample(kept, sample)  # noqa: S311 - nothing here is a secret
        dropped = [(job,) for job, _ in mutants if job not in kept]
        database.executemany("DELETE FROM mutation_specs WHERE job_id = ?", dropped)
        database.executemany("DELETE FROM work_items WHERE job_id = ?", dropped)
        return len(kept)


def read_result(session: Path) -> Result:
    """The result of a session that has run."""
    with closing(sqlite3.connect(session)) as database:
        rows = database.execute("SELECT test_outcome, diff FROM work_results").fetchall()
    survivors = [diff for outcome, diff in rows if outcome == "SURVIVED"]
    return Result(len(rows) - len(survivors), len(survivors), survivors)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", metavar="MODULE", help="A file, such as claude_force/alerts/decision.py.")
    parser.add_argument("--sample", type=int, metavar="N", help="The number of mutants, at random. Default: all.")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="Chooses the sample. Default: 1.")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="Another checkout.")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="Other tests, below tests/.")
    options = parser.parse_args()
    if not (options.root / options.module).is_file():
        parser.error(f"there is no file {options.module}")
    if not options.tests and not guards_of(options.module):
        parser.error(f"no tests are known to guard {options.module}; name them with --tests")
    return options


def _main() -> None:
    options = _options()
    tests = options.tests or guards_of(options.module)
    result = mutate(options.root.resolve(), options.module, tests, options.sample, options.seed)
    for survivor in result.survivors:
        print(f"{survivor}\n")
    print(result.line())


if __name__ == "__main__":
    _main()
