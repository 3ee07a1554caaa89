"""``ragkit study``: which chunks, which model and which wording serve documents at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.chunking import write_page
from ragkit.cli.output import INTERRUPTED, Debug, Json, console, print_json, reporting, say
from ragkit.cli.studying_codecs import codecs
from ragkit.errors import InvalidInputError, MissingDependencyError
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.evaluate import Collection
    from ragkit.evaluate.study_report import StudyReport
    from ragkit.types import Document

study = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Compare on your own documents: chunks, a model's bias, wordings."
)

Subject = Annotated[
    Path, typer.Argument(help="A collection (corpus.jsonl, queries.jsonl, ...) or a folder of files.", show_default=False)
]
QuestionsOption = Annotated[
    str | None,
    typer.Option(
        "--questions",
        help="A JSONL file of questions with answers, or 'headings' (made by rule); without it the collection's own, or headings.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many questions, by chance.", show_default=False)]
Documents = Annotated[
    int | None, typer.Option("--documents", min=1, help="At most so many documents, by chance.", show_default=False)
]
Model = Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, or bfloat16 where the hardware has it.")]
Window = Annotated[
    int | None,
    typer.Option("--window", min=8, help="Let the model read so many tokens, up to its position table.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", help="For everything left to chance.")]


study.command(epilog="Example: ragkit study codecs kb.lance --html codecs.html --png codecs.png")(codecs)


@study.command(
    epilog="Example: ragkit study chunks docs --sizes 64,128,256 --context plain,blend --cache .study --html study.html"
)
def chunks(
    subject: Subject,
    chunkers: Annotated[
        str,
        typer.Option(
            "--chunkers",
            help="Some of recursive, sentence, fixed, markdown, auto, landmarks (sentences, returned as runs); separated by commas.",
        ),
    ] = "recursive",
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes",
            help="The most tokens of a chunk, separated by commas; without it 64, 128, 256, 512 as far as the model reads.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str,
        typer.Option(
            "--context", help="Some of plain, title, title-words, neighbour, summary, blend, document, late, late-blend."
        ),
    ] = "plain,blend",
    budget: Annotated[
        str, typer.Option("--budget", help="Returned tokens to compare at, separated by commas.")
    ] = "512,1024,2048",
    questions: QuestionsOption = None,
    ask: Annotated[
        str | None,
        typer.Option("--ask", help="Let this chat model write the questions (extra openai).", show_default=False),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="Where the chat model is served, OpenAI-compatible.", show_default=False)
    ] = None,
    limit: Limit = None,
    documents: Documents = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many results nDCG looks at.")] = 10,
    model: Model = DEFAULT_MODEL,
    dtype: Dtype = "float32",
    window: Window = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="A folder that keeps vectors and finished recipes, to go on later.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page with pictures, to this .html file (extra study).", show_default=False),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare ways of chunking at equal returned tokens, and see which differences are real.

    Every chunker at every size with every context is measured on your documents, with questions whose answers are
    known: recall, precision, overlap, nDCG, time and bytes; a paired bootstrap says what is better, or that nothing is.
    """
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{html} does not end in .html; name a page to write.", param_hint="--html")
    wanted_sizes, budgets = None if sizes is None else _numbers(sizes, "--sizes"), _numbers(budget, "--budget")
    with reporting(as_json=as_json, debug=debug):
        from ragkit.embed import TransformerEmbedder
        from ragkit.evaluate.study import limited, plan_study

        if html is not None:
            _needs_matplotlib()
        writer = None if ask is None else _asking(ask, base_url)
        collection, notes = _collection(subject, questions, writer, number=limit or 100, seed=seed, cache=cache)
        collection = limited(collection, documents=documents, questions=limit, seed=seed)
        planned = plan_study(
            collection,
            chunkers=_names(chunkers),
            sizes=wanted_sizes,
            contexts=_names(context),
            embedder=TransformerEmbedder(model, dtype=dtype, window=window),
            budgets=budgets,
            k=k,
            cache=cache,
            seed=seed,
            notes=notes,
        )
        outcomes = []
        stopped = False
        try:
            for outcome in planned.run(progress=True):
                outcomes += [outcome]
        except KeyboardInterrupt:
            stopped = True
            kept = "What is finished is kept; run the same command again to go on." if cache else "Use --cache to go on later."
            say(f"\nragkit: stopped after {len(outcomes)} of {len(planned.recipes)} recipes. {kept}")
            if not outcomes:
                raise typer.Exit(INTERRUPTED) from None
        report = planned.report(outcomes)
        if html is not None:
            from ragkit.evaluate.study_page import study_page

            write_page(html, study_page(report), source=subject)
        _show(report, as_json=as_json)
        if stopped:
            raise typer.Exit(INTERRUPTED)


