"""A verifiers environment: one face a task, one reply, the TAG reward."""

from tag_faces.harness import SingleReplyHarness
from tag_faces.taskset import FaceTaskset

__all__ = ["FaceTaskset", "SingleReplyHarness"]
