"""Students measured by lm-evaluation-harness: they are a model there, and our data sets are tasks."""
