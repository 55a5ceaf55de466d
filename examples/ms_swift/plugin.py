"""For --external_plugins: the reward functions tag, tag_format, tag_accuracy and tag_grounding."""

from tag_rewards.integrations.ms_swift import register

register()
