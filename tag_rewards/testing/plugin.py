"""pytest plugin of tag-rewards."""
