//! weir-store-tantivy
