//! weir-transport
