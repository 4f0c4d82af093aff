"""A study: one recipe varied along axes and seeds, run as many runs that share what they can, and what they found."""
