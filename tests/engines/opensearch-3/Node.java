import java.lang.reflect.Constructor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * One OpenSearch 3 node in this JVM: {@code Node FOLDER PORT [key=value ...]}. Says "node is ready" when it takes requests.
 *
 * <p>Its classes are for a newer Java than the compiler that Debian has can read, so all of them are named as text.
 */
public class Node {
  private static final String PACKAGE = "org.opensearch.";
  private static final List<String> PLUGINS = List.of(
      "transport.Netty4ModulePlugin",
      "index.mapper.MapperExtrasModulePlugin");

  private static Class<?> named(String name) throws ClassNotFoundException {
    return Class.forName(PACKAGE + name);
  }

  public static void main(String[] arguments) throws Exception {
    Class<?> settings = named("common.settings.Settings");
    Class<?> logging = named("common.logging.LogConfigurator");
    logging.getMethod("setNodeName", String.class).invoke(null, "node");
    logging.getMethod("configureWithoutConfig", settings).invoke(null, settings(List.of("logger.level=WARN")));
    List<String> pairs = new ArrayList<>(List.of(
        "path.home=" + arguments[0],
        "http.port=" + arguments[1],
        // Nobody else joins, so any port will do.
        "transport.port=0",
        "network.host=127.0.0.1",
        "discovery.type=single-node",
        "node.name=node",
        "cluster.routing.allocation.disk.threshold_enabled=false",
        "http.type=netty4",
        "transport.type=netty4"));
    pairs.addAll(List.of(arguments).subList(2, arguments.length));
    Supplier<String> name = () -> "node";
    Object environment = named("node.InternalSettingsPreparer")
        .getMethod("prepareEnvironment", settings, Map.class, Path.class, Supplier.class)
        .invoke(null, settings(pairs), Map.of(), null, name);
    Class<?> version = named("Version");
    Constructor<?> plugin = named("plugins.PluginInfo").getConstructor(String.class, String.class, String.class, version,
        String.class, String.class, String.class, List.class, boolean.class);
    List<Object> plugins = new ArrayList<>();
    for (String of : PLUGINS) {
      String full = PACKAGE + of;
      plugins.add(plugin.newInstance(full, "on the class path", "NA", version.getField("CURRENT").get(null), "21", full, null, List.of(), false));
    }
    Class<?> node = named("node.Node");
    Constructor<?> constructor = node.getDeclaredConstructor(named("env.Environment"), Collection.class, boolean.class);
    constructor.setAccessible(true);
    node.getMethod("start").invoke(constructor.newInstance(environment, plugins, true));
    System.out.println("node is ready");
    Thread.currentThread().join();
  }

  private static Object settings(List<String> pairs) throws ReflectiveOperationException {
    Class<?> settings = named("common.settings.Settings");
    Object builder = settings.getMethod("builder").invoke(null);
    for (String pair : pairs) {
      String[] setting = pair.split("=", 2);
      builder.getClass().getMethod("put", String.class, String.class).invoke(builder, setting[0], setting[1]);
    }
    return builder.getClass().getMethod("build").invoke(builder);
  }
}
