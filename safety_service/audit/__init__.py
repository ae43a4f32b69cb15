"""Batch audit: a population's records through the engine's own checks, each as it would have been answered then."""
