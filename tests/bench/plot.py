"""Latency against rate as SVG, with nothing but Python: p50 on the left, p99.9 on the right, microseconds on a logarithmic axis."""

import math
from html import escape

WIDTH, HEIGHT = 960, 430
TOP, BOTTOM, LEFT, GAP, PANEL = 62, 336, 62, 70, 395
# Told apart also by those who see few colours (Okabe and Ito).
COLOURS = {"ringside": "#d55e00", "twemproxy": "#0072b2", "memcached-proxy": "#009e73", "haproxy": "#cc79a7",
           "relay": "#7f7f7f", "memcached": "#111111", "ringside-tree": "#e69f00"}


class Panel:
    """One chart: from rates and microseconds to places."""

    def __init__(self, left, title, rate_max, low_us, high_us):
        self.left, self.title, self.rate_max = left, title, rate_max
        self.low, self.high = math.log10(low_us), math.log10(high_us)

    def x(self, rate):
        return self.left + PANEL * rate / self.rate_max

    def y(self, microseconds):
        return BOTTOM - (BOTTOM - TOP) * (math.log10(max(microseconds, 1)) - self.low) / (self.high - self.low)

    def frame(self):
        parts = [text(self.left + PANEL / 2, TOP - 12, self.title, "middle", 14),
                 text(self.left + PANEL / 2, BOTTOM + 36, "requests a second, thousands", "middle")]
        decade = round(self.low)
        while decade <= self.high:
            for factor in (1, 2, 5):
                us = factor * 10 ** decade
                if us <= 10 ** self.high * 1.001:
                    parts += [line(self.left, self.y(us), self.left + PANEL, self.y(us), "#dddddd"),
                              text(self.left - 6, self.y(us) + 4, short_time(us), "end")]
            decade += 1
        step = nice_step(self.rate_max / 6)
        for i in range(int(self.rate_max / step) + 1):
            parts += [line(self.x(i * step), BOTTOM, self.x(i * step), BOTTOM + 4, "#555555"),
                      text(self.x(i * step), BOTTOM + 18, "%g" % (i * step / 1000), "middle")]
        return parts + [line(self.left, BOTTOM, self.left + PANEL, BOTTOM, "#555555")]

    def curve(self, name, points):
        colour, width = COLOURS.get(name, "#555555"), 3 if name == "ringside" else 1.6
        places = ["%.1f,%.1f" % (self.x(rate), self.y(us)) for rate, us in points]
        dots = ['<circle cx="%s" cy="%s" r="%s" fill="%s"/>' % (*place.split(","), width + 0.6, colour) for place in places]
        return ['<polyline points="%s" fill="none" stroke="%s" stroke-width="%s"/>' % (" ".join(places), colour, width)] + dots


def text(x, y, words, anchor="start", size=12):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>' % (x, y, anchor, size, escape(words))


def line(x1, y1, x2, y2, colour, width=1):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%s"/>' % (x1, y1, x2, y2, colour, width)


def short_time(us):
    return "%g µs" % us if us < 1000 else "%g ms" % (us / 1000)


def nice_step(least):
    """The next of 1, 2, 5, 10, 20, ..."""
    power = 10 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def legend(names):
    parts, x = [], LEFT
    for name in names:
        parts += [line(x, HEIGHT - 24, x + 24, HEIGHT - 24, COLOURS.get(name, "#555555"), 3), text(x + 30, HEIGHT - 20, name)]
        x += 62 + 7 * len(name)
    return parts


def draw(curves, title):
    """curves: {name: [(rate, p50_us, p999_us)]}, title: the line above. Returns the SVG's text."""
    rows = [row for points in curves.values() for row in points]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" fill="#222222">' %
             (WIDTH, HEIGHT), '<rect width="100%" height="100%" fill="#ffffff"/>', text(LEFT, 24, title, size=15)]
    if not rows:
        return "\n".join(parts + [text(WIDTH / 2, HEIGHT / 2, "not measured yet", "middle"), "</svg>"]) + "\n"
    rate_max = max(rate for rate, _, _ in rows) * 1.03
    low = 10 ** math.floor(math.log10(max(1, min(row[1] for row in rows))))
    high = max(row[2] for row in rows) * 1.2
    for index, words in ((1, "p50"), (2, "p99.9")):
        panel = Panel(LEFT + (index - 1) * (PANEL + GAP), words, rate_max, low, high)
        parts += panel.frame()
        for name, points in curves.items():
            if points:
                parts += panel.curve(name, [(row[0], row[index]) for row in points])
    return "\n".join(parts + legend([name for name in curves if curves[name]]) + ["</svg>"]) + "\n"
