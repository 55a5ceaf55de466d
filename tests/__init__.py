"""The tests; what several of them build their cases from is `tests.builders`."""
