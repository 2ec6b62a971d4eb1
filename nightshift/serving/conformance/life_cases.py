"""The life of versions and configurations: what loads, what is unloaded, what a new configuration changes."""

import numpy as np

from nightshift.protos import model_server_config_pb2
from nightshift.serving.conformance.case import Cases, Need
from nightshift.serving.conformance.expectations import equal, eventually, refused
from nightshift.serving.conformance.folder import MODEL
from nightshift.serving.conformance.models import WARMUP_FILE, half_plus, warmup
from nightshift.serving.conformance.server import Scene, Server, floats, predict_request

case = Cases()

RELOAD = "model_servers/server_core.cc: ReloadConfig"
LABELS = "model_servers/server_core.cc: UpdateModelVersionLabelMap"
SOURCE = "sources/storage_path/file_system_storage_path_source.cc"
POLICY = "core/availability_preserving_policy.cc"
WARMUP = "servables/tensorflow/saved_model_warmup_util.cc"
LOADER = "tensorflow/cc/saved_model/reader.cc"
ALL: dict[str, dict[str, int]] = {"all": {}}


def _bad_labels(version: int) -> str:
    return f"^Request to assign label to version {version} of model .*not currently available for inference$"


@case(21, RELOAD, Need.FOLDER)
def a_new_configuration_replaces_the_old_one(server: Server) -> None:
    """HandleReloadConfigRequest answers when the new model does; a model that is no longer listed is gone, and END."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        equal("y of the new model", scene.predict(2), 11.0)
        equal("y of the one that stays", server.connection.predict(2), 3.0)
        scene.leave()
        scene.becomes({1: "END"})
        pattern = rf"^Servable not found for request: Latest\({scene.name}\)$"
        refused("NOT_FOUND", pattern, scene.predict, 2)
        equal("y of the one that stays", server.connection.predict(2), 3.0)


@case(22, LABELS, Need.FOLDER)
def a_label_is_not_moved_to_a_version_that_is_not_loaded(server: Server) -> None:
    """With the flag for it, a new label may name a missing version, but one that is there may not be moved to one."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve({"live": 1, "next": 7})
        equal("y of live", scene.predict(2, label="live"), 11.0)
        missing = rf"^Servable not found for request: Specific\({scene.name}, 7\)$"
        refused("NOT_FOUND", missing, scene.predict, 2, label="next")
        refused("FAILED_PRECONDITION", _bad_labels(7), scene.serve, {"live": 7})
        equal("y of live after the refusal", scene.predict(2, label="live"), 11.0)


@case(23, f"{POLICY}; core/loader_harness.cc", Need.FOLDER)
def a_broken_version_leaves_the_one_before_serving(server: Server) -> None:
    """Under `latest`, version 2 without a graph is END with its error, and 1 goes on as if nothing was."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        (scene.path / "2" / "variables").mkdir(parents=True)
        scene.becomes({1: "AVAILABLE", 2: "END NOT_FOUND"})
        equal("y", scene.predict(2), 11.0)


@case(24, SOURCE, Need.FOLDER)
def names_that_are_no_numbers_are_passed_over_and_a_removed_version_gives_way(server: Server) -> None:
    """Of 1, 2 and `3-new`, 2 serves; when its folder is gone, 1 does, and 2 is END."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.publish(2, 20)
        scene.publish("3-new", 30)
        scene.serve()
        equal("y", scene.predict(2), 21.0)
        scene.remove(2)
        scene.becomes({1: "AVAILABLE", 2: "END"})
        equal("y without version 2", scene.predict(2), 11.0)


