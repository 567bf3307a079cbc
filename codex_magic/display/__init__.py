"""How a turn is shown: safe Markdown, the view of a turn, and the surfaces it is painted on."""
