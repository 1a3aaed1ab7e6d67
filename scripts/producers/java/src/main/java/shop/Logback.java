package shop;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/** Logs through SLF4J to logback; the layout comes from {@code -Dlogback.configurationFile}. */
public final class Logback {
    private static final Logger LOG = LoggerFactory.getLogger("shop.order.OrderService");

    public static void main(String[] args) throws Exception {
        LOG.info("listening on {}", 8080);
        Thread.sleep(7);
        MDC.put("traceId", "4bf92f3577b34da6a3ce929d0e0e4736");
        MDC.put("spanId", "00f067aa0ba902b7");
        LOG.info("order {} placed with {} items", 17, 3);
        Thread.sleep(7);
        LOG.warn("slow \"payment\" 付款 - 250 ms");
        Thread.sleep(7);
        try {
            Cart.pay();
        } catch (RuntimeException error) {
            LOG.error("could not pay", error);
        }
        MDC.clear();
        Thread.sleep(7);
        LOG.info("two\nlines");
        LOG.debug("deep");
    }
}
