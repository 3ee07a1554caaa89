"""How a certified policy has fared over time against its budget, alone as PNG, or on a page. No network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ragkit.cache import Certified
from ragkit.errors import InvalidInputError
from ragkit.evaluate.pages import html_table, new_figure, page, png_of, svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOUND, _BOUND, _HITS, _BUDGET = "#1f5fa8", "#c2571a", "#2b7d3c", "#8a8f98"


def trail_picture(policy: Certified) -> bytes:
    """The picture as PNG. Raises InvalidInputError before the first point, MissingDependencyError without matplotlib (extra ``study``)."""
    return png_of(_figure(policy))


def trail_page(policy: Certified, *, source: str) -> str:
    """One HTML page: the picture, and the regions of scores as they are now. Raises what ``trail_picture`` does."""
    settings = policy.settings
    svg = svg_of(_figure(policy), "error over time against budget")
    rows = [
        [
            f"{one.score:g}",
            f"{100 * one.share:.1f}",
            f"{one.judged:.0f}",
            f"{100 * one.wrong_upper:.1f}",
            "served" if one.serving else "",
        ]
        for one in policy.regions()
    ]
    now = "exact repetitions only" if policy.shadow else f"scores from {policy.threshold:g} on"
    return page(
        f"Cache: {source}",
        f"""<h1>{escape(source)}: error over time against budget</h1>
<p>{policy.requests:,} requests, {policy.hits:,} answered by meaning; {policy.alarms} alarms. Serves {escape(now)}. Allowed are
{100 * settings.budget:g} wrong answers per 100 {_base(policy)}.</p>
{svg}
<p>"judged" is the share of wrong answers among hits that a judge has heard{"" if settings.per == "hit" else ", times hits per request"};
"at most" is what the policy guarantees with {100 * (1 - settings.alpha):g} % confidence at all times together.</p>
<h2>Scores now</h2>
{html_table(["from score", "of 100 requests", "judged (weighted)", "wrong of 100, at most", ""], rows)}""",
    )


def _base(policy: Certified) -> str:
    return "requests" if policy.settings.per == "request" else "hits"


def _figure(policy: Certified) -> Figure:
    points = list(policy.trail)
    if not points:
        raise InvalidInputError(
            f"The policy has seen {policy.requests} requests; the first point is drawn after {policy.settings.block}."
        )
    figure = new_figure(12, 4.5, what="Pictures of a cache")
    error, served = figure.subplots(1, 2)
    requests = [one.requests for one in points]
    judged = [100 * policy.found_wrong(one) for one in points]
    error.plot(requests, [100 * one.bound for one in points], color=_BOUND, label="at most")
    error.plot(requests, judged, color=_FOUND, label="judged")
    budget = 100 * policy.settings.budget
    error.axhline(budget, color=_BUDGET, linestyle="--", linewidth=1, label=f"budget of {budget:g}")
    error.set_ylabel(f"wrong answers per 100 {_base(policy)}")
    error.set_ylim(bottom=0)
    served.plot(requests, [100 * one.hits / one.requests for one in points], color=_HITS, label="hits by meaning")
    served.plot(requests, [100 * one.audited / one.requests for one in points], color=_FOUND, label="of these judged")
    served.set_ylabel("per 100 requests so far")
    for axes in (error, served):
        axes.set_xlabel("requests")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    return figure
