"""What is known and where it stands: reads `rules_data`, refuses what lacks a source, and gives one
immutable, digested whole in which drugs and codes are looked up.
"""
