//! The chains: read one to understand a product.
