"""What the images may do: nothing that they do not need."""

import json

import images
import pytest
from installation import Installation
from pods import pod

pytestmark = pytest.mark.cluster

LOOK = """
import json, os
def touch(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
    return "written"
facts = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "user": os.getuid(), "group": os.getgid(), "root": touch("/x"), "code": touch("/app/x"), "tmp": touch("/tmp/x"),
    "capabilities": [int(facts[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
    "no_new_privileges": facts["NoNewPrivs"],
}))
"""


@pytest.mark.parametrize("target", images.TARGETS)
def test_an_image_runs_as_nobody_on_a_root_that_cannot_be_written_without_capabilities(
    installation: Installation, target: str
):
    kubectl, name = installation.asking, f"look-{target}"
    # No user is named: the kubelet takes the image's, and refuses root.
    body = pod(name, target, ["python3", "-c", LOOK])
    assert "runAsUser" not in json.dumps(body)
    kubectl.apply(body)
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    assert json.loads(kubectl("logs", name)) == {
        "user": 65532,
        "group": 65532,
        "root": "Read-only file system",
        "code": "Read-only file system",
        "tmp": "written",
        "capabilities": [0, 0, 0, 0],
        "no_new_privileges": "1",
    }
