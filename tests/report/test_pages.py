import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from example_run import (
    CLASSES,
    STARTED,
    evaluation_json,
    images,
    write_evaluate,
    write_grouped_evaluation,
    write_puzzle_evaluation,
    write_run,
)
from example_run import write_status as status

from nightshift.report.pages import dataset_page, evaluation_page, run_page, training_page
from nightshift.workspace import STEPS, Run

MEGABYTE = 1_000_000
VOID = {"meta", "img", "br", "hr", "link", "input"}
STEP_PAGES: dict[str, Callable[[Path], str]] = {
    "prepare_data": dataset_page,
    "train": training_page,
    "evaluate": evaluation_page,
}


class Reader(HTMLParser):
    """Checks that elements nest; collects text and what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.elements: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        if tag != "a":
            self.fetched += [value or "" for name, value in attrs if name in ("href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")], f"{tag} has an event handler"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "title"):
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    assert "script" not in reader.elements
    assert all(source.startswith(("data:image/", "#")) for source in reader.fetched)
    assert not re.search(r"@import|url\((?!#)", page)
    return reader


def title(page: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page)
    assert found
    return found[1]


def test_the_report_of_a_released_version_shows_every_part(run: Run) -> None:
    page = run_page(run)
    text = read(page).text
    assert title(page) == "Released version 20260728010203"
    for part in ("Steps", "Data", "Training", "Evaluation", "Release", "Model card", "개구리", "cat/broken.png"):
        assert part in text
    assert page.count("<svg") == 1 + 1 + 3 + 2
    assert page.count("<img") == 40 + 5 + 40 + 12 + 7 + 2 * 64


@pytest.mark.parametrize("step", STEP_PAGES)
def test_the_page_of_a_step_is_well_formed_and_self_contained(run: Run, step: str) -> None:
    assert read(STEP_PAGES[step](run.path / step)).text.strip()


@pytest.mark.parametrize("step", STEP_PAGES)
def test_the_page_of_a_step_that_has_not_begun_says_so(tmp_path: Path, step: str) -> None:
    assert re.search(
        r"No (dataset was prepared|epoch was finished|model was evaluated)",
        read(STEP_PAGES[step](tmp_path / step)).text,
    )


def test_pixels_arrive_unchanged(run: Run) -> None:
    from io import BytesIO

    from PIL import Image

    first = re.search(r"data:image/png;base64,([^\"]+)", dataset_page(run.path / "prepare_data"))
    assert first
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(first[1]))))
    np.testing.assert_array_equal(shown, images(40)[0, :, :, 0])


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} $x^2$ & 'so'"]


def test_names_and_errors_from_data_are_shown_as_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", HOSTILE)
    status(run.path / "deploy", 500, state="failed", error="<b>bold</b> </pre><script>x</script>")
    for page in (run_page(run), dataset_page(run.path / "prepare_data"), evaluation_page(run.path / "evaluate")):
        assert all(name in read(page).text for name in HOSTILE)
    assert "<b>bold</b> </pre><script>x</script>" in read(run_page(run)).text


def test_html_and_pictures_of_the_model_card_are_not_let_through(run: Run) -> None:
    page = run_page(run)
    assert "&lt;b&gt;Not HTML.&lt;/b&gt;" in page
    assert "<strong>three</strong>" in page
    assert 'src="http' not in page


def test_a_failed_step_comes_first_with_its_error(run: Run) -> None:
    shutil.rmtree(run.path / "export")
    shutil.rmtree(run.path / "deploy")
    status(run.path / "evaluate", 400, state="failed", error="evaluation.json: field x: found 1, expected 2")
    text = read(run_page(run)).text
    assert title(run_page(run)) == "Failed at evaluate"
    assert text.index("Failed at evaluate") < text.index("found 1, expected 2") < text.index("Steps")
    assert "Version 20260101000000 goes on serving." in text
    assert "not begun" in text


def test_a_traceback_is_summed_up_by_its_last_line(run: Run) -> None:
    status(run.path / "train", 65, state="failed", error="Traceback (most recent call last):\n  x\nValueError: bad\n")
    page = training_page(run.path / "train")
    assert title(page) == "Failed at train"
    assert "<p>ValueError: bad</p>" in page
    assert "Traceback (most recent call last)" in page


@pytest.mark.parametrize("missing", STEPS)
def test_the_report_survives_a_step_that_is_missing(run: Run, missing: str) -> None:
    shutil.rmtree(run.path / missing)
    assert read(run_page(run)).text


FILES = [
    "prepare_data/dataset.json",
    "prepare_data/sample.npz",
    "train/history.csv",
    "train/augmentation.npz",
    "evaluate/evaluation.json",
    "evaluate/gallery.npz",
    "export/card.md",
    *(f"{step}/status.json" for step in STEPS),
]


@pytest.mark.parametrize("file", FILES)
def test_the_report_survives_a_file_that_is_missing(run: Run, file: str) -> None:
    (run.path / file).unlink()
    text = read(run_page(run)).text
    assert "Damaged file" not in text


@pytest.mark.parametrize("file", FILES)
def test_the_report_names_a_file_that_is_cut_short(run: Run, file: str) -> None:
    content = (run.path / file).read_bytes()
    (run.path / file).write_bytes(content[: len(content) // 2])
    text = read(run_page(run)).text
    if not file.endswith((".csv", ".md")):
        assert text.count(f"{file} cannot be read") == 1


@pytest.mark.parametrize("file", FILES)
def test_the_report_survives_a_file_of_noise(run: Run, file: str) -> None:
    (run.path / file).write_bytes(np.random.default_rng(0).bytes(999))
    assert f"{file} cannot be read" in read(run_page(run)).text


def test_a_run_without_any_step_has_a_report(tmp_path: Path) -> None:
    assert title(run_page(Run(tmp_path / "nothing"))) == "Nothing has run"


def test_a_step_that_is_at_work_is_named_with_its_progress(run: Run) -> None:
    for step in ("evaluate", "export", "deploy", "report"):
        shutil.rmtree(run.path / step)
    status(run.path / "train", 65, state="running", progress=0.43, message="epoch 5")
    page = run_page(run)
    assert title(page) == "Running train"
    assert "43 % done: epoch 5" in page


def test_a_step_still_running_when_the_report_begins_is_named_as_stopped(run: Run) -> None:
    status(run.path / "train", 65, state="running", progress=0.43, message="epoch 5")
    assert title(run_page(run)) == "Stopped in train"


def test_a_step_whose_pod_never_ran_is_told_by_the_word_of_the_runner(run: Run) -> None:
    for step in ("export", "deploy"):
        shutil.rmtree(run.path / step)
    status(run.path / "report", 1, figures={"run_failed": True})
    page = run_page(run)
    assert title(page) == "Failed after evaluate"
    assert "its Pod never ran" in page


def test_a_refused_candidate_keeps_what_serves(run: Run) -> None:
    for step in ("export", "deploy"):
        shutil.rmtree(run.path / step)
    write_evaluate(run.path / "evaluate", CLASSES, (28, 28, 1), blessed=False)
    page = run_page(run)
    assert title(page) == "Kept version 20260101000000"
    assert "recall of dog 0.81, floor 0.9" in page
    assert read(page).text.count("not needed") == 2


def test_a_run_with_nothing_to_do_says_what_serves(run: Run) -> None:
    for step in ("train", "evaluate", "export", "deploy"):
        shutil.rmtree(run.path / step)
    figures = {"task": "pets", "train": False, "serving_version": 7, "reason": "same data, same code"}
    status(run.path / "prepare_data", figures=figures)
    page = run_page(run)
    assert title(page) == "Nothing to do: version 7 serves"
    assert read(page).text.count("not needed") == 4


def test_the_timeline_adds_up(run: Run) -> None:
    page = run_page(run)
    assert "2026-09-21" in page
    assert STARTED == 1_790_000_000
    assert "7 min 53 s" in page  # from 0 s to 473 s
    assert "16 min 20 s" in page  # 100 + 640 + 40 + 100 + 100 s of CPU


def test_a_training_that_diverged_is_drawn(run: Run) -> None:
    rows = ["epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate"]
    rows += [f"{epoch},nan,,inf,0.1,0.001" for epoch in (1, 2, 3)]
    (run.path / "train" / "history.csv").write_text("\n".join(rows))
    assert training_page(run.path / "train").count("<svg") == 1 + 3


def test_wrong_answers_keep_the_order_of_the_file_and_show_truth_and_answer(run: Run) -> None:
    page = evaluation_page(run.path / "evaluate")
    with np.load(run.path / "evaluate" / "gallery.npz") as gallery:
        wanted = [f"loss {loss:.2f}" for side in ("wrong", "right") for loss in gallery[f"{side}_losses"]]
        truth, answer = CLASSES[gallery["wrong_labels"][0]], CLASSES[gallery["wrong_answers"][0]]
    assert re.findall(r"loss \d+\.\d\d", page) == wanted
    assert re.search(rf">{truth}</b> <span>taken for</span> <b[^>]*>{answer}</b>", page)


def test_a_model_without_wrong_answers_has_a_page(run: Run) -> None:
    with np.load(run.path / "evaluate" / "gallery.npz") as gallery:
        right = {name: gallery[name] for name in gallery.files if name.startswith("right")}
    np.savez(run.path / "evaluate" / "gallery.npz", **right)
    text = read(evaluation_page(run.path / "evaluate")).text
    assert "Wrong answers" not in text
    assert "Damaged" not in text
    assert "Some right answers" in text


def test_puzzles_show_which_tiles_are_wrong(run: Run) -> None:
    write_puzzle_evaluation(run.path / "evaluate", images(3, (32, 32, 3)))
    page = evaluation_page(run.path / "evaluate")
    text = read(page).text
    assert text.count("2 of 4 tiles right") == 3
    assert text.count("4 of 4 tiles right") == 3
    assert page.count('<span class="wrong">') == 6


def test_equal_tiles_stand_for_each_other(run: Run) -> None:
    write_puzzle_evaluation(run.path / "evaluate", np.full((2, 32, 32, 3), 200, np.uint8))
    assert 'class="wrong"' not in evaluation_page(run.path / "evaluate")


def three_by_three(count: int, side: int = 60) -> dict[str, np.ndarray]:
    """Puzzles of nine tiles whose first row of tiles is shuffled, put together again."""
    slopes = 60 + 2 * np.arange(side, dtype=np.uint8)[:, None] + np.arange(side, dtype=np.uint8)[:, None, None]
    originals = images(count, (side, side, 3)) // 64 + slopes
    shuffled = originals.copy()
    shuffled[:, : side // 3] = np.roll(originals[:, : side // 3], side // 3, axis=2)
    return {
        "right_shuffled": shuffled,
        "right_solved": originals,
        "right_original": originals,
        "right_permutation": np.tile(np.arange(9), (count, 1)),
        "right_probability": np.full(count, 0.9, np.float32),
    }


def test_puzzles_of_any_grid_have_a_line_a_seam_with_its_score(run: Run) -> None:
    write_puzzle_evaluation(run.path / "evaluate", images(1, (32, 32, 3)))
    np.savez(run.path / "evaluate" / "gallery.npz", allow_pickle=False, **three_by_three(2))
    page = evaluation_page(run.path / "evaluate")
    assert "Wrong answers" not in read(page).text
    lines = re.findall(r'<path class="(fits|doubtful|breaks)" d="M\d \dL\d \d"><title>\d+\.\d</title>', page)
    assert len(lines) == 2 * 2 * 12
    assert page.count('aria-label="12 of 12 seams fit"') == 2
    assert "Gallagher, CVPR 2012" in page


def test_questions_that_the_class_decides_are_compared(run: Run) -> None:
    write_grouped_evaluation(run.path / "evaluate")
    page = evaluation_page(run.path / "evaluate")
    text = read(page).text
    assert re.search(r"parity\s*0\.9100\s*0\.9700\s*0\.9300", text)
    assert len(re.findall(r"parity:\s*even\s*by its class\s*odd", text)) == 6


def test_questions_without_pictures_of_their_own_still_have_figures(run: Run) -> None:
    write_grouped_evaluation(run.path / "evaluate")
    write_evaluate_gallery = run.path / "evaluate" / "gallery.npz"
    with np.load(write_evaluate_gallery) as gallery:
        plain = {name: gallery[name] for name in gallery.files if "parity" not in name}
    np.savez(write_evaluate_gallery, allow_pickle=False, **plain)
    text = read(evaluation_page(run.path / "evaluate")).text
    assert "both say the same" in text
    assert "by its class" not in text
    assert "Damaged" not in text


def test_names_of_classes_stand_beside_those_in_other_languages(run: Run) -> None:
    translations = {"ko": ["고양이", "<b>개</b>", "프로그"], "de": ["Katze"]}
    content = evaluation_json(CLASSES) | {"translations": translations}
    (run.path / "evaluate" / "evaluation.json").write_text(json.dumps(content))
    page = evaluation_page(run.path / "evaluate")
    assert '<td>cat <span class="translated" lang="ko">· 고양이</span> <span class="translated" lang="de">' in page
    assert '<td>dog <span class="translated" lang="ko">· &lt;b&gt;개&lt;/b&gt;</span></td>' in page
    assert re.search(r'<b class="truth" title="truth">cat <span class="translated" lang="ko">· 고양이', page)


def test_the_first_convolution_is_shown_beside_classical_kernels(run: Run) -> None:
    page = evaluation_page(run.path / "evaluate")
    text = read(page).text
    assert page.count('alt="map of filter') == page.count('alt="kernel of filter') == 64
    assert "128 filters of 3\u00d73, padding same, stride 1: 28\u00d728 into 28\u00d728." in text
    assert "The first 64 are shown." in text
    assert "makes 28\u00d728 pixels into 26\u00d726" in text
    for name in ("vertical edges", "Gaussian blur", "sharpen", "outline (Laplacian)"):
        assert f'alt="the image under the kernel: {name}"' in page


@pytest.mark.parametrize("missing", ["train/architecture.json", "evaluate/first_convolution.json"])
def test_a_model_that_was_not_trained_here_has_a_page_without_pictures_of_its_network(run: Run, missing: str) -> None:
    (run.path / missing).unlink()
    text = read(run_page(run)).text
    assert "Damaged" not in text
    assert ("All layers" in text) == (missing != "train/architecture.json")
    assert ("Classical kernels" in text) == (missing != "evaluate/first_convolution.json")


def test_every_picture_has_words_for_those_who_do_not_see_it(run: Run) -> None:
    page = training_page(run.path / "train") + evaluation_page(run.path / "evaluate")
    assert 'alt=""' not in page
    assert page.count("<img") == len(re.findall(r'<img [^>]*alt="[^"]+"', page))
    assert page.count("<svg") == len(re.findall(r'<svg [^>]*aria-label="[^"]+"', page))


def test_many_classes_become_a_picture_and_lists_that_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [f"class {label}" for label in range(300)])
    page = run_page(run)
    assert 'alt="confusion matrix"' in page
    assert read(page).text.count("and 240 more classes") == 2
    assert len(page.encode()) < 2 * MEGABYTE


def test_a_page_stays_small_with_photographs_that_do_not_compress(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", CLASSES, (150, 150, 3))
    assert len(evaluation_page(run.path / "evaluate").encode()) < MEGABYTE
    assert len(run_page(run).encode()) < 2 * MEGABYTE


def test_a_report_of_puzzles_stays_small(run: Run) -> None:
    write_puzzle_evaluation(run.path / "evaluate", images(40, (64, 64, 3)))
    assert len(run_page(run).encode()) < 2 * MEGABYTE


def test_the_same_run_gives_the_same_page(run: Run) -> None:
    assert run_page(run) == run_page(run)


def test_no_serving_model_leaves_its_columns_out(run: Run) -> None:
    evaluation = evaluation_json(CLASSES) | {"serving": None}
    (run.path / "evaluate" / "evaluation.json").write_text(json.dumps(evaluation))
    text = read(evaluation_page(run.path / "evaluate")).text
    assert "No model serves yet" in text
    assert "difference" not in text


def test_the_report_imports_no_tensorflow() -> None:
    code = "import sys, nightshift.report.pages; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
