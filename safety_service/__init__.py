"""Medication safety checks for skeletal muscle relaxants, served over gRPC."""

__version__ = "0.1.0"
