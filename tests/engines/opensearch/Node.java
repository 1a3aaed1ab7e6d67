import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.plugins.Plugin;

/** One OpenSearch node in this JVM: {@code Node FOLDER PORT [key=value ...]}. Says "node is ready" when it takes requests. */
public class Node extends org.opensearch.node.Node {
  private static final List<String> PLUGINS = List.of(
      "org.opensearch.transport.Netty4Plugin",
      "org.opensearch.analysis.common.CommonAnalysisPlugin",
      "org.opensearch.index.mapper.MapperExtrasPlugin");

  Node(Settings settings, Collection<Class<? extends Plugin>> plugins) {
    super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"), plugins, true);
  }

  public static void main(String[] arguments) throws Exception {
    LogConfigurator.setNodeName("node");
    LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "WARN").build());
    Settings.Builder settings = Settings.builder()
        .put("path.home", arguments[0])
        .put("http.port", arguments[1])
        // Nobody else joins, so any port will do.
        .put("transport.port", "0")
        .put("network.host", "127.0.0.1")
        .put("discovery.type", "single-node")
        .put("node.name", "node")
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .put("http.type", "netty4")
        .put("transport.type", "netty4");
    for (int i = 2; i < arguments.length; i++) {
      String[] setting = arguments[i].split("=", 2);
      settings.put(setting[0], setting[1]);
    }
    List<Class<? extends Plugin>> plugins = new ArrayList<>();
    for (String name : PLUGINS) {
      plugins.add(Class.forName(name).asSubclass(Plugin.class));
    }
    new Node(settings.build(), plugins).start();
    System.out.println("node is ready");
    Thread.currentThread().join();
  }
}
