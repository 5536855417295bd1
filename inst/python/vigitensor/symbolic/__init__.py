"""Symbolic matrices: formulas F(x_i, y_j, p) reduced over i or j, tile by tile."""
