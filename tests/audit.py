"""Asks whether known vulnerabilities are in the packages of requirements.lock: `python -m tests.audit`.

Exits with 1 where there are, with 0 where there are none. Where nobody can be asked it says so, and exits
with 0 too, or with 2 when --strict is given: a machine without network is no finding, but no answer either.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
COMMAND = (
    "-m pip_audit --no-deps --disable-pip --progress-spinner off --timeout 10 --format json --requirement"
)
SECONDS = 300.0


def main(
    arguments: Sequence[str], command: Sequence[str] = (sys.executable, *COMMAND.split(), str(LOCK))
) -> int:
    """The exit code; what was found is printed."""
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as exc:
        reason = (
            asked.stderr.strip().rpartition("\n")[2] if isinstance(exc, ValueError | KeyError) else str(exc)
        )
        print(f"could not ask, nothing was checked: {reason[:300]}")
        return 2 if "--strict" in arguments else 0
    return report(packages)


def report(packages: Sequence[dict[str, Any]]) -> int:
    """Prints what was found, and what was not looked at."""
    found = [(one, each) for one in packages for each in one.get("vulns", ())]
    skipped = [one for one in packages if "skip_reason" in one]
    for one, each in found:
        mended = ", ".join(each["fix_versions"]) or "no release"
        print(f"{one['name']} {one['version']}: {each['id']}, mended in {mended}")
    for one in skipped:
        print(f"not checked: {one['name']}: {one['skip_reason']}")
    counts = f"{len(found)} vulnerabilities, {len(skipped)} not checked"
    print(f"{len(packages) - len(skipped)} packages checked, {counts}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
