"""Engines that answer prompts about images: an endpoint, vLLM in this process, or Ray Data."""
