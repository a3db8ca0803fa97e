// spymemcached against a server. Arguments: host, port, protocol (ascii or binary).
// Prints a line for each check that held (see CHECKS in ../test_clients.py), or ends with an exception.

import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.FailureMode;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.transcoders.SerializingTranscoder;

public final class SpyClient {
    private static final int COUNT = 200;
    private static final long TIMEOUT_MS = 90000;
    private static MemcachedClient client;
    private static boolean binary;

    private static void check(boolean condition, String what) {
        if (!condition) {
            throw new IllegalStateException(what);
        }
    }

    private static void passed(String name) {
        System.out.println(name + ": ok");
    }

    private static byte[] value(int i) {
        String filler = String.valueOf((char) ('a' + i % 26)).repeat(i * 7 % 300);
        return ("value of k:" + i + "\r\nEND\r\n" + filler).getBytes(StandardCharsets.US_ASCII);
    }

    private static boolean is(Object got, byte[] wanted) {
        return got instanceof byte[] && Arrays.equals((byte[]) got, wanted);
    }

    private static List<String> keys(int count) {
        return IntStream.range(0, count).mapToObj(i -> "k:" + i).collect(Collectors.toList());
    }

    private static void checkKeys() throws Exception {
        for (int i = 0; i < COUNT; i++) {
            check(client.set("k:" + i, 0, value(i)).get(), "set k:" + i);
        }
        for (int i = 0; i < COUNT; i++) {
            check(is(client.get("k:" + i), value(i)), "get k:" + i);
        }
        check(client.get("none") == null, "get of nothing");
        passed("set");
        Map<String, Object> got = client.getBulk(keys(2 * COUNT));
        check(got.size() == COUNT, "getBulk: " + got.size());
        for (int i = 0; i < COUNT; i++) {
            check(is(got.get("k:" + i), value(i)), "getBulk: k:" + i);
        }
        passed("multi");
    }

    private static void checkStores() throws Exception {
        check(client.add("a", 0, "1").get() && !client.add("a", 0, "2").get(), "add");
        passed("add");
        check(client.replace("a", 0, "mid").get() && !client.replace("none", 0, "x").get(), "replace");
        passed("replace");
        check(client.append("a", "-end").get() && !client.append("none", "x").get(), "append");
        passed("append");
        check(client.prepend("a", "start-").get() && "start-mid-end".equals(client.get("a")), "prepend");
        passed("prepend");
        client.set("c", 0, "one").get();
        CASValue<Object> got = client.gets("c");
        check("one".equals(got.getValue()), "gets");
        check(client.cas("c", got.getCas(), "two") == CASResponse.OK, "cas");
        check(client.cas("c", got.getCas(), "three") == CASResponse.EXISTS, "cas again");
        check(client.cas("none", got.getCas(), "x") == CASResponse.NOT_FOUND, "cas of nothing");
        check("two".equals(client.get("c")), "get after cas");
        passed("cas");
    }

    private static void checkChanges() throws Exception {
        client.set("n", 0, "10").get();
        check(client.incr("n", 5) == 15 && client.decr("n", 14) == 1 && client.decr("n", 5) == 0, "counting");
        check(client.incr("none", 1) == -1, "incr of nothing");
        passed("count");
        check(client.delete("a").get() && !client.delete("a").get() && client.get("a") == null, "delete");
        passed("delete");
        check(client.touch("c", 1000).get() && !client.touch("none", 1000).get(), "touch");
        passed("touch");
        if (binary) { // In its text mode it refuses to.
            check("two".equals(client.getAndTouch("c", 1000).getValue()), "getAndTouch");
            check(client.getAndTouch("none", 1000) == null, "getAndTouch of nothing");
            passed("gat");
        }
    }

    private static void checkBytes() throws Exception {
        byte[] every = new byte[256];
        byte[] large = new byte[900000];
        for (int i = 0; i < large.length; i++) {
            large[i] = (byte) i;
            every[i % 256] = (byte) i;
        }
        byte[][] wild = {"".getBytes(), "\r\n".getBytes(), "\r\nEND\r\n".getBytes(), "VALUE k:1 0 1\r\n".getBytes(),
            every};
        for (byte[] data : wild) {
            check(client.set("bytes", 0, data).get() && is(client.get("bytes"), data), data.length + " bytes");
        }
        passed("bytes");
        check(client.set("large", 0, large).get() && is(client.get("large"), large), "a large value");
        passed("large");
        for (Object typed : new Object[] {42, 1L << 40, 1.5, true, new Date(0), "t\u00e4xt"}) {
            check(client.set("typed", 0, typed).get() && typed.equals(client.get("typed")), "a " + typed.getClass());
        }
        passed("flags");
    }

    private static void checkExpiry() throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (client.get("brief") != null) {
            check(System.nanoTime() - end < 0, "it does not expire");
            Thread.sleep(100);
        }
        check("long".equals(client.get("long")), "the long-lived one");
        passed("expiry");
    }

    private static void checkServer() throws Exception {
        check(client.getVersions().values().iterator().next().matches("1\\.\\d+\\.\\d+.*"), "getVersions");
        passed("version");
        check(Integer.parseInt(client.getStats().values().iterator().next().get("curr_items")) > COUNT, "getStats");
        passed("stats");
        check(client.flush().get(), "flush");
        check(client.getBulk(keys(COUNT)).isEmpty(), "getBulk after flush");
        passed("flush");
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.LogManager.getLogManager().reset();
        binary = args[2].equals("binary");
        SerializingTranscoder plain = new SerializingTranscoder();
        plain.setCompressionThreshold(Integer.MAX_VALUE);
        ConnectionFactoryBuilder builder = new ConnectionFactoryBuilder().setTranscoder(plain).setDaemon(true)
            .setOpTimeout(TIMEOUT_MS).setFailureMode(FailureMode.Retry).setTimeoutExceptionThreshold(1 << 20)
            .setProtocol(binary ? ConnectionFactoryBuilder.Protocol.BINARY : ConnectionFactoryBuilder.Protocol.TEXT);
        InetSocketAddress address = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        client = new MemcachedClient(builder.build(), List.of(address));
        client.set("brief", 1, "brief").get();
        client.set("long", 1000, "long").get();
        checkKeys();
        checkStores();
        checkChanges();
        checkBytes();
        checkExpiry();
        checkServer();
        client.shutdown(10, TimeUnit.SECONDS);
    }
}
