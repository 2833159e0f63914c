"""Columns of numbers for people."""


def text(header: list, rows: list) -> str:
    """Returns rows as aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return "\n".join(line(row, widths) for row in [header, *rows])


def line(row: list, widths: list) -> str:
    first, *others = zip(row, widths)
    return "  ".join([first[0].ljust(first[1]), *[cell.rjust(width) for cell, width in others]])
