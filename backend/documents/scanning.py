"""What a file really is, by looking inside, and whether it may be used. No database, no network, bounded memory."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

import puremagic

HEAD_BYTES = 8_192
CHUNK_BYTES = 1 << 16
ZIP_ENTRIES_AT_MOST = 2_000
ZIP_UNPACKED_AT_MOST_BYTES = 500 * 1024 * 1024
ZIP_RATIO_AT_MOST = 200  # unpacked per packed byte; text packs about tenfold, bombs a thousandfold
PIXELS_AT_MOST = 100_000_000

_OFFICE = "application/vnd.openxmlformats-officedocument"
# What is taken: the extensions that a name may have, and the media type that the content must then be.
ALLOWED: Mapping[str, str] = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".zip": "application/zip",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".txt": "text/plain",
    ".md": "text/plain",
    ".csv": "text/plain",
}
ZIPPED = frozenset({"application/zip", *(kind for kind in ALLOWED.values() if kind.startswith(_OFFICE))})
_MARKUP = re.compile(rb"<\s*(?:!doctype|html|head|body|script|svg|\?xml|iframe)", re.IGNORECASE)
# A reader would run these or open something else by itself. Names in a PDF may be written with #-escapes.
_PDF_ACTIVE = re.compile(rb"/(?:JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|XFA)\b")
_PDF_ESCAPED_NAME = re.compile(rb"#([0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Verdict:
    """`problem` says in a sentence why the file is refused; empty when it may be used."""

    content_type: str
    problem: str = ""


def extension_of(filename: str) -> str:
    return PurePosixPath(filename).suffix.lower()


def find_type(head: bytes, filename: str) -> str:
    """The media type of content that begins with `head`, if it is of a kind that is taken and its name says; else "".

    The name alone never decides: text has no mark of its own, so it is text if it decodes and is no markup.
    """
    wanted = ALLOWED.get(extension_of(filename), "")
    if not wanted:
        return ""
    if wanted == "text/plain":
        return wanted if _is_plain_text(head) else ""
    try:
        found = {match.mime_type for match in puremagic.magic_string(head, filename)}
    except (puremagic.PureError, ValueError):
        return ""
    if wanted in ZIPPED and head.startswith(b"PK\x03\x04"):
        return wanted  # which of the zipped kinds it is, its entries tell: see check
    return wanted if wanted in found else ""


def check(source: IO[bytes], filename: str) -> Verdict:
    """Look through a whole file. `source` is seekable; at most CHUNK_BYTES of it are held at once."""
    head = source.read(HEAD_BYTES)
    content_type = find_type(head, filename)
    source.seek(0)
    if not content_type:
        return Verdict("", "its content is not of the kind that its name says, or of none that is taken")
    if content_type == "application/pdf":
        problem = _problem_of_pdf(source)
    elif content_type in ZIPPED:
        problem = _problem_of_zip(source, content_type)
    elif content_type == "text/plain":
        problem = _problem_of_text(source)
    else:
        problem = _problem_of_image(head, content_type)
    return Verdict(content_type, problem)


def _is_plain_text(head: bytes) -> bool:
    if b"\x00" in head or _MARKUP.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) == HEAD_BYTES  # a character cut in two by our own window
    return True


def _problem_of_text(source: IO[bytes]) -> str:
    left_over = b""
    while chunk := source.read(CHUNK_BYTES):
        if b"\x00" in chunk:
            return "it is not plain text"
        data = left_over + chunk
        try:
            data.decode("utf-8")
            left_over = b""
        except UnicodeDecodeError as error:
            left_over = data[error.start :]
            if len(left_over) > 3:
                return "it is not plain text in UTF-8"
    return "it is not plain text in UTF-8" if left_over else ""


def _problem_of_pdf(source: IO[bytes]) -> str:
    overlap = b""
    has_end = is_encrypted = False
    while chunk := source.read(CHUNK_BYTES):
        window = overlap + chunk
        names = _PDF_ESCAPED_NAME.sub(lambda found: bytes([int(found.group(1), 16)]), window)
        if _PDF_ACTIVE.search(names):
            return "the PDF contains scripts or embedded files"
        is_encrypted = is_encrypted or b"/Encrypt" in names
        has_end = has_end or b"%%EOF" in window
        overlap = window[-64:]
    if is_encrypted:
        return "the PDF is encrypted, so nobody else could read it"
    return "" if has_end else "the PDF is cut off"


def _problem_of_zip(source: IO[bytes], content_type: str) -> str:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return "the archive is damaged"
    if len(entries) > ZIP_ENTRIES_AT_MOST:
        return f"the archive has more than {ZIP_ENTRIES_AT_MOST} files"
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if unpacked > ZIP_UNPACKED_AT_MOST_BYTES or unpacked > ZIP_RATIO_AT_MOST * max(packed, 1):
        return "the archive unpacks to far more than it holds"
    names = [entry.filename for entry in entries]
    if any(_leads_outside(name) for name in names):
        return "the archive has files that would be written outside of its folder"
    if any(entry.flag_bits & 0x1 for entry in entries):
        return "the archive is encrypted, so nobody else could read it"
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        return "the document contains macros"
    if content_type != "application/zip" and "[Content_Types].xml" not in names:
        return "it is not the kind of document that its name says"
    return ""


def _leads_outside(name: str) -> bool:
    path = name.replace("\\", "/")
    return path.startswith("/") or ":" in path.split("/", 1)[0] or ".." in path.split("/")


def _problem_of_image(head: bytes, content_type: str) -> str:
    """PNG and GIF say their size at once; a size that fills the reader's memory is refused."""
    size = (0, 0)
    if content_type == "image/png":
        if head[12:16] != b"IHDR":
            return "the image is damaged"
        size = (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))
    elif content_type == "image/gif":
        size = (int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
    return "the image is too large to be shown" if size[0] * size[1] > PIXELS_AT_MOST else ""
