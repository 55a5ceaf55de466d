"""The modules that only the training stack can import hold no doctest; collecting them would need it."""

collect_ignore = [
    f"tag_rewards/integrations/verl/{name}.py" for name in ("frozen_vision", "main_ppo", "trainer")
]