@case(25, f"{WARMUP}: RunSavedModelWarmupUntracked", Need.FOLDER)
def a_damaged_warm_up_file_fails_the_load(server: Server) -> None:
    """Version 2, whose warm-up file is no TFRecord, is END with DATA_LOSS; 1 goes on."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        scene.publish(2, 20, {WARMUP_FILE: b"this is no TFRecord, whatever else it is"})
        scene.becomes({1: "AVAILABLE", 2: "END DATA_LOSS"})
        equal("y", scene.predict(2), 11.0)


@case(44, f"{RELOAD}; server.cc: PollFilesystemAndReloadConfig", Need.FOLDER, Need.POLLING)
def a_configuration_file_is_followed(server: Server) -> None:
    """A model that is added to the file serves without any call, and is gone when the file no longer has it."""
    assert server.polling is not None
    with server.followed_scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        scene.becomes({1: "AVAILABLE"})
        equal("y", scene.predict(2), 11.0)
        equal("y of the one that stays", server.polling.predict(2), 3.0)
        scene.leave()
        scene.becomes({1: "END"})
        refused("NOT_FOUND", rf"Latest\({scene.name}\)$", scene.predict, 2)


@case(45, LABELS, Need.FOLDER, Need.POLLING)
def without_the_flag_no_label_may_name_a_missing_version(server: Server) -> None:
    """FAILED_PRECONDITION for a label of a version that is not loaded, be it new or not."""
    assert server.polling is not None
    with server.followed_scene() as scene:
        scene.publish(1, 10)
        config = scene.beside(scene.config({"next": 1}))
        connection = server.polling
        refused("FAILED_PRECONDITION", _bad_labels(1), connection.reload, config)
        equal("y of the one that stays", connection.predict(2), 3.0)


@case(46, f"{SOURCE}: AspireAllVersions", Need.FOLDER)
def the_policy_all_serves_every_version(server: Server) -> None:
    """1, 2 and 3 at once."""
    with server.scene() as scene:
        for version in (1, 2, 3):
            scene.publish(version, 10 * version)
        scene.serve(policy=ALL)
        scene.becomes({1: "AVAILABLE", 2: "AVAILABLE", 3: "AVAILABLE"})
        equal("y of each", [scene.predict(2, version=version) for version in (1, 2, 3)], [11.0, 21.0, 31.0])


@case(47, f"{SOURCE}: AspireLatestVersions", Need.FOLDER)
def the_policy_latest_serves_as_many_as_it_says(server: Server) -> None:
    """Of 1, 2 and 3 the latest two; when 4 comes, 3 and 4, and 2 is END. Version 1 is never heard of."""
    with server.scene() as scene:
        for version in (1, 2, 3):
            scene.publish(version, 10 * version)
        scene.serve(policy={"latest": {"num_versions": 2}})
        scene.becomes({2: "AVAILABLE", 3: "AVAILABLE"})
        scene.publish(4, 40)
        scene.becomes({2: "END", 3: "AVAILABLE", 4: "AVAILABLE"})
        equal("y", scene.predict(2), 41.0)


@case(48, f"{SOURCE}: AspireSpecificVersions", Need.FOLDER)
def the_policy_specific_serves_what_it_names(server: Server) -> None:
    """Of 1, 2 and 3 those two that are named, 1 and 2; then 3 alone, and 1 and 2 are END."""
    with server.scene() as scene:
        for version in (1, 2, 3):
            scene.publish(version, 10 * version)
        scene.serve(policy={"specific": {"versions": [1, 2]}})
        scene.becomes({1: "AVAILABLE", 2: "AVAILABLE"})
        equal("y", scene.predict(2), 21.0)
        scene.serve(policy={"specific": {"versions": [3]}})
        scene.becomes({1: "END", 2: "END", 3: "AVAILABLE"})
        equal("y", scene.predict(2), 31.0)


@case(49, LABELS, Need.FOLDER)
def a_label_moves_between_loaded_versions(server: Server) -> None:
    """One new configuration moves it, and the next request follows; the version it leaves stays loaded."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.publish(2, 20)
        scene.serve(policy=ALL)
        scene.becomes({1: "AVAILABLE", 2: "AVAILABLE"})
        for version in (1, 2, 1):
            scene.serve({"live": version}, ALL)
            equal(f"y of live on version {version}", scene.predict(2, label="live"), 1.0 + 10 * version)
        scene.becomes({1: "AVAILABLE", 2: "AVAILABLE"})


@case(50, f"{POLICY}; core/servable_state_monitor.cc", Need.FOLDER)
def a_newer_version_takes_over_and_the_old_one_is_kept_as_end(server: Server) -> None:
    """Version 2 comes into the folder and serves; 1 stays in the status as END without an error, and is NOT_FOUND."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        equal("y of version 1", scene.predict(2), 11.0)
        scene.publish(2, 20)
        scene.becomes({1: "END", 2: "AVAILABLE"})
        equal("y of version 2", scene.predict(2), 21.0)
        refused("NOT_FOUND", rf"Specific\({scene.name}, 1\)$", scene.predict, 2, version=1)
        found = [
            (one.version, one.status.error_message) for one in server.connection.status(scene.name).model_version_status
        ]
        equal("versions in order, with their errors", found, [(2, ""), (1, "")])


@case(51, LOADER, Need.FOLDER)
def a_model_that_cannot_be_loaded_fails_the_configuration(server: Server) -> None:
    """A new model whose only version has no graph: UNKNOWN '1 model(s) did not become available', and END."""
    with server.scene() as scene:
        (scene.path / "1").mkdir(parents=True)
        refused("UNKNOWN", r"^1 model\(s\) did not become available: ", scene.serve)
        scene.becomes({1: "END NOT_FOUND"})
        equal("y of the one that stays", server.connection.predict(2), 3.0)


@case(52, f"{LOADER}: ReadSavedModel", Need.FOLDER)
def a_graph_that_is_cut_short_is_refused(server: Server) -> None:
    """Version 2, half of whose saved_model.pb is there, is END with DATA_LOSS, and 1 goes on."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        whole = scene.publish("2-new", 20)
        graph = whole / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
        whole.rename(scene.path / "2")
        scene.becomes({1: "AVAILABLE", 2: "END DATA_LOSS"})
        equal("y", scene.predict(2), 11.0)


