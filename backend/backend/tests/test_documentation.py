"""What the code has, the reference names."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
READ = re.compile(r"""\benv\.\w+\(\s*"([A-Z_]+)"|environ(?:\.get\(|\[)"([A-Z_]+)\"""")


def test_every_variable_that_is_read_is_in_the_reference() -> None:
    sources = [REPOSITORY / "backend" / "backend" / "settings.py", *(REPOSITORY / "backend/embedded").rglob("*.py")]
    names = {name for path in sources for match in READ.findall(path.read_text()) for name in match if name}
    page = (REPOSITORY / "docs" / "reference" / "settings.md").read_text()
    missing = sorted(name for name in names if f"`{name}`" not in page)
    assert names >= {"DEBUG", "CELERY_BROKER_URL", "RPC_URL"}
    assert not missing, f"docs/reference/settings.md does not name {missing}"


def test_every_linked_page_exists() -> None:
    link = re.compile(r"\]\(([^)#:]+?)(?:#[^)]*)?\)")
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(REPOSITORY)} → {target}"
        for page in pages
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken, broken
