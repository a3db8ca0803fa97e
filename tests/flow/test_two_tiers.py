"""A Ringside in front of Ringsides: to whoever asks it, a Ringside is a memcached server (docs/SCALING.md)."""

import random

import pytest

from test_differential import SERVER_OPTIONS, random_split, run_stream

pytestmark = pytest.mark.sanitize


def test_streams_through_two_tiers(lab):
    reference = lab.memcached(tls=False, **SERVER_OPTIONS)
    # One proxy: flush_all goes to all of them, and so would overtake what goes through one (docs/SCALING.md).
    proxy = lab.ringside(servers=lab.memcacheds(2, **SERVER_OPTIONS))
    sidecar = lab.ringside(servers=[proxy.address])
    for seed in range(5):
        run_stream(seed, reference, sidecar, random_split(random.Random(seed)), tag="tiers-")
    sidecar.terminate()


def test_a_proxy_that_dies_takes_nothing_along(lab):
    servers = lab.memcacheds(3)
    proxies = [lab.ringside(servers=servers), lab.ringside(servers=servers)]
    sidecar = lab.ringside(servers=[proxy.address for proxy in proxies], health={"panic": "100%"})
    wire = lab.wire(sidecar)
    keys = [b"key:%d" % i for i in range(200)]
    for key in keys:
        wire.set(key, b"v" + key)
    proxies[0].terminate()
    assert wire.get_many(keys) == {key: b"v" + key for key in keys}
    wire.close()
    sidecar.terminate()
