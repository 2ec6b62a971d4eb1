"""From a task's data to its endpoint: prepare, train, evaluate, export, deploy; a report whatever happens."""

from kfp import dsl

from components.image import IMAGE
from components.prepare_data import prepare_data
from components.report import report
from components.train import train
from pipelines.gate import through_the_gate
from pipelines.placement import HOUR, LARGE, SMALL, in_cluster, on_accelerator, with_webhook

RUN_ID = dsl.PIPELINE_JOB_ID_PLACEHOLDER


@dsl.pipeline(name="train-and-deploy")
def train_and_deploy(
    task: str = "digits",
    model: str = "",
    data: str = "",
    preset: str = "default",
    settings: dict = {},  # noqa: B006  kfp reads defaults, it never changes them
    seed: int = 0,
    image: str = IMAGE,
    train_image: str = IMAGE,
    train_gpus: str = "0",
    train_cpu: str = "2",
    train_memory: str = "4Gi",
    train_tolerations: list = [],  # noqa: B006
    train_node_selector: dict = {},  # noqa: B006
    train_nodes: int = 1,
    train_per_node: dict = {},  # noqa: B006
    beam_flags: list = [],  # noqa: B006
    workspace: str = "",
    server: str = "",
):
    """Train a task's model and release it if it is good enough and better than the one that serves.

    1. prepare_data reads and checks the data. Same data, settings and code as the serving model: nothing to do, unless
       live requests have drifted from what that was validated on: then it is trained once with the next seed.
    2. train makes the network; evaluate judges it on the test split.
    3. If it is blessed, export writes the SavedModel and deploy releases it.
    4. report draws the run's page, also after a failure.

    Args:
        task: what is learnt; a file of nightshift/tasks.
        model: name that the result is served by; empty: the task's name.
        data: where the data are; empty: the task's own.
        preset: network and settings of the training.
        settings: changes to the preset, name -> value.
        seed: of data, weights, order and random changes.
        image: that the steps run in, by digest or by a tag that is never moved.
        train_image: that the train step runs in; on GPUs nightshift/train-gpu.
        train_gpus: number of GPUs of the train step.
        train_cpu: processors of the train step.
        train_memory: memory of the train step.
        train_tolerations: taints of nodes that the train step may run on, as in a Pod.
        train_node_selector: labels of nodes that the train step has to run on.
        train_nodes: that train together; more than 1: a TrainJob trains, and the train step follows it.
        train_per_node: of a TrainJob's nodes, gpus, cpu, memory, tolerations, node_selector; else as the train step's.
        beam_flags: of Apache Beam, which prepares large data with them; image has to be one with Beam in it.
        workspace: folder shared by the steps; empty: the environment's.
        server: where models are served, HOST:PORT or kubernetes:NAMESPACE; empty: the environment's.
    """
    # No step uses Kubeflow's cache: its key has neither the code in the image nor what serves now. The steps know
    # themselves what has been done before, by content (nightshift.provenance).
    closing = report(workspace=workspace, run_id=RUN_ID).set_display_name("Report").set_caching_options(False)
    in_cluster(closing, image, SMALL)
    with_webhook(closing)
    with dsl.ExitHandler(closing, name="train and deploy"):
        prepared = (
            prepare_data(
                task=task,
                model=model,
                data=data,
                preset=preset,
                settings=settings,
                seed=seed,
                workspace=workspace,
                server=server,
                run_id=RUN_ID,
                beam_flags=beam_flags,
            )
            .set_display_name("Prepare data")
            .set_caching_options(False)
            .set_retry(num_retries=1, backoff_duration="5s")
        )
        in_cluster(prepared, image, LARGE, seconds=24 * HOUR)
        with dsl.If(prepared.outputs["Output"] == True, name="something to train"):  # noqa: E712  a comparison for kfp
            trained = (
                train(
                    task=task,
                    preset=preset,
                    settings=settings,
                    seed=prepared.outputs["training_seed"],
                    workspace=workspace,
                    run_id=RUN_ID,
                    gpus=train_gpus,
                    cpu=train_cpu,
                    memory=train_memory,
                    tolerations=train_tolerations,
                    node_selector=train_node_selector,
                    nodes=train_nodes,
                    per_node=train_per_node,
                    dataset=prepared.outputs["dataset"],
                )
                .set_display_name("Train")
                .set_caching_options(False)
                .set_retry(num_retries=2, backoff_duration="5s")
            )
            in_cluster(trained, train_image, None, seconds=24 * HOUR)
            on_accelerator(trained, train_gpus, train_cpu, train_memory, train_tolerations, train_node_selector)
            through_the_gate(
                task=task,
                model=model,
                seed=seed,
                image=image,
                server=server,
                where={"workspace": workspace, "run_id": RUN_ID},
                dataset=prepared.outputs["dataset"],
                trained=trained.outputs["model"],
            )
