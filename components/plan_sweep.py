"""plan_sweep as a component."""

from typing import List  # noqa: UP035  kfp reads the annotation

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan_sweep(
    task: str,
    model: str,
    data: str,
    preset: str,
    settings: dict,
    tried: dict,
    samples: int,
    seed: int,
    workspace: str,
    server: str,
    run_id: str,
    dataset: dsl.Output[dsl.Dataset],
    data_page: dsl.Output[dsl.HTML],
    image_counts: dsl.Output[dsl.Metrics],
) -> List[str]:  # noqa: UP006
    """Prepare the data and plan the trials; returns their names."""
    from nightshift.report.pages import dataset_page
    from nightshift.steps.context import context
    from nightshift.steps.sweep_plan import plan_sweep as step

    where = context(workspace, server, run_id)
    planned = step(
        where.run,
        where.workspace,
        where.store,
        task=task,
        model=model or task,
        source=data,
        preset=preset,
        settings=settings,
        tried=tried,
        samples=samples,
        seed=seed,
        server=where.server,
    )
    where.link(dataset, planned.place, fingerprint=planned.dataset.fingerprint)
    where.page(data_page, dataset_page(where.run.path / "prepare_data"))
    for name, split in planned.dataset.manifest.splits.items():
        image_counts.log_metric(f"{name}_images", split.count)
    return list(planned.plan.trials)
