"""From the records of a task, and of a lesson, to rows of the recorded tables."""
