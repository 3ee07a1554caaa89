"""What a file is, by the end of its name: its media type, and whether it can be text at all."""

from __future__ import annotations

from pathlib import PurePath

# A table of our own: the system's differs between machines, and metadata must not.
_TYPES = {
    "text/plain": "txt text log rst adoc asciidoc org tex ini cfg conf properties env diff patch po srt vtt",
    "text/markdown": "md markdown mdown mkd mdx qmd rmd",
    "text/html": "html htm xhtml",
    "application/pdf": "pdf",
    "application/x-ipynb+json": "ipynb",
    "application/json": "json jsonl ndjson geojson",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/xml": "xml xsd xsl rss atom",
    "application/yaml": "yaml yml",
    "application/toml": "toml",
    "text/css": "css scss sass less",
    "text/javascript": "js mjs cjs jsx ts mts cts tsx vue svelte",
    "text/x-python": "py pyi pyx pxd",
    "text/x-c": "c h cc cpp cxx hh hpp hxx cu cuh m mm ino",
    "text/x-source": (
        "java kt kts scala groovy cs fs vb go rs swift rb php pl pm lua r jl dart ex exs erl hrl hs ml mli clj cljs el lisp scm "
        "nim zig v asm s f f90 f95 d "
        "sql sh bash zsh fish ps1 bat cmd awk sed tcl proto thrift graphql gql tf hcl cmake mk gradle nix bzl"
    ),
}
_BY_SUFFIX = {f".{suffix}": kind for kind, suffixes in _TYPES.items() for suffix in suffixes.split()}
_BY_NAME = {"dockerfile": "text/x-source", "makefile": "text/x-source", "readme": "text/plain", "license": "text/plain"}


def media_type(path: PurePath) -> str | None:
    """The media type that the name of a file promises, or None when the name says nothing."""
    return _BY_SUFFIX.get(path.suffix.lower()) or _BY_NAME.get(path.name.lower())
