"""`make bench`: measure, print one JSON line per result on stdout and nothing else there."""
