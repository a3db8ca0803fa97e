"""
pylibmc with SASL PLAIN. Arguments: host, port, user, password. Prints "in" when a value could be set and read back,
"refused" when the server did not let it.
"""

import sys

import pylibmc

host, port, user, password = sys.argv[1:]
assert pylibmc.support_sasl
client = pylibmc.Client(["%s:%s" % (host, port)], binary=True, username=user, password=password)
try:
    assert client.set("sasl:k", b"value") is True and client.get("sasl:k") == b"value"
    print("in")
except pylibmc.Error as error:
    print("refused", file=sys.stdout)
    print(repr(error), file=sys.stderr)
