import pytest
from fake_cluster import FakeCluster

from nightshift.errors import ConfigurationError
from nightshift.serving.kubernetes.settings import ServingSettings, read_template


def test_annotations_are_read_and_what_is_not_given_has_a_default():
    found = ServingSettings.of(
        {
            "nightshift/store": "gs://bucket/models/",
            "nightshift/replicas": "3",
            "nightshift/answer-seconds": "0.25",
            "x": "y",
        }
    )
    assert found == ServingSettings(store="gs://bucket/models", replicas=3, answer_seconds=0.25)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("replicas", "0", "a whole number of at least 1"),
        ("replicas", "two", "a whole number"),
        ("keep", "1", "a whole number of at least 2"),
        ("ready-seconds", "-5", "a whole number"),
        ("bake-seconds", "9999999", "a whole number"),
        ("answer-seconds", "0", "a number of seconds"),
        ("answer-seconds", "nan", "a number of seconds"),
        ("store", "models", "an absolute path or gs://BUCKET/PREFIX"),
        ("store", "s3://bucket", "an absolute path"),
        ("replica", "2", "one of nightshift/store, nightshift/replicas"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(key, text, expected):
    with pytest.raises(ConfigurationError, match=f"annotation nightshift/{key}: found '{text}', expected {expected}"):
        ServingSettings.of({f"nightshift/{key}": text})


def test_a_namespace_without_the_template_is_told_so(monkeypatch):
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "get", lambda kind, name: None)
    with pytest.raises(ConfigurationError, match=r"namespace serving: no PodTemplate 'server'.*apply the manifests"):
        read_template(cluster)
