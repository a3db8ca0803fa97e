<?php
// php-memcached against a server: values checked against their keys.
// Arguments: host, port, protocol (ascii or binary). Prints a line for each check that held (see CHECKS in
// ../test_clients.py), or what went wrong, and exits with 1.

const COUNT = 500;
$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, $argv[3] === "binary");
$client->setOption(Memcached::OPT_COMPRESSION, false);
$client->setOption(Memcached::OPT_TCP_NODELAY, true);
$client->setOption(Memcached::OPT_POLL_TIMEOUT, 90000);
$client->addServer($argv[1], (int)$argv[2]);

function check(bool $condition, string $what): void
{
    global $client;
    if (!$condition) {
        echo "$what: ", $client->getResultCode(), " ", $client->getResultMessage(), "\n";
        exit(1);
    }
}

function passed(string $name): void
{
    echo "$name: ok\n";
}

function value(int $i): string
{
    return "value of php:$i\r\nEND\r\n" . str_repeat(chr(97 + $i % 26), $i * 7 % 300);
}

check($client->set("brief", "brief", 1) && $client->set("long", "long", 1000), "set");
$all = [];
for ($i = 0; $i < COUNT; $i++) {
    $all["php:$i"] = value($i);
}
check($client->setMulti($all), "setMulti");
for ($i = 0; $i < COUNT; $i++) {
    check($client->get("php:$i") === value($i), "get php:$i");
}
passed("set");
$asked = array_map(fn($i) => "php:$i", range(0, 2 * COUNT - 1));
shuffle($asked);
$got = $client->getMulti($asked);
check(is_array($got) && count($got) === COUNT, "getMulti: " . count($got ?: []));
foreach ($got as $key => $value) {
    check($value === $all[$key], "getMulti: the wrong value for $key");
}
$ordered = $client->getMulti($asked, Memcached::GET_PRESERVE_ORDER);
check(array_keys($ordered) === $asked, "getMulti in order");
passed("multi");

$every = implode("", array_map("chr", range(0, 255)));
foreach (["", "\r\n", "\r\nEND\r\n", "VALUE k:1 0 1\r\n", $every] as $i => $value) {
    check($client->set("bytes", $value) && $client->get("bytes") === $value, "bytes $i");
}
passed("bytes");
foreach ([true, 42, 1.5, ["a" => [1, 2, null]], "", "\0\r\n\xff"] as $i => $value) {
    check($client->set("typed:$i", $value), "set of a typed value $i");
    check($client->get("typed:$i") === $value, "get of a typed value $i");
}
passed("flags");

check($client->add("a", "1"), "add");
// The binary protocol tells more about why.
$refusal = $argv[3] === "binary" ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED;
check(!$client->add("a", "2") && $client->getResultCode() === $refusal, "add again");
passed("add");
check($client->replace("a", "mid"), "replace");
check(!$client->replace("none", "x"), "replace of nothing");
passed("replace");
check($client->append("a", "-end") && $client->prepend("a", "start-"), "append and prepend");
check($client->get("a") === "start-mid-end", "joined");
check(!$client->append("none", "x"), "append to nothing");
passed("append");
passed("prepend");
check($client->touch("a", 1000), "touch");
check(!$client->touch("none", 1000), "touch of nothing");
passed("touch");
check($client->delete("a"), "delete");
check(!$client->delete("a") && $client->getResultCode() === Memcached::RES_NOTFOUND, "delete again");
check($client->get("a") === false && $client->getResultCode() === Memcached::RES_NOTFOUND, "get after delete");
passed("delete");

check($client->set("n", "10") && $client->increment("n", 5) === 15 && $client->decrement("n", 14) === 1, "counting");
check($client->decrement("n", 14) === 0, "decrement below 0");
check($client->increment("none") === false, "increment of nothing");
passed("count");

$client->set("c", "one");
$extended = $client->get("c", null, Memcached::GET_EXTENDED);
check(isset($extended["cas"]) && $extended["value"] === "one", "gets");
check($client->cas($extended["cas"], "c", "two"), "cas");
check(!$client->cas($extended["cas"], "c", "three"), "cas again");
check($client->getResultCode() === Memcached::RES_DATA_EXISTS, "cas again");
check($client->get("c") === "two", "after cas");
passed("cas");

$large = "";
for ($i = 0; $i < 900000 / 32; $i++) {
    $large .= hash("sha256", "$i", true);
}
check($client->set("large", $large) && $client->get("large") === $large, "a large binary value");
passed("large");

$client->setOption(Memcached::OPT_NOREPLY, true);
for ($i = 0; $i < COUNT; $i++) {
    check($client->set("quiet:$i", value($i)), "quiet set $i");
}
check($client->delete("quiet:0"), "quiet delete");
$client->setOption(Memcached::OPT_NOREPLY, false);
check($client->get("quiet:0") === false, "after a quiet delete");
for ($i = 1; $i < COUNT; $i++) {
    check($client->get("quiet:$i") === value($i), "get quiet:$i");
}
passed("noreply");

$end = microtime(true) + 10;
while ($client->get("brief") !== false) {
    check(microtime(true) < $end, "it does not expire");
    usleep(100000);
}
check($client->get("long") === "long", "the long-lived one");
passed("expiry");

$versions = $client->getVersion();
check(is_array($versions) && preg_match('/^1\.\d+\.\d+$/', reset($versions)) === 1, "getVersion");
passed("version");
$stats = $client->getStats();
check(is_array($stats) && reset($stats)["curr_items"] > COUNT, "getStats");
passed("stats");
check($client->deleteMulti(["php:1", "php:2"]) == ["php:1" => true, "php:2" => true], "deleteMulti");
check($client->flush() && $client->get("php:3") === false, "flush");
passed("flush");
$client->quit();
