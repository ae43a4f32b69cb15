"""The gRPC door: reads requests, asks the engine, writes answers; limits, errors, health and
draining live here and no clinical rule does.
"""
