"""News from the lower apps becomes queue rows; a receiver may do nothing else."""
