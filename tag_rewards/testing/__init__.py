"""What anybody's reward function should promise, and the means to check it."""
