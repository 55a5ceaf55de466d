"""Thin adapters, one for each reinforcement-learning stack."""
