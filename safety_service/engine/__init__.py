"""From a history to a decision: folds a patient's records once into facts, puts the facts to the
rules, and explains every alert by its facts, limits and sources.
"""
