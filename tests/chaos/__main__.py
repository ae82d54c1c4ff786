"""`make chaos [ROUNDS=5] [SEED=…] [MUTATE=1]`: kill, cut and flush at random, then count what arrived.

One JSON line for each round on standard output and nothing else there; what breached, and what was done when, on standard
error. Exit code 1 on any breach, or when a broken engine passes. Round n of SEED=s has the seed "s.n"; SEED=s.n
with ROUNDS=1 plays that round's plan again.
"""

import argparse
import json
import secrets
import sys

from tests.chaos.mutants import EXPECTED
from tests.chaos.plan import WORKERS, Plan, make_plan, plan_for_mutant
from tests.chaos.play import Outcome, Round
from tests.chaos.stack import running_stack

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", default="")
    parser.add_argument("--mutate", action="store_true", help="break the engine on purpose, and see it caught")
    parser.add_argument("--only", help="with --mutate: one of " + ", ".join(EXPECTED))
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    if given.mutate:
        sys.exit(mutate(seed, [given.only] if given.only else list(EXPECTED)))
    sys.exit(play(seed, given.rounds))


def play(seed: str, rounds: int) -> int:
    seeds = [seed] if rounds == 1 and "." in seed else [f"{seed}.{number}" for number in range(1, rounds + 1)]
    breached = 0
    with running_stack(seed, keep=lambda: breached > 0) as stack:
        stack.add_workers(WORKERS)
        for round_seed in seeds:
            outcome = Round(stack, make_plan(round_seed), note=say).run()
            print(json.dumps(outcome.as_json()), flush=True)
            if outcome.verdict.breaches:
                breached += 1
                report(outcome, f"logs are in {stack.folder}; again: make chaos ROUNDS=1 SEED={round_seed}")
    return 1 if breached else 0


def mutate(seed: str, mutants: list[str]) -> int:
    """One round for each broken engine. It must go red, and name what is broken."""
    survivors = []
    for name in mutants:
        outcome = play_mutant(plan_for_mutant(name, seed), name)
        named = sorted({breach.partition(":")[0] for breach in outcome.verdict.breaches})
        is_caught = EXPECTED[name] in named
        line = {"mutant": name, "caught": is_caught, "expected": EXPECTED[name], "named": named}
        print(json.dumps({**line, **outcome.as_json()}), flush=True)
        if not is_caught:
            survivors.append(name)
            report(outcome, f"the mutant {name} survived: {EXPECTED[name]} was not named")
    return 1 if survivors else 0


def play_mutant(plan: Plan, name: str) -> Outcome:
    with running_stack(plan.seed) as stack:
        stack.add_workers(plan.workers, mutant=name)
        return Round(stack, plan, note=say).run()


def report(outcome: Outcome, advice: str) -> None:
    for breach in outcome.verdict.breaches:
        say(f"BREACH  seed {outcome.seed}  {breach}")
    say(advice)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
