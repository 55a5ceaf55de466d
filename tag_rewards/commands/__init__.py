"""The commands of `tag-rewards`, a module each; the work is done by the other rooms.

Their annotations stay real objects (no `from __future__ import annotations`): typer reads them.
"""
