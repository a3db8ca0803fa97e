"""
The random streams of test_differential.py through routes that should be transparent: the bytes must still be those of one
memcached.
"""

import os
import random

import pytest

from harness import pool_of
from test_differential import SEED, SERVER_OPTIONS, random_split, run_stream

pytestmark = pytest.mark.sanitize

STREAMS = int(os.environ.get("DIFF_ROUTE_STREAMS", "12"))

ROUTES = {
    "prefix": {"prefix": {"k": "a", "whole": "a", "*": "a"}},
    "command": {"command": {"get": "a", "read": "a", "*": "a"}},
    "failover": {"failover": {"to": ["a", "b"]}},
    "replicate one": {"replicate": {"to": ["a"]}},
    "replicate two": {"replicate": {"to": ["a", "b"]}},
    "shadow": {"shadow": {"to": "a", "copy": "b", "sample": "50%"}},
    "limit": {"limit": {"to": "a", "rate": "1000000/s", "burst": 1000000}},
    "strip": {"rewrite": {"to": "a", "strip": "no-such-prefix-of-a-key:"}},
    "not migrated": {"migrate": {"from": "a", "to": "b", "start": "2999-01-01", "over": "1h"}},
    "migrated": {"migrate": {"from": "b", "to": "a", "start": "2001-01-01", "over": "1h"}},
    "migrating": {"migrate": {"from": "a", "to": "b", "start": "2001-01-01", "over": "1h", "hold": "50%"}},
    "nested": {"prefix": {"*": {"failover": {"to": [{"command": {"read": {"limit": {"to": "a", "rate": "1000000/s",
                                                                                   "burst": 1000000}}, "*": "a"}}, "b"]}}}},
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_transparent_route(lab, name):
    reference = lab.memcached(tls=False, **SERVER_OPTIONS)
    ringside = lab.ringside({"listen": ["127.0.0.1:0"], "route": ROUTES[name], "pools": {
        pool: pool_of(lab.memcacheds(1, **SERVER_OPTIONS)) for pool in ("a", "b")}})
    for seed in range(SEED, SEED + STREAMS):
        rng = random.Random(seed)
        run_stream(seed, reference, ringside, random_split(rng), tag="%s-" % name.replace(" ", "_"))
