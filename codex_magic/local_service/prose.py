"""The texts of the scripted answers: Markdown as models write it, with nothing made up about the world."""

from __future__ import annotations

NOTICE = "*A scripted answer from the local service: no model was asked.*"

OVERVIEW = r"""
This is the **local service** of codex_magic. It speaks the same protocol as the real one, so everything
around the answer (streaming, threads, interrupting, limits) is genuine; only the words are prepared.

It looks for a few keywords in your question:

| ask about | and you get |
|:--|:--|
| `explain` | prose with code and nested lists |
| `pandas`, `plot`, `bash` | code to run |
| `math` | formulas, inline and displayed |
| `table`, `haiku`, `error` | what they say |
| `echo: any text` | that text, byte for byte |
| `repeat 40000` | so many characters of varied Markdown |
| `use the tool NAME with {...}` | a function call, if the tool is offered |
| `fault: usage_limit` | that failure, as the real service words it |

For a real answer choose another provider, for example `%codex provider chatgpt`.
"""

EXPLAIN = r"""
## What the code does

A generator computes its values **one at a time**, when they are asked for:

```python
def running_mean(values):
    total = 0.0
    for count, value in enumerate(values, start=1):
        total += value
        yield total / count


print(list(running_mean([2, 4, 9])))  # [2.0, 3.0, 5.0]
```

1. `total` keeps the sum so far, so each step costs \(O(1)\).
2. `yield` hands over one mean and waits:
   - the caller decides when to go on;
   - nothing is computed that nobody reads:
     - an endless input is fine,
     - so is a file larger than memory.
3. When the input ends, the generator ends too.

> A list would need all means at once: \(O(n)\) memory instead of \(O(1)\).

The [Python tutorial](https://docs.python.org/3/tutorial/classes.html#generators) has more on generators.
"""

PANDAS = r"""
Group first, then aggregate; named aggregation keeps the column names readable:

```python
import pandas as pd

orders = pd.DataFrame(
    {"city": ["Oslo", "Oslo", "Lima", "Lima"], "price": [12.5, 7.5, 30.0, 10.0]}
)
summary = orders.groupby("city").agg(total=("price", "sum"), mean=("price", "mean"))
print(summary.sort_values("total", ascending=False))
```

| city | total | mean |
|:-----|------:|-----:|
| Lima | $40.00 | $20.00 |
| Oslo | $20.00 | $10.00 |

So Lima brought $20 more than Oslo. `mean` is \( \frac{1}{n}\sum_i x_i \), which one large order can
dominate; with `median` in its place it would not.
"""

PLOT = r"""
One curve, labelled axes and no decoration:

```python
import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 4 * np.pi, 400)
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(x, np.exp(-x / 6) * np.sin(x), label="damped sine")
axes.set(xlabel="time [s]", ylabel="amplitude")
axes.legend()
plt.show()
```

The curve is \(y(t) = e^{-t/6}\,\sin t\). To see the envelope as well, add
`axes.plot(x, np.exp(-x / 6), "--")` before `legend()`.
"""

TABLE = r"""
| structure | look up | insert | ordered | when |
|:----------|:-------:|:------:|:-------:|:-----|
| `list` | \(O(n)\) | \(O(1)\) at the end | yes | sequences, stacks |
| `dict` | \(O(1)\) | \(O(1)\) | by insertion | names to values |
| `set` | \(O(1)\) | \(O(1)\) | no | membership, `a \| b` |
| `deque` | \(O(n)\) | \(O(1)\) at both ends | yes | queues |

**In short:** `dict` unless order of values matters, then `list`.
"""

