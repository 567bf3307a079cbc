"""Our Markdown as a page that needs nothing else. Pure."""

import html

from markdown_it import MarkdownIt

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>body {{ font: 16px/1.6 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em }}
pre {{ overflow: auto; padding: .6em; background: #f5f5f5 }} td, th {{ border: 1px solid #ccc; padding: .2em .6em }}
table {{ border-collapse: collapse }}</style></head><body>
{body}</body></html>
"""
"""Nothing in it runs and nothing is fetched, whatever an answer holds."""


def html_page(title: str, markdown: str) -> str:
    """Return a whole page. The tags in `markdown` are ours: what an answer has of HTML is text by then."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return PAGE.format(title=html.escape(title), body=reader.render(markdown))
