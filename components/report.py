"""report as a component, the pipeline's exit handler: it runs whatever became of the steps."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(workspace: str, run_id: str, status: dsl.PipelineTaskFinalStatus, report_page: dsl.Output[dsl.HTML]):
    """Draw the run's one page from what the steps left in the workspace, and from how the run ended."""
    from nightshift.steps.context import context
    from nightshift.steps.report import report as step

    where = context(workspace, "", run_id)
    where.page(report_page, step(where.run, failed=status.state != "SUCCEEDED").read_text())
