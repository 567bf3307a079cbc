"""How a turn is shown: safe Markdown, the view of a turn, and the surfaces it is painted on."""

MIME = "application/vnd.codex-magic.v1+json"
"""The facts of an answer, beside its texts."""
