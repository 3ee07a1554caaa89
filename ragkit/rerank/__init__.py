"""Reranking with compressed passages: each is compressed once, and questions are scored against the codes, not the text."""
