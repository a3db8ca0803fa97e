/*
 * Tests of what config/ says about bad files: every file of the table, and exactly the errors that it has, all of them,
 * in the order of the file.
 */
#include "config/errors.h"
#include "routing/hash.h"
#include "routing/ring.h"
#include "tests/config/support.h"

static const struct {
    const char *what;
    const char *text;
    const char *errors;
} files[] = {
    {"unknown keys, near and far",
     "lisen: [127.0.0.1:1]\n"
     "flux: 1\n"
     "pools:\n"
     "  main: {servers: [a], tiemout: 2s, helth: {}, frobnicate: 1}\n"
     "limits: {client: 1, speed: 1}\n"
     "log: {lvl: info, levels: info}\n",
     "1:1: unknown key `lisen`; did you mean `listen`?\n"
     "2:1: unknown key `flux`; the keys of the file are `workers`, `user`, `coalesce`, `busy_poll`, `listen`, "
     "`limits`, `log`, "
     "`pools`, "
     "`route`, `users`, `access`\n"
     "4:24: unknown key `tiemout`; did you mean `timeout`?\n"
     "4:37: unknown key `helth`; did you mean `health`?\n"
     "4:48: unknown key `frobnicate`; the keys of a pool are `servers`, `distribution`, `hash`, `hash_tag`, "
     "`protocol`, `connections`, `connect_timeout`, `timeout`, `health`, `on_down`, `on_error`, `on_return`, `tls`, "
     "`auth`\n"
     "5:10: unknown key `client`; did you mean `clients`?\n"
     "5:21: unknown key `speed`; the keys of `limits` are `clients`, `item_size`, `memory`, `pipeline`, `idle`, "
     "`stall`, `handshakes`, `handshake`, `drain`\n"
     "6:7: unknown key `lvl`; the keys of `log` are `level`, `format`\n"
     "6:18: unknown key `levels`; did you mean `level`?\n"},
    {"unknown keys of servers and listeners",
     "listen: [{address: \"a:1\", mod: \"0660\", port: 1}]\n"
     "pools:\n"
     "  main:\n"
     "    servers: [{address: a, wieght: 2, zone: b}]\n",
     "1:27: unknown key `mod`; did you mean `mode`?\n"
     "1:40: unknown key `port`; the keys of a listener are `address`, `mode`, `deny`, `tls`, `auth`, `peers`\n"
     "4:28: unknown key `wieght`; did you mean `weight`?\n"
     "4:39: unknown key `zone`; the keys of a server are `address`, `name`, `weight`\n"},
    {"wrong users", "user: [nobody]\npools: {main: {servers: [a]}}\n",
     "1:7: `user`: found a list; write a user's name such as `nobody`\n"},
    {"users that are no name", "user: \"no body\"\npools: {main: {servers: [a]}}\n",
     "1:7: user name `no body` has a space or a control character in it\n"},
    {"wrong kinds",
     "workers: [2]\n"
     "listen: 127.0.0.1:11211\n"
     "limits: 5\n"
     "log: [info]\n"
     "pools: main\n"
     "route: [main]\n",
     "1:10: `workers`: found a list; write `auto` or a number from 1 to 256\n"
     "2:9: `listen`: found `127.0.0.1:11211`; write a list such as `[127.0.0.1:11211]`\n"
     "3:9: `limits`: found `5`; write a mapping such as `{clients: ...}`\n"
     "4:6: `log`: found a list; write a mapping such as `{level: ...}`\n"
     "5:8: `pools`: found `main`; write a mapping such as `{main: {servers: [10.0.0.1:11211]}}`\n"
     "6:8: `route`: found a list; write a pool's name, or a node such as `{failover: {to: [main, gutter]}}`\n"},
    {"wrong kinds within a pool",
     "pools:\n"
     "  main:\n"
     "    servers: 10.0.0.1:11211\n"
     "    distribution: [ketama]\n"
     "    hash: {md5: 1}\n"
     "    hash_tag: [a, b]\n"
     "    timeout: {}\n"
     "    health: 3\n"
     "    on_down: [next]\n"
     "    on_return: [keep]\n"
     "  other: [a]\n",
     "1:1: there are 2 pools and no `route`; write `route:` and a pool's name\n"
     "3:14: `servers`: found `10.0.0.1:11211`; write a list such as `[10.0.0.1:11211, 10.0.0.2:11211]`\n"
     "4:19: `distribution`: found a list; write a distribution such as `ketama`\n"
     "5:11: `hash`: found a mapping; write a hash function such as `md5`\n"
     "6:15: `hash_tag`: found a list; write two characters in quotes, such as `\"{}\"`\n"
     "7:14: `timeout`: found a mapping; write a duration from 1ms to 1h\n"
     "8:13: `health`: found `3`; write a mapping such as `{failures: ...}`\n"
     "9:14: `on_down`: found a list; write `next` or `hold`\n"
     "10:16: `on_return`: found a list; write `keep` or `flush`\n"
     "11:10: pool `other`: found a list; write a mapping such as `{servers: [10.0.0.1:11211]}`\n"},
    {"nothing where something is due",
     "workers:\n"
     "listen:\n"
     "limits:\n"
     "log: ~\n"
     "pools:\n"
     "route: null\n",
     "1:9: `workers`: found nothing; write `auto` or a number from 1 to 256\n"
     "2:8: `listen`: found nothing; write a list such as `[127.0.0.1:11211]`\n"
     "3:8: `limits`: found nothing; write a mapping such as `{clients: ...}`\n"
     "4:6: `log`: found nothing; write a mapping such as `{level: ...}`\n"
     "5:7: `pools`: found nothing; write a mapping such as `{main: {servers: [10.0.0.1:11211]}}`\n"
     "6:8: `route`: found nothing; write a pool's name, or a node such as `{failover: {to: [main, gutter]}}`\n"},
    {"nothing within a pool",
     "pools:\n"
     "  main:\n"
     "    servers:\n"
     "    distribution:\n"
     "    hash:\n"
     "    hash_tag:\n"
     "    timeout:\n"
     "    health:\n"
     "  other:\n"
     "route: main\n",
     "3:13: `servers`: found nothing; write a list such as `[10.0.0.1:11211, 10.0.0.2:11211]`\n"
     "4:18: `distribution`: found nothing; write a distribution such as `ketama`\n"
     "5:10: `hash`: found nothing; write a hash function such as `md5`\n"
     "6:14: `hash_tag`: found nothing; write two characters in quotes, such as `\"{}\"`\n"
     "7:13: `timeout`: found nothing; write a duration from 1ms to 1h\n"
     "8:12: `health`: found nothing; write a mapping such as `{failures: ...}`\n"
     "9:9: pool `other`: found nothing; write a mapping such as `{servers: [10.0.0.1:11211]}`\n"},
    {"the file is no mapping", "- pools\n", "1:1: found a list; a configuration is a mapping with `pools` in it\n"},
    {"nothing at all", "---\n", "2:1: found nothing; a configuration is a mapping with `pools` in it\n"},
    {"pools are missing", "workers: 2\n",
     "1:1: `pools` is missing; write a mapping such as `{main: {servers: [10.0.0.1:11211]}}`\n"},
    {"no pool", "pools: {}\n", "1:8: `pools`: found an empty mapping; write at least one pool\n"},
    {"bare numbers",
     "limits: {item_size: 1000000, memory: 0, idle: 0, drain: 10}\n"
     "pools:\n"
     "  main:\n"
     "    servers: [a]\n"
     "    connect_timeout: 200\n"
     "    timeout: 250\n"
     "    health: {probe: 1, probe_max: 30, panic: 50}\n",
     "1:21: `item_size`: `1000000` has no unit; write a size such as `512B`, `16KiB`, `1MiB` or `2GiB`\n"
     "1:38: `memory`: `0` has no unit; write a size such as `512B`, `16KiB`, `1MiB` or `2GiB`\n"
     "1:47: `idle`: `0` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "1:57: `drain`: `10` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "5:22: `connect_timeout`: `200` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "6:14: `timeout`: `250` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "7:21: `probe`: `1` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "7:35: `probe_max`: `30` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "7:46: `panic`: `50` has no unit; write a share from `0%` to `100%`\n"},
    {"words where numbers are due",
     "workers: many\n"
     "limits: {clients: ten, item_size: big, pipeline: 1e3, idle: never}\n"
     "pools:\n"
     "  main:\n"
     "    servers: [{address: a, weight: heavy}]\n"
     "    connections: 1.5\n"
     "    timeout: 0.5s\n"
     "    health: {failures: -1, probe: 1 s, probe_max: 1min, panic: half}\n",
     "1:10: `workers`: found `many`; write `auto` or a number from 1 to 256\n"
     "2:19: `clients`: found `ten`; write a number from 1 to 1000000\n"
     "2:35: `item_size`: `big` does not start with a number; write a size such as `512B`, `16KiB`, `1MiB` or `2GiB`\n"
     "2:50: `pipeline`: found `1e3`; write a number from 1 to 65536\n"
     "2:61: `idle`: `never` does not start with a number; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "5:36: `weight`: found `heavy`; write a number from 1 to 1000000\n"
     "6:18: `connections`: found `1.5`; write a number from 1 to 64\n"
     "7:14: `timeout`: `0.5s` is not a whole number with a unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "8:24: `failures`: found `-1`; write a number from 1 to 1000000\n"
     "8:35: `probe`: `1 s` has an unknown unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "8:51: `probe_max`: `1min` has an unknown unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "8:64: `panic`: `half` does not start with a number; write a share from `0%` to `100%`\n"},
    {"numbers out of range",
     "workers: 0\n"
     "limits: {clients: 0, item_size: 1023B, memory: 15MiB, pipeline: 65537, idle: 169h, stall: 169h, drain: 61m,\n"
     "  handshakes: 0, handshake: 99ms}\n"
     "pools:\n"
     "  main:\n"
     "    servers: [{address: a, weight: 0}, {address: b, weight: 1000001}]\n"
     "    connections: 0\n"
     "    connect_timeout: 0s\n"
     "    timeout: 2h\n"
     "    health: {failures: 0, probe: 9ms, probe_max: 25h, panic: 101%}\n",
     "1:10: `workers`: `0` is out of range; write `auto` or a number from 1 to 256\n"
     "2:19: `clients`: `0` is out of range; write a number from 1 to 1000000\n"
     "2:33: `item_size`: `1023B` is out of range; write a size from 1KiB to 128MiB\n"
     "2:48: `memory`: `15MiB` is out of range; write a size from 16MiB to 1024GiB\n"
     "2:65: `pipeline`: `65537` is out of range; write a number from 1 to 65536\n"
     "2:78: `idle`: `169h` is out of range; write a duration from 0s to 168h\n"
     "2:91: `stall`: `169h` is out of range; write a duration from 0s to 168h\n"
     "2:104: `drain`: `61m` is out of range; write a duration from 0s to 1h\n"
     "3:15: `handshakes`: `0` is out of range; write a number from 1 to 1000000\n"
     "3:29: `handshake`: `99ms` is out of range; write a duration from 100ms to 1h\n"
     "6:36: `weight`: `0` is out of range; write a number from 1 to 1000000\n"
     "6:61: `weight`: `1000001` is out of range; write a number from 1 to 1000000\n"
     "7:18: `connections`: `0` is out of range; write a number from 1 to 64\n"
     "8:22: `connect_timeout`: `0s` is out of range; write a duration from 1ms to 1h\n"
     "9:14: `timeout`: `2h` is out of range; write a duration from 1ms to 1h\n"
     "10:24: `failures`: `0` is out of range; write a number from 1 to 1000000\n"
     "10:34: `probe`: `9ms` is out of range; write a duration from 10ms to 1h\n"
     "10:50: `probe_max`: `25h` is out of range; write a duration from 10ms to 24h\n"
     "10:62: `panic`: `101%` is more than the whole; write a share from `0%` to `100%`\n"},
    {"numbers too large to count",
     "workers: 257\n"
     "limits: {clients: 18446744073709551616, item_size: 129MiB, memory: 99999999999999999999GiB, idle: "
     "18446744073709551615h}\n"
     "pools: {main: {servers: [a], timeout: 4294967296ms}}\n",
     "1:10: `workers`: `257` is out of range; write `auto` or a number from 1 to 256\n"
     "2:19: `clients`: found `18446744073709551616`; write a number from 1 to 1000000\n"
     "2:52: `item_size`: `129MiB` is out of range; write a size from 1KiB to 128MiB\n"
     "2:68: `memory`: `99999999999999999999GiB` is too large; write a size such as `512B`, `16KiB`, `1MiB` or `2GiB`\n"
     "2:99: `idle`: `18446744073709551615h` is too long; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "3:39: `timeout`: `4294967296ms` is out of range; write a duration from 1ms to 1h\n"},
    {"choices",
     "log: {level: warn, format: xml}\n"
     "pools:\n"
     "  main: {servers: [a], on_down: nxt, on_error: Miss, on_return: purge}\n",
     "1:14: `level`: found `warn`; write `error`, `warning`, `info` or `debug`\n"
     "1:28: `format`: found `xml`; write `text` or `json`\n"
     "3:33: `on_down`: found `nxt`; write `next` or `hold`\n"
     "3:48: `on_error`: found `Miss`; write `error` or `miss`\n"
     "3:65: `on_return`: found `purge`; write `keep` or `flush`\n"},
    {"distributions and hashes",
     "pools:\n"
     "  a: {servers: [a], distribution: ketma}\n"
     "  c: {servers: [a], hash: mdd5}\n"
     "  e: {servers: [a], distribution: Ketama}\n"
     "route: a\n",
     "2:35: unknown distribution `ketma`; did you mean `ketama`?\n"
     "3:27: unknown hash `mdd5`; did you mean `md5`?\n"
     "4:35: unknown distribution `Ketama`; did you mean `ketama`?\n"},
    {"hash tags",
     "pools:\n"
     "  a: {servers: [a], hash_tag: \"{\"}\n"
     "  b: {servers: [a], hash_tag: \"{}}\"}\n"
     "  c: {servers: [a], hash_tag: \"{ \"}\n"
     "  d: {servers: [a], hash_tag: {}}\n"
     "  e: {servers: [a], hash_tag: \" }\"}\n"
     "  f: {servers: [a], hash_tag: \"\\x7f}\"}\n"
     "route: a\n",
     "2:31: `hash_tag`: found `{`; write two characters in quotes, such as `\"{}\"`\n"
     "3:31: `hash_tag`: found `{}}`; write two characters in quotes, such as `\"{}\"`\n"
     "4:31: `hash_tag`: found `{ `; write two characters in quotes, such as `\"{}\"`\n"
     "5:31: `hash_tag`: found a mapping; write two characters in quotes, such as `\"{}\"`\n"
     "6:31: `hash_tag`: found ` }`; write two characters in quotes, such as `\"{}\"`\n"
     "7:31: `hash_tag`: found `\\x7f}`; write two characters in quotes, such as `\"{}\"`\n"},
    {"duplicate keys",
     "workers: 2\n"
     "workers: 3\n"
     "pools:\n"
     "  main: {servers: [a], timeout: 1s, timeout: 2s}\n"
     "  main: {servers: [b]}\n",
     "2:1: duplicate key `workers`; the first is at line 1, column 1\n"
     "4:37: duplicate key `timeout`; the first is at line 4, column 24\n"
     "5:3: duplicate key `main`; the first is at line 4, column 3\n"},
    {"servers that are no servers",
     "pools:\n"
     "  main:\n"
     "    servers:\n"
     "      - 10.0.0.1:99999\n"
     "      - 10.0.0.1:0\n"
     "      - {address: \"tcp://10.0.0.1:1\"}\n"
     "      - ::1\n"
     "      - [10.0.0.1:1]\n"
     "      -\n"
     "      - {address: }\n"
     "      - {}\n"
     "      - {name: a}\n"
     "      - {address: a, name: }\n"
     "      - {address: b, name: \"\"}\n"
     "      - {address: c, name: \"a b\"}\n"
     "      - {address: d, name: [x]}\n"
     "      - "
     "unix:"
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678\n",
     "4:9: server `10.0.0.1:99999` has no valid port; a port is a number from 1 to 65535\n"
     "5:9: server `10.0.0.1:0` has no valid port; a port is a number from 1 to 65535\n"
     "6:19: server `tcp://10.0.0.1:1` is no address; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`\n"
     "7:9: server `::1` is an IPv6 address without brackets; write `[V6]:PORT`\n"
     "8:9: server: found a list; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`\n"
     "9:8: server: found nothing; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`\n"
     "10:19: server: found nothing; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`\n"
     "11:9: a server without `address`\n"
     "12:9: a server without `address`\n"
     "13:28: `name`: found nothing; write a name such as `cache-1`\n"
     "14:28: server name `` is empty\n"
     "15:28: server name `a b` has a space or a control character in it\n"
     "16:28: `name`: found a list; write a name such as `cache-1`\n"
     "17:9: server `unix:0123456789012345678901234567890123456789012345678901234...` has a path of more than 107 "
     "bytes, which is the most that a Unix socket can have\n"},
    {"the same server twice",
     "pools:\n"
     "  main:\n"
     "    servers:\n"
     "      - 10.0.0.1:11211\n"
     "      - {address: Cache:1, name: x}\n"
     "      - 10.0.0.1\n"
     "      - {address: cache:1, name: y}\n"
     "      - {address: 10.0.0.1, name: 10.0.0.1}\n"
     "      - \"[::1]\"\n"
     "      - \"[0::1]:11211\"\n",
     "6:9: server `10.0.0.1:11211` stands twice in the pool; the first is at line 4, column 9\n"
     "7:19: server `cache:1` stands twice in the pool; the first is at line 5, column 19\n"
     "8:19: server `10.0.0.1:11211` stands twice in the pool; the first is at line 4, column 9\n"
     "10:9: server `[::1]:11211` stands twice in the pool; the first is at line 9, column 9\n"},
    {"two servers with one name",
     "pools:\n"
     "  main:\n"
     "    servers:\n"
     "      - 10.0.0.1:11211\n"
     "      - {address: a, name: x}\n"
     "      - {name: x, address: b}\n"
     "      - {address: c, name: \"10.0.0.1:11211\"}\n"
     "      - {address: a, name: x}\n",
     "6:16: server name `x` stands twice in the pool; the first is at line 5, column 28\n"
     "7:28: server name `10.0.0.1:11211` stands twice in the pool; the first is at line 4, column 9\n"
     "8:19: server `a:11211` stands twice in the pool; the first is at line 5, column 19\n"
     "8:28: server name `x` stands twice in the pool; the first is at line 5, column 28\n"},
    {"empty pools",
     "pools:\n"
     "  a: {servers: []}\n"
     "  b: {timeout: 1s}\n"
     "  c: {}\n"
     "route: a\n",
     "2:16: `servers`: found an empty list; a pool has at least one server\n"
     "3:3: pool `b` has no `servers`\n"
     "4:3: pool `c` has no `servers`\n"},
    {"names of pools",
     "pools:\n"
     "  \"\": {servers: [a]}\n"
     "  a: {servers: [a]}\n"
     "  a b: {servers: [a]}\n"
     "  \"tab\\t\": {servers: [a]}\n"
     "  "
     "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012"
     "34567890123456789: {servers: [a]}\n"
     "route: a\n",
     "2:3: pool name `` is empty\n"
     "4:3: pool name `a b` has a space or a control character in it\n"
     "5:3: pool name `tab\\x09` has a space or a control character in it\n"
     "6:3: pool name `012345678901234567890123456789012345678901234567890123456789...` is longer than 128 bytes\n"},
    {"pauses of probes",
     "pools:\n"
     "  a: {servers: [a], health: {probe: 2s, probe_max: 1s}}\n"
     "  b: {servers: [a], health: {probe: 31s}}\n"
     "  c: {servers: [a], health: {probe_max: 999ms}}\n"
     "route: a\n",
     "2:52: `probe_max` (1000 ms) is shorter than `probe` (2000 ms); pauses grow from `probe` to `probe_max`\n"
     "3:37: `probe_max` (30000 ms) is shorter than `probe` (31000 ms); pauses grow from `probe` to `probe_max`\n"
     "4:41: `probe_max` (999 ms) is shorter than `probe` (1000 ms); pauses grow from `probe` to `probe_max`\n"},
    {"less memory than one item",
     "limits: {item_size: 64MiB, memory: 32MiB}\n"
     "pools: {main: {servers: [a]}}\n",
     "1:36: `memory` is less than `item_size`: no such item fits\n"},
    {"two listeners on one address",
     "listen:\n"
     "  - 127.0.0.1:11211\n"
     "  - {address: \"127.0.0.1\"}\n"
     "  - unix:/a\n"
     "  - unix:/b\n"
     "  - unix:/a\n"
     "  - 127.0.0.1:0\n"
     "  - 127.0.0.1:0\n"
     "pools: {main: {servers: [a]}}\n",
     "3:15: listener `127.0.0.1:11211` stands twice; the first is at line 2, column 5\n"
     "6:5: listener `unix:/a` stands twice; the first is at line 4, column 5\n"},
    {"listeners that are none",
     "listen:\n"
     "  - 127.0.0.1:65536\n"
     "  - {mode: \"0660\"}\n"
     "  - {address: a, mode: \"0660\"}\n"
     "  - {address: \"unix:/a\", mode: 660}\n"
     "  - {address: \"unix:/b\", mode: \"0888\"}\n"
     "  - {address: \"unix:/c\", mode: \"rw\"}\n"
     "  - {address: \"unix:/d\", mode: }\n"
     "  - {address: \"unix:/e\", mode: \"1777\"}\n"
     "  - {address: \"unix:/f\", mode: \"066\"}\n"
     "  - {address: [a]}\n"
     "  - [b]\n"
     "  - \"unix:\"\n"
     "pools: {main: {servers: [a]}}\n",
     "2:5: listener `127.0.0.1:65536` has no valid port; a port is a number from 1 to 65535\n"
     "3:5: a listener without `address`\n"
     "4:18: `mode` is for Unix sockets only\n"
     "5:32: `mode`: found `660`; write four octal digits in quotes, such as `\"0660\"`\n"
     "6:32: `mode`: found `0888`; write four octal digits in quotes, such as `\"0660\"`\n"
     "7:32: `mode`: found `rw`; write four octal digits in quotes, such as `\"0660\"`\n"
     "8:32: `mode`: found nothing; write four octal digits in quotes, such as `\"0660\"`\n"
     "9:32: `mode`: found `1777`; write four octal digits in quotes, such as `\"0660\"`\n"
     "10:32: `mode`: found `066`; write four octal digits in quotes, such as `\"0660\"`\n"
     "11:15: listener: found a list; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`\n"
     "12:5: listener: found a list; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`\n"
     "13:5: listener `unix:` has no path; write `unix:PATH`\n"},
    {"no listener",
     "listen: []\n"
     "pools: {main: {servers: [a]}}\n",
     "1:9: `listen`: found an empty list; write an address, or leave `listen` out\n"},
    {"denied commands",
     "listen:\n"
     "  - {address: \"a:1\", deny: flush_all}\n"
     "  - {address: \"a:2\", deny: [flushall, get, get, ~, [set], frobnicate, GET]}\n"
     "  - {address: \"a:3\", deny: }\n"
     "pools: {main: {servers: [a]}}\n",
     "2:28: `deny`: found `flush_all`; write a list of commands such as `[flush_all]`\n"
     "3:29: `deny`: no command is named `flushall`; did you mean `flush_all`?\n"
     "3:44: `deny`: `get` stands twice\n"
     "3:49: `deny`: found nothing; write a command such as `flush_all`\n"
     "3:52: `deny`: found a list; write a command such as `flush_all`\n"
     "3:59: `deny`: no command is named `frobnicate`\n"
     "3:71: `deny`: no command is named `GET`; did you mean `get`?\n"
     "4:28: `deny`: found nothing; write a list of commands such as `[flush_all]`\n"},
    {"routes to no pool",
     "pools: {main: {servers: [a]}, gutter: {servers: [b]}}\n"
     "route: mian\n",
     "2:8: `route`: no pool is named `mian`; did you mean `main`?\n"},
    {"routes to no pool, far",
     "pools: {main: {servers: [a]}}\n"
     "route: elsewhere\n",
     "2:8: `route`: no pool is named `elsewhere`\n"},
    {"no route and two pools",
     "pools:\n"
     "  main: {servers: [a]}\n"
     "  gutter: {servers: [b]}\n",
     "1:1: there are 2 pools and no `route`; write `route:` and a pool's name\n"},
    {"what belongs to later versions",
     "admin: {listen: 127.0.0.1:9151}\n"
     "pools: {main: {servers: [a]}}\n",
     "1:1: `admin` is not supported by this version\n"},
    {"errors in what an alias repeats",
     "pools:\n"
     "  a: &a {servers: [a], timeout: 1, health: {probe: 1}}\n"
     "  b: {<<: *a, servers: [b]}\n"
     "  c: *a\n"
     "route: a\n",
     "2:33: `timeout`: `1` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"
     "2:52: `probe`: `1` has no unit; write a duration such as `250ms`, `2s`, `5m` or `1h`\n"},
    {"control characters are not passed on", "pools: {main: {servers: [\"a\\x1b[31m\\n\"], hash: \"m\\td5\"}}\n",
     "1:26: server `a\\x1b[31m\\x0a` has a character in its host name that no host name has\n"
     "1:48: unknown hash `m\\x09d5`; did you mean `md5`?\n"},
    {"long text is cut",
     "pools: {main: {servers: [a], on_down: \"0123456789012345678901234567890123456789012345678901234567éé89\"}}\n",
     "1:39: `on_down`: found `0123456789012345678901234567890123456789012345678901234567é...`; write `next` or "
     "`hold`\n"},
};

START_TEST(a_bad_file_is_told_all_that_is_wrong)
{
    struct config_errors errors;
    struct config *config = config_parse(files[_i].text, strlen(files[_i].text), "/etc/x.yaml", &errors);
    ck_assert_msg(config == NULL, "%s: passed", files[_i].what);
    ck_assert_int_eq(errors.system_error, 0);
    expect_errors(&errors, files[_i].errors);
}
END_TEST

/* Fails unless the one error of a pool's setting names all that would be right. */
static void expect_names(const char *setting, const char *const *names)
{
    struct text text;
    struct config_errors errors;
    text_init(&text);
    text_appendf(&text, "pools: {main: {servers: [a], %s: no-such-thing}}", setting);
    ck_assert_ptr_null(config_parse(text.data, text.len, NULL, &errors));
    text_clear(&text);
    text_appendf(&text, "1:%zu: unknown %s `no-such-thing`; known are ", 32 + strlen(setting), setting);
    for (size_t i = 0; names[i] != NULL; i++)
        text_appendf(&text, "%s`%s`", i == 0 ? "" : ", ", names[i]);
    text_append_string(&text, "\n");
    expect_errors(&errors, text.data);
    text_fini(&text);
}

START_TEST(what_is_known_is_listed)
{
    expect_names("distribution", ring_distributions());
    expect_names("hash", hash_names());
}
END_TEST

START_TEST(errors_are_sorted_and_said_once)
{
    struct config_errors errors;
    config_errors_init(&errors);
    ck_assert(config_errors_none(&errors));
    config_errors_sort(&errors);
    config_errors_add(&errors, 2, 1, "b");
    config_errors_add(&errors, 1, 9, "%s", "c");
    config_errors_add(&errors, 1, 10, "c");
    config_errors_add(&errors, 2, 1, "a");
    config_errors_add(&errors, 1, 9, "c");
    config_errors_add(&errors, 0, 0, "z");
    config_errors_add(&errors, 2, 1, "b");
    config_errors_sort(&errors);
    ck_assert(!config_errors_none(&errors));
    expect_errors(&errors, "0:0: z\n1:9: c\n1:10: c\n2:1: a\n2:1: b\n");
    config_errors_no_memory(&errors);
    ck_assert(!config_errors_none(&errors));
}
END_TEST

START_TEST(what_was_found_is_quoted_safely)
{
    ck_assert_str_eq(quote(SLICE_OF("")).text, "``");
    ck_assert_str_eq(quote(SLICE_OF("a b")).text, "`a b`");
    ck_assert_str_eq(quote(SLICE_OF("a\0\x1f\x7f\n")).text, "`a\\x00\\x1f\\x7f\\x0a`");
    char bytes[QUOTE_BYTES_MAX + 1];
    memset(bytes, 1, sizeof bytes);
    struct quote longest = quote(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(strlen(longest.text), sizeof longest.text - 1);
    /* A character is not cut in the middle. */
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes + QUOTE_BYTES_MAX - 1, "\xc3\xa9", 2);
    struct quote cut = quote(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(strlen(cut.text), QUOTE_BYTES_MAX - 1 + strlen("`...`"));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("errors");
    tcase_add_loop_test(tcase, a_bad_file_is_told_all_that_is_wrong, 0, sizeof files / sizeof files[0]);
    tcase_add_test(tcase, what_is_known_is_listed);
    tcase_add_test(tcase, errors_are_sorted_and_said_once);
    tcase_add_test(tcase, what_was_found_is_quoted_safely);
    return run_suite("config/errors", tcase);
}
