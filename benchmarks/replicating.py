"""The cost of a push to a team against that of an import: `python benchmarks/replicating.py FILE`.

By turns, each in a process and a new store: imports FILE into a store, and pushes a store that has it into the empty
store of a team. Prints JSON: seconds of CPU and of the clock, medians, and their ratios. The processor time of a
PostgreSQL server is not in that of the processes; its clock is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent))

from benchmarks.common import PROGRAM, Usage, median, run  # noqa: E402  (after the path)
from tests.postgres import TEMPLATE_AT_HEAD, new_database, running_server  # noqa: E402  (after the path)


def timed(home: Path, *arguments: str) -> Usage:
    """Run the program."""
    return run([PROGRAM, *arguments], home, os.environ | {"HOME": str(home)})


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
            imports.append(timed(home, "import", str(file), "--db", imported))
            if admin is None:
                timed(home, "db", "upgrade", "--db", team)
            timed(home, "push", "team", "--forget", "--db", laptop)
            pushes.append(timed(home, "push", "team", "--to", team, "--db", laptop))
    found: dict[str, float] = {}
    for name in ("cpu_s", "wall_s"):
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
