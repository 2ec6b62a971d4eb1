from typing import Any

from example_run import evaluation_json

from nightshift.report.comparison import MOST_ROWS, comparison_markdown, slice_rows
from nightshift.report.judged import Evaluation


def test_the_table_compares_candidate_and_serving() -> None:
    lines = comparison_markdown(evaluation_json(["cat", "dog", "frog"])).splitlines()
    assert lines[0] == "**Accepted**: 12 answers better, 5 worse, p = 0.04"
    assert "serving, version 20260101000000" in lines[2]
    assert lines[4:8] == [
        "| accuracy | 0.9712 | 0.9655 | +0.0057 |",
        "| loss | 0.0911 | 0.0911 | ±0 |",
        "| calibration error | 0.0123 | \u2013 |  |",
        "",
    ]


def test_files_that_were_written_before_there_were_slices_are_read() -> None:
    content = evaluation_json(["cat", "dog"])
    assert "slices" not in content
    assert Evaluation.model_validate(content).slices == []
    assert "| slice |" not in comparison_markdown(content)


def test_every_slice_and_every_class_has_its_row() -> None:
    content = evaluation_json(["cat", "d|og"]) | {"slices": [slice_json("class", "d|og"), slice_json(worse=True)]}
    lines = comparison_markdown(content).splitlines()
    start = lines.index(
        "| slice | images | right: candidate | serving, version 20260101000000 | difference | answers gained and lost "
        "| p of a loss, by Holm |"
    )
    assert lines[start + 1 : start + 5] == [
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| class d\\|og | 1,200 | 0.9000 | 0.9500 | \u22120.0500 | +2 \u221262 | 0.5000 |",
        "| **brightness 0.0 to 31.4, worse** | 1,200 | 0.9000 | 0.9500 | \u22120.0500 | +2 \u221262 | 1.0e-05 |",
        "",
    ]
    assert lines[start + 5 :] == [
        "| class | images | precision | recall | F1 |",
        "| :--- | ---: | ---: | ---: | ---: |",
        "| cat | 99 | 0.9600 | 0.9700 | 0.9650 |",
        r"| d\|og | 99 | 0.9600 | 0.9700 | 0.9650 |",
    ]


def test_slices_without_a_serving_model_are_the_candidates_alone() -> None:
    alone = {"champion": None, "difference": None, "p": None, "p_holm": None, "gained": 0, "lost": 0}
    content = evaluation_json(["cat", "dog"]) | {"serving": None, "slices": [slice_json(**alone)]}
    lines = comparison_markdown(content).splitlines()
    assert "| slice | images | right: candidate |" in lines
    assert "| brightness 0.0 to 31.4 | 1,200 | 0.9000 |" in lines


def test_of_hundreds_of_slices_the_worst_are_shown_and_the_others_counted() -> None:
    many = [slice_json("class", str(number), difference=number / 1000) for number in range(200)]
    many[150] |= {"worse": True}
    shown = slice_rows(Evaluation.model_validate(evaluation_json(["cat", "dog"]) | {"slices": many}))
    assert [row.value for row in shown] == [*map(str, range(MOST_ROWS - 1)), "150"]
    text = comparison_markdown(evaluation_json(["cat", "dog"]) | {"slices": many})
    assert f"and {200 - MOST_ROWS} more slices" in text


def slice_json(trait: str = "brightness", value: str = "0.0 to 31.4", *, worse: bool = False, **changes: Any) -> Any:
    figures = {"count": 1200, "candidate": 0.9, "champion": 0.95, "difference": -0.05, "gained": 2, "lost": 62}
    tested = {"p": 1e-6, "p_holm": 1e-5 if worse else 0.5, "worse": worse}
    return {"trait": trait, "value": value} | figures | tested | changes


def test_a_refusal_is_said_once() -> None:
    decision = {"blessed": False, "reason": "refused: accuracy 0.9000 is below 0.97"}
    text = comparison_markdown(evaluation_json(["cat", "dog"]) | {"decision": decision, "serving": None})
    assert text.startswith("**Refused**: accuracy 0.9000 is below 0.97\n")
    assert "nothing serves yet" in text


def test_text_from_data_breaks_neither_table_nor_page() -> None:
    decision = {"blessed": False, "reason": "recall of '<b>|x*\n\n# y' is low"}
    text = comparison_markdown(evaluation_json(["cat", "dog"]) | {"decision": decision})
    assert text.splitlines()[0] == r"**Refused**: recall of '&lt;b&gt;\|x\* \# y' is low"
