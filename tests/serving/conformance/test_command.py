"""`nightshift conformance` as a person runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nightshift.cli import main
from nightshift.serving.conformance.suite import CASES


def nightshift(*arguments):
    return CliRunner().invoke(main, ["conformance", *map(str, arguments)], env={"COLUMNS": "140"})


@pytest.fixture(scope="module")
def server(in_process):
    return in_process()


def test_every_case_has_a_number_a_source_and_what_is_expected():
    assert [case.number for case in CASES] == list(range(1, len(CASES) + 1))
    for case in CASES:
        assert len(case.expected) > 10, case
        assert case.source, case


def test_what_cannot_be_asked_is_skipped_with_the_reason(server):
    result = nightshift("--target", server.connection.target, "--json")
    assert result.exit_code == 0, result.output
    outcomes = {one["number"]: one for one in map(json.loads, result.stdout.splitlines())}
    assert len(outcomes) == len(CASES)
    assert outcomes[1]["outcome"] == "passed"
    assert (outcomes[18]["outcome"], "MultiInference" in outcomes[18]["detail"]) == ("left out", True)
    reasons = {19: "--rest HOST:PORT", 21: "--models DIR", 44: "--polling HOST:PORT", 43: "ours alone"}
    for number, reason in reasons.items():
        assert (outcomes[number]["outcome"], reason in outcomes[number]["detail"]) == ("skipped", True), outcomes[
            number
        ]


def test_a_folder_that_is_shared_is_used(server, models):
    shared = ("--models", models.path, "--rest", server.rest)
    result = nightshift("--target", server.connection.target, *shared)
    assert result.exit_code == 0, result.output
    assert "3 left out" in result.output
    assert list((models.path / "scenes").iterdir()) == []


def test_a_difference_ends_with_1_and_says_what_is_expected_and_by_whom(server, monkeypatch):
    monkeypatch.setattr("nightshift.serving.services.SIGNATURE_DEF", "other")
    result = nightshift("--target", server.connection.target)
    assert result.exit_code == 1, result.output
    words = " ".join(result.output.replace("│", " ").split())
    assert "differs" in words
    assert "get_model_metadata_impl.cc" in words
    assert "1 differs" in words


def test_nobody_at_the_port_is_told_in_words():
    result = nightshift("--target", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "127.0.0.1:1: UNAVAILABLE" in result.output
    assert "--write-models DIR" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rest", "127.0.0.1:1"], "belong to a server that --target names"),
        (["--target", "127.0.0.1:1", "--models-at", "/models"], "--models, which is missing"),
        (["--target", "127.0.0.1:1", "--write-models", "models"], "--write-models only writes"),
        (["--target", "nowhere"], "HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together_end_with_2(arguments, message):
    result = nightshift(*arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_a_folder_that_was_not_written_by_it_is_refused(tmp_path):
    result = nightshift("--target", "127.0.0.1:1", "--models", tmp_path)
    assert result.exit_code == 1
    assert f"--models: found no {tmp_path}/models.config" in result.output


def test_the_folder_and_the_commands_for_tensorflow_serving_are_written(tmp_path):
    result = nightshift("--write-models", tmp_path / "a b")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a b" / "half_plus_two" / "1" / "saved_model.pb").is_file()
    joined = result.output.replace("\\\n", "")
    assert f"-v '{tmp_path}/a b:/conformance'" in joined
    assert "tensorflow/serving:2.20.0" in joined
    assert "--allow_version_labels_for_unavailable_models=true" in joined
    assert f"--models '{tmp_path}/a b' --models-at /conformance" in joined
    here = nightshift("--write-models", tmp_path / "b", "--models-at", tmp_path / "b")
    assert f"--model_config_file={tmp_path}/b/models.config" in here.output
    assert "docker" not in here.output


def test_the_page_has_every_case_as_it_is_printed():
    page = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text()
    for case in CASES:
        assert f"\n{case.number:2} │ {case.name} " in page, case
    assert f": {len(CASES)} cases," in page
