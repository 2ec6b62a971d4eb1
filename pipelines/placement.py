"""What a step's Pod has in a cluster: image, workspace, environment, limits, user. The local runner has none of it."""

from typing import Any

from kfp import dsl, kubernetes

CONFIG_MAP = "nightshift"
ENVIRONMENT = (
    "NIGHTSHIFT_WORKSPACE",
    "NIGHTSHIFT_STORE",
    "NIGHTSHIFT_SERVER",
    "NIGHTSHIFT_DATASETS",
    "NIGHTSHIFT_CACHE",
    "NIGHTSHIFT_CHECKPOINTS",
    "NIGHTSHIFT_UI",
)
WEBHOOK_SECRET, WEBHOOK_KEY = "nightshift-webhook", "url"
WORKSPACE_CLAIM, WORKSPACE_PATH = "nightshift-workspace", "/workspace"
SHARED_MEMORY = "2Gi"
USER = 65532
HOUR = 3600

Size = tuple[str, str, str]
"""Processors asked for; processors and memory at most."""
SMALL: Size = ("100m", "1", "1Gi")
LARGE: Size = ("500m", "2", "4Gi")


def in_cluster(task: dsl.PipelineTask, image: Any, size: Size | None, *, seconds: int = 2 * HOUR) -> None:
    """Give a step its image, the workspace, the environment, limits and a user without rights.

    Args:
        task: the step.
        image: a parameter of the pipeline.
        size: None for a step whose limits are parameters.
        seconds: that it may run; also what ends a step whose image cannot be pulled.
    """
    task.set_container_image(image)
    if size:
        request, cpu, memory = size
        task.set_cpu_request(request).set_cpu_limit(cpu).set_memory_request("512Mi").set_memory_limit(memory)
    kubernetes.mount_pvc(task, pvc_name=WORKSPACE_CLAIM, mount_path=WORKSPACE_PATH)
    names = {name: name for name in ENVIRONMENT}
    kubernetes.use_config_map_as_env(task, config_map_name=CONFIG_MAP, config_map_key_to_env=names, optional=True)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.set_timeout(task, seconds)


def with_webhook(task: dsl.PipelineTask) -> None:
    """Give the report the address of a chat's incoming webhook, if the namespace has a Secret with one."""
    kubernetes.use_secret_as_env(task, WEBHOOK_SECRET, {WEBHOOK_KEY: "NIGHTSHIFT_WEBHOOK"}, optional=True)


def on_accelerator(
    task: dsl.PipelineTask, gpus: Any, cpu: Any, memory: Any, tolerations: Any, node_selector: Any
) -> None:
    """Place the train step by parameters of the pipeline; they have to be its inputs, too (kfp resolves them there)."""
    # Left out, the request would be the limit, and no node with other work would take a step of all its processors.
    task.set_cpu_request(LARGE[0]).set_cpu_limit(cpu).set_memory_request(memory).set_memory_limit(memory)
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
    kubernetes.add_toleration_json(task, tolerations)
    kubernetes.add_node_selector_json(task, node_selector)
    # TensorFlow's workers share memory there; a container has 64 MB otherwise.
    kubernetes.empty_dir_mount(
        task, volume_name="shared-memory", mount_path="/dev/shm", medium="Memory", size_limit=SHARED_MEMORY
    )
