import pytest

from nightshift.serving.kubernetes.drift import edits


def owned(manager, fields, **entry):
    fields = {"manager": manager, "operation": "Update", "time": "2026-11-22T10:00:00Z", "fieldsV1": fields} | entry
    return {"kind": "Deployment", "metadata": {"name": "m-v1", "managedFields": [fields]}}


REPLICAS = {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize("manager", ["nightshift", "kube-controller-manager", "kubelet", "vpa-updater"])
def test_our_own_changes_and_the_controllers_are_none(manager):
    assert edits(owned(manager, REPLICAS)) == []


def test_a_status_is_nobodys_edit():
    assert edits(owned("kubectl", {"f:status": {"f:replicas": {}}}, subresource="status")) == []


def test_who_changed_what_and_when():
    assert edits(owned("kubectl-edit", REPLICAS)) == [
        "Deployment m-v1: spec.replicas, by kubectl-edit, 2026-11-22T10:00:00Z"
    ]


def test_scaling_by_hand_has_no_time():
    (found,) = edits(owned("kubectl", REPLICAS, subresource="scale") | {"kind": "Deployment"})
    assert found.startswith("Deployment m-v1: spec.replicas, by kubectl")


def test_fields_of_a_container_are_named():
    image = {"f:containers": {'k:{"name":"server"}': {".": {}, "f:image": {}}}}
    (found,) = edits(owned("kubectl-set", {"f:spec": {"f:template": {"f:spec": image}}}))
    assert "spec.template.spec.containers[name=server].image, by kubectl-set" in found


def test_a_note_is_no_drift_and_our_annotations_are():
    note = {"f:metadata": {"f:annotations": {"f:note": {}}}}
    assert edits(owned("kubectl-annotate", note)) == []
    ours = {"f:metadata": {"f:annotations": {"f:nightshift/served": {}}}}
    assert "metadata.annotations.nightshift/served" in edits(owned("kubectl-annotate", ours))[0]


def test_many_fields_are_counted():
    (found,) = edits(owned("somebody", {"f:spec": {f"f:field{number}": {} for number in range(20)}}))
    assert "and 14 more" in found


def test_an_object_without_owners():
    assert edits({"kind": "Service", "metadata": {"name": "m"}}) == []
