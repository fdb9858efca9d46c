"""`python -m tests.vectors.generate`: write the vectors of `cases`, if every verdict and reason is what was thought out.

Nothing is written where one differs: first the contract says which of the two is wrong.
"""

from __future__ import annotations

import json
import sys

from tests.vectors import corpus
from tests.vectors.cases import ALL, Case


def main() -> int:
    """Write every vector and remove what no case stands for; return 1 where a case is not answered as it says."""
    wrong = [line for case in ALL for line in _differences(case)]
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    for path in corpus.FOLDER.glob("*.json"):
        path.unlink()
    for case in ALL:
        (corpus.FOLDER / f"{case.name}.json").write_text(document(case), encoding="utf-8")
    print(f"{len(ALL)} vectors")
    return 0


def document(case: Case) -> str:
    """Return the file of a case."""
    vector = corpus.Vector(case.name, case.policy, case.context, [])
    made = {"why": case.why, "policy": case.policy, "context": case.context, "expected": json.loads(vector.answer())}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _differences(case: Case) -> list[str]:
    results = json.loads(corpus.Vector(case.name, case.policy, case.context, []).answer())
    return [
        f"{case.name}: {result['validator']} answers {result['result']} {result['reason']}, not {' '.join(answer)}"
        for result, answer in zip(results, case.answers, strict=True)
        if (result["result"], result["reason"]) != answer
    ]


if __name__ == "__main__":
    sys.exit(main())
