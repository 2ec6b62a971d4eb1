"""import_model as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def import_model(
    task: str,
    model_name: str,
    source: str,
    workspace: str,
    server: str,
    run_id: str,
    saved_model: dsl.Output[dsl.Model],
    card: dsl.Output[dsl.Markdown],
) -> bool:
    """Check a published SavedModel, add a bytes signature, prove it; returns whether there is anything to release."""
    from nightshift.steps.context import context
    from nightshift.steps.import_model import import_model as step

    where = context(workspace, server, run_id)
    imported = step(
        where.run,
        where.workspace,
        where.store,
        task=task,
        model=model_name or task,
        source=source,
        server=where.server,
    )
    where.link(saved_model, imported.saved_model)
    where.page(card, imported.card or f"{imported.reason}\n")
    return imported.due
