#!/usr/bin/env bash
# Makes the files that a user of a release has, by the program of that release:
#
#   tests/migration/released/make.sh ~/checkout-of-2.2
#
# The checkout has its .venv. What comes out stands beside this script in a folder named by the version; every later
# version must read it (tests/migration/test_released.py). Needs root, for a home and a host name that are nobody's.
set -euo pipefail

if [ "${INSIDE:-}" != yes ]; then
    exec env -i PATH="$PATH" INSIDE=yes HOME=/home/ada TZ=UTC COLUMNS=80 unshare --uts --mount bash "$0" "$(realpath "$1")"
fi

checkout=$1
here=$(cd "$(dirname "$0")" && pwd)
hostname build-7
mkdir -p "$HOME"
mount -t tmpfs home "$HOME"
cd "$HOME"

program="$checkout/.venv/bin/claude-force"
version=$("$program" --version | awk '{print $NF}')
out="$here/$version"
metrics=.claude/metrics
mkdir -p .claude "$out"

# Settings: every section has something.
cat > .claude/claude.json <<'JSON'
{
  "theme": "dark",
  "performance": {
    "alerts": {"success-rate": {"threshold": 90, "min_samples": 10, "severity": "critical", "group_by": "agent"}},
    "channels": {"pager": {"type": "pagerduty", "routing_key": "${PAGER_KEY}"}},
    "exporters": {"prometheus": {"gateway": "http://127.0.0.1:9091"}},
    "prices": {"house-model": {"input": 1.5, "output": 6}},
    "schedule": {"ingest": "1m", "archive": "off"}
  }
}
JSON

# Executions of both kinds, an archived month, a baseline, a silence, runs of jobs.
cp -r "$checkout/examples/claude-code/projects" .claude/projects
"$program" ingest --quiet
head -300 "$checkout/examples/executions-guide.jsonl" > history.jsonl
"$program" import history.jsonl > import.txt
"$program" baseline create before-the-change > /dev/null
"$program" alerts silence success-rate --for 2h --comment "a release" > /dev/null
"$program" scheduler run alerts > /dev/null
"$program" scheduler run baseline > /dev/null
"$program" db check > /dev/null

# What the reports of the release say of all of it.
"$program" analytics summary --json > "$out/summary.json"
"$program" analytics by-agent --json > "$out/by-agent.json"
"$program" analytics costs --by-model --json > "$out/costs.json"

"$program" db backup "$out/backup.db" > /dev/null
"$program" archive --older-than 1h > /dev/null
"$program" db backup "$out/archived.db" > /dev/null
cp $metrics/archive/*.jsonl.gz "$out"

# Records that wait, since the database is a folder.
rm -f $metrics/metrics.db*
mkdir $metrics/metrics.db
"$checkout/.venv/bin/python" - 2> /dev/null <<'PYTHON'
from claude_force.performance_tracker import PerformanceTracker

with PerformanceTracker() as tracker:
    for number in range(3):
        tracker.record_execution("python-expert", f"task {number}", True, 1500, "claude-haiku-4-5", 100, 50)
PYTHON
cp $metrics/*.spool.jsonl "$out"
cp .claude/claude.json "$out"
"$program" scheduler install 2> /dev/null |
    sed "s|$checkout/.venv/bin|/opt/claude-force/bin|" > "$out/claude-force.service"
gzip -9n "$out"/*.db
chmod 644 "$out"/*
ls -l "$out"
