//! weir-analysis
