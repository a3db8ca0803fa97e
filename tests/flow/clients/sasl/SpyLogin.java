// spymemcached with SASL PLAIN. Arguments: host, port, user, password. Prints "in" when a value could be set and read
// back, "refused" when the server did not let it.

import java.net.InetSocketAddress;
import java.util.Collections;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.ConnectionFactoryBuilder.Protocol;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;

public final class SpyLogin {
    public static void main(String[] args) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        // With a wrong password it connects anew, for ever.
        AuthDescriptor auth = new AuthDescriptor(new String[] {"PLAIN"}, new PlainCallbackHandler(args[2], args[3]));
        MemcachedClient client = new MemcachedClient(
            new ConnectionFactoryBuilder().setProtocol(Protocol.BINARY).setAuthDescriptor(auth)
                .setAuthWaitTime(90000).setOpTimeout(90000).build(),
            Collections.singletonList(new InetSocketAddress(args[0], Integer.parseInt(args[1]))));
        String outcome = "refused";
        try {
            if (client.set("sasl:k", 0, "value").get()) {
                outcome = "value".equals(client.get("sasl:k")) ? "in" : "a wrong value";
            }
        } catch (Exception error) {
            error.printStackTrace();
        }
        System.out.println(outcome);
        System.out.flush();
        System.exit(0);
    }
}
