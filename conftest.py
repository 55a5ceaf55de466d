"""What only the training stack can import holds no doctest; collecting it would need the stack."""

from hypothesis import settings

# A deadline would make a busy machine fail.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=15)
settings.load_profile("full")


collect_ignore = [
    f"tag_rewards/integrations/verl/{name}.py"
    for name in ("frozen_vision", "gdpo", "plugin", "reward_manager", "trainer")
]
