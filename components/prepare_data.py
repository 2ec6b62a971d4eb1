"""prepare_data as a component."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(
    task: str,
    model: str,
    data: str,
    preset: str,
    settings: dict,
    seed: int,
    workspace: str,
    server: str,
    run_id: str,
    beam_flags: list,
    dataset: dsl.Output[dsl.Dataset],
    samples: dsl.Output[dsl.HTML],
    image_counts: dsl.Output[dsl.Metrics],
    training_seed: dsl.OutputPath(int),
) -> bool:
    """Prepare the data; returns whether there is anything to train, and with which seed.

    `beam_flags` go to Apache Beam, which then prepares data that are large enough; the image has to have it.
    """
    from nightshift.report.pages import dataset_page
    from nightshift.steps.context import context
    from nightshift.steps.prepare_data import prepare_data as step

    where = context(workspace, server, run_id)
    prepared = step(
        where.run,
        where.workspace,
        where.store,
        task=task,
        model=model or task,
        source=data,
        preset=preset,
        settings=settings,
        seed=seed,
        server=where.server,
        beam_flags=beam_flags,
    )
    where.link(dataset, prepared.place, fingerprint=prepared.dataset.fingerprint)
    where.page(samples, dataset_page(where.run.path / "prepare_data"))
    for name, split in prepared.dataset.manifest.splits.items():
        image_counts.log_metric(f"{name}_images", split.count)
    with open(training_seed, "w") as file:
        file.write(str(prepared.seed))
    return prepared.train
