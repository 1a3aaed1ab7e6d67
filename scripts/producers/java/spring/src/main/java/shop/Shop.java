package shop;

import io.micrometer.tracing.Span;
import io.micrometer.tracing.Tracer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A Spring Boot application with Micrometer's tracing; the layout is Spring Boot's own, or set by {@code logging.pattern.*}. */
@SpringBootApplication
public class Shop {
    private static final Logger LOG = LoggerFactory.getLogger(Shop.class);

    public static void main(String[] args) {
        var context = SpringApplication.run(Shop.class, args);
        LOG.info("listening on {}", 8080);
        Tracer tracer = context.getBean(Tracer.class);
        Span span = tracer.nextSpan().name("order").start();
        try (Tracer.SpanInScope scope = tracer.withSpan(span)) {
            LOG.info("order {} placed", 17);
            LOG.warn("slow \"payment\" 付款 : 250 ms");
            try {
                throw new IllegalStateException("card declined", new java.io.IOException("no funds"));
            } catch (IllegalStateException error) {
                LOG.error("could not pay", error);
            }
        } finally {
            span.end();
        }
        context.close();
    }
}
