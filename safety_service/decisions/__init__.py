"""What was decided and what became of it: written before the answer goes out, readable for years, without names."""
