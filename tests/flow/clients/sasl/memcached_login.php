<?php
// php-memcached with SASL PLAIN. Arguments: host, port, user, password. Prints "in" when a value could be set and read
// back, "refused" when the server did not let it.

$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$client->setOption(Memcached::OPT_POLL_TIMEOUT, 90000);
$client->setSaslAuthData($argv[3], $argv[4]);
$client->addServer($argv[1], (int)$argv[2]);
if ($client->set("sasl:k", "value")) {
    echo $client->get("sasl:k") === "value" ? "in\n" : "a wrong value\n";
} else {
    fwrite(STDERR, $client->getResultCode() . " " . $client->getResultMessage() . "\n");
    echo "refused\n";
}
