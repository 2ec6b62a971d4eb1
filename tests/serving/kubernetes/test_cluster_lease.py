import threading
import time

import pytest

from nightshift.errors import ReleaseError
from nightshift.kubernetes.asking import ClusterError
from nightshift.serving.kubernetes import lease
from nightshift.serving.kubernetes.lease import LeaseLostError, hold
from nightshift.serving.kubernetes.names import Names

NAMES = Names.of("m")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in (("LEASE_SECONDS", 1), ("RENEW_SECONDS", 0.1), ("LOST_SECONDS", 0.5), ("LOOK_SECONDS", 0.02)):
        monkeypatch.setattr(lease, name, seconds)


def holder(cluster):
    return cluster.objects["leases", "m"]["spec"]["holderIdentity"]


def test_held_renewed_and_given_back(cluster):
    with hold(cluster, NAMES, print) as holding:
        first = cluster.objects["leases", "m"]["spec"]["renewTime"]
        assert holder(cluster) == holding.holder
        time.sleep(0.3)
        assert cluster.objects["leases", "m"]["spec"]["renewTime"] > first
        holding.check()
    assert holder(cluster) == ""


def test_the_second_waits_and_tells_for_whom(cluster, told):
    order = []

    def second():
        with hold(cluster, NAMES, told.append):
            order.append("second")

    with hold(cluster, NAMES, print) as holding:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert told == [f"m: waiting for {holding.holder}, who releases or rolls back (Lease m)"]


def test_the_second_gives_up_and_names_the_holder(cluster):
    with (
        hold(cluster, NAMES, print) as holding,
        pytest.raises(ReleaseError, match=holding.holder),
        hold(cluster, NAMES, print, seconds=0.2),
    ):
        pass
    assert holder(cluster) == ""


def test_a_dead_holders_lease_is_taken_over_after_its_time(cluster, told):
    cluster.create("leases", lease.new_lease(NAMES, "dead/1/x"))
    begin = time.monotonic()
    with hold(cluster, NAMES, told.append) as holding:
        assert time.monotonic() - begin > 1
        assert holder(cluster) == holding.holder
        assert cluster.objects["leases", "m"]["spec"]["leaseTransitions"] == 1
    assert told[-1] == "m: dead/1/x holds the Lease m and is gone; taking over"


def test_a_lost_lease_stops_the_holder(cluster):
    with hold(cluster, NAMES, print) as holding:
        taken = cluster.objects["leases", "m"]
        taken["spec"]["holderIdentity"] = "other/2/y"
        taken["metadata"]["resourceVersion"] = "999"
        time.sleep(0.3)
        with pytest.raises(LeaseLostError, match="other/2/y holds it"):
            holding.check()
    assert holder(cluster) == "other/2/y", "who lost it does not give it back"


def test_a_deleted_lease_is_lost(cluster):
    with hold(cluster, NAMES, print) as holding:
        del cluster.objects["leases", "m"]
        time.sleep(0.3)
        with pytest.raises(LeaseLostError, match="it was deleted"):
            holding.check()


def test_a_lease_that_cannot_be_renewed_is_lost_before_another_may_take_it(cluster, monkeypatch):
    def away(kind, name, body):
        raise ClusterError("the API server does not answer", 0)

    with hold(cluster, NAMES, print) as holding:
        monkeypatch.setattr(cluster, "replace", away)
        time.sleep(0.3)
        holding.check()
        time.sleep(0.5)
        with pytest.raises(LeaseLostError, match=r"could not be renewed for 0\.5 s"):
            holding.check()


def test_an_answer_lost_on_its_way_is_not_a_lost_lease(cluster, monkeypatch):
    replace, lost = cluster.replace, []

    def losing(kind, name, body):
        found = replace(kind, name, body)
        if not lost:
            lost.append(found)
            raise ClusterError("conflict: the first try had arrived", 409)
        return found

    with hold(cluster, NAMES, print) as holding:
        monkeypatch.setattr(cluster, "replace", losing)
        time.sleep(0.4)
        holding.check()
        assert lost


def test_one_holds_it_of_many(cluster):
    inside, most = [], []

    def work():
        with hold(cluster, NAMES, lambda text: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_the_real_times_leave_room_between_losing_and_taking_over(monkeypatch):
    monkeypatch.undo()
    assert lease.RENEW_SECONDS * 3 < lease.LOST_SECONDS < lease.LEASE_SECONDS
