"""The pages: one a step for the Kubeflow UI, one a run. Self-contained HTML; everything from data is escaped."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from nightshift.report import formats
from nightshift.report.checks import checks_view
from nightshift.report.comparison import comparison_markdown
from nightshift.report.dataset import dataset_view
from nightshift.report.drift import comparison_view
from nightshift.report.evaluation import evaluation_view
from nightshift.report.folder import StepFolder
from nightshift.report.folders import step_folders
from nightshift.report.sweep import sweep_view
from nightshift.report.timeline import timeline_of
from nightshift.report.training import training_view
from nightshift.report.verdict import failure_of, verdict_of
from nightshift.workspace import Run

__all__ = [
    "comparison_markdown",
    "dataset_page",
    "drift_page",
    "evaluation_page",
    "export_page",
    "run_page",
    "sweep_page",
    "training_page",
]

EXPORT_FACTS = {"saved_model": "SavedModel", "signatures": "signatures"}


def dataset_page(step_path: Path) -> str:
    """Samples, class balance, statistics, what was quarantined, duplicates: the page of prepare_data."""
    folder = StepFolder(step_path)
    return _step_page("Dataset", "dataset.html", folder, dataset_view(folder))


def training_page(step_path: Path) -> str:
    """Figures, curves and augmented images: the page of train."""
    folder = StepFolder(step_path)
    return _step_page("Training", "training.html", folder, training_view(folder))


def evaluation_page(step_path: Path) -> str:
    """Metrics against the serving model, confusion matrix, ROC, wrong answers by loss: the page of evaluate."""
    folder = StepFolder(step_path)
    return _step_page("Evaluation", "evaluation.html", folder, evaluation_view(folder))


def export_page(step_path: Path) -> str:
    """What the exported model was held against and what a model server answered: the page of export, refused or not."""
    folder = StepFolder(step_path)
    return _step_page("Export", "checks.html", folder, checks_view(folder))


def drift_page(facts: Mapping[str, Any], model: str) -> str:
    """One comparison as drift.check.Drift tells it, plots included: the page of `nightshift drift`."""
    view = [comparison_view(facts)]
    page = _environment().get_template("step.html")
    return page.render(title=f"Drift of {model}", template="drift.html", view=view, verdict=None, notes=[])


def sweep_page(run: Run) -> str:
    """The trials of a sweep, compared: the page of choose_settings."""
    folders = step_folders(run)
    return _step_page("Sweep", "sweep.html", folders["choose_settings"], sweep_view(run, folders) or {})


def run_page(run: Run) -> str:
    """The report of a run, complete or not: its outcome first, then when, what, on what data, and how well."""
    folders = step_folders(run)
    views = {
        "dataset": dataset_view(folders["prepare_data"]),
        "sweep": sweep_view(run, folders),
        "training": training_view(folders["train"]),
        "evaluation": evaluation_view(folders["evaluate"]),
        "checks": checks_view(folders["export"]),
        "release": _release_view(folders["export"], folders["deploy"]),
    }
    prepared = folders["prepare_data"].figures
    template = _environment().get_template("run.html")
    return template.render(
        run_id=run.run_id,
        subject=prepared.get("model") or prepared.get("task") or folders["export"].figures.get("model") or "",
        verdict=verdict_of(folders),
        timeline=timeline_of(folders),
        folders=folders,
        notes=[note for folder in folders.values() for note in folder.notes],
        **views,
    )


def _step_page(title: str, template: str, folder: StepFolder, view: dict[str, Any]) -> str:
    verdict = failure_of(folder) if folder.state == "failed" else None
    page = _environment().get_template("step.html")
    return page.render(title=title, template=template, view=view, verdict=verdict, notes=folder.notes)


def _release_view(export: StepFolder, deploy: StepFolder) -> dict[str, Any]:
    return {
        "facts": [
            *formats.facts(export.figures, EXPORT_FACTS),
            *([("size", formats.size(export.figures["bytes"]))] if "bytes" in export.figures else []),
            *formats.facts(deploy.figures, {"model": "model", "version": "version", "predecessor": "before it"}),
        ],
        "parity": [
            (name, f"{value:.1e}" if value else "0") for name, value in (export.figures.get("parity") or {}).items()
        ],
        "card": _markdown(export.text("card.md")),
    }


def _markdown(text: str) -> Markup:
    """CommonMark with tables as HTML; HTML in it shows as text, and images, which would be fetched, as links."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(renderer.render(text))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nightshift.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for form in (formats.number, formats.percent, formats.duration, formats.moment, formats.words):
        environment.filters[form.__name__] = form
    return environment
