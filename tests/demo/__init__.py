"""`make demo`: the main job on real processes, observed from outside."""
