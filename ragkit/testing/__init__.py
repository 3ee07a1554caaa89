"""Shipped for people who write their own parts: fakes, laws, and texts that break things."""
