import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from server_flags import FLAGS

from nightshift.errors import ConfigurationError
from nightshift.protos import model_server_config_pb2
from nightshift.serving.kubernetes.history import History, Served
from nightshift.serving.kubernetes.names import INSTANCE, MANAGED_BY, VERSION, Names, number
from nightshift.serving.kubernetes.objects import (
    CONFIG_FILE,
    CONFIG_FOLDER,
    DRAIN_SECONDS,
    GRACE_SECONDS,
    config_map,
    deployment,
    disruption_budget,
    first_size,
    flags,
    models_config,
    service,
    service_change,
)
from nightshift.serving.kubernetes.settings import ServingSettings

NAMES = Names.of("digits")
VERSIONS = st.integers(1, 2**63 - 1)
MODELS = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,28}[a-zA-Z0-9]", fullmatch=True)


def template(**container):
    spec = {"containers": [{"name": "server", "image": "server:1", **container}], "serviceAccountName": "server"}
    return {"metadata": {"labels": {"team": "vision"}}, "spec": spec}


def made(pod_template=None, replicas=2, **settings):
    return deployment(
        NAMES,
        7,
        pod_template or template(),
        ServingSettings(**settings),
        replicas=replicas,
        configuration="digits-v7-abc",
        facts={"metrics": {"accuracy": 0.5}, "recipe": "r"},
    )


@given(MODELS, VERSIONS)
def test_every_model_has_names_that_the_cluster_takes(model, version):
    names = Names.of(model)
    # A Pod's name is the Deployment's with 17 characters behind, and labels take 63.
    assert len(names.version(version)) + 17 <= 68
    assert names.slug.islower()
    assert set(names.slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert names.slug[0].isalpha()
    assert number(names.labels(version)[VERSION]) == version


@pytest.mark.parametrize("model", ["", "1st", "_m", "m_", "-m", "m.n", "m/n", "grün", "m" * 31, "m\n"])
def test_a_name_that_a_service_cannot_have_is_refused(model):
    with pytest.raises(ConfigurationError, match="cannot be the name of a Service"):
        Names.of(model)


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "1e3", "01", "x", "1" * 20, "\uff11"])
def test_what_is_no_version(text):
    assert number(text) == 0


def test_every_flag_is_one_of_the_model_server():
    for flag in flags():
        name, sign, value = flag.partition("=")
        assert name.removeprefix("--") in FLAGS
        assert sign
        assert value


@given(MODELS, VERSIONS, st.sampled_from(["/models", "gs://bucket/prefix", "/a folder/ü"]))
def test_the_model_servers_configuration_names_one_version_and_its_label(model, version, store):
    text = models_config(model, version, store)
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (found,) = config.model_config_list.config
    assert found.name == model
    assert found.base_path == f"{store}/{model}"
    assert found.model_platform == "tensorflow"
    assert list(found.model_version_policy.specific.versions) == [version]
    assert dict(found.version_labels) == {"stable": version}


def test_a_configuration_is_named_by_its_content_and_immutable():
    one, same, other = (config_map(NAMES, 7, root) for root in ("/models", "/models", "gs://b"))
    assert one == same
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert one["metadata"]["name"].startswith("digits-v7-")
    assert one["immutable"] is True


def test_a_deployment_adds_what_is_the_versions_own():
    found = made()
    pod = found["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert found["metadata"]["name"] == "digits-v7"
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["selector"]["matchLabels"] == {INSTANCE: "digits", VERSION: "7"}
    assert found["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["team"] == "vision"
    assert pod["metadata"]["labels"][MANAGED_BY] == "nightshift"
    assert pod["spec"]["serviceAccountName"] == "server"
    assert f"--model_config_file={CONFIG_FOLDER}/{CONFIG_FILE}" in container["args"]
    assert container["volumeMounts"][-1]["mountPath"] == CONFIG_FOLDER
    assert pod["spec"]["volumes"][-1]["configMap"] == {"name": "digits-v7-abc"}
    assert [port["containerPort"] for port in container["ports"]] == [8500, 8501]


def test_probes_ask_for_the_label_and_the_health_service():
    (container,) = made(ready_seconds=100)["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v1/models/digits/labels/stable/metadata", "port": 8501}
    startup = container["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] > 100, "the release gives up first"
    assert container["livenessProbe"]["grpc"] == {"port": 8500}


def test_a_pod_serves_on_until_connections_have_aged():
    pod = made()["spec"]["template"]["spec"]
    drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 2 * 2 < drain == DRAIN_SECONDS < GRACE_SECONDS == pod["terminationGracePeriodSeconds"]


def test_the_namespaces_own_arguments_stay_in_front():
    (container,) = made(template(args=["--num_load_threads=2"]))["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--num_load_threads=2", *flags()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"args": ["--port=9000"]}, "args: --port=9000"),
        ({"ports": [{"containerPort": 1}]}, "ports"),
        ({"readinessProbe": {"httpGet": {}}}, "readinessProbe"),
        ({"lifecycle": {"preStop": {}}}, "lifecycle"),
    ],
)
def test_a_template_that_sets_what_a_release_sets_is_refused(change, said):
    with pytest.raises(ConfigurationError, match=f"container server: {said}: a release sets it"):
        made(template(**change))


def test_a_template_without_the_model_server_is_refused():
    with pytest.raises(ConfigurationError, match="found none of the name 'server'"):
        made({"spec": {"containers": [{"name": "proxy"}]}})


def test_the_template_itself_is_not_changed():
    given_template = template()
    made(given_template)
    assert given_template == template()


def test_half_of_the_pods_survive_a_drained_node():
    budget = disruption_budget(NAMES, 7)
    assert budget["spec"]["minAvailable"] == "50%"
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["spec"]["selector"]["matchLabels"] == made()["spec"]["selector"]["matchLabels"]


def test_a_switch_changes_the_selector_and_the_history_in_one_state_only():
    found = service(NAMES, 7, History((Served(7, "then"),)))
    found["metadata"]["resourceVersion"] = "12"
    found["spec"]["selector"]["track"] = "canary"
    history = History((Served(7, "then"), Served(8, "now")))
    change = service_change(found, NAMES, 8, history)
    assert change["metadata"]["resourceVersion"] == "12"
    assert change["metadata"]["annotations"] == history.annotations()
    assert change["spec"]["selector"] == {INSTANCE: "digits", VERSION: "8", "track": None}


@pytest.mark.parametrize(
    ("blue", "setting", "expected"),
    [
        (None, 2, 2),
        ((5, "2"), 2, 5),  # scaled by a person or by autoscaling
        ((2, "2"), 3, 3),  # the setting was changed since
        ((3, "3"), 1, 1),
        ((0, "2"), 2, 2),
    ],
)
def test_how_many_pods_a_version_begins_with(blue, setting, expected):
    if blue:
        blue = {"metadata": {"annotations": {"nightshift/replicas": blue[1]}}, "spec": {"replicas": blue[0]}}
    assert first_size(blue, ServingSettings(replicas=setting)) == expected
