"""Players that nobody here wrote watch a channel through its handovers: docs/players.md."""
