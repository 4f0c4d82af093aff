"""Trains one student on sequences of pieces: what to learn, its loss, the loop, and its checkpoints."""
