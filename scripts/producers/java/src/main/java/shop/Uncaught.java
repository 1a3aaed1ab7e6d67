package shop;

/** Dies of an exception, which the JVM prints to standard error. */
public final class Uncaught {
    public static void main(String[] args) {
        System.err.println("listening on 8080");
        Cart.pay();
    }
}
