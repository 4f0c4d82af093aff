"""What a run found: one summary record, its charts, and the pages that show it."""
