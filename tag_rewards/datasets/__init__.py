"""Readers of FER datasets as their authors hand them out."""
