"""The vocabulary every other layer speaks: items, turns, notifications, errors, settings.

Import from the modules below, not from here: `%load_ext` must be able to read settings without
paying for msgspec.
"""