MATH = r"""
## The Gaussian integral

We want \( I = \int_{-\infty}^{\infty} e^{-x^2}\,dx \). Its square is an integral over the plane,

\[
I^2 = \int_{-\infty}^{\infty}\!\int_{-\infty}^{\infty} e^{-(x^2+y^2)}\,dx\,dy
    = \int_0^{2\pi}\!\int_0^{\infty} e^{-r^2}\, r\,dr\,d\varphi = \pi ,
\]

because the factor \(r\) makes the inner integral elementary. Hence

$$
I = \sqrt{\pi} \approx 1.77245 .
$$

A check by machine:

```python
from math import exp, pi, sqrt

step = 0.001
total = sum(exp(-((k * step) ** 2)) * step for k in range(-6000, 6001))
print(abs(total - sqrt(pi)) < 1e-9)
```

Computing this costs about $0.00; the $5 for a coffee while waiting are not needed.
"""

ERROR = r"""
### Why it fails

`KeyError` means that the key is not in the mapping. Most often it is one of these:

- a typing mistake or another case: `"Price"` is not `"price"`;
- spaces in a header line, as in `" price"`;
- the column was made the index by an earlier step.

Look before you fix:

```python
print([repr(name) for name in frame.columns])
```

Then repair the names once, where the data comes in:

```diff
-frame = pd.read_csv("orders.csv")
+frame = pd.read_csv("orders.csv").rename(columns=str.strip)
```
"""

BASH = r"""
The ten largest files below the current folder:

```bash
find . -type f -printf '%s\t%p\n' | sort -rn | head -n 10 |
  awk -F'\t' '{ printf "%8.1f MB  %s\n", $1 / 1e6, $2 }'
```

1. `find` prints size and path, divided by a tab;
2. `sort -rn` puts the largest first;
3. `awk` turns bytes into MB, so `$1` is the size and `$2` the path.
"""

HAIKU = r"""
> Tokens drift like snow,\
> no model wrote these three lines:\
> the script knew them all.
"""

LONG_CHARS = 6000

THOUGHTS = (
    (
        "**Reading the question**\n\nThe keywords in the question decide which prepared answer fits. "
        "Earlier turns are counted, so that the answer can refer to them."
    ),
    (
        "**Choosing the answer**\n\nA prepared text is chosen and sent in small pieces, "
        "as a model would send its tokens."
    ),
)

_TOPICS = ("Sorting", "Searching", "Caching", "Hashing", "Sampling", "Parsing", "Fitting", "Scheduling")

_SECTION = r"""## {number}. {topic} with {size} values

This is section {number} of a scripted text. A run over \( n = {size} \) values takes \( T(n) = {number}\,n\log n \)
steps, so doubling the input costs a little more than twice the time; at ${number} a run that is still cheap.

```python
def {name}_{number}(values, limit={size}):
    kept = []
    for position, value in enumerate(values):
        if position >= limit:
            break
        kept.append((value % {prime}, position))
    return sorted(kept)


assert {name}_{number}([]) == []
```

| step | count | share |
|:-----|------:|------:|
| read | {size} | {share} % |
| compare | {compares} | {rest} % |
| write | {number} | 1 % |

\[
\sum_{{k=1}}^{{{number}}} k = \frac{{{number} \cdot {next}}}{{2}} = {sum}
\]

- keep `limit` small while you are testing;
- compare with a **slow and obvious** version:
  - once for an empty input,
  - once for {size} equal values;
- write the result down *before* you go on.

"""

_FILLER = "And so on, word by word, until the asked length is reached. "


def document(length: int) -> str:
    """Exactly `length` characters of Markdown: whole sections, then plain words."""
    text = ""
    number = 1
    while len(text) + len(section := _section(number)) <= length:
        text += section
        number += 1
    missing = length - len(text)
    return text + (_FILLER * (missing // len(_FILLER) + 1))[:missing]


def _section(number: int) -> str:
    topic = _TOPICS[number % len(_TOPICS)]
    size = 100 + 37 * number
    share = 10 + number % 40
    return _SECTION.format(
        number=number,
        topic=topic,
        name=topic.lower(),
        size=size,
        prime=(97, 101, 103, 107)[number % 4],
        compares=size * number,
        share=share,
        rest=99 - share,
        next=number + 1,
        sum=number * (number + 1) // 2,
    )
