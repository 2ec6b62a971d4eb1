"""evaluate as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    task: str,
    model_name: str,
    seed: int,
    workspace: str,
    server: str,
    run_id: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    test_metrics: dsl.Output[dsl.Metrics],
    confusion_and_roc: dsl.Output[dsl.ClassificationMetrics],
    answers: dsl.Output[dsl.HTML],
    comparison: dsl.Output[dsl.Markdown],
) -> bool:
    """Judge the candidate against thresholds and the serving model; returns whether it may be released."""
    from nightshift.report.pages import comparison_markdown, evaluation_page
    from nightshift.steps.context import context
    from nightshift.steps.evaluate import evaluate as step
    from nightshift.training.model import TrainedModel

    where = context(workspace, server, run_id)
    judged = step(
        where.run,
        where.store,
        task=task,
        model=model_name or task,
        seed=seed,
        dataset=where.linked_dataset(dataset),
        trained=TrainedModel.open(where.linked(model)),
        server=where.server,
    )
    where.link(evaluation, where.run.path / "evaluate")
    for name, value in judged.evaluation["metrics"].items():
        test_metrics.log_metric(name, value)
    if judged.evaluation["confusion_matrix"]:
        confusion_and_roc.log_confusion_matrix(judged.evaluation["classes"], judged.evaluation["confusion_matrix"])
    for curve in judged.evaluation["roc"][:1]:
        confusion_and_roc.log_roc_curve(curve["fpr"], curve["tpr"], curve["thresholds"])
    where.page(answers, evaluation_page(where.run.path / "evaluate"))
    where.page(comparison, comparison_markdown(judged.evaluation))
    return judged.decision.blessed
