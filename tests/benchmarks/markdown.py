"""Safe Markdown, fed 20 characters at a time and looked at 200 times: what four times the text costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from codex_magic.display.safe_markdown import SafeMarkdown

DELTA = 20
LOOKS = 200
BAR = 6
"""Linear is 4, quadratic 16."""

SECTION = """## Step {n}

The *mean* of `values` is **{n}**, see [the docs](https://docs.test/{n}) and \\(x_{{{n}}} < y\\); it costs $5 or $6.

- first point with `code`
- second point
  - nested

```python
def f{n}(x: int) -> int:
    return x ** 2 if x < 3 else 0  # $HOME
```

| name | value |
| --- | ---: |
| a{n} | <b> |

"""


def typical(size: int) -> str:
    return "".join(SECTION.format(n=n) for n in range(size // 300))[:size]


def with_a_fence(size: int) -> str:
    """Half of it inside one code fence that never closes."""
    return typical(size // 2) + "\n\n```python\n" + "x = f(1) < 2  # `a` $b\n" * (size // 46)


def one_paragraph(size: int) -> str:
    return "word *stressed* `code` and [link](https://a.test) more < text\n" * (size // 62)


def one_line(size: int) -> str:
    return one_paragraph(size).replace("\n", " ")


def seconds(text: str) -> float:
    start = time.process_time()
    stream = SafeMarkdown()
    look = len(text) // LOOKS
    for at in range(0, len(text), DELTA):
        stream.feed(text[at : at + DELTA])
        if at % look < DELTA:
            _ = stream.text
    return time.process_time() - start


def row(make: Callable[[int], str]) -> dict[str, object]:
    seconds(make(20_000))
    small, large = (
        min(seconds(make(100_000)) for _ in range(3)),
        min(seconds(make(400_000)) for _ in range(2)),
    )
    return {
        "what": f"safe Markdown, {make.__name__.replace('_', ' ')}: CPU for 400 KB over 100 KB",
        "bar": f"<= {BAR}x",
        "measured": f"{large / small:.1f}x ({large * 1000:.0f} ms over {small * 1000:.0f} ms)",
        "holds": large / small <= BAR,
    }


if __name__ == "__main__":
    for make in (typical, with_a_fence, one_paragraph, one_line):
        print(json.dumps(row(make)), flush=True)
