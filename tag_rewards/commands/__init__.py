"""The commands of `tag-rewards`, a module each; the work is done by the other rooms."""
