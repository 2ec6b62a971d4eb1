"""choose_settings as a component."""

from typing import List  # noqa: UP035  kfp reads the annotation

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def choose_settings(
    task: str,
    model_name: str,
    preset: str,
    settings: dict,
    seed: int,
    trials: List[str],  # noqa: UP006
    workspace: str,
    server: str,
    run_id: str,
    dataset: dsl.Input[dsl.Dataset],
    merged: dsl.Output[dsl.Dataset],
    best_settings: dsl.OutputPath(dict),
    comparison: dsl.Output[dsl.HTML],
    sweep_metrics: dsl.Output[dsl.Metrics],
) -> bool:
    """Choose the best of the `trials`, which have ended; returns whether there is anything to train."""
    import json

    from nightshift.report.pages import sweep_page
    from nightshift.steps.context import context
    from nightshift.steps.sweep_choice import choose_settings as step

    where = context(workspace, server, run_id)
    choice = step(
        where.run,
        where.workspace,
        where.store,
        task=task,
        model=model_name or task,
        preset=preset,
        settings=settings,
        seed=seed,
        dataset=where.linked_dataset(dataset),
        server=where.server,
    )
    where.link(merged, choice.place, fingerprint=choice.dataset.fingerprint)
    where.page(comparison, sweep_page(where.run))
    best = choice.trials[0]
    figures = {"trials": len(trials), "best_score": best.score, "best_loss": best.loss, "parameters": best.parameters}
    figures |= {"failed_trials": sum(not trial.trained for trial in choice.trials)}
    for name, value in figures.items():
        sweep_metrics.log_metric(name, value)
    with open(best_settings, "w") as file:
        json.dump(choice.settings, file)
    return choice.train
