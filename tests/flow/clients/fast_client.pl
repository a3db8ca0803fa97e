# Cache::Memcached::Fast against a server: values checked against their keys. It pairs the values of a multi-get with
# the keys by their order, so that it is the client that would hand out a wrong one.
# Arguments: host, port, protocol (always ascii). Prints a line for each check that held (see CHECKS in
# ../test_clients.py), or what went wrong, and exits with 1.
use strict;
use warnings;
use Cache::Memcached::Fast;
use Time::HiRes qw(sleep time);

$| = 1;
my $count = 500;
my ($host, $port) = @ARGV;
my $client = Cache::Memcached::Fast->new({
    servers => ["$host:$port"], connect_timeout => 30, io_timeout => 90, max_failures => 0, nowait => 0,
    compress_threshold => -1,
});

sub check {
    my ($condition, $what) = @_;
    return if $condition;
    print "$what\n";
    exit 1;
}

sub passed { print "$_[0]: ok\n"; }
sub value { my $i = shift; return "value of fast:$i\r\nEND\r\n" . chr(97 + $i % 26) x ($i * 7 % 300); }

check($client->set("brief", "brief", 1) && $client->set("long", "long", 1000), "set with an expiry time");
for my $i (0 .. $count - 1) {
    check($client->set("fast:$i", value($i)), "set fast:$i");
}
for my $i (0 .. $count - 1) {
    check($client->get("fast:$i") eq value($i), "get fast:$i");
}
check(!defined $client->get("none"), "get of nothing");
passed("set");
# Misses between the hits, in a wild order, again and again.
for my $round (1 .. 20) {
    my @asked = map { ($_ * (2 * $round + 1) * 7) % (2 * $count) } 0 .. 2 * $count - 1;
    my $got = $client->get_multi(map {"fast:$_"} @asked);
    my $found = 0;
    for my $i (@asked) {
        my $value = $got->{"fast:$i"};
        if ($i < $count) {
            check(defined $value, "get_multi: fast:$i is missing");
            check($value eq value($i), "get_multi: the wrong value for fast:$i");
        } else {
            check(!defined $value, "get_multi: a value for fast:$i");
        }
    }
}
my $set = $client->set_multi(map { ["multi:$_", value($_)] } 0 .. $count - 1);
check(scalar(grep { $_ } values %$set) == $count, "set_multi");
my $gets = $client->gets_multi(map {"multi:$_"} 0 .. $count - 1);
for my $i (0 .. $count - 1) {
    check($gets->{"multi:$i"}[1] eq value($i), "gets_multi: the wrong value for multi:$i");
}
passed("multi");

check($client->add("a", "1"), "add");
check(!$client->add("a", "2"), "add again");
passed("add");
check($client->replace("a", "mid"), "replace");
check(!$client->replace("none", "x"), "replace of nothing");
passed("replace");
check($client->append("a", "-end") && $client->prepend("a", "start-"), "append and prepend");
check($client->get("a") eq "start-mid-end", "joined");
check(!$client->append("none", "x"), "append to nothing");
passed("append");
passed("prepend");
check($client->touch("a", 1000) && !$client->touch("none", 1000), "touch");
passed("touch");
check($client->delete("a") && !$client->delete("a"), "delete");
check(!defined $client->get("a"), "get after delete");
passed("delete");

check($client->set("n", 10) && $client->incr("n", 5) == 15 && $client->decr("n", 14) == 1, "counting");
check(!$client->incr("none"), "incr of nothing");
my $counters = $client->incr_multi(["n", 2], ["none2"]);
check($counters->{n} == 3, "incr_multi");
check($client->decr("n", 5) == 0, "decr below 0");
passed("count");

check($client->set("c", "one"), "set c");
my $cas = $client->gets("c");
check($cas->[1] eq "one" && $client->cas("c", $cas->[0], "two"), "cas");
check(!$client->cas("c", $cas->[0], "three") && $client->get("c") eq "two", "cas again");
passed("cas");
check($client->gat(1000, "c") eq "two" && !defined $client->gat(1000, "none"), "gat");
passed("gat");

my $every_byte = join "", map {chr} 0 .. 255;
for my $data ("", "\r\n", "\r\nEND\r\n", "VALUE k:1 0 1\r\n", $every_byte) {
    check($client->set("bytes", $data) && $client->get("bytes") eq $data, "a value of " . length($data) . " bytes");
}
passed("bytes");
check($client->set("typed", { a => [1, 2] }) && $client->get("typed")->{a}[1] == 2, "a structure");
passed("flags");

my $large = join "", map { pack "N", $_ * 2654435761 % 4294967296 } 0 .. 220000;
check($client->set("large", $large) && $client->get("large") eq $large, "a large binary value");
passed("large");

# Called in void context with nowait it does not wait for the answers, and takes them later.
my $hasty = Cache::Memcached::Fast->new({
    servers => ["$host:$port"], connect_timeout => 30, io_timeout => 90, nowait => 1, compress_threshold => -1,
});
$hasty->set("hasty:$_", value($_)) for 0 .. $count - 1;
$hasty->delete("hasty:0");
$hasty->nowait_push;
check(!defined $client->get("hasty:0"), "a hasty delete");
check($client->get("hasty:$_") eq value($_), "get hasty:$_") for 1 .. $count - 1;
passed("noreply");

my $end = time + 10;
while (defined $client->get("brief")) {
    check(time < $end, "it does not expire");
    sleep 0.1;
}
check($client->get("long") eq "long", "the long-lived one");
passed("expiry");

my $versions = $client->server_versions;
check((values %$versions)[0] =~ /^1\.\d+\.\d+$/, "server_versions");
passed("version");
check((values %{ $client->flush_all })[0], "flush_all");
check(!defined $client->get("fast:1"), "get after flush_all");
passed("flush");
$client->disconnect_all;
