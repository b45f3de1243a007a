"""The cost of a push to a team against that of an import: `python benchmarks/replicating.py FILE`.

By turns, each in a process and a new store: imports FILE into a store, and pushes a store that has it into the empty
store of a team. Prints JSON: seconds of CPU of the program, of CPU of the program and a PostgreSQL server together, and
of the clock, medians, and their ratios. What the server used is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent))

from benchmarks.common import PROGRAM, Usage, median, run  # noqa: E402  (after the path)
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server  # noqa: E402  (after the path)


@dataclass(frozen=True, slots=True)
class Taken(Usage):
    """The usage of the program, and the seconds of CPU of the program and the server."""

    all_cpu_s: float


def timed(home: Path, *arguments: str, admin: str | None = None) -> Taken:
    """Run the program. `admin` is the URL of the server that it uses."""
    before_s = server_cpu_s(admin)
    usage = run([PROGRAM, *arguments], home, os.environ | {"HOME": str(home)})
    all_cpu_s = usage.cpu_s + server_cpu_s(admin) - before_s
    return Taken(usage.wall_s, usage.cpu_s, usage.peak_bytes, usage.output, all_cpu_s)


def server_cpu_s(admin: str | None) -> float:
    """Seconds of CPU that all processes of a server have used; 0 without a server."""
    if admin is None:
        return 0.0
    (folder,) = parse_qs(urlsplit(admin).query)["host"]
    server = Path(folder, "postmaster.pid").read_text().split()[0]
    ticks = sum(_times(server)[1:])
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent, user, system, *_ = _times(process.name)
            ticks += user + system if parent == int(server) else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def _times(process: str) -> list[int]:
    """The parent of a process, and its ticks: user and system, its own and those of its children that ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [int(fields[1]), *map(int, fields[11:15])]


@contextmanager
def places(folder: Path, admin: str | None) -> Iterator[tuple[str, str]]:
    """Two empty stores: of an import, and of a team."""
    if admin is None:
        with tempfile.TemporaryDirectory(dir=folder) as here:
            yield f"{here}/imported.db", f"{here}/team.db"
        return
    with new_database(admin, TEMPLATE_AT_HEAD) as imported, new_database(admin, TEMPLATE_AT_HEAD) as team:
        yield imported, team


def turns(file: Path, home: Path, repeat: int, admin: str | None) -> dict[str, float]:
    """The medians of both, by turns."""
    laptop = str(home / "laptop.db")
    if not Path(laptop).exists():
        timed(home, "import", str(file), "--db", laptop)
    imports, pushes = [], []
    for _ in range(repeat):
        with places(home, admin) as (imported, team):
            imports.append(timed(home, "import", str(file), "--db", imported, admin=admin))
            if admin is None:
                timed(home, "db", "upgrade", "--db", team)
            timed(home, "push", "team", "--forget", "--db", laptop)
            pushes.append(timed(home, "push", "team", "--to", team, "--db", laptop, admin=admin))
    found: dict[str, float] = {}
    for name in ("cpu_s", "all_cpu_s", "wall_s"):
        one, other = (median(side, name) for side in (imports, pushes))
        found |= {f"import_{name}": round(one, 2), f"push_{name}": round(other, 2)}
        found[f"{name[:-2]}_ratio"] = round(other / one, 2)
    return found


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="A history that generate.py wrote.")
    parser.add_argument("--repeat", type=int, default=3, help="Default: 3.")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite", help="Of the team's store.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / ".claude").mkdir()
        file = options.file.resolve()
        if options.engine == "sqlite":
            found = turns(file, home, options.repeat, None)
        else:
            with running_server() as admin:
                found = turns(file, home, options.repeat, admin)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    _main()
