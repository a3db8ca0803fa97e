"""The tools of these tests must be able to fail: without Ringside between them, the load catches what a fake does."""

import pytest

from fakeserver import FakeServer
from harness import HarnessError
from load import Load
from test_storms import LIES

pytestmark = pytest.mark.plain("pump speaks no TLS, and here it meets the fakes directly")

# What a client cannot take for a fault: the answers are right, only slow.
HARMLESS = {"drip", "late", "slow"}


@pytest.mark.parametrize("name", sorted(LIES))
def test_load_catches(lab, name):
    play, verbs, mix = LIES[name]
    fake = lab.adopt(FakeServer())
    fake.misbehave(play, verbs=verbs or "get set delete touch mg ms", every=50)
    load = lab.adopt(Load(fake.address, connections=12, depth=6, loose=True, errors=True, mix=mix, value="64:3000",
                          requests=3000, stall=2 if name == "mute" else 60))
    if name in HARMLESS:
        assert load.wait()["tokens"] == 12
        return
    with pytest.raises(HarnessError):
        load.wait()
    assert load.totals["wrong"] or load.totals["closed"] or load.totals["hung"], load.totals


def test_strict_load_catches_a_lost_value(lab):
    """A value that was stored is not there: without `loose` that is a fault."""
    fake = lab.adopt(FakeServer())
    with lab.adopt(Load(fake.address, connections=4, depth=4, keys=10)) as load:
        load.wait_requests(500)
        fake.store.items.clear()
        with pytest.raises(HarnessError, match="a miss where a value was stored|a false miss"):
            load.wait_requests(100_000)


def test_strict_load_catches_an_old_value(lab):
    """An older value of the same key is a fault as well."""
    fake = lab.adopt(FakeServer())
    with lab.adopt(Load(fake.address, connections=4, depth=4, keys=10, mix="get=80,set=20")) as load:
        load.wait_requests(500)
        old = dict(fake.store.items)
        load.wait_requests(2000)
        fake.store.items.update(old)
        with pytest.raises(HarnessError, match="wrong value"):
            load.wait_requests(100_000)
