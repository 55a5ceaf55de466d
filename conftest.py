"""What only the training stack can import holds no doctest; collecting it would need the stack."""

collect_ignore = [
    f"tag_rewards/integrations/verl/{name}.py"
    for name in ("frozen_vision", "gdpo", "plugin", "reward_manager", "trainer")
]
