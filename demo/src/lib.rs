//! weir-demo