@study.command(epilog="Example: ragkit study bias docs --size 200")
def bias(
    subject: Subject,
    size: Annotated[int, typer.Option("--size", min=16, help="Tokens of the texts that are probed.")] = 200,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many texts, by chance.")] = 200,
    model: Model = DEFAULT_MODEL,
    dtype: Dtype = "float32",
    window: Window = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """See whether a model reads the beginning of your texts more than the end.

    A foreign sentence is put in, and a sentence taken out, at the start, the middle and the end of chunks of your
    documents; the cosine to the whole chunk says how much that place weighs.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.embed import TransformerEmbedder
        from ragkit.evaluate.study_bias import bias_of

        documents, _ = _documents(subject)
        report = bias_of(
            documents, embedder=TransformerEmbedder(model, dtype=dtype, window=window), size=size, limit=limit, seed=seed
        )
        if as_json:
            print_json(report.to_dict())
            return
        _print_table(*report.table())
        for what, (tilt, verdict) in (("inserted", report.inserted_tilt), ("removed", report.removed_tilt)):
            said = {"better": "the beginning weighs more", "worse": "the end weighs more"}.get(
                verdict, "no difference can be seen"
            )
            console().print(f"Text {what}: {said} ({tilt.mean:+.4f} [{tilt.low:+.4f}, {tilt.high:+.4f}]).", soft_wrap=True)
        say(
            f"{report.n} texts, {report.skipped} with fewer than three sentences left out, model {report.model}. Cosines to the whole text."
        )


@study.command(epilog="Example: ragkit study robustness collections/squad --limit 500")
def robustness(
    subject: Subject,
    questions: QuestionsOption = None,
    changes: Annotated[
        str | None,
        typer.Option("--changes", help="Some of the changes by name, separated by commas; without it all.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option("--size", min=1, help="The most tokens of a chunk.")] = 256,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Returned tokens to compare at.")] = 1024,
    limit: Limit = None,
    documents: Documents = None,
    model: Model = DEFAULT_MODEL,
    dtype: Dtype = "float32",
    window: Window = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """See what typing errors, capitals, another word order and synonyms in the questions cost.

    The same questions are asked as they are and changed by rule; the loss of every change comes with its interval.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.embed import TransformerEmbedder
        from ragkit.evaluate.robustness import CHANGES
        from ragkit.evaluate.robustness import robustness as measure
        from ragkit.evaluate.study import limited

        collection, notes = _collection(subject, questions, None, number=limit or 100, seed=seed, cache=None)
        report = measure(
            limited(collection, documents=documents, questions=limit, seed=seed),
            size=size,
            embedder=TransformerEmbedder(model, dtype=dtype, window=window),
            changes=list(CHANGES) if changes is None else _names(changes),
            budget=budget,
            seed=seed,
        )
        if as_json:
            print_json(report.to_dict() | {"notes": notes})
            return
        out = console()
        for metric in dict.fromkeys(metric for _, metric in report.baseline):
            if not metric.startswith(("precision", "IoU")):
                out.print(metric, style="bold")
                _print_table(*report.table(metric))
        for note in notes:
            say(note)
        say(
            f"{report.questions} questions, {report.recipe}, model {report.model}. Differences to the questions as asked; * is beyond chance."
        )


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in _names(text)]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers such as 64,128.", param_hint=option) from error