@case(53, "TensorFlow Serving knows no manifests, and serves what it can parse", Need.FOLDER, Need.EMBEDDED)
def a_folder_that_is_not_what_its_manifest_says_is_refused(server: Server) -> None:
    """Another model's graph under this one's manifest is END with DATA_LOSS; a file that is missing NOT_FOUND."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        other = scene.publish("2-new", 20)
        (other / "saved_model.pb").write_bytes(half_plus(30))
        other.rename(scene.path / "2")
        scene.becomes({1: "AVAILABLE", 2: "END DATA_LOSS"})
        short = scene.publish("3-new", 30, {"assets/classes.txt": b"a b c"})
        (short / "assets" / "classes.txt").unlink()
        short.rename(scene.path / "3")
        scene.becomes({1: "AVAILABLE", 2: "END DATA_LOSS", 3: "END NOT_FOUND"})
        equal("y", scene.predict(2), 11.0)


@case(54, f"{WARMUP}: RunSavedModelWarmupUntracked", Need.FOLDER)
def warm_up_requests_run_before_a_version_serves(server: Server) -> None:
    """Version 2, whose warm-up requests the model answers, serves; 3, one of whose requests it refuses, is END."""
    with server.scene() as scene:
        good, bad = floats(2), np.ones((1, 1), np.float32)
        scene.publish(1, 10)
        scene.serve()
        scene.publish(2, 20, {WARMUP_FILE: warmup([good, good])})
        scene.becomes({1: "END", 2: "AVAILABLE"})
        equal("y", scene.predict(2), 21.0)
        scene.publish(3, 30, {WARMUP_FILE: warmup([good, bad])})
        scene.becomes({1: "END", 2: "AVAILABLE", 3: "END INVALID_ARGUMENT"})
        equal("y", scene.predict(2), 21.0)


@case(55, f"{WARMUP}: kMaxNumRecords", Need.FOLDER)
def more_than_a_thousand_warm_up_requests_are_refused(server: Server) -> None:
    """Version 2 with 1,001 of them is END with INVALID_ARGUMENT."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        scene.publish(2, 20, {WARMUP_FILE: warmup([floats(2)] * 1001)})
        scene.becomes({1: "AVAILABLE", 2: "END INVALID_ARGUMENT"})


@case(56, "model_servers/server_core.cc: ValidateModelConfigList; model_service_impl.cc", Need.FOLDER)
def a_configuration_that_makes_no_sense_is_refused_and_changes_nothing(server: Server) -> None:
    """INVALID_ARGUMENT: one name twice, a relative path, or no list of models; what served still does."""
    with server.scene() as scene:
        scene.publish(1, 10)
        for change, pattern in (
            ([scene.config(), scene.config()], f"^Illegal to list model {scene.name} multiple times in config list$"),
            ([_relative(scene)], f"^Expected model {scene.name} to have an absolute path or URI"),
        ):
            config = scene.beside(*change)
            refused("INVALID_ARGUMENT", pattern, server.connection.reload, config)
        empty = model_server_config_pb2.ModelServerConfig()
        pattern = "^ServerModelConfig type not supported by HandleReloadConfigRequest"
        refused("INVALID_ARGUMENT", pattern, server.connection.reload, empty)
        equal("states of the new model", scene.connection.states(scene.name), {})
        equal("y", server.connection.predict(2), 3.0)


def _relative(scene: Scene) -> object:
    config = scene.config()
    config.base_path = "models/relative"
    return config


@case(57, f"{SOURCE}; core/aspired_versions_manager.cc", Need.FOLDER)
def a_version_that_failed_is_tried_again_when_it_was_gone_meanwhile(server: Server) -> None:
    """Version 2 without a graph is END; taken away and published whole, it serves."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        broken = scene.path / "2"
        broken.mkdir()
        scene.becomes({1: "AVAILABLE", 2: "END NOT_FOUND"})
        # It has to be seen gone, or it would be the same version that failed: version 3 shows that a look was taken.
        broken.rename(scene.path / "broken")
        scene.publish(3, 30)
        scene.becomes({1: "END", 2: "END NOT_FOUND", 3: "AVAILABLE"})
        scene.remove(3)
        scene.publish(2, 20)
        eventually("y", lambda: scene.predict(2), 21.0)
        scene.becomes({1: "END", 2: "AVAILABLE", 3: "END"})


@case(58, f"{RELOAD}", Need.FOLDER)
def a_request_in_flight_is_answered_when_its_version_goes(server: Server) -> None:
    """A product of large matrices that was asked for before a new configuration without the model is answered."""
    with server.scene() as scene:
        scene.publish(1, 10)
        scene.serve()
        request = predict_request({"size": np.array(2000, np.int32)}, model=scene.name, signature="slow")
        asked = server.connection.prediction.Predict.future(request, timeout=60)
        equal("y of the same version meanwhile", scene.predict(2), 11.0)
        scene.leave()
        equal("version that answered", asked.result().model_spec.version.value, 1)
        scene.becomes({1: "END"})
        equal(f"y of {MODEL}", server.connection.predict(2), 3.0)
