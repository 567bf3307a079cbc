"""Looks at everything that an answer needs on this machine, and says what is wrong: `%codex doctor`."""
