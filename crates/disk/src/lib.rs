//! weir-disk
