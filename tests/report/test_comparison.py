from example_run import evaluation_json

from nightshift.report.comparison import comparison_markdown


def test_the_table_compares_candidate_and_serving() -> None:
    lines = comparison_markdown(evaluation_json(["cat", "dog", "frog"])).splitlines()
    assert lines[0] == "**Accepted**: 12 answers better, 5 worse, p = 0.04"
    assert "serving, version 20260101000000" in lines[2]
    assert lines[4:] == [
        "| accuracy | 0.9712 | 0.9655 | +0.0057 |",
        "| loss | 0.0911 | 0.0911 | ±0 |",
        "| calibration error | 0.0123 | \u2013 |  |",
    ]


def test_a_refusal_is_said_once() -> None:
    decision = {"blessed": False, "reason": "refused: accuracy 0.9000 is below 0.97"}
    text = comparison_markdown(evaluation_json(["cat", "dog"]) | {"decision": decision, "serving": None})
    assert text.startswith("**Refused**: accuracy 0.9000 is below 0.97\n")
    assert "nothing serves yet" in text


def test_text_from_data_breaks_neither_table_nor_page() -> None:
    decision = {"blessed": False, "reason": "recall of '<b>|x*\n\n# y' is low"}
    text = comparison_markdown(evaluation_json(["cat", "dog"]) | {"decision": decision})
    assert text.splitlines()[0] == r"**Refused**: recall of '&lt;b&gt;\|x\* \# y' is low"
