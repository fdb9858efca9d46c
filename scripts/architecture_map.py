"""Prints the map of the house: every module on its floor, what it is, and which floors it stands on.

Run by `make arch`, after the contracts were checked. The floors come from the layers contract in pyproject.toml and the
arrows from the code, so the map cannot go out of date. What a module is, is the first sentence it says about itself.
"""

import ast
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGE = "weighbridge"


def floors() -> list[list[str]]:
    """The layers contract, high to low, each floor with the names of its modules."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layers: list[str] = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    return [[name.strip(" ()") for name in layer.replace(":", "|").split("|")] for layer in layers]


def purpose(name: str) -> str:
    """The first line of a module's docstring; nothing when it has none."""
    base = ROOT / "src" / PACKAGE / name
    source = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def arrows(graph: grimp.ImportGraph, names: list[str]) -> dict[str, list[str]]:
    """For every module, the other modules of the map it imports directly, in the order of the map."""
    families = {name: {f"{PACKAGE}.{name}"} | graph.find_descendants(f"{PACKAGE}.{name}") for name in names}
    reached = {
        name: {target for member in family for target in graph.find_modules_directly_imported_by(member)}
        for name, family in families.items()
    }
    return {
        name: [other for other in names if other != name and not families[other].isdisjoint(reached[name])]
        for name in names
    }


def main() -> None:
    """Print the map, high to low."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    present = [[name for name in floor if f"{PACKAGE}.{name}" in graph.modules] for floor in floors()]
    imports = arrows(graph, [name for floor in present for name in floor])
    width = max((len(name) for name in imports), default=0)
    for floor in filter(None, present):
        print("─" * 100)
        for name in floor:
            print(f"{name:<{width}}  {purpose(name)}")
            print(f"{'':<{width}}  → {', '.join(imports[name]) or 'nothing of ours'}")
    absent = sorted({name for floor in floors() for name in floor} - imports.keys())
    if absent:
        print("─" * 100)
        print(f"planned, not built: {', '.join(absent)}")


if __name__ == "__main__":
    main()
