"""The page of an exported model's checks, and what the report of a run shows of them, whatever came of them."""

import json
from pathlib import Path
from typing import Any

from example_run import write_run, write_status

from nightshift.report.pages import evaluation_page, export_page, run_page

HOSTILE = "<script>alert(1)</script>"


def check(kind: str, *, passed: bool, **changes: Any) -> dict[str, Any]:
    words = {"found": f"{kind} as it is", "expected": f"{kind} as it has to be"}
    return {"kind": kind, "signature": "", "passed": passed, "example": "", "figures": {}} | words | changes


def write_checks(step: Path, *checks: dict[str, Any], **status: Any) -> None:
    write_status(step, 430, figures={"machine": {"cores": 2, "load": 0.5}}, **status)
    (step / "checks.json").write_text(json.dumps({"checks": checks}))


def test_a_refused_export_shows_what_was_found_and_expected_by_signature(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    wrong = check("answers", passed=False, signature="serve_bytes", example=f"golden image 3: {HOSTILE}")
    write_checks(run.path / "export", check("load", passed=True), wrong, state="failed", error="m: it was refused")
    for page in (export_page(run.path / "export"), run_page(run)):
        assert "<h1>Failed at export</h1>" in page
        assert "m: it was refused" in page
        row = (
            '<td>answers</td><td>serve_bytes</td><td class="state failed">failed</td><td>answers as it is</td>'
            "<td>answers as it has to be</td>"
        )
        assert row in page
        assert "golden image 3: &lt;script&gt;" in page
        assert "What follows a check that failed was not looked at." in page


def test_an_export_that_passed_shows_its_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_checks(run.path / "export", check("latency", passed=True, signature="serving_default", figures={"p50": 1.0}))
    for page in (export_page(run.path / "export"), run_page(run)):
        assert "latency as it is" in page
        assert "was not looked at" not in page
        assert "load of the machine" in page


def test_an_export_of_before_there_were_checks_shows_its_differences(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert not (run.path / "export" / "checks.json").exists()
    assert "Largest difference of a server" in run_page(run)
    assert "Nothing was checked." in export_page(run.path / "export")


def test_a_damaged_record_is_named_and_the_page_comes_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.path / "export" / "checks.json").write_text('{"checks": [{"kind": 3}]}')
    for page in (export_page(run.path / "export"), run_page(run)):
        assert "export/checks.json cannot be read" in page


def test_the_evaluation_shows_slices_and_marks_those_that_are_worse(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    file = run.path / "evaluate" / "evaluation.json"
    row = {"trait": "brightness", "value": HOSTILE, "count": 333, "candidate": 0.87, "champion": 0.93}
    row |= {"difference": -0.06, "gained": 2, "lost": 22, "p": 1e-5, "p_holm": 1e-4, "worse": True}
    content = json.loads(file.read_text()) | {"slices": [row, row | {"worse": False, "p": None, "p_holm": None}]}
    file.write_text(json.dumps(content))
    page = evaluation_page(run.path / "evaluate")
    assert "By slices of the test split" in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count(", worse</td>") == 1
    assert '<td class="number worse">\u22120.0600</td><td class="number">+2 \u221222</td>' in page
    file.write_text(json.dumps(content | {"serving": None}))
    assert "p of a loss" not in evaluation_page(run.path / "evaluate")
