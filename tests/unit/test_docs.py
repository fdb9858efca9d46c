"""The documents agree with the repository: links lead somewhere, ids exist, pages have their shape.

That their examples run is proved elsewhere: the root conftest.py executes them.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tomllib
from pathlib import Path

import pytest

import weighbridge

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(ROOT.glob("docs/adr/[0-9]*.md"))
README_LINES_MAX = 60  # one screen
EXAMPLE_LINES_MAX = 12
DECISION_WORDS_MAX = 600  # one page

_FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_RULE = re.compile(r"\b[BCFGHLMOPRZ][1-9]\d?\b")
_RULE_HEADING = re.compile(r"^### ([A-Z]\d+) ", re.MULTILINE)
_PATH = re.compile(r"`((?:src|tests|docs|scripts|requirements)/[\w./*-]*)`")


def prose(page: Path) -> str:
    """Return the page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    headings = (re.sub(r"[`*]", "", heading).strip().lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def rules() -> list[str]:
    return _RULE_HEADING.findall((ROOT / "docs/reference/rules.md").read_text(encoding="utf-8"))


def readme_example() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n[a](#a-page) [b](page.md#a-page) [c](#none) [d](none.md) [e](https://example.com/)\n")

    assert dead_links(page) == ["#none", "none.md"]


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_that_is_mentioned_exists(name):
    for path in _PATH.findall(prose(ROOT / name)):
        pattern = path.rstrip("/").replace("NNNN-title", "[0-9]*")
        assert any(ROOT.glob(pattern)), f"{name} mentions `{path}`"


def test_the_architecture_links_its_files_and_proofs():
    links = _LINK.findall(prose(ROOT / "ARCHITECTURE.md"))

    assert sum(link.startswith("src/") for link in links) >= 15
    assert sum(link.startswith("tests/") for link in links) >= 10


def test_the_readme_fits_on_a_screen_and_names_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(readme.splitlines()) <= README_LINES_MAX
    assert "$ make demo" in readme
    assert "$ make test" in readme


def test_the_readme_example_is_short():
    lines = [line for line in readme_example().splitlines() if line.strip() and not line.strip().startswith("#")]

    assert len(lines) <= EXAMPLE_LINES_MAX


def test_the_readme_example_allows_and_refuses():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(readme_example(), "README.md", "exec"), {})

    assert printed.getvalue().splitlines() == ["sent to ann@example.com", "('UNGROUNDED_VALUE',)"]


def test_decisions_are_numbered_without_gaps():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_shape(page):
    text = page.read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert re.match(rf"# {page.name[:4]} [A-Z]", text)
    assert re.search(r"^- Status: (accepted|superseded by \d{4})\n- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert [name for name in sections if name != "Measurements"] == ["Context", "Decision", "Consequences"]
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+", page.stem)
    assert len(text.split()) <= DECISION_WORDS_MAX


def test_no_rule_is_said_twice():
    assert len(rules()) == len(set(rules()))


@pytest.mark.parametrize("folder", ["src", "docs", "tests"])
def test_every_rule_that_is_cited_is_written_down(folder):
    files = [path for ext in ("py", "md", "sql") for path in (ROOT / folder).rglob(f"*.{ext}")]
    cited = {(rule, path.name) for path in files for rule in _RULE.findall(cited_text(path))}

    assert {(rule, name) for rule, name in cited if rule not in rules()} == set()


def cited_text(path: Path) -> str:
    """Return where rules are cited: comments and docstrings of code, all of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return prose(path) if path.suffix == ".md" else text
    comments = re.findall(r"#[: ](.*)$", text, re.MULTILINE)
    return "\n".join([*comments, *docstrings(text)])


def docstrings(text: str) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def test_every_rule_has_a_test_that_names_it():
    proofs = "\n".join(
        said
        for path in (ROOT / "tests").rglob("test_*.py")
        if path != Path(__file__) and "acceptance" not in path.parts
        for said in docstrings(path.read_text(encoding="utf-8"))
    )

    assert [rule for rule in rules() if not re.search(rf"\b{rule}\b", proofs)] == []


def test_the_library_reference_lists_every_public_name():
    page = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")

    assert [name for name in weighbridge.__all__ if not re.search(rf"weighbridge\.{name}\b", page)] == []


def test_the_glossary_explains_each_word_once():
    words = re.findall(r"^(\S.*)\n: ", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(words) > 30
    assert len(words) == len(set(words))


def test_the_changelog_tells_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
