"""What the page shows of the checks of an exported model, also of one that was refused."""

from typing import Any

from nightshift.report import formats
from nightshift.report.folder import StepFolder
from nightshift.report.judged import Checks


def checks_view(folder: StepFolder) -> dict[str, Any]:
    """What is shown by checks.html."""
    found = folder.described("checks.json", Checks)
    checks = found.checks if found else []
    machine = folder.figures.get("machine") or {}
    return {
        "checks": checks,
        "machine": formats.facts(machine, {"cores": "cores", "load": "load of the machine"}),
        "skipped": any(not check.passed for check in checks),
    }