def _needs_matplotlib() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingDependencyError("--html needs matplotlib: install the extra 'study'.")


def _is_collection(subject: Path) -> bool:
    return any((subject / name).is_file() for name in ("corpus.jsonl", "corpus.jsonl.gz"))


def _documents(subject: Path) -> tuple[list[Document], list[str]]:
    """The documents of a collection or a folder, and notes on files that could not be read."""
    if _is_collection(subject):
        from ragkit.evaluate import load_collection

        return list(load_collection(subject).documents), []
    from ragkit.load import load_folder

    loading = load_folder(subject, root=subject if subject.is_dir() else subject.parent, on_error="collect")
    found = [document for document in loading if document.text.strip()]
    if not found:
        raise InvalidInputError(
            f"{subject} has no file with text ({len(loading.skipped)} left out), so there is nothing to study."
        )
    return found, [f"{one.path} could not be read: {one.reason}" for one in loading.failed]


def _collection(
    subject: Path, questions: str | None, ask: Callable[[str], str] | None, *, number: int, seed: int, cache: Path | None
) -> tuple[Collection, list[str]]:
    """What to study, and notes on its questions."""
    from ragkit.evaluate import load_collection
    from ragkit.evaluate.questions import given_questions
    from ragkit.evaluate.questions_headings import heading_questions
    from ragkit.evaluate.questions_written import written_questions

    if ask is not None and questions is not None:
        raise InvalidInputError("Both --ask and --questions were given; the questions come from one of them.")
    if ask is None and questions is None and _is_collection(subject):
        loaded = load_collection(subject)
        lost = f"{loaded.unjudgeable} judgements name ids that the collection lacks; they count as not found."
        return loaded, [lost] if loaded.unjudgeable else []
    documents, notes = _documents(subject)
    if ask is not None:
        kept = None if cache is None else cache / "questions"
        made = written_questions(documents, ask, number=number, seed=seed, cache=kept)
    elif questions is None or questions == "headings":
        made = heading_questions(documents, seed=seed)
    else:
        made = given_questions(documents, questions)
    notes.insert(0, f"Questions: {made.how}.")
    notes += [f"Left out: {one.text!r}: {one.reason}." for one in made.left_out]
    notes += [f"{one.text!r}: {one.reason}." for one in made.resolved]
    if made.left_out:
        notes.insert(
            1, f"{len(made.left_out)} of {len(made.left_out) + len(made.queries)} questions could not be used; each is listed."
        )
    return made.collection(subject.resolve().name), notes


def _asking(model: str, base_url: str | None) -> Callable[[str], str]:
    try:
        from openai import OpenAI, OpenAIError
    except ImportError as error:
        raise MissingDependencyError("--ask needs the openai package: install the extra 'openai'.") from error
    try:
        client = OpenAI(base_url=base_url)
    except OpenAIError as error:
        raise InvalidInputError(f"--ask {model} cannot be reached: {error}") from error

    def reply(prompt: str) -> str:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
        return answer.choices[0].message.content or ""

    return reply


def _print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left", no_wrap=place > 0)
    for row in rows:
        table.add_row(*map(str, row))
    out = console()
    # Figures cut short would be wrong: lines that a narrow terminal wraps are not.
    out.width = max(out.width, 160)
    out.print(table)


def _show(report: StudyReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_dict())
        return
    _print_table(*report.table())
    out = console()
    out.print()
    for sentence in report.verdict.sentences:
        out.print(sentence, soft_wrap=True)
    out.print(f"Recipe: {report.verdict.code}", soft_wrap=True, style="bold")
    for note in report.notes:
        say(note)
    mode, metric = report.headline
    say(
        f"{report.collection}: {len(report.questions)} questions, {report.documents} documents, model {report.model}; {mode} search, "
        f"decided by {metric}. Brackets and ± are 95 % intervals; ~ is reckoned from a sample, because vectors came from the cache."
    )
