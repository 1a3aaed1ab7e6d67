package shop;

import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.apache.logging.log4j.ThreadContext;

/** Logs through Log4j 2; the layout comes from {@code -Dlog4j2.configurationFile}. */
public final class Log4j {
    private static final Logger LOG = LogManager.getLogger("shop.order.OrderService");

    public static void main(String[] args) throws Exception {
        LOG.info("listening on {}", 8080);
        Thread.sleep(7);
        ThreadContext.put("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736");
        ThreadContext.put("span_id", "00f067aa0ba902b7");
        LOG.info("order {} placed with {} items", 17, 3);
        Thread.sleep(7);
        LOG.warn("slow \"payment\" 付款 - 250 ms");
        Thread.sleep(7);
        try {
            Cart.pay();
        } catch (RuntimeException error) {
            LOG.error("could not pay", error);
        }
        ThreadContext.clearAll();
        Thread.sleep(7);
        LOG.fatal("stopping");
        LOG.debug("deep");
    }
}
