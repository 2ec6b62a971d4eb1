"""Settings of a preset tried side by side; the best trained on more of the data, judged, released."""

from typing import Any

from kfp import dsl

from components.choose_settings import choose_settings
from components.image import IMAGE
from components.plan_sweep import plan_sweep
from components.report import report
from components.train import train
from components.try_settings import try_settings
from pipelines.gate import through_the_gate
from pipelines.placement import HOUR, LARGE, SMALL, in_cluster, on_accelerator, with_webhook

RUN_ID = dsl.PIPELINE_JOB_ID_PLACEHOLDER
PARALLEL = 4
"""Trials at a time in a cluster; Kubeflow Pipelines compiles the number in."""

EXAMPLE = {"learning_rate": "3e-4, 1e-3, 3e-3"}


def sweep_of(parallel: int, retries: int = 2) -> Any:
    """The pipeline.

    Args:
        parallel: trials at a time, at most; kfp's local runner has two threads for them.
        retries: of a trial whose process was killed; one that fails by itself is recorded and not tried again.
    """

    @dsl.pipeline(name="sweep-and-deploy")
    def sweep_and_deploy(
        task: str = "digits",
        model: str = "",
        data: str = "",
        preset: str = "default",
        settings: dict = {},  # noqa: B006  kfp reads defaults, it never changes them
        tried: dict = EXAMPLE,
        samples: int = 0,
        seed: int = 0,
        image: str = IMAGE,
        train_image: str = IMAGE,
        train_gpus: str = "0",
        train_cpu: str = "2",
        train_memory: str = "4Gi",
        train_tolerations: list = [],  # noqa: B006
        train_node_selector: dict = {},  # noqa: B006
        workspace: str = "",
        server: str = "",
    ):
        """Try settings of a preset, train the best on train and validation images, release it if it is good enough.

        1. plan_sweep checks what is to be tried and prepares the data.
        2. try_settings trains a trial on the training split, one step each. One that fails is recorded as such.
        3. choose_settings compares them by the validation split and draws their table and plot.
        4. train makes the network of the best settings anew, on train and validation images together.
        5. evaluate, export, deploy: as in train_and_deploy. Only here the test split is looked at, once.
        6. report draws the run's page, also after a failure.

        Args:
            task: what is learnt; a file of nightshift/tasks.
            model: name that the result is served by; empty: the task's name.
            data: where the data are; empty: the task's own.
            preset: network and settings that the trials change.
            settings: changes to the preset that all trials share, name -> value.
            tried: setting -> its values: a list 16,25,32 or, for random samples, a range 1e-4..1e-2.
            samples: number of random trials; 0: every combination of the lists.
            seed: of samples, data, weights, order and random changes.
            image: that the steps run in, by digest or by a tag that is never moved.
            train_image: that the train steps run in; on GPUs nightshift/train-gpu.
            train_gpus: number of GPUs of each train step.
            train_cpu: processors of each train step.
            train_memory: memory of each train step.
            train_tolerations: taints of nodes that the train steps may run on, as in a Pod.
            train_node_selector: labels of nodes that the train steps have to run on.
            workspace: folder shared by the steps; empty: the environment's.
            server: where models are served, HOST:PORT or kubernetes:NAMESPACE; empty: the environment's.
        """
        # As in train_and_deploy: no step uses Kubeflow's cache, the steps know by content what has been done.
        where = {"workspace": workspace, "run_id": RUN_ID}
        pod = {
            "gpus": train_gpus,
            "cpu": train_cpu,
            "memory": train_memory,
            "tolerations": train_tolerations,
            "node_selector": train_node_selector,
        }
        closing = report(**where).set_display_name("Report").set_caching_options(False)
        in_cluster(closing, image, SMALL)
        with_webhook(closing)
        with dsl.ExitHandler(closing, name="sweep"):
            planned = (
                plan_sweep(
                    task=task,
                    model=model,
                    data=data,
                    preset=preset,
                    settings=settings,
                    tried=tried,
                    samples=samples,
                    seed=seed,
                    server=server,
                    **where,
                )
                .set_display_name("Plan and prepare data")
                .set_caching_options(False)
                .set_retry(num_retries=1, backoff_duration="5s")
            )
            in_cluster(planned, image, LARGE)
            with dsl.ParallelFor(planned.outputs["Output"], name="trials", parallelism=parallel) as trial:
                tried_one = (
                    try_settings(
                        trial=trial,
                        task=task,
                        preset=preset,
                        settings=settings,
                        seed=seed,
                        dataset=planned.outputs["dataset"],
                        **where,
                        **pod,
                    )
                    .set_display_name("Try")
                    .set_caching_options(False)
                    .set_retry(num_retries=retries, backoff_duration="5s")
                )
                in_cluster(tried_one, train_image, None, seconds=24 * HOUR)
                on_accelerator(tried_one, **pod)
            chosen = (
                choose_settings(
                    task=task,
                    model_name=model,
                    preset=preset,
                    settings=settings,
                    seed=seed,
                    trials=dsl.Collected(tried_one.outputs["Output"]),
                    server=server,
                    dataset=planned.outputs["dataset"],
                    **where,
                )
                .set_display_name("Choose")
                .set_caching_options(False)
                .set_retry(num_retries=1, backoff_duration="5s")
            )
            in_cluster(chosen, image, LARGE)
            with dsl.If(chosen.outputs["Output"] == True, name="something to train"):  # noqa: E712  for kfp
                trained = (
                    train(
                        task=task,
                        preset=preset,
                        settings=chosen.outputs["best_settings"],
                        seed=seed,
                        nodes=1,
                        per_node={},
                        dataset=chosen.outputs["merged"],
                        **where,
                        **pod,
                    )
                    .set_display_name("Train the best")
                    .set_caching_options(False)
                    .set_retry(num_retries=2, backoff_duration="5s")
                )
                in_cluster(trained, train_image, None, seconds=24 * HOUR)
                on_accelerator(trained, **pod)
                through_the_gate(
                    task=task,
                    model=model,
                    seed=seed,
                    image=image,
                    server=server,
                    where=where,
                    dataset=planned.outputs["dataset"],
                    trained=trained.outputs["model"],
                )

    return sweep_and_deploy


sweep_and_deploy = sweep_of(PARALLEL)
