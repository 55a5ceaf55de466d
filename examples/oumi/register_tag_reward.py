"""Registers the TAG reward with Oumi; name this file in the file of OUMI_EXTRA_DEPS_FILE."""

from tag_rewards.integrations import oumi

oumi.register()
