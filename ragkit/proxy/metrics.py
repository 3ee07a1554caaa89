"""What the server counts, in Prometheus' terms; no label ever holds text of a client."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of one server, in a registry of their own so that several servers fit in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry, namespace="ragkit")
        gauge = partial(Gauge, registry=self.registry, namespace="ragkit")
        histogram = partial(Histogram, registry=self.registry, namespace="ragkit", buckets=_SECONDS)
        self.requests = counter("requests", "Requests answered, by endpoint and status.", ["endpoint", "status"])
        self.hits = counter("cache_hits", "Answers served from the cache, by tier.", ["tier"])
        self.misses = counter(
            "cache_misses", "Requests the cache could have answered and did not, by what refused.", ["refused_by"]
        )
        self.bypasses = counter("cache_bypasses", "Requests that the cache kept out of, by reason.", ["reason"])
        self.stale = counter(
            "cache_stale_served", "Answers served past their time because no upstream answered, or only that it failed."
        )
        self.collapsed = counter("cache_collapsed", "Requests that waited for an identical one.")
        self.stored = counter("cache_stored", "Answers stored.")
        self.unstored = counter("cache_not_stored", "Answers not stored, by reason.", ["reason"])
        self.wrong = counter("cache_wrong", "Served answers that were reported wrong.")
        self.failures = counter("cache_failures", "Look-ups and writes that failed and were passed over.", ["doing"])
        self.tokens_saved = counter("tokens_saved", "Tokens that served answers once cost, by kind.", ["kind"])
        self.money_saved = counter("money_saved", "What served answers once cost, in the currency of the prices.")
        self.lookup_seconds = histogram("lookup_seconds", "Time of a look-up, embedding included.")
        self.upstream_seconds = histogram("upstream_seconds", "Time to an upstream's first byte.", ["upstream"], buckets=_SECONDS)
        self.upstream_failures = counter("upstream_failures", "Upstream calls without an answer, by kind.", ["upstream", "kind"])
        self.in_flight = gauge("in_flight", "Requests being answered now.")
        self.budget = gauge(
            "certified_budget", "Wrong answers a request (or a hit) that a certified policy allows; NaN for others."
        )
        self.bound = gauge(
            "certified_bound",
            "At most this share of the hits served by meaning is wrong; NaN in shadow mode and for other policies.",
        )
