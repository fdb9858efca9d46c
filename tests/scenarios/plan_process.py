"""A process that moves plans at the same time as others: the child of the plan race.

``python -m tests.scenarios.plan_process STORE NAME PLANS STEPS`` says `ready`, waits for a line, then activates the plans ``p-0``
to ``p-PLANS`` (excluded), draws and ends the first attempt of every step of the one that is ACTIVE, and prints what it was
answered: ``activate p-0 PLAN_ACTIVATED``, ``draw brief fresh``.
"""

from __future__ import annotations

import random
import sys

from weighbridge import wiring
from weighbridge.domain.plan import PlanStatus, Verb
from weighbridge.errors import PlanRefused, Refusal, WeighbridgeError
from weighbridge.testing.plans import Mover, plan_of
from weighbridge.testing.stores import told
from weighbridge.testing.submissions import TENANT


def patiently(commit, submission):
    while True:
        try:
            return commit(submission)
        except Refusal as refusal:
            if refusal.code != "OVERLOADED":
                raise


def main(place, name, plans, *steps):
    chance = random.Random(name)
    store = wiring.open_store(place, purpose=None, surroundings=wiring.system_surroundings())
    key = store.tenant_key(TENANT)
    moves = {f"p-{number}": Mover(plan_of(f"p-{number}"), key=key) for number in range(int(plans))}
    rows = {plan_id: store.plan(TENANT, plan_id) for plan_id in moves}
    print("ready", flush=True)
    sys.stdin.readline()
    for plan_id in chance.sample([*moves], len(moves)):
        try:
            answer = patiently(store.commit, moves[plan_id].act(Verb.ACTIVATE, rows[plan_id], said=name))
            print("activate", plan_id, told(answer)[-1].type, flush=True)
        except PlanRefused as refused:
            print("activate", plan_id, refused.code, flush=True)
    (active,) = (row.plan_id for row in store.plans(TENANT, [PlanStatus.ACTIVE]))
    for step in steps:
        try:
            drawn = patiently(store.commit, moves[active].start(step))
        except WeighbridgeError as refused:
            print("draw", step, refused, flush=True)
            continue
        print("draw", step, "again" if drawn.replayed else "fresh", flush=True)
        if not drawn.replayed:
            patiently(store.commit, moves[active].end(step))
        while not is_done(store, active, step):
            pass
    store.close()


def is_done(store, plan_id, step_id):
    row = store.plan(TENANT, plan_id)
    step = row and row.step(step_id)
    assert step is not None
    return step.done


if __name__ == "__main__":
    main(*sys.argv[1:])
