"""deploy as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def deploy(
    task: str,
    model_name: str,
    workspace: str,
    server: str,
    run_id: str,
    saved_model: dsl.Input[dsl.Model],
    released: dsl.Output[dsl.Markdown],
) -> int:
    """Release to the model server: load beside, ask the golden batch, move the label. Returns the version."""
    from nightshift.steps.context import context
    from nightshift.steps.deploy import deploy as step

    where = context(workspace, server, run_id)
    result = step(
        where.run,
        where.store,
        model=model_name or task,
        saved_model=where.linked(saved_model),
        server=where.server,
    )
    before = f"version {result.predecessor}" if result.predecessor else "none"
    where.page(released, f"**{model_name or task}** serves version **{result.version}**; before: {before}.\n")
    return result.version
