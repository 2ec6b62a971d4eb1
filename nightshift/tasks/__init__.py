"""One file a task. `registry.task(NAME)` finds it; nothing else has to know."""
