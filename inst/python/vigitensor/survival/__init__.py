"""Cox models with exposure histories."""
