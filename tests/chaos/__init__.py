"""Real processes, killed and cut off at random, judged by what the relay accepted: `make chaos`."""
