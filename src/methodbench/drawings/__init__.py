"""The kinds of figure, one a file: each takes the results and a figure's words and gives a drawing, or None."""
