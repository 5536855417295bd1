"""Columns on disk, and fits that read them block by block."""
