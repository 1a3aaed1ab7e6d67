import brave.Span;
import brave.Tracer;
import brave.Tracing;
import brave.propagation.B3Propagation;
import brave.propagation.TraceContext;
import brave.propagation.TraceContextOrSamplingFlags;
import java.util.HashMap;
import java.util.Map;
import zipkin2.reporter.brave.AsyncZipkinSpanHandler;
import zipkin2.reporter.urlconnection.URLConnectionSender;

/**
 * Sends the call that tests/tests/sdks.rs knows through Brave and Zipkin's reporter: a server that calls another one, whose span shares
 * the client's id, and a producer. Usage: Report URL. Prints the ids that Brave has chosen, as JSON.
 */
public class Report {
    /** Microseconds since the Unix epoch; the test knows it too. */
    private static final long START = 1_700_000_000_000_000L;

    private static AsyncZipkinSpanHandler handler(String url) {
        return AsyncZipkinSpanHandler.create(URLConnectionSender.create(url));
    }

    private static Tracing tracing(String service, String ip, AsyncZipkinSpanHandler handler) {
        return Tracing.newBuilder()
                .localServiceName(service)
                .localIp(ip)
                .localPort(8080)
                .traceId128Bit(true)
                .addSpanHandler(handler)
                .build();
    }

    public static void main(String[] args) {
        AsyncZipkinSpanHandler frontHandler = handler(args[0]);
        AsyncZipkinSpanHandler backHandler = handler(args[0]);
        Tracing front = tracing("front", "10.0.0.1", frontHandler);
        Tracing back = tracing("back", "10.0.0.2", backHandler);

        Tracer tracer = front.tracer();
        Span root = tracer.newTrace().kind(Span.Kind.SERVER).name("get /orders");
        root.start(START);
        root.tag("http.method", "GET").tag("http.status_code", "500").tag("shop.city", "上海");
        root.annotate(START + 5_000, "cache miss");

        Span client = tracer.newChild(root.context()).kind(Span.Kind.CLIENT).name("get");
        client.start(START + 10_000);
        client.remoteServiceName("back");
        client.remoteIpAndPort("10.0.0.2", 8080);
        Map<String, String> headers = new HashMap<>();
        B3Propagation.FACTORY.get().<Map<String, String>>injector(Map::put).inject(client.context(), headers);

        TraceContextOrSamplingFlags extracted =
                B3Propagation.FACTORY.get().<Map<String, String>>extractor(Map::get).extract(headers);
        TraceContext context = extracted.context();
        Span server = back.tracer().joinSpan(context).kind(Span.Kind.SERVER).name("get /stock");
        server.start(START + 20_000);
        server.error(new IllegalStateException("no stock"));
        server.finish(START + 40_000);

        client.finish(START + 50_000);
        Span producer = tracer.newChild(root.context()).kind(Span.Kind.PRODUCER).name("publish");
        producer.start(START + 60_000);
        producer.finish(START + 70_000);
        root.finish(START + 100_000);

        front.close();
        back.close();
        // Closing a handler waits for what it has queued to be sent.
        frontHandler.flush();
        backHandler.flush();
        frontHandler.close();
        backHandler.close();
        System.out.printf(
                "{\"trace\":\"%s\",\"root\":\"%s\",\"client\":\"%s\",\"server\":\"%s\",\"producer\":\"%s\"}%n",
                root.context().traceIdString(),
                root.context().spanIdString(),
                client.context().spanIdString(),
                server.context().spanIdString(),
                producer.context().spanIdString());
    }
}
