//! weir-parse
