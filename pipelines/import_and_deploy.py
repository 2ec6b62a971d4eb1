"""From a published SavedModel to its endpoint: import, deploy; a report whatever happens."""

from kfp import dsl

from components.deploy import deploy
from components.image import IMAGE
from components.import_model import import_model
from components.report import report
from pipelines.placement import LARGE, SMALL, in_cluster, with_webhook

RUN_ID = dsl.PIPELINE_JOB_ID_PLACEHOLDER


@dsl.pipeline(name="import-and-deploy")
def import_and_deploy(
    task: str = "detection",
    source: str = "bundled:mtcnn",
    model: str = "",
    image: str = IMAGE,
    workspace: str = "",
    server: str = "",
):
    """Bring in a model that others have trained and published, and release it.

    1. import_model fetches and checks it, adds a signature that takes JPEG and PNG files, and proves it through a model
       server. The same content as that of the serving model: nothing to do.
    2. deploy releases it.
    3. report draws the run's page, also after a failure.

    A SavedModel is a program that runs in the step and in the model server: import only what you trust.

    Args:
        task: what the model does; an imported task of nightshift/tasks.
        source: where it is published: an archive at https:// or gs://, a prefix at gs://, a path, bundled:mtcnn.
        model: name that it is served by; empty: the task's name.
        image: that the steps run in, by digest or by a tag that is never moved.
        workspace: folder shared by the steps; empty: the environment's.
        server: where models are served, HOST:PORT or kubernetes:NAMESPACE; empty: the environment's.
    """
    # No step uses Kubeflow's cache: see train_and_deploy.
    closing = report(workspace=workspace, run_id=RUN_ID).set_display_name("Report").set_caching_options(False)
    in_cluster(closing, image, SMALL)
    with_webhook(closing)
    with dsl.ExitHandler(closing, name="import and deploy"):
        imported = (
            import_model(
                task=task,
                model_name=model,
                source=source,
                workspace=workspace,
                server=server,
                run_id=RUN_ID,
            )
            .set_display_name("Import model")
            .set_caching_options(False)
            .set_retry(num_retries=1, backoff_duration="5s")
        )
        in_cluster(imported, image, LARGE)
        with dsl.If(imported.outputs["Output"] == True, name="something to release"):  # noqa: E712  for kfp
            deployed = (
                deploy(
                    task=task,
                    model_name=model,
                    workspace=workspace,
                    server=server,
                    run_id=RUN_ID,
                    saved_model=imported.outputs["saved_model"],
                )
                .set_display_name("Deploy")
                .set_caching_options(False)
            )
            in_cluster(deployed, image, SMALL)
