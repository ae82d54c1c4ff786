"""Rules of the domain. Imports the standard library only; facts, `now` included, come in as arguments."""
