"""try_settings as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def try_settings(
    trial: str,
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
    dataset: dsl.Input[dsl.Dataset],
    learning_curves: dsl.Output[dsl.HTML],
    trial_metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Train a trial of a sweep; returns its name, also if it failed. `gpus` to `node_selector` are as for train."""
    from nightshift.report.pages import training_page
    from nightshift.steps.context import context
    from nightshift.steps.sweep_trial import try_settings as step

    where = context(workspace, "", run_id)
    trained = step(
        where.run,
        where.workspace,
        trial=trial,
        task=task,
        preset=preset,
        settings=settings,
        seed=seed,
        dataset=where.linked_dataset(dataset),
    )
    where.page(learning_curves, training_page(where.run.path / trial))
    trial_metrics.log_metric("failed", int(trained is None))
    if trained:
        for name in ("parameters", "epochs", "best_epoch", "best_score", "seconds"):
            trial_metrics.log_metric(name, trained.description[name])
    return trial
