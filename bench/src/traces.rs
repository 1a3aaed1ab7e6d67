//! Java log records of six lines: a line of logback's default pattern and a stack trace of five.

use std::io::{self, Write};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Writes whole records, about `bytes` of them, the same for the same seed.
///
/// # Errors
/// When the target can't be written.
pub fn write<W: Write>(out: &mut W, bytes: u64, seed: u64) -> io::Result<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut written = 0;
    while written < bytes {
        let mut number = |below: u32| random.random_range(0..below);
        let record = format!(
            "2026-11-24 10:{:02}:{:02}.{:03} ERROR [http-nio-8080-exec-{}] com.example.shop.OrderController - order {} failed\n\
             java.lang.IllegalStateException: no stock for product {}\n\
             \tat com.example.shop.inventory.InventoryService.reserve(InventoryService.java:{})\n\
             \tat com.example.shop.order.OrderService.place(OrderService.java:{})\n\
             \tat com.example.shop.order.OrderController.place(OrderController.java:{})\n\
             \tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:{})\n",
            number(60),
            number(60),
            number(1000),
            number(20),
            number(1_000_000),
            number(5000),
            number(400),
            number(400),
            number(400),
            number(900),
        );
        out.write_all(record.as_bytes())?;
        written += record.len() as u64;
    }
    Ok(written)
}
