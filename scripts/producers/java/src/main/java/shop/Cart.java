package shop;

/** Fails the way services do: an exception with a cause and a suppressed one. */
final class Cart {
    static final class Connection implements AutoCloseable {
        void charge() {
            throw new IllegalStateException("card declined: \"no funds\"");
        }

        @Override
        public void close() {
            throw new IllegalArgumentException("already closed");
        }
    }

    static void pay() {
        try (Connection connection = new Connection()) {
            connection.charge();
        } catch (IllegalStateException cause) {
            throw new PaymentException("payment failed", cause);
        }
    }

    static final class PaymentException extends RuntimeException {
        PaymentException(String message, Throwable cause) {
            super(message, cause);
        }
    }
}
