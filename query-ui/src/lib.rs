//! weir-query-ui
