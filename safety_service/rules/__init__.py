"""The rule language: one line of text becomes a tree, the tree has one meaning (known, or unknown
where a fact is missing), and every faster form is generated from it.
"""
