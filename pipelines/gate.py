"""The end of a pipeline that trains: evaluate, and if that blesses the model, export and deploy."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from pipelines.placement import LARGE, SMALL, in_cluster


def through_the_gate(
    *, task: Any, model: Any, seed: Any, image: Any, server: Any, where: Mapping[str, Any], dataset: Any, trained: Any
) -> None:
    """Add those steps to the pipeline that is being built; what they are given are its parameters and outputs.

    Args:
        task: name.
        model: name of the served model.
        seed: of the run.
        image: that the steps run in.
        server: where models are served.
        where: the parameters `workspace` and `run_id` of a step.
        dataset: its test split judges.
        trained: the candidate.
    """
    judged = (
        evaluate(task=task, model_name=model, seed=seed, server=server, dataset=dataset, model=trained, **where)
        .set_display_name("Evaluate")
        .set_caching_options(False)
        .set_retry(num_retries=1, backoff_duration="5s")
    )
    in_cluster(judged, image, LARGE)
    with dsl.If(judged.outputs["Output"] == True, name="good enough"):  # noqa: E712  a comparison for kfp
        exported = (
            export(
                task=task,
                model_name=model,
                seed=seed,
                dataset=dataset,
                model=trained,
                evaluation=judged.outputs["evaluation"],
                **where,
            )
            .set_display_name("Export")
            .set_caching_options(False)
            .set_retry(num_retries=1, backoff_duration="5s")
        )
        in_cluster(exported, image, LARGE)
        deployed = (
            deploy(task=task, model_name=model, server=server, saved_model=exported.outputs["saved_model"], **where)
            .set_display_name("Deploy")
            .set_caching_options(False)
        )
        in_cluster(deployed, image, SMALL)
