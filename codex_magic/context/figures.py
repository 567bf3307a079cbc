"""Figures as a picture, where the library that made them can draw one, and as words: titles, labels, series."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any

from .registry import Look, Part, Picture, attributes, register, type_name
from .short import headline, short

PIXELS = 768
"""The longer side of a picture; a model sees no more."""

MOST_PIXELS = 40_000_000
"""Of an image that is still made smaller; that of a larger one alone would take the time."""

SERIES = 20


@register("matplotlib.Figure")
def figure(value: Any, look: Look) -> Iterator[Part]:
    axes = value.axes
    yield f"{type_name(value)} with {len(axes)} axes"
    if not look.rows:
        return
    if title := getattr(value, "_suptitle", None):
        yield f"title: {short(title.get_text())}"
    for each in axes:
        yield from _axes_words(each)
    data = BytesIO()
    longest = max(value.get_size_inches())
    value.savefig(data, format="png", dpi=min(100, PIXELS / longest))
    yield Picture(data.getvalue())


@register("matplotlib.Axes", "matplotlib._AxesBase")
def axes(value: Any, look: Look) -> Iterator[Part]:
    yield f"{type_name(value)} of a figure"
    yield from islice(figure(value.figure, look), 1, None)


def _axes_words(axes: Any) -> Iterator[str]:
    labels = {"title": axes.get_title(), "x": axes.get_xlabel(), "y": axes.get_ylabel()}
    words = [f"{name} {short(label)}" for name, label in labels.items() if label]
    limits = [f"{name} {short(tuple(lim()))}" for name, lim in (("x", axes.get_xlim), ("y", axes.get_ylim))]
    yield f"axes: {', '.join(words + limits)}"
    for line in axes.lines[:SERIES]:
        label = "" if line.get_label().startswith("_") else f" {short(line.get_label())}"
        yield f"  line{label} of {len(line.get_xdata(orig=True)):,} points"
    rest = {"collections": axes.collections, "patches": axes.patches, "images": axes.images}
    drawn = [f"{len(held)} {name}" for name, held in rest.items() if len(held)]
    if drawn:
        yield f"  {', '.join(drawn)}"
    if (legend := axes.get_legend()) is not None:
        yield f"  legend: {', '.join(short(each.get_text()) for each in legend.get_texts()[:SERIES])}"


@register("plotly.Figure", "plotly.FigureWidget", "plotly.BaseFigure")
def plotly_figure(value: Any, look: Look) -> Iterator[str]:
    """In words alone: a picture would start a browser."""
    traces = value.data
    yield f"{type_name(value)} with {len(traces)} series"
    if not look.rows:
        return
    layout = value.layout
    titles = {"title": layout.title.text, "x": layout.xaxis.title.text, "y": layout.yaxis.title.text}
    if words := [f"{name} {short(title)}" for name, title in titles.items() if title]:
        yield ", ".join(words)
    for trace in traces[:SERIES]:
        held = (trace[key] for key in ("y", "x", "values", "z") if key in trace)
        points = next((each for each in held if each is not None), ())
        yield f"{trace.type} {short(trace.name)} of {len(points):,} points"


@register("altair.TopLevelMixin")
def altair_chart(value: Any, look: Look) -> Iterator[str]:
    yield f"{type_name(value)}, a chart"
    if not look.rows:
        return
    parts = dict(attributes(value)).get("_kwds", {})
    for name in ("title", "mark", "encoding", "layer", "hconcat", "vconcat"):
        part = parts.get(name)
        if part is not None and type_name(part) != "altair.UndefinedType":
            shown = getattr(part, "to_dict", lambda part=part: part)() if name == "encoding" else part
            yield f"{name}: {short(shown, 400, depth=3)}"
    yield f"data: {headline(parts.get('data'), look.rows)}"


@register("PIL.Image")
def image(value: Any, look: Look) -> Iterator[Part]:
    width, height = value.size
    yield f"{type_name(value)} of {width} × {height} pixels, mode {value.mode}"
    if look.rows and 0 < width * height <= MOST_PIXELS:
        small = value.copy()
        small.thumbnail((PIXELS, PIXELS))
        data = BytesIO()
        small.convert("RGBA" if "A" in small.mode or small.mode == "P" else "RGB").save(data, "PNG")
        yield Picture(data.getvalue())


@register("IPython.Image")
def shown_image(value: Any, look: Look) -> Iterator[Part]:
    stored = dict(attributes(value))
    kind = str(stored.get("_mimetype", "image/png"))
    yield f"{type_name(value)}, {kind}"
    if look.rows and type(data := stored.get("_data")) is bytes:
        yield Picture(data, kind)
