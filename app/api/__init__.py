"""The REST API: parse, authorise, call a command or a read, answer JSON."""
