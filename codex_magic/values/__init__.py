"""Answers as values: one (`ask`), or one for each row (`map`), in scripts and notebooks alike.

Import from the modules below. Knows no notebook: one that is there is asked by way of `host`.
"""
