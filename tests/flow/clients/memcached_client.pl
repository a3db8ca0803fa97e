# Cache::Memcached, the pure Perl client, against a server. Arguments: host, port, protocol (always ascii).
# Prints a line for each check that held (see CHECKS in ../test_clients.py), or what went wrong, and exits with 1.
use strict;
use warnings;
use Cache::Memcached;
use Time::HiRes qw(sleep time);

$| = 1;
my $count = 200;
my ($host, $port) = @ARGV;
my $client = Cache::Memcached->new({
    servers => ["$host:$port"], connect_timeout => 30, select_timeout => 90, compress_threshold => 0,
});

sub check {
    my ($condition, $what) = @_;
    return if $condition;
    print "$what\n";
    exit 1;
}

sub passed { print "$_[0]: ok\n"; }
sub value { my $i = shift; return "value of k:$i\r\nEND\r\n" . chr(97 + $i % 26) x ($i * 7 % 300); }
sub is { my ($got, $wanted) = @_; return defined $got && $got eq $wanted; }

$client->set("brief", "brief", 1);
$client->set("long", "long", 1000);

for my $i (0 .. $count - 1) {
    check($client->set("k:$i", value($i)), "set k:$i");
}
for my $i (0 .. $count - 1) {
    check(is($client->get("k:$i"), value($i)), "get k:$i");
}
check(!defined $client->get("none"), "get of nothing");
passed("set");

my $got = $client->get_multi(map {"k:$_"} 0 .. 2 * $count - 1);
check(keys %$got == $count, "get_multi: " . keys %$got);
check(is($got->{"k:$_"}, value($_)), "get_multi: k:$_") for 0 .. $count - 1;
passed("multi");

check($client->add("a", "1") && !$client->add("a", "2"), "add");
passed("add");
check($client->replace("a", "mid") && !$client->replace("none", "x"), "replace");
passed("replace");
check($client->append("a", "-end") && !$client->append("none", "x"), "append");
passed("append");
check($client->prepend("a", "start-") && is($client->get("a"), "start-mid-end"), "prepend");
passed("prepend");

$client->set("n", 10);
check($client->incr("n", 5) == 15 && $client->decr("n", 14) == 1 && $client->decr("n", 5) == 0, "counting");
check(!defined $client->incr("none"), "incr of nothing");
passed("count");
check($client->delete("a") && !$client->delete("a") && !defined $client->get("a"), "delete");
passed("delete");

my $every_byte = join "", map {chr} 0 .. 255;
for my $data ("", "\r\n", "\r\nEND\r\n", "VALUE k:1 0 1\r\n", $every_byte) {
    check($client->set("bytes", $data) && is($client->get("bytes"), $data), "a value of " . length($data) . " bytes");
}
passed("bytes");
my $large = substr($every_byte x 3516, 0, 900000);
check($client->set("large", $large) && is($client->get("large"), $large), "a large value");
passed("large");
check($client->set("typed", { a => [1, 2] }) && $client->get("typed")->{a}[1] == 2, "a structure");
passed("flags");

my $end = time + 10;
while (defined $client->get("brief")) {
    check(time < $end, "it does not expire");
    sleep 0.1;
}
check(is($client->get("long"), "long"), "the long-lived one");
passed("expiry");

# Asks for `stats` and `stats malloc`; today's servers refuse the second.
my $stats = $client->stats;
check($stats->{hosts}{"$host:$port"}{misc}{curr_items} > $count, "stats");
$stats = $client->stats("misc");
check($stats->{total}{curr_items} > $count, "stats misc");
passed("stats");
check($client->flush_all, "flush_all");
check(!%{ $client->get_multi(map {"k:$_"} 0 .. $count - 1) }, "get_multi after flush_all");
passed("flush");
$client->disconnect_all;
