"""PDF to text, page by page, with pypdf."""

from __future__ import annotations

import io

from ragkit.errors import LoadError, MissingDependencyError

PAGE_END = "\n\f\n"


def pdf_text(data: bytes, *, name: str) -> tuple[str, str | None, int]:
    """The text of a PDF, its title and its number of pages.

    Pages are joined by a form feed on a line of its own, so the page of an offset is
    ``text.count("\\f", 0, offset) + 1``. Documents that open with the empty password are read.

    Raises LoadError (naming ``name``) for a broken file, one that needs a password, and one without any text.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, FileNotDecryptedError
    except ImportError as error:
        raise MissingDependencyError("Reading PDF needs pypdf. Install the extra: ragkit-middleware[load].") from error
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise LoadError(f"{name} is protected by a password. Save a copy without one, then load that.")
        pages = [page.extract_text().replace("\f", "\n").strip() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except LoadError:
        raise
    except DependencyError as error:
        raise MissingDependencyError(
            f"{name} is encrypted with AES, which pypdf reads only with `pip install cryptography`."
        ) from error
    except FileNotDecryptedError as error:
        raise LoadError(f"{name} is protected by a password. Save a copy without one, then load that.") from error
    except Exception as error:  # a damaged file makes pypdf fail with almost any exception
        raise LoadError(f"{name} is not a readable PDF ({type(error).__name__}: {error}). Repair or export it again.") from error
    if not any(pages):
        raise LoadError(
            f"{name} has {len(pages)} pages and no text: it was probably scanned. Run OCR on it, then load the result."
        )
    return PAGE_END.join(pages), (str(title).strip() or None) if title else None, len(pages)
