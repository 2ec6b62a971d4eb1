"""train as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    task: str,
    preset: str,
    settings: dict,
    seed: int,
    workspace: str,
    run_id: str,
    gpus: str,
    cpu: str,
    memory: str,
    tolerations: list,
    node_selector: dict,
    nodes: int,
    per_node: dict,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    learning_curves: dsl.Output[dsl.HTML],
    training_metrics: dsl.Output[dsl.Metrics],
):
    """Train; `gpus` to `node_selector` say where the Pod runs and what it may use.

    With more than one of `nodes` a TrainJob trains, and `per_node` says the same of its Pods; what is left out there is
    as this Pod's.
    """
    from nightshift.report.pages import training_page
    from nightshift.steps.context import context
    from nightshift.steps.train import train as step
    from nightshift.training.kubernetes import Nodes

    where = context(workspace, "", run_id)
    own = {"gpus": gpus, "cpu": cpu, "memory": memory, "tolerations": tolerations, "node_selector": node_selector}
    trained = step(
        where.run,
        where.workspace,
        task=task,
        preset=preset,
        settings=settings,
        seed=seed,
        dataset=where.linked_dataset(dataset),
        nodes=Nodes.of(nodes, own, per_node),
    )
    where.link(model, trained.path, recipe=trained.path.name)
    where.page(learning_curves, training_page(where.run.path / "train"))
    for name in ("parameters", "epochs", "best_score", "seconds", "cpu_seconds"):
        training_metrics.log_metric(name, trained.description[name])
