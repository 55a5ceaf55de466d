"""Random input for all that reads text or files from outside: `python -m tests.fuzz`."""
