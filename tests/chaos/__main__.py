"""`make chaos [ROUNDS=5] [SEED=…] [JOBS=1] [MUTATE=1]`: kill, cut and flush at random, then count what arrived.

One JSON line for each round on standard output and nothing else there; what breached, and what was done when, on standard
error. Exit code 1 on any breach, or when a broken engine passes. Round n of SEED=s has the seed "s.n"; SEED=s.n
with ROUNDS=1 plays that round's plan again.
"""

import argparse
import json
import secrets
import subprocess
import sys
import traceback

from tests.chaos.mutants import EXPECTED
from tests.chaos.plan import WORKERS, Plan, make_plan, plan_for_mutant
from tests.chaos.play import Outcome, Round
from tests.chaos.stack import leave_on_signals, running_stack

ROUNDS = 5
ROUNDS_PER_STACK = 20  # then a fresh database: a night's rounds must not wait for what earlier ones left behind


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", default="")
    parser.add_argument("--jobs", type=int, default=1, help="so many rounds at once, each on a stack of its own")
    parser.add_argument("--share", default="0/1", help=argparse.SUPPRESS)  # K/J: of J processes this is number K
    parser.add_argument("--mutate", action="store_true", help="break the engine on purpose, and see it caught")
    parser.add_argument("--only", help="with --mutate: one of " + ", ".join(EXPECTED))
    parser.add_argument("--sound", action="store_true", help="with --mutate: the same rounds with nothing broken")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    leave_on_signals()
    if given.mutate:
        sys.exit(mutate(seed, [given.only] if given.only else list(EXPECTED), is_sound=given.sound))
    if given.jobs > 1:
        sys.exit(play_at_once(seed, given.rounds, given.jobs))
    sys.exit(play(seed, given.rounds, given.share))


def play_at_once(seed: str, rounds: int, jobs: int) -> int:
    command = [sys.executable, "-m", "tests.chaos", "--rounds", str(rounds), "--seed", seed]
    players = [subprocess.Popen([*command, "--share", f"{number}/{jobs}"]) for number in range(jobs)]
    try:
        return max(player.wait() for player in players)
    finally:
        for player in players:
            player.terminate()
            player.wait()


def play(seed: str, rounds: int, share: str) -> int:
    seeds = [seed] if rounds == 1 and "." in seed else [f"{seed}.{number}" for number in range(1, rounds + 1)]
    first, step = map(int, share.split("/"))
    seeds = seeds[first::step]
    wrong, done = 0, 0
    while done < len(seeds):
        played, count = play_some(seeds[done : done + ROUNDS_PER_STACK])
        wrong, done = wrong + count, done + played
    return 1 if wrong else 0


def play_some(seeds: list[str]) -> tuple[int, int]:
    """Play these rounds on one stack, or fewer when one cannot be played to its end. Returns how many, and how many failed."""
    wrong = 0
    with running_stack(seeds[0], keep=lambda: wrong > 0) as stack:
        stack.add_workers(WORKERS)
        stack.add_web()
        for number, seed in enumerate(seeds, start=1):
            again = f"logs are in {stack.folder}; again: make chaos ROUNDS=1 SEED={seed}"
            try:
                outcome = Round(stack, make_plan(seed), note=say).run()
            except Exception as error:  # a night goes on, with everything new
                wrong += 1
                print(json.dumps({"seed": seed, "ok": False, "error": repr(error)}), flush=True)
                say(f"{traceback.format_exc()}{again}")
                return number, wrong
            print(json.dumps(outcome.as_json()), flush=True)
            if outcome.verdict.breaches:
                wrong += 1
                report(outcome, again)
    return len(seeds), wrong


def mutate(seed: str, mutants: list[str], *, is_sound: bool) -> int:
    """One round for each broken engine. It must go red, and name what is broken. The sound one must pass the same round."""
    survivors = []
    for name in mutants:
        outcome = play_mutant(plan_for_mutant(name, seed), None if is_sound else name)
        named = sorted({breach.partition(":")[0] for breach in outcome.verdict.breaches})
        is_caught = EXPECTED[name] in named
        line = {"mutant": None if is_sound else name, "caught": is_caught, "expected": EXPECTED[name], "named": named}
        print(json.dumps({**line, **outcome.as_json()}), flush=True)
        if is_sound and named:
            survivors.append(name)
            report(outcome, f"the sound engine does not pass the round of {name}")
        elif not is_sound and not is_caught:
            survivors.append(name)
            report(outcome, f"the mutant {name} survived: {EXPECTED[name]} was not named")
    return 1 if survivors else 0


def play_mutant(plan: Plan, name: str | None) -> Outcome:
    with running_stack(plan.seed) as stack:
        # One message at a time, for the tightest bounds.
        stack.add_workers(plan.workers, mutant=name, in_flight=(1,))
        return Round(stack, plan, note=say).run()


def report(outcome: Outcome, advice: str) -> None:
    for breach in outcome.verdict.breaches:
        say(f"BREACH  seed {outcome.seed}  {breach}")
    say(advice)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
