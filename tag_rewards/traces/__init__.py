"""Traces at scale: a model writes them, the library's own rewards verify them, a ledger keeps all."""
