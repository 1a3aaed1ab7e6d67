import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;

/** One Elasticsearch 7 node in this JVM: {@code Node DISTRIBUTION FOLDER PORT [key=value ...]}. Says "node is ready" when it takes requests. */
public class Node {
  public static void main(String[] arguments) throws Exception {
    Path config = Files.createDirectories(Path.of(arguments[1], "config"));
    LogConfigurator.setNodeName("node");
    LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "WARN").build());
    Settings.Builder settings = Settings.builder()
        .put("path.home", arguments[0])
        .put("path.data", arguments[1] + "/data")
        .put("path.logs", arguments[1] + "/logs")
        .put("http.port", arguments[2])
        // Nobody else joins, so any port will do.
        .put("transport.port", "0")
        .put("network.host", "127.0.0.1")
        .put("discovery.type", "single-node")
        .put("node.name", "node")
        .put("xpack.security.enabled", false)
        .put("cluster.routing.allocation.disk.threshold_enabled", false);
    for (int i = 3; i < arguments.length; i++) {
      String[] setting = arguments[i].split("=", 2);
      settings.put(setting[0], setting[1]);
    }
    var environment = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node");
    new org.elasticsearch.node.Node(environment).start();
    System.out.println("node is ready");
    Thread.currentThread().join();
  }
}
