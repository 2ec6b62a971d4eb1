"""export as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export(
    task: str,
    model_name: str,
    seed: int,
    workspace: str,
    run_id: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    saved_model: dsl.Output[dsl.Model],
    card: dsl.Output[dsl.Markdown],
    checks: dsl.Output[dsl.HTML],
):
    """Write the SavedModel; have a model server answer as the trained network does, and within the task's budgets."""
    from nightshift.report.pages import export_page
    from nightshift.steps.context import context
    from nightshift.steps.export import export as step
    from nightshift.training.model import TrainedModel

    where = context(workspace, "", run_id)
    try:
        exported = step(
            where.run,
            task=task,
            model=model_name or task,
            seed=seed,
            dataset=where.linked_dataset(dataset),
            trained=TrainedModel.open(where.linked(model)),
            evaluation=where.linked(evaluation),
        )
    finally:  # a model that is refused has its reasons on the page too
        where.page(checks, export_page(where.run.path / "export"))
    where.link(saved_model, exported.path)
    where.page(card, exported.card)
