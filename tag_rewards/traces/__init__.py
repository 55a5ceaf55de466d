"""Traces at scale: a model writes them, the library's rewards verify them, a ledger keeps all."""
